//! Recognises what a client sends again because it was not told that it had arrived.
//!
//! A session keeps a hash of each of its last lines ([`Tail`]). When it has ended, the answers that were never handed to the kernel are certain to have
//! reached nobody, and a client that keeps to the protocol sends their lines again, in their order, as the first of its next session. [`Memory`] is these, and
//! before them the last that were answered: their answers may have been lost on the way, and then the resend begins among them. Behind them stands what the session
//! itself was still to send again when it broke: its client goes on with that.
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
    /// How many of them, the first, were answered; not all.
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

    /// What to remember of a session whose last `unanswered` lines were not answered, and that was still to send the lines `not_yet` again: nothing if there are none
    /// of either, or more than are kept.
    pub fn remember(self, unanswered: usize, not_yet: VecDeque<LineHash>) -> Option<Memory> {
        let Self { mut hashes } = self;
        let answered = hashes.len().checked_sub(unanswered)?;
        if unanswered == 0 && not_yet.is_empty() {
            return None;
        }
        // Where both are too many, answered lines go first, whose answers are likely to have arrived, and then what would be sent last.
        let forgotten = (hashes.len() + not_yet.len()).saturating_sub(RELP_RESEND_LINES_MAX).min(answered);
        hashes.drain(..forgotten);
        let room = RELP_RESEND_LINES_MAX - hashes.len();
        hashes.extend(not_yet.into_iter().take(room));
        Some(Memory { hashes, answered: answered - forgotten })
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

    /// Whether the session has not sent everything again yet that it is certain to.
    pub fn is_in_midst(&self) -> bool {
        matches!(self, Self::Following { memory, next } if memory.answered <= *next)
    }

    /// The lines that the session has not sent again yet: all of them are stored, and none is answered. None while it is among lines that were answered, where
    /// a gap would follow.
    pub fn into_not_yet(self) -> VecDeque<LineHash> {
        match self {
            Self::Following { mut memory, next } if memory.answered <= next => memory.hashes.split_off(next),
            Self::Fresh | Self::Following { .. } | Self::Over => VecDeque::new(),
        }
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
        tail.remember(unanswered, VecDeque::new())
    }

    /// Which of the lines of a new session are suppressed.
    fn suppressed(memory: Option<Memory>, lines: &[LineHash]) -> Vec<bool> {
        session(memory, lines, 0).0
    }

    /// Which of the lines of a new session are suppressed, and what is remembered when it breaks with its last `unanswered` lines not answered.
    fn session(memory: Option<Memory>, lines: &[LineHash], unanswered: usize) -> (Vec<bool>, Option<Memory>) {
        let (mut recogniser, mut tail) = (Recogniser::default(), Tail::default());
        // One in which no line is the first that comes stays where it is.
        let is_claimed = |memory: &Memory| lines.first().is_some_and(|first| memory.begins(*first).is_some());
        let (mut claimed, left) = if memory.as_ref().is_some_and(is_claimed) { (memory, None) } else { (None, memory) };
        let is_resend = |line: &LineHash| {
            tail.push(*line);
            recogniser.is_resend(*line, || claimed.take())
        };
        let suppressed = lines.iter().map(is_resend).collect();
        (suppressed, tail.remember(unanswered, recogniser.into_not_yet()).or(left))
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

    #[test]
    fn what_a_broken_session_was_still_to_send_again_is_remembered_behind_what_it_sent() {
        let old = [1, 2, 3, 4, 5];
        type Sent<'a> = (&'a [LineHash], usize);
        let table: &[(usize, Sent<'_>, &[LineHash], &[bool])] = &[
            (4, (&[2, 3], 2), &[2, 3, 4, 5, 6], &[true, true, true, true, false]), // nothing was answered
            (4, (&[2, 3], 1), &[3, 4, 5, 6], &[true, true, true, false]),
            (4, (&[2, 3], 0), &[4, 5, 6], &[true, true, false]),
            (4, (&[2, 3], 0), &[3, 4, 5, 6], &[false, true, true, false]), // it did not read the last answer
            (4, (&[1, 2], 1), &[2, 3, 4, 5], &[true; 4]),                  // nor that in the first session
            (2, (&[1, 2], 2), &[1, 2, 3, 4, 5], &[true, true, false, false, false]), // it broke before 3, which was answered once
            (2, (&[1, 2, 3], 0), &[4, 5, 6], &[true, true, false]),
            (4, (&[2, 9], 2), &[2, 9, 3, 4], &[true, true, false, false]), // it gave up what it had not sent again
            (4, (&[], 0), &[2, 3, 4, 5], &[true; 4]),
        ];
        for (unanswered, (lines, unanswered_again), new, expected) in table {
            let memory = session(memory(&old, *unanswered), lines, *unanswered_again).1;
            assert_eq!(suppressed(memory, new), *expected, "{unanswered} unanswered, {lines:?} with {unanswered_again}, then {new:?}");
        }
    }

    #[test]
    fn what_is_remembered_of_two_sessions_is_bounded_together() {
        let lines: Vec<LineHash> = (0..RELP_RESEND_LINES_MAX as u64).collect();
        let table = [(10, 0), (10, 3), (RELP_RESEND_LINES_MAX, 20), (RELP_RESEND_LINES_MAX, RELP_RESEND_LINES_MAX)];
        for (sent, not_yet) in table {
            for answered in [0, 5, sent] {
                let (mut tail, rest) = (Tail::default(), VecDeque::from_iter(10_000..10_000 + not_yet as u64));
                lines[..sent].iter().for_each(|line| tail.push(*line));
                let memory = tail.remember(sent - answered, rest);
                let Some(memory) = memory else {
                    assert_eq!((sent - answered, not_yet), (0, 0));
                    continue;
                };
                assert_eq!(memory.hashes.len(), (sent + not_yet).min(RELP_RESEND_LINES_MAX));
                assert!(memory.hashes.capacity() <= RELP_RESEND_LINES_MAX);
                let unanswered: Vec<LineHash> = memory.hashes.range(memory.answered..).copied().collect();
                let all: Vec<LineHash> = lines[answered..sent].iter().copied().chain(10_000..10_000 + not_yet as u64).collect();
                assert_eq!(unanswered, all[..all.len().min(RELP_RESEND_LINES_MAX)], "{sent} sent, {answered} answered, {not_yet} not yet");
            }
        }
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

        /// The same over a second break, wherever it comes: the client goes on with what it was to send.
        #[test]
        fn a_session_that_breaks_while_it_sends_again_makes_no_difference(
            old in prop::collection::vec(0..3u64, 1..20),
            new in prop::collection::vec(0..3u64, 0..20),
            answered in (0..20usize, 0..20usize),
            unread in (0..20usize, 0..20usize),
            sent in 0..40usize,
            is_distinct: bool,
        ) {
            let old: Vec<LineHash> = if is_distinct { (100..100 + old.len() as u64).collect() } else { old };
            let new: Vec<LineHash> = if is_distinct { (200..200 + new.len() as u64).collect() } else { new };
            let first = answered.0.min(old.len());
            let again = first - unread.0.min(first);
            let second: Vec<LineHash> = old[again..].iter().chain(&new).copied().collect();
            let sent = sent.min(second.len());
            let answered_again = answered.1.min(sent);
            let (gone, memory) = session(memory(&old, old.len() - first), &second[..sent], sent - answered_again);
            let begins = answered_again - unread.1.min(answered_again);
            let third = &second[begins..];
            let gone_again = suppressed(memory, third);
            let stored_before = |at: usize| at < sent || at < old.len() - again;
            for (at, is_gone) in gone_again.iter().enumerate() {
                prop_assert!(!is_gone || stored_before(begins + at), "line {} of {:?}", at, third);
            }
            prop_assert!(gone.iter().enumerate().all(|(at, is_gone)| !is_gone || at < old.len() - again));
            if is_distinct && (sent == 0 || first - again <= sent) {
                let is_certain = |at: usize| if at < sent { answered_again <= at } else { first - again <= at && at < old.len() - again };
                let expected: Vec<bool> = (begins..second.len()).map(is_certain).collect();
                prop_assert_eq!(gone_again, expected);
            }
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
