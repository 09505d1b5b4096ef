//! What the state machine counts, and what is left to read.

use super::{Phase, Tracked, Tracker};
use crate::watch::task::Encoding;

/// Since the start, and now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrackerNumbers {
    /// Files that are followed now.
    pub files: u64,
    /// Bytes that they hold and that are not read, those of unfinished lines included. Of archives nothing.
    pub lag_bytes: u64,
    /// Files whose names were taken by others.
    pub rotated: u64,
    /// Files that were emptied, or written anew.
    pub rewritten: u64,
    /// Bytes of files that were deleted before they were read.
    pub lost_bytes: u64,
    /// Reads that failed.
    pub failures: u64,
    /// Files beyond the most that are followed.
    pub refused: u64,
}

impl Tracker {
    /// The numbers now.
    pub fn numbers(&self) -> TrackerNumbers {
        let followed = self.files.values().filter(|file| file.phase != Phase::Gone);
        let lag = |file: &Tracked| if file.encoding == Encoding::Plain { file.size.saturating_sub(file.offset.bytes) } else { 0 };
        let (files, lag_bytes) = followed.fold((0, 0), |(files, bytes), file| (files + 1, bytes + lag(file)));
        TrackerNumbers { files, lag_bytes, ..self.numbers }
    }

    /// Whether everything that was found is read to its end, or can't be.
    pub fn is_complete(&self) -> bool {
        let is_read = |file: &Tracked| match file.phase {
            Phase::Gone => true,
            Phase::Idle => file.is_at_end || file.failed_ms.is_some(),
            Phase::Queued | Phase::Reading => false,
        };
        0 < self.scans && self.undecided.is_empty() && self.files.values().all(is_read)
    }
}
