//! The compress pool: sealed segments in, archives out, off the shards.
//!
//! ```text
//! shards --submit--> queue --> compress threads --> queue --> finisher --> permit released
//!                      ^       raw -> x.gz.tmp                fdatasync each, rename each, one directory fsync, .meta, remove raw
//!                      \________________ disk full: again from the raw file _________________/
//! ```
//!
//! Compress threads never wait for the disk's syncs; the finisher groups them. Both queues have a place for every permit there can be, so nobody blocks
//! on them. A raw file goes only after its archive is durable under its name, and its permit is released only after that.
//!
//! A full disk pauses: the segment stays raw and is tried again until there is space; nothing is dropped. Any other failure, also a panic, stops the
//! pool and is reported once; no sync is ever repeated on the same file. While there is nothing to compress, the threads make the filters that load left out
//! (`pool/late.rs`). Without compression a sealed file is made durable where it is, and
//! permits bound the segments that are not durable yet.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::disk::Disk;
use super::error::StorageError;
use super::filter::Index;
use super::level::LevelChoice;
use super::name::Codec;
use super::permits::RawPermits;
use super::segment::SealedSegment;

mod compress;
mod finish;
mod late;
mod shared;
mod stats;

use shared::{Job, Shared};
pub use stats::{PoolSnapshot, PoolStats};

/// What is told of the failure that stops the pool, from one of its threads.
pub type OnFatal = Box<dyn FnOnce(StorageError) + Send>;

/// What the pool needs to know.
pub struct PoolConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// How to compress; `None` leaves sealed segments as they are.
    pub codec: Option<Codec>,
    /// How hard to compress.
    pub level: LevelChoice,
    /// Whether blocks get token filters.
    pub index: Index,
    /// How many threads compress, at least 1.
    pub threads: usize,
    /// The cores to pin them to, in turn; empty leaves them unpinned.
    pub cores: Vec<usize>,
    /// The way to the files.
    pub disk: Disk,
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
    threads: Vec<JoinHandle<()>>,
    /// Dropped to let the compress threads stop once their queue is empty.
    running: Sender<()>,
    /// Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

/// The way into the pool, one clone per shard.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    shared: Arc<Shared>,
}

impl PoolHandle {
    /// Hands a sealed segment over. Never blocks: the queue has a place for every permit, and the segment carries one.
    pub fn submit(&self, segment: SealedSegment) {
        self.shared.submit(segment);
    }

    /// The pool's counters.
    pub fn stats(&self) -> &PoolStats {
        self.shared.stats()
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Segments that are still raw, because the time was over or the pool has failed; the next start archives them.
    pub left: usize,
}

impl Pool {
    /// Starts the threads. Recovery has claimed its permits by now: the queues have a place for each of them too.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn start(config: PoolConfig, permits: &Arc<RawPermits>) -> std::io::Result<Pool> {
        assert!(0 < config.threads);
        let PoolConfig { dir, codec, level, index, threads, cores, disk, on_fatal } = config;
        let places = permits.total().max(permits.in_use());
        let shared = Arc::new(Shared::new(shared::Setup {
            dir,
            codec,
            level,
            index,
            threads,
            disk,
            permits: Arc::clone(permits),
            places,
            on_fatal,
        }));
        let (running, stop) = crossbeam_channel::bounded::<()>(0);
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let (compressed, ready) = crossbeam_channel::bounded(places);
        let mut handles = Vec::with_capacity(threads + 1);
        for index in 0..threads {
            let core = (!cores.is_empty()).then(|| cores[index % cores.len()]);
            let worker = compress::Worker::new(Arc::clone(&shared), compressed.clone());
            let (stop, alive) = (stop.clone(), alive.clone());
            handles.push(spawn(&shared, format!("compress-{index}"), alive, move || worker.run(&stop, core))?);
        }
        drop(compressed); // the finisher ends when the last compress thread has
        let finisher = finish::Finisher::new(Arc::clone(&shared));
        handles.push(spawn(&shared, "finish".to_owned(), alive, move || finisher.run(&ready))?);
        Ok(Pool { handle: PoolHandle { shared }, threads: handles, running, ended })
    }

    /// The way in.
    pub fn handle(&self) -> PoolHandle {
        self.handle.clone()
    }

    /// Finishes what is queued, at the fastest level, and stops the threads; returns after `within` at the latest, and then leaves raw what is not
    /// finished. The shards have stopped by now: nothing may be submitted any more.
    pub fn drain(self, within: Duration) -> DrainReport {
        let deadline = Instant::now() + within;
        self.handle.shared.drain();
        // Until the end: the finisher may put a segment back that met a full disk.
        self.handle.shared.wait_until_finished(deadline);
        drop(self.running);
        if self.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            self.handle.shared.abandon();
        } else {
            // Every thread has dropped its end; a panic has been reported by `spawn`.
            self.threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        DrainReport { left: self.handle.shared.unfinished() }
    }
}

/// Starts a named thread; a panic in it is a failure of the pool.
fn spawn(shared: &Arc<Shared>, name: String, alive: Sender<()>, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        // What the body leaves behind is on disk, for recovery; nothing in memory is used after a panic but the failure's report.
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
            let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            shared.fail(StorageError::Panicked { thread: name, message: message.unwrap_or_default() });
        }
        drop(alive);
    })
}
