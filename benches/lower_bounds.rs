//! What the parts of the work cost alone, as processes that do one of them: the sum is the bound that no shape of pipeline can go below.
//!
//! ```text
//! cargo bench --bench lower_bounds -- discard PORT               receives until all connections have closed, a thread for each
//! cargo bench --bench lower_bounds -- validate FILE              simd-json's tape for each line
//! cargo bench --bench lower_bounds -- gzip|zstd FILE             compresses blocks of 512 KiB at the fastest level
//! cargo bench --bench lower_bounds -- write FILE DIR             writes blocks of 512 KiB into segments of 5 MB, and syncs nothing
//! cargo bench --bench lower_bounds -- decode DIR THREADS         decodes every block of the archives in a data directory, as a search reads them
//! ```
//!
//! The file is read before the time counts. Each of two threads does half of it, as two shards would. The last line of stdout is JSON: lines, bytes, bytes that came
//! out, and seconds of CPU time of those threads.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use logboom::store::catalog;
use logboom::store::codec::{BlockDecoder, Compressor};
use logboom::store::disk::Disk;
use logboom::store::name::{Codec, FileName, SegmentId};
use rustix::time::{ClockId, clock_gettime};

use validator::Validator;

mod archive;
mod connections;
mod validator;

const THREADS: usize = 2;
const RECEIVE_BYTES: usize = 256 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["discard", port] => discard(port.parse().expect("a port")),
        ["validate", file] => halves(file, |_, half| validate(half)),
        [codec @ ("gzip" | "zstd"), file] => halves(file, |_, half| compress(archive::codec(codec).expect("a codec"), half)),
        ["decode", dir, threads] => decode(Path::new(dir), threads.parse().expect("a number")),
        ["write", file, dir] => halves(file, |thread, half| write(thread, half, Path::new(dir))),
        // `cargo test` runs benches without arguments; then it is enough that this builds.
        _ => println!("usage: lower_bounds discard PORT | validate FILE | gzip|zstd FILE | write FILE DIR | decode DIR THREADS"),
    }
}

fn cpu_seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn report(lines: u64, bytes: u64, out_bytes: u64, cpu_s: f64) {
    println!(r#"{{"lines":{lines},"bytes":{bytes},"out_bytes":{out_bytes},"cpu_s":{cpu_s:.6}}}"#);
}

/// Lines are not counted: that would be work of another part.
fn discard(port: u16) {
    let bytes = connections::serve_each(port, |mut stream| {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut bytes = 0;
        loop {
            match stream.read(&mut buffer).expect("received") {
                0 => return bytes,
                n => bytes += n as u64,
            }
        }
    });
    report(0, bytes, 0, cpu_seconds(ClockId::ProcessCPUTime));
}

/// Runs `work` on each half of a file, at the same time; it returns the bytes that came out.
fn halves(file: &str, work: impl Fn(usize, &[u8]) -> u64 + Sync) {
    let text = std::fs::read(file).expect("a file");
    let middle = text[..text.len() / THREADS].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (first, second) = text.split_at(middle);
    let done: Vec<(u64, f64)> = std::thread::scope(|scope| {
        let timed = |thread, half| {
            let work = &work;
            move || {
                let before_s = cpu_seconds(ClockId::ThreadCPUTime);
                (work(thread, half), cpu_seconds(ClockId::ThreadCPUTime) - before_s)
            }
        };
        let threads = [scope.spawn(timed(0, first)), scope.spawn(timed(1, second))];
        threads.into_iter().map(|thread| thread.join().expect("done")).collect()
    });
    let lines = memchr::memchr_iter(b'\n', &text).count() as u64;
    report(lines, text.len() as u64, done.iter().map(|(out, _)| out).sum(), done.iter().map(|(_, cpu_s)| cpu_s).sum());
}

/// simd-json rewrites its input, so each piece is copied first: into the cache, as a receive would.
fn validate(half: &[u8]) -> u64 {
    let mut buffer = vec![0; RECEIVE_BYTES + simd_json::INPUT_PADDING];
    let mut validator = Validator::default();
    let mut rest = half;
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(RECEIVE_BYTES)];
        let whole = memchr::memrchr(b'\n', window).expect("lines shorter than a receive") + 1;
        buffer[..whole].copy_from_slice(&rest[..whole]);
        validator.validate(&mut buffer, whole, |_| {});
        rest = &rest[whole..];
    }
    0
}

fn compress(codec: Codec, half: &[u8]) -> u64 {
    let mut compressor = Compressor::new(codec).expect("an engine");
    let mut out = Vec::new();
    let compressed = half.chunks(archive::BLOCK_BYTES).map(|block| {
        compressor.compress(block, 1, &mut out).expect("compressed");
        out.len() as u64
    });
    compressed.sum()
}

/// Each thread takes the next archive: its blocks by its table, one after the other.
fn decode(dir: &Path, threads: usize) {
    let files = catalog::files(&Disk::new(), dir).expect("a data directory");
    let archived = |file: catalog::StoreFile| if let FileName::Archive(id, codec) = file.name { Some((id, codec)) } else { None };
    let archives: Vec<(SegmentId, Codec)> = files.into_iter().filter_map(archived).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut decoder, mut stored, mut raw) = (BlockDecoder::default(), Vec::new(), Vec::new());
        let (mut lines, mut bytes, mut stored_bytes) = (0, 0, 0);
        while let Some(&(id, codec)) = archives.get(next.fetch_add(1, Ordering::Relaxed)) {
            let table = catalog::read_table(&Disk::new(), &id.meta_name().in_dir(dir), &mut stored).expect("read").expect("a table");
            let file = Disk::new().open(&id.archive_name(Some(codec)).in_dir(dir)).expect("an archive");
            for block in &table.blocks {
                stored.resize(block.len as usize, 0);
                file.read_exact_at(&mut stored, block.offset).expect("read");
                decoder.decode(codec, &stored, block.stats.raw_len as usize, &mut raw).expect("decoded");
                lines += block.stats.lines;
                bytes += block.stats.raw_len;
                stored_bytes += block.len;
            }
        }
        (lines, bytes, stored_bytes)
    };
    let sum = |a: (u64, u64, u64), b: (u64, u64, u64)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
    let (lines, bytes, stored_bytes) = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("done")).fold((0, 0, 0), sum)
    });
    report(lines, bytes, stored_bytes, cpu_seconds(ClockId::ProcessCPUTime));
}

fn write(thread: usize, half: &[u8], dir: &Path) -> u64 {
    for (number, segment) in half.chunks(archive::SEGMENT_BYTES).enumerate() {
        let mut file = File::create(archive::segment_path(dir, thread, number as u64)).expect("created");
        segment.chunks(archive::BLOCK_BYTES).for_each(|block| file.write_all(block).expect("written"));
    }
    half.len() as u64
}
