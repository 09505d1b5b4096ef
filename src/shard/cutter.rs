//! Where segments and blocks end. Pure: sizes in, decisions out.
//!
//! A segment ends at a line end and holds at most `--rotate-size` bytes, a block at most [`BLOCK_BYTES`]; one line that is longer than either has a
//! segment or a block to itself. The shard decides this while it appends, so a batch never spans two segments and the pool need not look for line ends.

use crate::limits::BLOCK_BYTES;
use crate::record::{Level, Timestamp};
use crate::store::policy::{Rotate, RotationPolicy};
use crate::store::segment::BlockStats;

/// What the cutter says about the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The record belongs to the current segment.
    Fits,
    /// The segment ends before this record.
    Segment,
}

/// Follows one stream's open segment as records are appended to it.
///
/// Invariant: `segment_bytes` is the sum of the finished blocks, the current block, and what a resumed segment held before.
#[derive(Debug)]
pub struct SegmentCutter {
    policy: RotationPolicy,
    segment_bytes: u64,
    opened_ms: u64,
    blocks: Vec<BlockStats>,
    block: BlockStats,
    /// The segment was resumed after a restart: its first bytes have no statistics, the pool scans it.
    resumed: bool,
}

impl SegmentCutter {
    /// An empty segment, or one that already holds `resumed_bytes`.
    pub fn new(policy: RotationPolicy, resumed_bytes: u64, now_ms: u64) -> Self {
        Self {
            policy,
            segment_bytes: resumed_bytes,
            opened_ms: now_ms,
            blocks: Vec::new(),
            block: BlockStats::default(),
            resumed: resumed_bytes > 0,
        }
    }

    /// Whether a record of `record_bytes` (with its newline) still belongs to the current segment.
    pub fn admit(&self, record_bytes: u64) -> Cut {
        // Age is looked at once per tick, not per record.
        match self.policy.decide(self.segment_bytes, 0, record_bytes) {
            Rotate::No => Cut::Fits,
            Rotate::Size | Rotate::Age => Cut::Segment,
        }
    }

    /// Whether the segment is old enough to end although it is not full.
    pub fn is_aged(&self, now_ms: u64) -> bool {
        self.policy.decide(self.segment_bytes, now_ms.saturating_sub(self.opened_ms), 0) == Rotate::Age
    }

    /// Counts a record that was appended.
    pub fn append(&mut self, record_bytes: u64, level: Level, time: Option<Timestamp>) {
        if self.block.raw_len > 0 && self.block.raw_len + record_bytes > BLOCK_BYTES as u64 {
            self.blocks.push(std::mem::take(&mut self.block));
        }
        self.block.add_line(record_bytes, level, time);
        self.segment_bytes += record_bytes;
    }

    /// Ends the segment: its block table (none for a resumed segment), and a fresh segment begins at `now_ms`.
    pub fn end_segment(&mut self, now_ms: u64) -> Option<Vec<BlockStats>> {
        let mut blocks = std::mem::take(&mut self.blocks);
        if self.block.raw_len > 0 {
            blocks.push(std::mem::take(&mut self.block));
        }
        let resumed = std::mem::take(&mut self.resumed);
        self.segment_bytes = 0;
        self.opened_ms = now_ms;
        (!resumed).then_some(blocks)
    }

    /// Marks the age of a segment from its first record.
    pub fn first_record_at(&mut self, now_ms: u64) {
        if self.segment_bytes == 0 {
            self.opened_ms = now_ms;
        }
    }

    /// Bytes of the open segment, those in batches included.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }
}
