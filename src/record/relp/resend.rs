//! Recognises what a client sends again because it was not told that it had arrived.
//!
//! A session keeps a hash of each of its last lines ([`Tail`]). When it has ended, the answers that were never handed to the kernel are certain to have
//! reached nobody, and a client that keeps to the protocol sends their lines again, in their order, as the first of its next session. [`Memory`] is these, and
//! before them the last that were answered: their answers may have been lost on the way, and then the resend begins among them.
//!
//! A line is a resend only if all of these hold, else it is a new one, and at worst stands twice:
//! - the lines of its session, from the first on, are those of one memory, without a gap;
//! - its place there is behind the last answer: whether an answered line is sent again or sent anew nobody can tell.
//!
//! So of each text at most as many are suppressed as are stored without an answer, whichever client of the peer sends them.

use std::collections::VecDeque;

use crate::limits::RELP_RESEND_LINES_MAX;

/// A keyed hash of a line.
pub type LineHash = u64;

/// The last lines of a session, oldest first. At most [`RELP_RESEND_LINES_MAX`]; allocates nothing before the first.
#[derive(Debug, Default)]
pub struct Tail {
    hashes: VecDeque<LineHash>,
}

/// The last lines of a session that has ended.
#[derive(Debug)]
pub struct Memory {
    hashes: VecDeque<LineHash>,
    /// How many of them were answered; not all.
    answered: usize,
}

/// Where a session is in what it sends again.
#[derive(Debug, Default)]
pub enum Recogniser {
    /// Before its first line.
    #[default]
    Fresh,
    /// Each line so far was the next of a memory.
    Following {
        /// Which.
        memory: Memory,
        /// The place of the next line.
        next: usize,
    },
    /// What it sends is new.
    Over,
}

impl Tail {
    /// The session has sent a line.
    pub fn push(&mut self, hash: LineHash) {
        if self.hashes.len() == RELP_RESEND_LINES_MAX {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
    }

    /// What to remember when the last `unanswered` lines were not answered: nothing if there are none, or more than are kept.
    pub fn remember(self, unanswered: usize) -> Option<Memory> {
        let answered = self.hashes.len().checked_sub(unanswered)?;
        (unanswered > 0).then_some(Memory { hashes: self.hashes, answered })
    }
}

impl Memory {
    /// The place where a resend that begins with `first` begins: behind the last answer, or as near to it as can be.
    pub fn begins(&self, first: LineHash) -> Option<usize> {
        if self.hashes[self.answered] == first {
            return Some(self.answered);
        }
        self.hashes.range(..self.answered).rposition(|hash| *hash == first)
    }
}

impl Recogniser {
    /// Whether the session's next line is a resend. `claim` finds, and takes, the memory in which a resend that begins with this line
    /// [begins](Memory::begins); it is asked at a session's first line only.
    pub fn is_resend(&mut self, hash: LineHash, claim: impl FnOnce() -> Option<Memory>) -> bool {
        let (memory, at) = match std::mem::replace(self, Self::Over) {
            Self::Fresh => {
                let Some(memory) = claim() else { return false };
                let Some(at) = memory.begins(hash) else { return false };
                (memory, at)
            }
            Self::Following { memory, next } if memory.hashes[next] == hash => (memory, next),
            Self::Following { .. } | Self::Over => return false,
        };
        let is_resend = memory.answered <= at;
        if at + 1 < memory.hashes.len() {
            *self = Self::Following { memory, next: at + 1 };
        }
        is_resend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The memory of a session that sent `lines`, of which the last `unanswered` were not answered.
    fn memory(lines: &[LineHash], unanswered: usize) -> Option<Memory> {
        let mut tail = Tail::default();
        lines.iter().for_each(|line| tail.push(*line));
        tail.remember(unanswered)
    }

    /// Which of the lines of a new session are suppressed.
    fn suppressed(memory: Option<Memory>, lines: &[LineHash]) -> Vec<bool> {
        let mut recogniser = Recogniser::default();
        let mut memory = memory.filter(|memory| lines.first().is_some_and(|first| memory.begins(*first).is_some()));
        lines.iter().map(|line| recogniser.is_resend(*line, || memory.take())).collect()
    }

    #[test]
    fn only_what_was_certainly_not_answered_is_suppressed_and_only_in_order() {
        let old = [1, 2, 3, 4, 5];
        let table: &[(usize, &[LineHash], &[bool])] = &[
            (2, &[4, 5, 6], &[true, true, false]),                     // it read all its answers
            (2, &[2, 3, 4, 5, 6], &[false, false, true, true, false]), // it did not read the last two: these stand twice
            (2, &[5, 4], &[false, false]),                             // another order is another client's
            (2, &[4, 6, 5], &[true, false, false]),                    // a gap ends it
            (2, &[6, 4, 5], &[false, false, false]),                   // a resend comes first
            (2, &[4, 5, 4, 5], &[true, true, false, false]),           // each once
            (0, &[5, 6], &[false, false]),                             // all was answered: a line may well come again
            (5, &[1, 2, 3, 4, 5], &[true; 5]),
        ];
        for (unanswered, new, expected) in table {
            assert_eq!(suppressed(memory(&old, *unanswered), new), *expected, "{unanswered} unanswered, then {new:?}");
        }
    }

    #[test]
    fn a_window_beyond_the_bound_is_not_remembered() {
        let lines: Vec<LineHash> = (0..=RELP_RESEND_LINES_MAX as u64).collect();
        assert!(memory(&lines, RELP_RESEND_LINES_MAX + 1).is_none());
        let memory = memory(&lines, RELP_RESEND_LINES_MAX).expect("all that are kept");
        assert_eq!((memory.begins(0), memory.begins(1)), (None, Some(0)));
        assert!(memory.hashes.capacity() <= RELP_RESEND_LINES_MAX, "what the memory budget counts");
    }

    fn times(lines: &[LineHash], line: LineHash) -> usize {
        lines.iter().filter(|other| **other == line).count()
    }

    proptest! {
        /// Few different lines, so that much looks alike: whatever the client has read of its answers, what is suppressed was sent again.
        #[test]
        fn no_new_line_of_a_client_that_keeps_to_the_protocol_is_suppressed(
            old in prop::collection::vec(0..3u64, 1..30),
            new in prop::collection::vec(0..3u64, 0..30),
            answered in 0..30usize,
            unread in 0..30usize,
        ) {
            let answered = answered.min(old.len());
            let begins = answered - unread.min(answered);
            let again = old.len() - begins;
            let sent: Vec<LineHash> = old[begins..].iter().chain(&new).copied().collect();
            let suppressed = suppressed(memory(&old, old.len() - answered), &sent);
            prop_assert!(suppressed[again..].iter().all(|is_suppressed| !is_suppressed));
        }

        /// Where lines differ, exactly those are suppressed whose answers were never sent.
        #[test]
        fn every_line_that_was_certainly_not_answered_is_suppressed(len in 1..100u64, answered in 0..100u64, unread in 0..100u64, new in 0..50u64) {
            let answered = answered.min(len - 1);
            let begins = answered - unread.min(answered);
            let old: Vec<LineHash> = (0..len).collect();
            let sent: Vec<LineHash> = (begins..len + new).collect();
            let expected: Vec<bool> = sent.iter().map(|line| (answered..len).contains(line)).collect();
            prop_assert_eq!(suppressed(memory(&old, (len - answered) as usize), &sent), expected);
        }

        /// Another client of the same peer may send what looks like a resend: no text is lost, if the one that the memory is of sends it again too.
        #[test]
        fn no_text_is_suppressed_more_often_than_it_stands_unanswered(
            old in prop::collection::vec(0..3u64, 1..20),
            new in prop::collection::vec(0..3u64, 0..40),
            answered in 0..20usize,
        ) {
            let answered = answered.min(old.len());
            let suppressed = suppressed(memory(&old, old.len() - answered), &new);
            let gone: Vec<LineHash> = new.iter().zip(&suppressed).filter(|(_, gone)| **gone).map(|(line, _)| *line).collect();
            for line in 0..3 {
                prop_assert!(times(&gone, line) <= times(&old[answered..], line));
            }
        }
    }
}
