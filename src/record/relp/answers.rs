//! What is to be answered, in the order in which the frames came.
//!
//! Consecutive frames that wait in one stream are one entry, so a queue is short however many answers are outstanding. When it is full its connection takes no
//! more frames, and TCP pushes back.
//!
//! Invariant: at most [`RELP_WINDOW_FRAMES_MAX`] answers in at most [`RELP_ANSWER_RUNS_MAX`] entries.

use std::collections::VecDeque;

use super::{RelpError, txnr_after};
use crate::limits::{RELP_ANSWER_BYTES, RELP_ANSWER_RUNS_MAX, RELP_WINDOW_FRAMES_MAX};

/// The hint that the server ends the session (specification, "Hint Command serverclose"): the last that is sent.
pub const SERVER_CLOSE: &[u8] = b"0 serverclose 0\n";

/// The answer to nearly every frame.
const OK: &[u8] = b" rsp 6 200 OK\n";

/// An answer (specification, "Command rsp": a status, a text of at most 80 characters, and after an LF what the command asks for).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Ok,
    /// The session is open; the offers that are accepted follow.
    Opened {
        /// The version of the protocol that is spoken.
        version: u8,
    },
    /// It was open before.
    AlreadyOpen,
    /// It can't be done.
    Refused(RelpError),
}

impl Answer {
    /// The payload of the answer.
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Opened { version: 0 } => {
                concat!("200 OK\nrelp_version=0\nrelp_software=logboom,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog")
            }
            Self::Opened { .. } => {
                concat!("200 OK\nrelp_version=1\nrelp_software=logboom,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog")
            }
            Self::AlreadyOpen => "200 connection already open, ignored",
            Self::Refused(RelpError::NotOpen) => "500 session not open",
            Self::Refused(RelpError::UnknownCommand) => "500 unknown command",
            Self::Refused(RelpError::BadVersion) => "500 invalid relp_version",
            Self::Refused(RelpError::SyslogNotOffered) => "500 required command syslog not offered",
            Self::Refused(_) => "500 protocol error",
        }
    }

    fn write(self, txnr: u32, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(txnr).as_bytes());
        if self == Self::Ok {
            out.extend_from_slice(OK);
            return;
        }
        let text = self.text();
        out.extend_from_slice(b" rsp ");
        out.extend_from_slice(digits.format(text.len()).as_bytes());
        out.push(b' ');
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

/// When a record is safe: when the watermark of its stream has passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Which stream of the shard.
    pub stream: u8,
    /// Which record of the stream, counted from 1: each is one more than the one before it.
    pub record: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The first one's [`Due`], in fields to save its padding; the others' follow it one by one.
    Record {
        stream: u8,
        record: u64,
    },
    /// A line that is safe already, under an earlier session's records.
    Resent,
    Answer(Answer),
}

impl Kind {
    fn is_of_line(self) -> bool {
        matches!(self, Self::Record { .. } | Self::Resent)
    }
}

/// Consecutive frames that are answered alike.
#[derive(Debug)]
struct Run {
    kind: Kind,
    txnr: u32,
    count: u32,
}

const _: () = assert!(size_of::<Run>() <= 24);

impl Run {
    /// Whether a frame is the next of this run.
    fn continues(&self, txnr: u32, kind: Kind) -> bool {
        let next = match self.kind {
            Kind::Record { stream, record } => Kind::Record { stream, record: record + u64::from(self.count) },
            other => other,
        };
        kind == next && txnr == txnr_after(self.txnr, self.count)
    }

    fn remove_first(&mut self) {
        self.txnr = txnr_after(self.txnr, 1);
        self.count -= 1;
        if let Kind::Record { record, .. } = &mut self.kind {
            *record += 1;
        }
    }
}

/// One connection's outstanding answers.
#[derive(Debug, Default)]
pub struct Answers {
    runs: VecDeque<Run>,
    outstanding: usize,
    /// Those of them that are for lines.
    outstanding_lines: usize,
}

impl Answers {
    /// Answers the frame `txnr` with success when its record is safe.
    ///
    /// # Panics
    /// If the queue is [full](Self::is_full).
    pub fn push_record(&mut self, txnr: u32, Due { stream, record }: Due) {
        self.add(txnr, Kind::Record { stream, record });
    }

    /// Answers the frame `txnr`, a line that an earlier session has stored, with success as soon as those before it are answered.
    ///
    /// # Panics
    /// If the queue is [full](Self::is_full).
    pub fn push_resent(&mut self, txnr: u32) {
        self.add(txnr, Kind::Resent);
    }

    /// Answers the frame `txnr`, which has no line, as soon as those before it are answered.
    ///
    /// # Panics
    /// If the queue is [full](Self::is_full).
    pub fn push(&mut self, txnr: u32, answer: Answer) {
        self.add(txnr, Kind::Answer(answer));
    }

    /// Whether no frame may be taken before answers were released.
    pub fn is_full(&self) -> bool {
        self.outstanding == RELP_WINDOW_FRAMES_MAX || self.runs.len() == RELP_ANSWER_RUNS_MAX
    }

    /// Whether everything is answered.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many more frames may be taken, whatever they are.
    pub fn room(&self) -> usize {
        (RELP_WINDOW_FRAMES_MAX - self.outstanding).min(RELP_ANSWER_RUNS_MAX - self.runs.len())
    }

    /// Lines that are not answered.
    pub fn outstanding_lines(&self) -> usize {
        self.outstanding_lines
    }

    /// The record that the next answer waits for; none if there is no answer or it waits for nothing.
    pub fn waits_for(&self) -> Option<Due> {
        match self.runs.front()?.kind {
            Kind::Record { stream, record } => Some(Due { stream, record }),
            Kind::Resent | Kind::Answer(_) => None,
        }
    }

    /// Appends the answers whose turn it is to `out`, and returns how many: up to the first whose record is not safe, or until `out` holds
    /// [`RELP_ANSWER_BYTES`]. Write `out`, and call again until it returns 0.
    pub fn release(&mut self, out: &mut Vec<u8>, is_safe: impl FnMut(Due) -> bool) -> usize {
        self.release_within(RELP_ANSWER_BYTES, out, is_safe)
    }

    /// Like [`release`](Self::release), of one answer.
    pub fn release_one(&mut self, out: &mut Vec<u8>, is_safe: impl FnMut(Due) -> bool) -> usize {
        assert!(out.is_empty());
        self.release_within(1, out, is_safe)
    }

    fn release_within(&mut self, out_bytes_max: usize, out: &mut Vec<u8>, mut is_safe: impl FnMut(Due) -> bool) -> usize {
        let before = self.outstanding;
        while let Some(run) = self.runs.front_mut() {
            let answer = match run.kind {
                Kind::Record { stream, record } if is_safe(Due { stream, record }) => Answer::Ok,
                Kind::Record { .. } => break,
                Kind::Resent => Answer::Ok,
                Kind::Answer(answer) => answer,
            };
            if out.len() >= out_bytes_max {
                break;
            }
            answer.write(run.txnr, out);
            self.outstanding_lines -= usize::from(run.kind.is_of_line());
            run.remove_first();
            self.outstanding -= 1;
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
        before - self.outstanding
    }

    fn add(&mut self, txnr: u32, kind: Kind) {
        assert!(!self.is_full());
        self.outstanding += 1;
        self.outstanding_lines += usize::from(kind.is_of_line());
        match self.runs.back_mut() {
            Some(run) if run.continues(txnr, kind) => run.count += 1,
            _ => self.runs.push_back(Run { kind, txnr, count: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::relp::TXNR_MAX;
    use proptest::prelude::*;

    fn released(answers: &mut Answers, safe: [u64; 2]) -> String {
        let mut out = Vec::new();
        answers.release(&mut out, |due| due.record <= safe[usize::from(due.stream)]);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn an_answer_waits_for_those_before_it() {
        let mut answers = Answers::default();
        answers.push(1, Answer::Opened { version: 0 });
        answers.push_record(2, Due { stream: 0, record: 7 });
        answers.push_record(3, Due { stream: 1, record: 1 });
        answers.push_record(4, Due { stream: 0, record: 8 });
        answers.push(5, Answer::Ok);
        assert_eq!(answers.waits_for(), None, "the first can go at once");
        let offers = concat!("relp_version=0\nrelp_software=logboom,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog");
        assert_eq!(released(&mut answers, [0, 1]), format!("1 rsp {} 200 OK\n{offers}\n", 7 + offers.len()));
        assert_eq!(answers.waits_for(), Some(Due { stream: 0, record: 7 }));
        assert_eq!(released(&mut answers, [7, 0]), "2 rsp 6 200 OK\n");
        assert_eq!(released(&mut answers, [9, 0]), "", "3 is not safe, so neither 4 nor 5 is answered");
        assert_eq!(answers.outstanding, 3);
        assert_eq!(released(&mut answers, [9, 1]), "3 rsp 6 200 OK\n4 rsp 6 200 OK\n5 rsp 6 200 OK\n");
        assert!(answers.is_empty());
    }

    #[test]
    fn answers_of_lines_are_counted_apart_and_may_go_one_by_one() {
        let mut answers = Answers::default();
        answers.push_resent(2);
        answers.push_resent(3);
        answers.push(4, Answer::Ok);
        answers.push_record(5, Due { stream: 0, record: 1 });
        assert_eq!((answers.outstanding, answers.outstanding_lines(), answers.runs.len()), (4, 3, 3));
        assert_eq!(answers.waits_for(), None, "a line that is sent again is safe");
        for (expected, lines) in [("2 rsp 6 200 OK\n", 2), ("3 rsp 6 200 OK\n", 1), ("4 rsp 6 200 OK\n", 1), ("", 1)] {
            let mut out = Vec::new();
            answers.release_one(&mut out, |_| false);
            assert_eq!((String::from_utf8(out).expect("ASCII").as_str(), answers.outstanding_lines()), (expected, lines));
        }
        assert_eq!(released(&mut answers, [1, 0]), "5 rsp 6 200 OK\n");
        assert_eq!(answers.outstanding_lines(), 0);
    }

    #[test]
    fn texts_are_as_long_as_they_say_and_may_be() {
        let mut all: Vec<Answer> = RelpError::ALL.map(Answer::Refused).to_vec();
        all.extend([Answer::Ok, Answer::AlreadyOpen, Answer::Opened { version: 0 }, Answer::Opened { version: 1 }]);
        for answer in all {
            let mut out = Vec::new();
            answer.write(12, &mut out);
            let out = String::from_utf8(out).expect("ASCII");
            let text = answer.text();
            assert_eq!(out, format!("12 rsp {} {text}\n", text.len()));
            assert!(text.lines().next().expect("a status").len() <= 4 + 80);
        }
    }

    #[test]
    fn numbers_wrap_within_a_run() {
        let mut answers = Answers::default();
        for (at, txnr) in [TXNR_MAX - 1, TXNR_MAX, 1, 2].into_iter().enumerate() {
            answers.push_record(txnr, Due { stream: 0, record: at as u64 });
        }
        assert_eq!(answers.runs.len(), 1);
        assert_eq!(released(&mut answers, [1, 0]), "999999998 rsp 6 200 OK\n999999999 rsp 6 200 OK\n");
        assert_eq!(released(&mut answers, [9, 0]), "1 rsp 6 200 OK\n2 rsp 6 200 OK\n");
        answers.push(3, Answer::Ok);
        answers.push(5, Answer::Ok);
        assert_eq!(released(&mut answers, [9, 0]), "3 rsp 6 200 OK\n5 rsp 6 200 OK\n", "what does not follow is another run");
    }

    #[test]
    fn the_window_is_bounded_in_frames_and_in_memory() {
        let mut answers = Answers::default();
        for txnr in 1..=RELP_WINDOW_FRAMES_MAX as u32 {
            assert!(!answers.is_full());
            answers.push_record(txnr, Due { stream: 0, record: u64::from(txnr) });
        }
        assert!(answers.is_full());
        assert_eq!(answers.runs.len(), 1);
        let (mut out, mut writes) = (Vec::new(), 0);
        while answers.release(&mut out, |_| true) > 0 {
            assert!(out.len() < RELP_ANSWER_BYTES + 32, "one write's worth");
            writes += 1;
            out.clear();
        }
        assert!(answers.is_empty());
        assert!(writes < RELP_WINDOW_FRAMES_MAX / 300, "many frames are answered in one write");
        for txnr in 1..=RELP_ANSWER_RUNS_MAX as u32 {
            assert!(!answers.is_full());
            answers.push_record(txnr, Due { stream: (txnr % 2) as u8, record: u64::from(txnr) });
        }
        assert!(answers.is_full());
    }

    proptest! {
        #[test]
        fn answers_come_in_the_order_of_the_frames(
            frames in proptest::collection::vec((0..3u8, 1..4u64), 0..60),
            marks in proptest::collection::vec((0..2usize, 0..9u64), 0..40),
            first in prop_oneof![Just(1), Just(TXNR_MAX - 20)],
        ) {
            let mut answers = Answers::default();
            let mut record = [0u64; 2];
            for (at, &(kind, ahead)) in frames.iter().enumerate() {
                let txnr = txnr_after(first, at as u32);
                if kind == 2 {
                    answers.push(txnr, Answer::Ok);
                } else {
                    record[usize::from(kind)] += if ahead == 3 { 2 } else { 1 }; // others append between
                    answers.push_record(txnr, Due { stream: kind, record: record[usize::from(kind)] });
                }
            }
            let expected: Vec<String> = (0..frames.len()).map(|at| format!("{} rsp 6 200 OK", txnr_after(first, at as u32))).collect();
            let (mut safe, mut out) = ([0u64; 2], Vec::new());
            for (stream, ahead) in marks {
                safe[stream] += ahead;
                let before = answers.outstanding;
                let count = answers.release(&mut out, |due| due.record <= safe[usize::from(due.stream)]);
                prop_assert_eq!(before - count, answers.outstanding);
                if let Some(due) = answers.waits_for() {
                    prop_assert!(due.record > safe[usize::from(due.stream)], "what is safe is answered");
                }
            }
            answers.release(&mut out, |_| true);
            let lines: Vec<&str> = std::str::from_utf8(&out).unwrap().lines().collect();
            prop_assert_eq!(lines, expected);
            prop_assert!(answers.is_empty());
        }
    }
}
