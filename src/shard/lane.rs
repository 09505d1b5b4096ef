//! One stream of one shard, from the record to the batch: the batch that is filled, the one that is written, and where the segment ends.
//!
//! Pure. The shard's core appends to the filling batch; the writer swaps it for its spare. A record that the current segment has no room for closes the
//! batch and waits in `held` for the next one, so a batch never spans two segments.

use crate::record::{Level, RejectReason, Timestamp};
use crate::store::policy::RotationPolicy;

use super::batch::{Batch, SegmentEnd};
use super::cutter::{Cut, SegmentCutter};

/// When the records being appended were received.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Monotonic nanoseconds.
    pub received_ns: u64,
    /// Wall clock.
    pub wall: Timestamp,
}

/// What is counted about one record.
#[derive(Debug, Clone, Copy)]
pub struct RecordFacts {
    /// Its level.
    pub level: Level,
    /// Its own time, or the time it was received.
    pub time: Timestamp,
    /// Why it is in the rejected stream, if it is.
    pub rejected: Option<RejectReason>,
}

/// A record that waits for the next segment.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    facts: RecordFacts,
    received_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Lane {
    filling: Batch,
    held: Option<Held>,
    cutter: SegmentCutter,
    /// Records committed since the start; the writer counts the written ones.
    appended_records: u64,
    /// The batch is to be written although it is not full: nobody has more to receive right now.
    flush_wanted: bool,
}

impl Lane {
    /// A lane whose open segment already holds `resumed_bytes`.
    pub fn new(policy: RotationPolicy, resumed_bytes: u64, now_ms: u64) -> Self {
        Self {
            filling: Batch::default(),
            held: None,
            cutter: SegmentCutter::new(policy, resumed_bytes, now_ms),
            appended_records: 0,
            flush_wanted: false,
        }
    }

    /// Whether no record may be appended before the writer has taken the batch.
    pub fn is_full(&self) -> bool {
        self.filling.is_closed()
    }

    /// Whether the last record waits for the next segment: it is not in the batch.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Whether there is something to write.
    pub fn has_work(&self) -> bool {
        !self.filling.is_empty()
    }

    /// Whether the writer should take the batch now.
    pub fn is_due(&self) -> bool {
        self.filling.is_closed() || (self.flush_wanted && self.has_work())
    }

    /// Asks for what is in the batch to be written although it is not full. Returns whether there is anything.
    pub fn flush(&mut self) -> bool {
        self.flush_wanted = self.has_work();
        self.flush_wanted
    }

    /// Where the next record begins in [`buffer`](Self::buffer).
    pub fn mark(&self) -> usize {
        self.filling.mark()
    }

    /// The buffer to append one record to, with its newline; then [`commit`](Self::commit) or [`roll_back`](Self::roll_back).
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.filling.buffer()
    }

    /// The record appended since `mark`, not committed yet.
    pub fn pending(&self, mark: usize) -> &[u8] {
        &self.filling.bytes()[mark..]
    }

    /// The record appended since `mark`, not committed yet.
    pub fn pending_mut(&mut self, mark: usize) -> &mut [u8] {
        &mut self.filling.buffer()[mark..]
    }

    /// Takes back what was appended since `mark`.
    pub fn roll_back(&mut self, mark: usize) {
        self.filling.roll_back(mark);
    }

    /// Makes the record appended since `mark` part of the batch, or holds it for the next segment.
    pub fn commit(&mut self, mark: usize, facts: RecordFacts, arrival: Arrival) {
        let record_bytes = (self.filling.mark() - mark) as u64;
        self.appended_records += 1;
        match self.cutter.admit(record_bytes) {
            Cut::Fits => self.count(record_bytes, facts, arrival.received_ns),
            Cut::Segment => {
                let bytes = self.pending(mark).to_vec();
                self.roll_back(mark);
                self.held = Some(Held { bytes, facts, received_ns: arrival.received_ns });
                self.end_segment(arrival.received_ns / 1_000_000);
            }
        }
    }

    /// Ends the segment if it is old enough. Returns whether it did.
    pub fn end_aged_segment(&mut self, now_ns: u64) -> bool {
        let now_ms = now_ns / 1_000_000;
        let ends = !self.filling.is_closed() && self.cutter.is_aged(now_ms);
        if ends {
            self.end_segment(now_ms);
        }
        ends
    }

    /// Gives the filled batch to the writer in exchange for an empty one. A record that was held for the next segment becomes its first.
    pub fn swap(&mut self, empty: Batch) -> Batch {
        assert!(empty.is_empty());
        let filled = std::mem::replace(&mut self.filling, empty);
        self.flush_wanted = false;
        if let Some(held) = self.held.take() {
            self.filling.buffer().extend_from_slice(&held.bytes);
            self.count(held.bytes.len() as u64, held.facts, held.received_ns);
        }
        filled
    }

    /// Records committed since the start.
    pub fn appended_records(&self) -> u64 {
        self.appended_records
    }

    fn count(&mut self, record_bytes: u64, facts: RecordFacts, received_ns: u64) {
        if self.cutter.segment_bytes() == 0 {
            self.cutter.first_record_at(received_ns / 1_000_000);
        }
        self.cutter.append(record_bytes, facts.level, Some(facts.time));
        self.filling.count(facts.level, facts.rejected, received_ns);
    }

    fn end_segment(&mut self, now_ms: u64) {
        let blocks = self.cutter.end_segment(now_ms);
        self.filling.close_segment(SegmentEnd { blocks });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(bytes_max: u64) -> Lane {
        Lane::new(RotationPolicy { bytes_max, age_ms_max: 1_000 }, 0, 0)
    }

    fn append(lane: &mut Lane, record: &str, received_ns: u64) {
        let mark = lane.mark();
        lane.buffer().extend_from_slice(record.as_bytes());
        let facts = RecordFacts { level: Level::Info, time: Timestamp(0), rejected: None };
        lane.commit(mark, facts, Arrival { received_ns, wall: Timestamp(0) });
    }

    #[test]
    fn a_batch_never_spans_two_segments() {
        let mut lane = lane(10);
        append(&mut lane, "12345\n", 1);
        assert!(!lane.is_full());
        append(&mut lane, "6789\n", 2); // 11 bytes would exceed 10
        assert!(lane.is_full());
        let mut first = lane.swap(Batch::default());
        assert_eq!(first.bytes(), b"12345\n");
        assert_eq!(first.counts().records, 1);
        let end = first.take_segment_end().expect("the first segment ends");
        assert_eq!(end.blocks.expect("seen whole").len(), 1);
        let second = lane.swap(Batch::default());
        assert_eq!(second.bytes(), b"6789\n");
        assert_eq!(second.counts().records, 1);
        assert_eq!(lane.appended_records(), 2);
    }

    #[test]
    fn a_line_longer_than_a_segment_has_one_to_itself() {
        let mut lane = lane(4);
        append(&mut lane, "123456789\n", 1);
        assert!(!lane.is_full());
        append(&mut lane, "1\n", 2);
        assert!(lane.is_full());
        assert_eq!(lane.swap(Batch::default()).bytes(), b"123456789\n");
    }

    #[test]
    fn an_empty_segment_never_ages_and_a_full_batch_is_left_alone() {
        let mut lane = lane(1_000);
        assert!(!lane.end_aged_segment(u64::MAX / 2));
        append(&mut lane, "1\n", 5_000_000_000);
        assert!(!lane.end_aged_segment(5_999_000_000));
        assert!(lane.end_aged_segment(6_000_000_000));
        assert!(!lane.end_aged_segment(9_000_000_000), "already closed");
        let mut batch = lane.swap(Batch::default());
        assert!(batch.take_segment_end().is_some());
    }

    #[test]
    fn a_resumed_segment_has_no_block_table() {
        let mut lane = Lane::new(RotationPolicy { bytes_max: 100, age_ms_max: 1_000 }, 95, 0);
        append(&mut lane, "1\n", 1);
        append(&mut lane, "123456\n", 1);
        let mut batch = lane.swap(Batch::default());
        assert!(batch.take_segment_end().expect("ends").blocks.is_none());
    }
}
