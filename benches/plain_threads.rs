//! The classical shape, as a reference: what most ingestors are made like, from the same crates and with the same work per line as `bare_shape`. Blocking reads on one
//! thread per connection, simd-json's tape for each line, a bounded channel, one writer with a buffer, rotation at 5 MB, compression after rotation by two threads.
//!
//! ```text
//! cargo bench --bench plain_threads -- PORT none|gzip|zstd|flate2 DIR line|read
//! ```
//!
//! `line` sends each line through the channel by itself, as such programs usually do; `read` sends all lines of a read together, which is the best that the shape can
//! do. Nothing is counted, synced, recovered or answered.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};

use validator::Validator;

mod archive;
mod connections;
mod validator;

const RECEIVE_BYTES: usize = 256 * 1024;
/// Of bytes that wait in the channel, about 16 MB either way.
const LINES_WAITING_MAX: usize = 65_536;
const READS_WAITING_MAX: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [port, codec, dir, message] = &args[..] else {
        // `cargo test` runs benches without arguments; then it is enough that this builds.
        return println!("usage: plain_threads PORT none|gzip|zstd|flate2 DIR line|read");
    };
    let port: u16 = port.parse().expect("a port");
    let dir = PathBuf::from(dir);
    let by_line = message == "line";
    std::fs::create_dir_all(&dir).expect("a folder");
    let (sealed, archiving) = archive::start(archive::engine(codec));
    let (sender, receiver) = crossbeam_channel::bounded(if by_line { LINES_WAITING_MAX } else { READS_WAITING_MAX });
    let writing = std::thread::spawn(move || write_all(&receiver, &dir, &sealed));
    let lines = connections::serve_each(port, move |stream| receive(stream, &sender, by_line));
    writing.join().expect("written");
    archiving.into_iter().for_each(|thread| thread.join().expect("archived"));
    println!("{lines} lines");
}

/// Reads, validates and hands on one connection's lines.
fn receive(mut stream: TcpStream, channel: &Sender<Vec<u8>>, by_line: bool) -> u64 {
    let mut buffer = vec![0; RECEIVE_BYTES + simd_json::INPUT_PADDING];
    let mut validator = Validator::default();
    let (mut kept, mut lines) = (0, 0);
    loop {
        let n = stream.read(&mut buffer[kept..RECEIVE_BYTES]).expect("received");
        if n == 0 {
            return lines;
        }
        let filled = kept + n;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1);
        let read = if by_line { Vec::new() } else { buffer[..whole].to_vec() };
        lines += validator.validate(&mut buffer, whole, |line| {
            if by_line {
                channel.send(line.to_vec()).expect("a writer");
            }
        });
        if !read.is_empty() {
            channel.send(read).expect("a writer");
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
}

/// Writes what comes into one segment after the other, until nobody can send any more.
fn write_all(channel: &Receiver<Vec<u8>>, dir: &Path, sealed: &Sender<PathBuf>) {
    let mut segment: Option<(PathBuf, BufWriter<File>, usize)> = None;
    let mut segments = 0;
    let seal = |(path, mut file, _): (PathBuf, BufWriter<File>, usize)| {
        file.flush().expect("written");
        sealed.send(path).expect("queued");
    };
    for bytes in channel {
        if segment.as_ref().is_some_and(|(_, _, written)| archive::SEGMENT_BYTES < written + bytes.len()) {
            segment.take().map(seal);
        }
        let (_, file, written) = segment.get_or_insert_with(|| {
            segments += 1;
            let path = archive::segment_path(dir, 0, segments);
            let file = BufWriter::with_capacity(archive::BLOCK_BYTES, File::create(&path).expect("created"));
            (path, file, 0)
        });
        file.write_all(&bytes).expect("written");
        *written += bytes.len();
    }
    segment.take().map(seal);
}
