//! Which lines of a client are due, on their way, and answered. Pure.
//!
//! Answers come in the order of the frames, so each of these is a count of the client's first lines:
//!
//! Invariant: answered <= cursor <= attempted <= drawn, and the batches in hand end at `drawn` and reach back to `answered`.
//!
//! In a new session the cursor goes back to `answered`: what lies between it and `attempted` is sent again, as the same bytes, because a batch keeps its time.

use std::collections::VecDeque;

use crate::payload::Stamp;

/// Lines that were due together.
#[derive(Debug, Clone)]
struct Batch {
    /// The number of its last line, and one.
    end: u64,
    due_ns: u64,
    stamp: Stamp,
}

/// Lines to send, all of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The first one's number.
    pub first: u64,
    /// How many.
    pub lines: u64,
    /// Their time.
    pub stamp: Stamp,
}

/// One client's lines.
#[derive(Debug, Default)]
pub struct Window {
    answered: u64,
    cursor: u64,
    attempted: u64,
    batches: VecDeque<Batch>,
    /// Which batch the cursor is in.
    cursor_batch: usize,
}

impl Window {
    /// Lines that are answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Lines that were sent or are to be sent again.
    pub fn attempted(&self) -> u64 {
        self.attempted
    }

    /// Lines that were due so far.
    pub fn drawn(&self) -> u64 {
        self.batches.back().map_or(self.answered, |batch| batch.end)
    }

    /// Lines that were due so far and have not been sent in this session.
    pub fn waiting(&self) -> u64 {
        self.drawn() - self.cursor
    }

    /// The same, but only those that were sent in an earlier one.
    pub fn waiting_again(&self) -> u64 {
        self.attempted - self.cursor
    }

    /// More lines are due.
    pub fn draw(&mut self, lines: u64, due_ns: u64, stamp: Stamp) {
        self.batches.push_back(Batch { end: self.drawn() + lines, due_ns, stamp });
        self.check();
    }

    /// The next lines to send, at most `max` and at least one.
    ///
    /// # Panics
    /// If no line is waiting, or none is asked for.
    pub fn take(&mut self, max: u64) -> Piece {
        assert!(0 < max && 0 < self.waiting());
        let batch = &self.batches[self.cursor_batch];
        let piece = Piece { first: self.cursor, lines: max.min(batch.end - self.cursor), stamp: batch.stamp };
        self.cursor += piece.lines;
        self.cursor_batch += usize::from(self.cursor == batch.end);
        self.attempted = self.attempted.max(self.cursor);
        self.check();
        piece
    }

    /// The oldest `lines` lines are answered; `each` gets how many were due when.
    ///
    /// # Panics
    /// If so many were not sent in this session.
    pub fn answer(&mut self, lines: u64, mut each: impl FnMut(u64, u64)) {
        assert!(lines <= self.cursor - self.answered);
        let answered = self.answered + lines;
        while self.answered < answered {
            let batch = &self.batches[0];
            let end = batch.end.min(answered);
            each(end - self.answered, batch.due_ns);
            self.answered = end;
            if end == batch.end {
                self.batches.pop_front();
                self.cursor_batch -= 1;
            }
        }
        self.check();
    }

    /// A new session begins: what was not answered is to be sent again.
    pub fn rewind(&mut self) {
        self.cursor = self.answered;
        self.cursor_batch = 0;
        self.check();
    }

    /// How many lines that are not answered were due when.
    pub fn unanswered(&self, mut each: impl FnMut(u64, u64)) {
        let mut first = self.answered;
        for batch in &self.batches {
            each(batch.end - first, batch.due_ns);
            first = batch.end;
        }
    }

    fn check(&self) {
        assert!(self.answered <= self.cursor && self.cursor <= self.attempted && self.attempted <= self.drawn());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(batch: u64) -> Stamp {
        Stamp::at(batch as i64)
    }

    #[test]
    fn what_is_not_answered_is_sent_again_with_its_time() {
        let mut window = Window::default();
        window.draw(3, 10, stamp(0));
        window.draw(2, 20, stamp(1));
        assert_eq!(window.take(9), Piece { first: 0, lines: 3, stamp: stamp(0) });
        assert_eq!(window.take(1), Piece { first: 3, lines: 1, stamp: stamp(1) });
        let mut seen = Vec::new();
        window.answer(2, |lines, due_ns| seen.push((lines, due_ns)));
        assert_eq!((seen.as_slice(), window.waiting()), (&[(2, 10)][..], 1));
        window.rewind();
        assert_eq!((window.waiting(), window.waiting_again()), (3, 2));
        assert_eq!(window.take(9), Piece { first: 2, lines: 1, stamp: stamp(0) });
        assert_eq!(window.take(9), Piece { first: 3, lines: 2, stamp: stamp(1) });
        seen.clear();
        window.unanswered(|lines, due_ns| seen.push((lines, due_ns)));
        assert_eq!(seen, [(1, 10), (2, 20)]);
        window.answer(3, |lines, due_ns| seen.push((lines, due_ns)));
        assert_eq!((&seen[2..], window.answered(), window.attempted()), (&[(1, 10), (2, 20)][..], 5, 5));
    }

    proptest! {
        #[test]
        fn every_line_is_answered_once_whatever_breaks_off(steps in prop::collection::vec((0..4u8, 1..9u64), 0..200)) {
            let (mut window, mut now_ns, mut answered, mut sent_to) = (Window::default(), 0, 0, 0);
            for (step, count) in steps {
                match step {
                    0 => {
                        now_ns += 1;
                        window.draw(count, now_ns, stamp(now_ns));
                    }
                    1 if 0 < window.waiting() => {
                        let piece = window.take(count);
                        prop_assert_eq!(piece.first, sent_to);
                        sent_to += piece.lines;
                    }
                    2 => window.answer(count.min(sent_to - answered), |lines, due_ns| {
                        assert!(due_ns <= now_ns);
                        answered += lines;
                    }),
                    3 if count == 1 => {
                        window.rewind();
                        sent_to = answered;
                    }
                    _ => {}
                }
                prop_assert_eq!(window.answered(), answered);
            }
        }
    }
}
