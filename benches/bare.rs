//! What both bare shapes share: all but how they wait and receive. Whole lines are validated where they were received, gathered into batches of 512 KiB, written into
//! segments of 5 MB.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;

use crate::archive::{self, BLOCK_BYTES as BATCH_BYTES, SEGMENT_BYTES};
use crate::validator::Validator;

pub(crate) const SHARDS: usize = 2;
const RECEIVE_BYTES: usize = 256 * 1024;

/// Runs two shards as the arguments `PORT none|gzip|zstd DIR` say, until all connections have closed, then prints lines and CPU time. `spawn` starts one and returns how
/// to wait for the number of its lines.
pub(crate) fn run<Wait: FnOnce() -> u64>(name: &str, spawn: impl Fn(u16, Segments) -> Wait) {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [port, codec, dir] = &args[..] else {
        // `cargo test` runs benches without arguments; then it is enough that this builds.
        return println!("usage: {name} PORT none|gzip|zstd DIR");
    };
    let port: u16 = port.parse().expect("a port");
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir).expect("a folder");
    let (sealed, archiving) = archive::start(archive::engine(codec));
    let shards: Vec<Wait> = (0..SHARDS).map(|id| spawn(port, Segments::new(id, dir, &sealed))).collect();
    drop(sealed);
    println!("ready tcp=127.0.0.1:{port}");
    let lines: Vec<u64> = shards.into_iter().map(|wait| wait()).collect();
    archiving.into_iter().for_each(|thread| thread.join().expect("compressed"));
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    println!("{} lines, {seconds:.3} s of CPU, by shard: {lines:?}", lines.iter().sum::<u64>());
}

/// Where a shard's segments go.
pub(crate) struct Segments {
    pub(crate) shard: usize,
    dir: PathBuf,
    sealed: Sender<PathBuf>,
    count: Cell<u64>,
}

impl Segments {
    fn new(shard: usize, dir: &Path, sealed: &Sender<PathBuf>) -> Self {
        Self { shard, dir: dir.to_owned(), sealed: sealed.clone(), count: Cell::new(0) }
    }

    fn create(&self) -> (PathBuf, File, usize) {
        self.count.set(self.count.get() + 1);
        let path = archive::segment_path(&self.dir, self.shard, self.count.get());
        let file = File::create(&path).expect("created");
        (path, file, 0)
    }
}

/// One connection's bytes and lines.
pub(crate) struct Pipeline {
    buffer: Vec<u8>,
    /// Bytes of an unfinished line at the buffer's beginning.
    kept: usize,
    batch: Vec<u8>,
    validator: Validator,
    segment: Option<(PathBuf, File, usize)>,
    pub(crate) lines: u64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            buffer: vec![0; RECEIVE_BYTES + simd_json::INPUT_PADDING],
            kept: 0,
            batch: Vec::with_capacity(BATCH_BYTES + RECEIVE_BYTES),
            validator: Validator::default(),
            segment: None,
            lines: 0,
        }
    }
}

impl Pipeline {
    /// Where to receive.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.kept..RECEIVE_BYTES]
    }

    /// `n` bytes were received; 0 of them mean the end.
    pub(crate) fn received(&mut self, n: usize, segments: &Segments) {
        let filled = self.kept + n;
        let whole = memchr::memrchr(b'\n', &self.buffer[..filled]).map_or(0, |at| at + 1);
        self.batch.extend_from_slice(&self.buffer[..whole]);
        self.lines += self.validator.validate(&mut self.buffer, whole, |_| {});
        self.buffer.copy_within(whole..filled, 0);
        self.kept = filled - whole;
        if self.batch.len() >= BATCH_BYTES || (n == 0 && !self.batch.is_empty()) {
            self.write(n == 0, segments);
        }
    }

    fn write(&mut self, is_last: bool, segments: &Segments) {
        let (path, file, written) = self.segment.get_or_insert_with(|| segments.create());
        file.write_all(&self.batch).expect("written");
        *written += self.batch.len();
        self.batch.clear();
        if *written + BATCH_BYTES > SEGMENT_BYTES || is_last {
            segments.sealed.send(path.clone()).expect("queued");
            self.segment = None;
        }
    }
}
