//! Retention: which archives go when `--retain-size` or `--retain-age` is passed, or when free space comes to an end and one of them is set.
//!
//! [`plan`] decides from a listing, and is pure; [`Retention`] lists, obeys, logs and counts. It runs on the disk thread, after recovery.
//!
//! Invariants: only what is finished goes, oldest first, over all streams and shards: an archive whose raw file is gone, or a raw segment that stays raw and whose
//! block table is true. Never an open segment, never a sealed one that waits for its archive. Without a limit nothing is ever deleted.
//!
//! What outputs have not read yet stays ([`unread`](super::unread)), and counts as gone: nothing younger goes instead of it.
//!
//! Nothing is synced: a deleted file that comes back after a power cut is deleted again. The lines go first and the table last: a stop in between leaves a table of
//! nothing, which recovery removes.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::catalog::{self, StoreFile};
use super::disk::Disk;
use super::error::StorageError;
use super::name::{FileName, SegmentId};
use super::unread::Unread;
use crate::limits::{RETENTION_INTERVAL_MAX, RETENTION_INTERVAL_MIN};

/// What may be kept at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetainLimits {
    /// Bytes of all of our files in the directory, open and raw segments included.
    pub bytes_max: Option<u64>,
    /// How long ago a segment was sealed.
    pub age_max: Option<Duration>,
}

impl RetainLimits {
    /// Whether anything may be deleted at all.
    pub fn is_set(&self) -> bool {
        self.bytes_max.is_some() || self.age_max.is_some()
    }
}

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It is older than `--retain-age`.
    Age,
    /// There is more than `--retain-size`.
    Size,
    /// Less would be free than `--min-free`.
    MinFree,
}

impl Reason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Reason; 3] = [Reason::Age, Reason::Size, Reason::MinFree];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Age => "age",
            Reason::Size => "size",
            Reason::MinFree => "min_free",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Reason::Age => "it is older than --retain-age",
            Reason::Size => "there is more than --retain-size",
            Reason::MinFree => "free space comes to --min-free",
        })
    }
}

/// One segment to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Which.
    pub id: SegmentId,
    /// Its files in the order in which they go.
    pub files: Vec<FileName>,
    /// What they hold together.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
}

/// What must become free, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// So much, or it is of no use.
    pub needed_bytes: u64,
    /// So much, or it is asked for again soon. Not less than `needed_bytes`.
    pub wanted_bytes: u64,
}

/// The files of one segment.
#[derive(Debug, Default)]
struct Segment {
    raw_bytes: Option<u64>,
    archives: Vec<FileName>,
    has_table: bool,
    bytes: u64,
}

/// What is to go of `files` at `now_s` seconds since 1970 UTC, oldest first. Where all that may go is less than what is `missing`, nothing goes for its sake: it
/// would be lost for nothing.
///
/// `is_finished` is asked of a raw segment of so many bytes that has a table, as late as possible: whether the table is that of this very file.
pub fn plan(
    files: &[StoreFile],
    limits: &RetainLimits,
    now_s: u64,
    missing: Missing,
    mut is_finished: impl FnMut(SegmentId, u64) -> bool,
) -> Vec<Deletion> {
    if !limits.is_set() {
        return Vec::new();
    }
    let mut total: u64 = files.iter().map(|file| file.len).sum();
    let mut plan = Vec::new();
    let mut freed = 0;
    for (id, segment) in oldest_first(files) {
        let is_old = limits.age_max.is_some_and(|age| id.sealed_at_s.saturating_add(age.as_secs()) <= now_s);
        let reason = if is_old {
            Reason::Age
        } else if limits.bytes_max.is_some_and(|max| max < total) {
            Reason::Size
        } else if freed < missing.wanted_bytes {
            Reason::MinFree
        } else {
            break; // the rest is younger, and there is no more to free
        };
        let Segment { raw_bytes, archives: mut files, has_table, bytes } = segment;
        match raw_bytes {
            None => {}
            Some(raw_bytes) if files.is_empty() && has_table && is_finished(id, raw_bytes) => files.push(id.sealed_name()),
            Some(_) => continue,
        }
        if files.is_empty() {
            continue; // a table of nothing
        }
        if has_table {
            files.push(id.meta_name());
        }
        total -= bytes;
        freed += bytes;
        plan.push(Deletion { id, files, bytes, reason });
    }
    if freed < missing.needed_bytes {
        plan.retain(|deletion| deletion.reason != Reason::MinFree);
    }
    plan
}

fn oldest_first(files: &[StoreFile]) -> Vec<(SegmentId, Segment)> {
    let mut segments = HashMap::<SegmentId, Segment>::new();
    for StoreFile { name, len } in files {
        let (FileName::Sealed(id) | FileName::Archive(id, _) | FileName::Meta(id)) = name else { continue };
        let segment = segments.entry(*id).or_default();
        segment.bytes += len;
        match name {
            FileName::Sealed(_) => segment.raw_bytes = Some(*len),
            FileName::Meta(_) => segment.has_table = true,
            _ => segment.archives.push(name.clone()),
        }
    }
    let mut segments: Vec<_> = segments.into_iter().collect();
    segments.sort_unstable_by_key(|(id, _)| (id.sealed_at_s, id.seq, id.stream, id.shard));
    segments
}

/// What retention has deleted since the start. Written by the disk thread, read by anyone.
#[derive(Debug, Default)]
pub struct RetentionStats {
    segments: [AtomicU64; Reason::ALL.len()],
    bytes: [AtomicU64; Reason::ALL.len()],
    failures: AtomicU64,
    held_segments: AtomicU64,
    held_bytes: AtomicU64,
}

impl RetentionStats {
    /// Segments deleted for `reason`.
    pub fn segments(&self, reason: Reason) -> u64 {
        self.segments[reason as usize].load(Ordering::Relaxed)
    }

    /// Bytes deleted for `reason`.
    pub fn bytes(&self, reason: Reason) -> u64 {
        self.bytes[reason as usize].load(Ordering::Relaxed)
    }

    /// Segments that would have gone in the last round, but that an output has not read yet, and their bytes.
    pub fn held(&self) -> (u64, u64) {
        (self.held_segments.load(Ordering::Relaxed), self.held_bytes.load(Ordering::Relaxed))
    }

    /// Listings and deletions that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// Obeys [`plan`].
#[derive(Debug)]
pub struct Retention {
    disk: Disk,
    dir: PathBuf,
    limits: RetainLimits,
    stats: Arc<RetentionStats>,
    unread: Unread,
    /// Whether the last round failed: its warning stands until one does not.
    failing: bool,
}

impl Retention {
    /// For the data directory `dir`.
    pub fn new(disk: Disk, dir: PathBuf, limits: RetainLimits, stats: Arc<RetentionStats>) -> Retention {
        Retention { disk, dir, limits, stats, unread: Unread::default(), failing: false }
    }

    /// Leaves what is `unread`.
    pub fn leaving(self, unread: Unread) -> Retention {
        Retention { unread, ..self }
    }

    /// How often to look, however little happens: an archive outlives its age by a tenth of it, or by [`RETENTION_INTERVAL_MAX`] at most.
    pub fn interval(&self) -> Duration {
        let tenth = self.limits.age_max.map_or(Duration::MAX, |age| age / 10);
        tenth.clamp(RETENTION_INTERVAL_MIN, RETENTION_INTERVAL_MAX)
    }

    /// One round: lists, deletes what is to go, as long as `go_on` says so. What can't be deleted stays, and is tried again in the next round: a failure to delete
    /// loses nothing. Returns how many segments went.
    pub fn round(&mut self, now_s: u64, missing: Missing, go_on: impl Fn() -> bool) -> usize {
        let mut deleted = 0;
        let outcome = self.delete_all(now_s, missing, go_on, &mut deleted);
        match &outcome {
            Err(error) if !self.failing => tracing::warn!("retention: {error}; what can't be deleted is kept, and tried again"),
            _ => {}
        }
        self.failing = outcome.is_err();
        deleted
    }

    /// Deletes as much as it can. Returns the first failure.
    fn delete_all(&self, now_s: u64, missing: Missing, go_on: impl Fn() -> bool, deleted: &mut usize) -> Result<(), StorageError> {
        let Retention { disk, dir, limits, stats, unread, .. } = self;
        let failed = |error| {
            stats.failures.fetch_add(1, Ordering::Relaxed);
            error
        };
        let files = catalog::files(disk, dir).map_err(failed)?;
        let is_finished = |id: SegmentId, raw_bytes| {
            let table = catalog::read_table(disk, &id.meta_name().in_dir(dir), &mut Vec::new());
            matches!(table, Ok(Some(table)) if table.codec.is_none() && table.archive_bytes() == raw_bytes)
        };
        let mut outcome = Ok(());
        let plan = plan(&files, limits, now_s, missing, is_finished);
        let (held, plan): (Vec<_>, Vec<_>) = plan.into_iter().partition(|deletion| unread.holds(&deletion.id));
        self.show_held(&held);
        for deletion in plan {
            if !go_on() {
                break;
            }
            let Deletion { files, bytes, reason, .. } = deletion;
            let mut lines = None;
            for name in files {
                match disk.remove(&name.in_dir(dir)) {
                    Ok(()) => lines = lines.or(Some(name)),
                    Err(error) if error.is_not_found() => {} // anyone may move an archive away
                    Err(error) => {
                        outcome = outcome.and(Err(failed(error)));
                        break; // the table stays as long as the lines
                    }
                }
            }
            match lines {
                None | Some(FileName::Meta(_)) => {}
                Some(name) => {
                    tracing::info!("retention: deleted {name}, {bytes} bytes with its table: {reason}");
                    *deleted += 1;
                    stats.segments[reason as usize].fetch_add(1, Ordering::Relaxed);
                    stats.bytes[reason as usize].fetch_add(bytes, Ordering::Relaxed);
                }
            }
        }
        outcome
    }

    /// Says when outputs begin and cease to hold deletions up.
    fn show_held(&self, held: &[Deletion]) {
        let bytes = held.iter().map(|deletion| deletion.bytes).sum();
        self.stats.held_bytes.store(bytes, Ordering::Relaxed);
        match (self.stats.held_segments.swap(held.len() as u64, Ordering::Relaxed), held.len()) {
            (0, 1..) => tracing::warn!(
                "retention: {} segments, {bytes} bytes, stay although a limit is passed: an output has not read them yet; --retain-unread delete lets them go",
                held.len()
            ),
            (1.., 0) => tracing::info!("retention: outputs hold nothing up any more"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
