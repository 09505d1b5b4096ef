//! What the pool's threads share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::late::Waiting;
use super::stats::PoolStats;
use super::{OnFatal, SealedSegment};
use crate::limits::{DISK_FULL_RETRY_MS_MAX, DISK_FULL_RETRY_MS_MIN, INDEX_LATE_REST};
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::filter::Index;
use crate::store::level::{Arrivals, Ladder, LevelChoice, Load};
use crate::store::name::Codec;
use crate::store::permits::RawPermits;

/// A segment in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) segment: SealedSegment,
    /// When it was submitted, in nanoseconds since the pool started; `None` when it comes again after a full disk.
    pub(super) submitted_ns: Option<u64>,
}

/// Given once, at the start.
pub(super) struct Setup {
    pub(super) dir: PathBuf,
    pub(super) codec: Option<Codec>,
    pub(super) level: LevelChoice,
    pub(super) index: Index,
    pub(super) threads: usize,
    pub(super) disk: Disk,
    pub(super) permits: Arc<RawPermits>,
    pub(super) places: usize,
    pub(super) on_fatal: OnFatal,
}

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) codec: Option<Codec>,
    pub(super) index: Index,
    pub(super) disk: Disk,
    level: LevelChoice,
    threads: usize,
    permits: Arc<RawPermits>,
    queue: Sender<Job>,
    /// Held here too, so that the queue outlives threads that a failure has stopped.
    pub(super) jobs: Receiver<Job>,
    started: Instant,
    stats: PoolStats,
    pacing: Mutex<Pacing>,
    /// Archives that may get more filters later.
    pub(super) late: Waiting,
    /// When the last segment was submitted, in nanoseconds since the start.
    last_submitted_ns: AtomicU64,
    /// Submitted and not archived yet.
    unfinished: AtomicUsize,
    draining: AtomicBool,
    /// Set when threads shall stop at once: after a failure, or when the drain's time is over.
    stopped: AtomicBool,
    wake: (Mutex<()>, Condvar),
    on_fatal: Mutex<Option<OnFatal>>,
}

struct Pacing {
    arrivals: Arrivals,
    ladder: Option<Ladder>,
    /// How long the next attempt after a full disk waits.
    retry_ms: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(setup: Setup) -> Shared {
        let (queue, jobs) = crossbeam_channel::bounded(setup.places);
        let ladder = setup.codec.filter(|_| setup.level == LevelChoice::Auto).map(Ladder::of);
        Shared {
            dir: setup.dir,
            codec: setup.codec,
            index: setup.index,
            disk: setup.disk,
            level: setup.level,
            threads: setup.threads,
            permits: setup.permits,
            queue,
            jobs,
            started: Instant::now(),
            stats: PoolStats::default(),
            pacing: Mutex::new(Pacing { arrivals: Arrivals::default(), ladder, retry_ms: DISK_FULL_RETRY_MS_MIN }),
            late: Waiting::default(),
            last_submitted_ns: AtomicU64::new(0),
            unfinished: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            wake: Default::default(),
            on_fatal: Mutex::new(Some(setup.on_fatal)),
        }
    }

    pub(super) fn stats(&self) -> &PoolStats {
        &self.stats
    }

    pub(super) fn submit(&self, segment: SealedSegment) {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let submitted_ns = self.now_ns();
        self.last_submitted_ns.store(submitted_ns, Ordering::Relaxed);
        self.enqueue(Job { segment, submitted_ns: Some(submitted_ns) });
    }

    /// Whether there has been nothing to compress for a while, and there is no end near.
    pub(super) fn has_rested(&self) -> bool {
        let rested_ns = self.now_ns().saturating_sub(self.last_submitted_ns.load(Ordering::Relaxed));
        INDEX_LATE_REST.as_nanos() as u64 <= rested_ns
            && self.unfinished() == 0
            && !self.draining.load(Ordering::Relaxed)
            && !self.is_stopped()
    }

    /// Puts a segment back that met a full disk.
    pub(super) fn again(&self, segment: SealedSegment) {
        self.enqueue(Job { segment, submitted_ns: None });
    }

    fn enqueue(&self, job: Job) {
        self.queue.try_send(job).expect("the queue has a place for every permit, and is never closed");
        self.stats.queued.store(self.queue.len(), Ordering::Relaxed);
    }

    /// Takes the arrival into account and names the level for this segment.
    pub(super) fn level_for(&self, job: &Job) -> i32 {
        self.stats.queued.store(self.queue.len(), Ordering::Relaxed);
        let mut pacing = lock(&self.pacing);
        if let Some(submitted_ns) = job.submitted_ns {
            pacing.arrivals.arrived(submitted_ns, job.segment.raw_bytes);
        }
        let arrival_bytes_per_s = pacing.arrivals.bytes_per_s(self.now_ns());
        let level = match (&mut pacing.ladder, self.level) {
            (Some(ladder), _) => ladder.decide(&Load {
                // A drain is a race against a deadline.
                queued: if self.draining.load(Ordering::Relaxed) { usize::MAX } else { self.queue.len() },
                permits_in_use: self.permits.in_use(),
                permits_total: self.permits.total(),
                arrival_bytes_per_s,
                threads: self.threads,
            }),
            (None, LevelChoice::Fixed(level)) => level,
            (None, LevelChoice::Auto) => 0, // nothing is compressed
        };
        self.stats.level.store(level, Ordering::Relaxed);
        level
    }

    /// Reports what compressing a segment has cost.
    pub(super) fn compressed(&self, level: i32, raw_bytes: u64, cpu_ns: u64) {
        self.stats.compress_cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        if let Some(ladder) = &mut lock(&self.pacing).ladder {
            ladder.measured(level, raw_bytes, cpu_ns);
        }
    }

    /// A segment is archived, and its raw file gone.
    pub(super) fn finished(&self, raw_bytes: u64, archive_bytes: u64) {
        self.stats.archived.fetch_add(1, Ordering::Relaxed);
        self.stats.raw_bytes.fetch_add(raw_bytes, Ordering::Relaxed);
        self.stats.archive_bytes.fetch_add(archive_bytes, Ordering::Relaxed);
        if self.unfinished.fetch_sub(1, Ordering::SeqCst) == 1 {
            let guard = lock(&self.wake.0);
            self.wake.1.notify_all();
            drop(guard);
        }
        if self.stats.resume() {
            lock(&self.pacing).retry_ms = DISK_FULL_RETRY_MS_MIN;
        }
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::SeqCst)
    }

    /// Notes that the disk is full.
    pub(super) fn pause(&self, error: &StorageError) {
        self.stats.pause(error.to_string());
    }

    /// Waits before the next attempt, while the disk is full; longer each time. Returns early when the threads shall stop.
    pub(super) fn wait_while_full(&self) {
        if self.stats.paused().is_none() {
            return;
        }
        let wait = {
            let mut pacing = lock(&self.pacing);
            let wait = Duration::from_millis(pacing.retry_ms);
            pacing.retry_ms = (2 * pacing.retry_ms).min(DISK_FULL_RETRY_MS_MAX);
            wait
        };
        let guard = lock(&self.wake.0);
        drop(self.wake.1.wait_timeout_while(guard, wait, |()| !self.is_stopped()));
    }

    /// Waits until everything that was submitted is finished, the threads shall stop, or the deadline passes.
    pub(super) fn wait_until_finished(&self, deadline: Instant) {
        let within = deadline.saturating_duration_since(Instant::now());
        let guard = lock(&self.wake.0);
        drop(self.wake.1.wait_timeout_while(guard, within, |()| 0 < self.unfinished() && !self.is_stopped()));
    }

    /// From now on every level is the fastest.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Lets the threads stop where they are.
    pub(super) fn abandon(&self) {
        // Under the lock: a thread that is about to wait has either seen the flag or hears the call.
        let guard = lock(&self.wake.0);
        self.stopped.store(true, Ordering::SeqCst);
        self.wake.1.notify_all();
        drop(guard);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Reports the failure that stops the pool; later ones are its consequences.
    pub(super) fn fail(&self, error: StorageError) {
        self.abandon();
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(on_fatal) = lock(&self.on_fatal).take() {
            on_fatal(error);
        }
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// A thread that panicked has left these values whole: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
