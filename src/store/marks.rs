//! How far each open segment has come, for readers on other threads: what is written, and what of it is durable.
//!
//! The writing end of a segment publishes ([`open`](super::open)), once per batch and once per sync; anyone reads, without a lock. Both marks are at line ends.
//!
//! Invariant: of the segment `seq`, durable <= written <= the file's length; `seq` grows only after the file has been renamed to its sealed name, and before
//! the next one is created under the open name. So whoever opens that name while `seq` stays the same has the segment `seq`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::name::Stream;

/// One stream of one shard. One thread at a time writes, and one at a time syncs.
#[derive(Debug)]
pub struct OpenMark {
    /// The sequence number that the open segment will have.
    seq: AtomicU64,
    written: AtomicU64,
    /// The segment that was synced last, and how much of it: perhaps sealed since.
    durable_seq: AtomicU64,
    durable: AtomicU64,
}

impl OpenMark {
    /// Of a segment that does not exist yet and will be number `seq`.
    pub fn new(seq: u64) -> OpenMark {
        OpenMark { seq: AtomicU64::new(seq), written: AtomicU64::new(0), durable_seq: AtomicU64::new(seq), durable: AtomicU64::new(0) }
    }

    /// The number of the open segment, or of the next one if there is none.
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// The open segment's number, and its bytes that are written.
    pub fn written(&self) -> (u64, u64) {
        consistent(&self.seq, &self.written)
    }

    /// The durable bytes of segment `seq` in its raw file, as far as they were synced there. A sealed segment's archive makes it durable besides.
    pub fn durable(&self, seq: u64) -> u64 {
        let (durable_seq, durable) = consistent(&self.durable_seq, &self.durable);
        if durable_seq == seq { durable } else { 0 }
    }

    /// The open segment has `bytes`, whole lines.
    pub(super) fn set_written(&self, bytes: u64) {
        self.written.store(bytes, Ordering::Release);
    }

    /// The open segment has been renamed: the next one has the number `seq`.
    pub(super) fn set_sealed(&self, seq: u64) {
        self.written.store(0, Ordering::Release);
        self.seq.store(seq, Ordering::Release);
    }

    /// The first `bytes` of the raw file of segment `seq` are durable, whole lines.
    pub(super) fn set_durable(&self, seq: u64, bytes: u64) {
        if self.durable_seq.load(Ordering::Relaxed) != seq {
            self.durable.store(0, Ordering::Release);
            self.durable_seq.store(seq, Ordering::Release);
        }
        self.durable.store(bytes, Ordering::Release);
    }
}

/// A number and what belongs to it. The writer sets the value to 0 before it changes the number, so a value read between two equal numbers is the number's
/// own, or 0.
fn consistent(number: &AtomicU64, value: &AtomicU64) -> (u64, u64) {
    loop {
        let before = number.load(Ordering::Acquire);
        let value = value.load(Ordering::Acquire);
        if before == number.load(Ordering::Acquire) {
            return (before, value);
        }
        std::hint::spin_loop();
    }
}

/// The marks of every shard of the process.
#[derive(Debug)]
pub struct Marks {
    accepted: Stream,
    by_shard: Vec<[Arc<OpenMark>; Stream::SLOTS]>,
}

impl Marks {
    /// Of a process that writes the stream `accepted`, beside the rejected one; by shard, then by slot.
    pub fn new(accepted: Stream, by_shard: Vec<[Arc<OpenMark>; Stream::SLOTS]>) -> Arc<Marks> {
        Arc::new(Marks { accepted, by_shard })
    }

    /// The stream of accepted records.
    pub fn accepted(&self) -> Stream {
        self.accepted
    }

    /// How many shards the process has.
    pub fn shards(&self) -> usize {
        self.by_shard.len()
    }

    /// The mark of one stream of one shard; none if the process has no such shard, or does not write the stream.
    pub fn of(&self, stream: Stream, shard: usize) -> Option<&OpenMark> {
        let is_written = stream == self.accepted || stream == Stream::Rejected;
        self.by_shard.get(shard).filter(|_| is_written).map(|slots| &*slots[stream.slot()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_is_that_of_the_segment_asked_for() {
        let mark = OpenMark::new(7);
        mark.set_written(30);
        mark.set_durable(7, 20);
        assert_eq!((mark.written(), mark.durable(7)), ((7, 30), 20));
        mark.set_sealed(8);
        assert_eq!((mark.written(), mark.durable(7), mark.durable(8)), ((8, 0), 20, 0));
        mark.set_written(5);
        mark.set_durable(8, 5);
        assert_eq!((mark.written(), mark.durable(7), mark.durable(8)), ((8, 5), 0, 5));
    }

    #[test]
    fn no_reader_sees_a_value_of_another_segment() {
        let mark = OpenMark::new(1);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for seq in 1..100_000u64 {
                    mark.set_written(seq);
                    mark.set_durable(seq, seq);
                    mark.set_sealed(seq + 1);
                }
            });
            while !writing.is_finished() {
                let (seq, written) = mark.written();
                assert!(written == 0 || written == seq, "{written} of {seq}");
                let durable = mark.durable(seq);
                assert!(durable == 0 || durable == seq, "{durable} of {seq}");
            }
        });
    }
}
