//! What the pool counts.

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The pool's counters. Written by its threads once per segment, read by anyone.
#[derive(Debug, Default)]
pub struct PoolStats {
    pub(super) queued: AtomicUsize,
    pub(super) finishing: AtomicUsize,
    pub(super) archived: AtomicU64,
    pub(super) raw_bytes: AtomicU64,
    pub(super) archive_bytes: AtomicU64,
    pub(super) compress_cpu_ns: AtomicU64,
    pub(super) index_cpu_ns: AtomicU64,
    pub(super) blocks_unindexed: AtomicU64,
    pub(super) blocks_indexed_late: AtomicU64,
    pub(super) index_late_cpu_ns: AtomicU64,
    pub(super) level: AtomicI32,
    pub(super) rescanned: AtomicU64,
    pub(super) metas_skipped: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) paused: Mutex<Option<String>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Segments that wait for a compress thread.
    pub queued: usize,
    /// Segments that are compressed and wait for the disk.
    pub finishing: usize,
    /// Segments archived (or, without compression, made durable as they are).
    pub archived: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// Their bytes on disk.
    pub archive_bytes: u64,
    /// CPU time of the compress threads, in nanoseconds.
    pub compress_cpu_ns: u64,
    /// The part of it that token filters took, in nanoseconds.
    pub index_cpu_ns: u64,
    /// Blocks without a filter at first, because filters had taken their share of the time.
    pub blocks_unindexed: u64,
    /// Those of them that got one later, when there was nothing to compress.
    pub blocks_indexed_late: u64,
    /// The CPU time of that, in nanoseconds. It is not part of the others.
    pub index_late_cpu_ns: u64,
    /// The level used last.
    pub level: i32,
    /// Segments whose file did not match what the shard had handed over with it, and was scanned instead.
    pub rescanned: u64,
    /// Block tables that could not be written for lack of space; they are rebuilt from the archive at the next start.
    pub metas_skipped: u64,
    /// Attempts that met a full disk.
    pub full: u64,
    /// Failures that stopped the pool: 0 or 1.
    pub failures: u64,
    /// Why the pool waits, while it does: the full disk's own words.
    pub paused: Option<String>,
}

impl PoolStats {
    /// Reads all counters.
    pub fn snapshot(&self) -> PoolSnapshot {
        PoolSnapshot {
            queued: self.queued.load(Ordering::Relaxed),
            finishing: self.finishing.load(Ordering::Relaxed),
            archived: self.archived.load(Ordering::Relaxed),
            raw_bytes: self.raw_bytes.load(Ordering::Relaxed),
            archive_bytes: self.archive_bytes.load(Ordering::Relaxed),
            compress_cpu_ns: self.compress_cpu_ns.load(Ordering::Relaxed),
            index_cpu_ns: self.index_cpu_ns.load(Ordering::Relaxed),
            blocks_unindexed: self.blocks_unindexed.load(Ordering::Relaxed),
            blocks_indexed_late: self.blocks_indexed_late.load(Ordering::Relaxed),
            index_late_cpu_ns: self.index_late_cpu_ns.load(Ordering::Relaxed),
            level: self.level.load(Ordering::Relaxed),
            rescanned: self.rescanned.load(Ordering::Relaxed),
            metas_skipped: self.metas_skipped.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            paused: self.paused(),
        }
    }

    /// Notes that the disk is full, in the system's own words.
    pub(super) fn pause(&self, reason: String) {
        self.full.fetch_add(1, Ordering::Relaxed);
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Notes that there is space again. Returns whether there was none.
    pub(super) fn resume(&self) -> bool {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// How many segments have been archived.
    pub fn archived(&self) -> u64 {
        self.archived.load(Ordering::Relaxed)
    }

    /// Why the pool waits, while it does.
    pub fn paused(&self) -> Option<String> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
