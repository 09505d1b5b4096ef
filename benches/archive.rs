//! Segments that are full: two threads compress them by whole blocks at the fastest level, or as flate2 does by itself, and delete the raw file. What the bare and the
//! classical shapes share.
#![allow(dead_code, reason = "not every bench uses all of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use flate2::Compression;
use flate2::write::GzEncoder;
use logboom::store::codec::Compressor;
use logboom::store::name::Codec;

pub(crate) const BLOCK_BYTES: usize = 512 * 1024;
pub(crate) const SEGMENT_BYTES: usize = 5_000_000;
const THREADS: usize = 2;

/// What compresses.
#[derive(Clone, Copy)]
pub(crate) enum Engine {
    /// The daemon's, at its fastest level.
    Fastest(Codec),
    /// flate2 at its default level, a file at a time: what a program does that takes the usual crate for gzip and no trouble over it.
    Flate2,
}

/// A codec by its name.
pub(crate) fn codec(name: &str) -> Option<Codec> {
    match name {
        "gzip" => Some(Codec::Gzip),
        "zstd" => Some(Codec::Zstd),
        _ => None,
    }
}

/// An engine by its name; `none` is none.
pub(crate) fn engine(name: &str) -> Option<Engine> {
    if name == "flate2" { Some(Engine::Flate2) } else { codec(name).map(Engine::Fastest) }
}

/// A segment's name, as the daemon would give it, so that `loadgen verify` reads it.
pub(crate) fn segment_path(dir: &Path, shard: usize, number: u64) -> PathBuf {
    dir.join(format!("logs_20260101_000000_s{shard:02}_{number:06}.jsonl"))
}

/// Starts the threads. They end when nobody can send a path any more.
pub(crate) fn start(engine: Option<Engine>) -> (Sender<PathBuf>, Vec<JoinHandle<()>>) {
    let (sealed, queue) = crossbeam_channel::unbounded();
    let threads = (0..THREADS).map(|_| queue.clone()).map(|queue| std::thread::spawn(move || archive_all(engine, &queue))).collect();
    (sealed, threads)
}

fn archive_all(engine: Option<Engine>, queue: &Receiver<PathBuf>) {
    match engine {
        None => queue.iter().for_each(drop),
        Some(Engine::Fastest(codec)) => archive_blocks(codec, queue),
        Some(Engine::Flate2) => archive_files(queue),
    }
}

fn archive_blocks(codec: Codec, queue: &Receiver<PathBuf>) {
    let mut compressor = Compressor::new(codec).expect("an engine");
    let (mut raw, mut out) = (vec![0; BLOCK_BYTES], Vec::new());
    let suffix = if codec == Codec::Gzip { "jsonl.gz" } else { "jsonl.zst" };
    for path in queue {
        let mut input = File::open(&path).expect("opened");
        let mut output = File::create(path.with_extension(suffix)).expect("created");
        loop {
            let n = input.read(&mut raw).expect("read");
            if n == 0 {
                break;
            }
            compressor.compress(&raw[..n], 1, &mut out).expect("compressed");
            output.write_all(&out).expect("written");
        }
        std::fs::remove_file(path).expect("removed");
    }
}

fn archive_files(queue: &Receiver<PathBuf>) {
    for path in queue {
        let mut input = File::open(&path).expect("opened");
        let output = File::create(path.with_extension("jsonl.gz")).expect("created");
        let mut encoder = GzEncoder::new(output, Compression::default());
        std::io::copy(&mut input, &mut encoder).expect("compressed");
        encoder.finish().expect("written");
        std::fs::remove_file(path).expect("removed");
    }
}
