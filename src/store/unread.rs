//! What readers of the store have not read yet, so that retention does not delete it.
//!
//! Each output has a [`ReadMark`]: up to where it has stored, durably, what it read. Until it says so for the first time, everything of its stream is unread.

use std::sync::{Arc, Mutex, PoisonError};

use super::cursor::Positions;
use super::name::{SegmentId, Stream};

/// How far one reader has come. Written by it, read by the disk thread.
#[derive(Debug)]
pub struct ReadMark {
    stream: Stream,
    read: Mutex<Option<Positions>>,
}

impl ReadMark {
    /// Of a reader of `stream` that has not said anything yet.
    pub fn new(stream: Stream) -> Arc<ReadMark> {
        Arc::new(ReadMark { stream, read: Mutex::default() })
    }

    /// Nothing before these positions is needed any more.
    pub fn set(&self, read: Positions) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }

    fn needs(&self, id: &SegmentId) -> bool {
        if id.stream != self.stream {
            return false;
        }
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.as_ref().and_then(|read| read.0.get(&id.shard.index())).is_none_or(|position| position.seq <= id.seq)
    }
}

/// All readers that retention waits for.
#[derive(Debug, Clone, Default)]
pub struct Unread(pub Vec<Arc<ReadMark>>);

impl Unread {
    /// Whether some reader still needs the segment `id`.
    pub fn holds(&self, id: &SegmentId) -> bool {
        self.0.iter().any(|reader| reader.needs(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cursor::Position;
    use crate::store::name::ShardTag;

    #[test]
    fn a_segment_is_held_until_every_reader_is_past_it() {
        let id = |stream, shard, seq| SegmentId { stream, shard: ShardTag::of(shard, 2), sealed_at_s: 0, seq };
        let marks = [ReadMark::new(Stream::Logs), ReadMark::new(Stream::Logs)];
        let unread = Unread(marks.to_vec());
        assert!(unread.holds(&id(Stream::Logs, 0, 1)) && !unread.holds(&id(Stream::Rejected, 0, 1)));
        let at = |seq, offset| Positions([(0, Position { seq, offset, fingerprint: 0 })].into());
        marks[0].set(at(9, 0));
        assert!(unread.holds(&id(Stream::Logs, 0, 1)), "the second has said nothing");
        marks[1].set(at(5, 100));
        let held: Vec<u64> = (1..=10).filter(|seq| unread.holds(&id(Stream::Logs, 0, *seq))).collect();
        assert_eq!(held, [5, 6, 7, 8, 9, 10], "what is being read is not read to its end");
        assert!(unread.holds(&id(Stream::Logs, 1, 1)), "nothing is known of this shard");
        assert!(!Unread::default().holds(&id(Stream::Logs, 0, 1)));
    }
}
