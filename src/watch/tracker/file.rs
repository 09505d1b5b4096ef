//! One content, and what may be it.

use std::path::Path;
use std::sync::Arc;

use super::order::Turn;
use super::{Found, Phase};
use crate::store::name::Stream;
use crate::watch::journal::{FileRecord, Offset};
use crate::watch::rotated::{Place, is_rotated_name};
use crate::watch::task::{Encoding, Ending};

/// See the module [`tracker`](super).
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) record: FileRecord,
    pub(super) path: Arc<Path>,
    pub(super) place: Place,
    pub(super) encoding: Encoding,
    pub(super) size: u64,
    /// When it was written to last, by its file system.
    pub(super) modified_ns: i128,
    pub(super) offset: Offset,
    pub(super) stored: [u64; Stream::SLOTS],
    pub(super) phase: Phase,
    /// It is to be read again after the task under way.
    pub(super) is_due: bool,
    /// The scan in which it turned up; 0 if a former process knew it.
    pub(super) since: u64,
    /// Found in this scan, or since.
    pub(super) seen: u64,
    /// The last look that has found it.
    pub(super) look: u64,
    /// The scan in which it went, if it is gone; 0 if nobody has seen it yet.
    pub(super) gone: u64,
    pub(super) turn: Turn,
    /// Read to its end, as far as anybody knows.
    pub(super) is_at_end: bool,
    /// Its name was taken, or is not asked for.
    pub(super) is_rotated: bool,
    /// What its end was taken for.
    pub(super) ending: Ending,
    pub(super) changed_ms: u64,
    pub(super) failed_ms: Option<u64>,
}

impl Tracked {
    /// A content that a journal knows, and nobody has seen yet.
    pub(super) fn remembered(record: &FileRecord, offsets: [Offset; Stream::SLOTS]) -> Self {
        Self {
            path: record.path.as_path().into(),
            place: Place::of(&record.path),
            record: record.clone(),
            encoding: Encoding::Plain,
            size: 0,
            modified_ns: 0,
            offset: offsets.into_iter().min().unwrap_or_default(),
            stored: offsets.map(|offset| offset.bytes),
            phase: Phase::Gone,
            is_due: false,
            since: 0,
            seen: 0,
            look: 0,
            gone: 0,
            turn: Turn::default(),
            is_at_end: false,
            is_rotated: false,
            ending: Ending::Open,
            changed_ms: 0,
            failed_ms: None,
        }
    }

    /// Whether a file that turns up in `scan` may be a copy of it: not if the two turned up together, and nothing of this one was read.
    pub(super) fn may_be_copied(&self, scan: u64) -> bool {
        0 < self.offset.bytes || self.since < scan
    }

    /// Whether nobody knows how it begins, if it does. The next task tells, and takes no line.
    pub(super) fn is_untold(&self) -> bool {
        self.encoding == Encoding::Plain && self.record.head.len == 0
    }

    /// Whether a file that begins with `head` is this one for sure, wherever it is.
    pub(super) fn is_certainly(&self, head: &[u8]) -> bool {
        self.record.head.is_full() && self.record.head.is_of(head)
    }

    /// Whether the content, which is gone, goes on in `found`: a copy or an archive of it.
    pub(super) fn may_go_on_in(&self, found: &Found, head: &[u8]) -> bool {
        self.is_alike(found, head) && self.is_within(found)
    }

    /// Whether `found` holds everything that was read.
    pub(super) fn is_within(&self, found: &Found) -> bool {
        found.encoding == Encoding::Gzip || self.offset.bytes <= found.size
    }

    /// Whether `found` begins as this one does, and has a name that rotation makes.
    pub(super) fn is_alike(&self, found: &Found, head: &[u8]) -> bool {
        0 < self.record.head.len && is_rotated_name(&found.path, &self.path) && self.record.head.is_of(head)
    }

    /// Whether there is nothing in a copy but what is here, or was read: it was made before the rest was written, or is being made.
    pub(super) fn covers(&self, found: &Found) -> bool {
        match self.phase {
            Phase::Gone => !self.is_within(found),
            _ => found.encoding == Encoding::Gzip || found.size <= self.size,
        }
    }

    /// What its end is the end of.
    pub(super) fn ending(&self, is_once: bool) -> Ending {
        if is_once || self.encoding == Encoding::Gzip { Ending::Line } else { self.ending }
    }

    pub(super) fn rename(&mut self, found: &Found) {
        self.path = found.path.clone();
        self.record.path = found.path.to_path_buf();
        self.place = Place::of(&found.path);
    }
}
