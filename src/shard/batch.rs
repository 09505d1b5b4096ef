//! Records on their way to the open segment: bytes, and what there is to count about them.
//!
//! A batch belongs to one stream and one segment. Counts and receive times travel with the bytes, so that nothing is counted as written before it is.

use crate::limits::{BATCH_BYTES, KIB};
use crate::record::{Level, RejectReason};
use crate::store::segment::BlockStats;

/// The receive that completed some records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Monotonic nanoseconds of the receive.
    pub received_ns: u64,
    /// How many records of the batch it completed.
    pub records: u64,
}

/// A batch takes no more records once it holds this much, so that the usual record never makes the buffer grow.
const BATCH_CLOSED_BYTES: usize = BATCH_BYTES - 16 * KIB;

/// Receive times kept apart per batch; beyond, records count from the batch's last stamp, which is older and so never flatters.
const STAMPS_MAX: usize = 1024;

/// What a batch adds to the counters once it is written.
#[derive(Debug, Default, Clone)]
pub struct BatchCounts {
    /// Records in the batch.
    pub records: u64,
    /// Records by level.
    pub levels: [u64; Level::COUNT],
    /// Records by the reason of their rejection (in the rejected stream's batches).
    pub rejected: [u64; RejectReason::COUNT],
}

/// Appended records that are not written yet.
///
/// Invariant: `bytes` ends at a line end whenever no append is in progress.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    counts: BatchCounts,
    stamps: Vec<Stamp>,
    /// Set when the segment ends with this batch.
    seal: Option<SegmentEnd>,
}

/// The end of a segment, as the shard saw it.
#[derive(Debug)]
pub struct SegmentEnd {
    /// The block table, or none where the shard did not see the whole segment.
    pub blocks: Option<Vec<BlockStats>>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(BATCH_BYTES), counts: BatchCounts::default(), stamps: Vec::with_capacity(STAMPS_MAX), seal: None }
    }
}

impl Batch {
    /// The records, each with its newline.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer that a record is appended to, between a [`mark`](Self::mark) and its commit or roll back.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Where the next record begins.
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was appended since `mark`.
    pub fn roll_back(&mut self, mark: usize) {
        self.bytes.truncate(mark);
    }

    /// Counts one appended record.
    pub fn count(&mut self, level: Level, rejected: Option<RejectReason>, received_ns: u64) {
        self.counts.records += 1;
        self.counts.levels[level as usize] += 1;
        if let Some(reason) = rejected {
            self.counts.rejected[reason as usize] += 1;
        }
        let is_last_place = self.stamps.len() == STAMPS_MAX;
        match self.stamps.last_mut() {
            Some(last) if last.received_ns == received_ns || is_last_place => last.records += 1,
            _ => self.stamps.push(Stamp { received_ns, records: 1 }),
        }
    }

    /// Whether there is nothing to do for the writer.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.seal.is_none()
    }

    /// Whether the batch takes no more records.
    pub fn is_closed(&self) -> bool {
        self.seal.is_some() || self.bytes.len() >= BATCH_CLOSED_BYTES
    }

    /// Ends the segment with this batch.
    pub fn close_segment(&mut self, end: SegmentEnd) {
        assert!(self.seal.is_none());
        self.seal = Some(end);
    }

    /// The end of the segment, if it ends with this batch.
    pub fn take_segment_end(&mut self) -> Option<SegmentEnd> {
        self.seal.take()
    }

    /// What to add to the counters when the batch is written.
    pub fn counts(&self) -> &BatchCounts {
        &self.counts
    }

    /// When its records were received.
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// Makes the batch empty for its next use. A buffer that one huge line made large is given back.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 2 * BATCH_BYTES {
            self.bytes.shrink_to(BATCH_BYTES);
        }
        self.counts = BatchCounts::default();
        self.stamps.clear();
        self.seal = None;
    }
}
