//! The files that have moved since the last batch: what the batch's checkpoint says of them. Pure.
//!
//! A batch of a stream stands for every line up to where its files are when it is taken, but for a line that waits for the next segment: its file counts from before it.
//!
//! Invariant: a file is kept as long as one of the streams does not know of its offset.

use std::collections::BTreeMap;

use crate::store::name::Stream;
use crate::watch::content::FileId;
use crate::watch::journal::Offset;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MovedFiles {
    files: BTreeMap<FileId, Moved>,
    /// By slot: whose last line waits for the next segment, and where the file was before.
    held: [Option<(FileId, Offset)>; Stream::SLOTS],
}

#[derive(Debug)]
struct Moved {
    offset: Offset,
    /// By slot: whether its checkpoints do not say so yet.
    is_news: [bool; Stream::SLOTS],
}

impl MovedFiles {
    /// Every line of `id` before `offset` is taken.
    pub(super) fn advance(&mut self, id: FileId, offset: Offset) {
        self.files.insert(id, Moved { offset, is_news: [true; Stream::SLOTS] });
    }

    /// The last line of `id`, which begins at `offset`, waits in the lane of `slot`.
    pub(super) fn hold(&mut self, slot: usize, id: FileId, offset: Offset) {
        self.held[slot] = Some((id, offset));
    }

    /// Whether there is anything to say.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What a batch of `slot` that is taken now says of the files, and of the other slot as well if that has nothing unwritten.
    pub(super) fn take(&mut self, slot: usize, is_of_both: bool) -> Vec<(FileId, Offset)> {
        let slots = if is_of_both { vec![slot, 1 - slot] } else { vec![slot] };
        let held = self.held[slot].take();
        let mut taken = Vec::new();
        self.files.retain(|id, moved| {
            if !slots.iter().any(|slot| moved.is_news[*slot]) {
                return true;
            }
            match held.filter(|(held, _)| held == id) {
                Some((_, before)) => taken.push((*id, before)),
                None => {
                    taken.push((*id, moved.offset));
                    slots.iter().for_each(|slot| moved.is_news[*slot] = false);
                }
            }
            moved.is_news.contains(&true)
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64) -> Offset {
        Offset { bytes, is_mid_line: false }
    }

    #[test]
    fn each_slot_hears_of_each_move_once() {
        let mut moved = MovedFiles::default();
        moved.advance(1, at(10));
        moved.advance(2, at(20));
        assert_eq!(moved.take(0, false), [(1, at(10)), (2, at(20))]);
        assert_eq!(moved.take(0, false), []);
        moved.advance(2, at(25));
        assert_eq!(moved.take(1, false), [(1, at(10)), (2, at(25))]);
        assert_eq!(moved.take(0, true), [(2, at(25))]);
        assert!(moved.is_empty());
    }

    #[test]
    fn a_line_that_waits_for_the_next_segment_is_not_in_the_batch() {
        let mut moved = MovedFiles::default();
        moved.advance(1, at(30));
        moved.hold(0, 1, at(20));
        assert_eq!(moved.take(1, false), [(1, at(30))], "it is a line of the other stream");
        assert_eq!(moved.take(0, true), [(1, at(20))]);
        assert_eq!(moved.take(0, true), [(1, at(30))]);
        assert!(moved.is_empty());
    }
}
