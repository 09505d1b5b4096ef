//! Records of several lines: a stack trace, a dump, a wrapped message belongs to the line before it. Pure; who calls passes the time in.
//!
//! A [`Joiner`] per file is given every line with the place where it lies in the file, and gives back records with the places where *they* lie, so that a file read
//! again from the end of a record loses nothing and repeats nothing. `traces` knows which lines continue a record; a pattern of the configuration may name others.
//! Lines are joined by newlines, and that is all: split the record at its newlines, and the lines are there again.
//!
//! What is complete in itself (JSON, CSV, a line that is too long) is never joined to anything, and passes through where nothing is held before it.
//!
//! Bounded by bytes, by lines, and by time: where a bound ends a record, what follows it is a record of its own, and is counted.

mod traces;

#[cfg(test)]
mod tests;

use std::ops::Range;

use regex_automata::meta::Regex;

use super::detect::{Format, Shape, detect};
use super::framer::{Frame, FrameKind, Partial};
use super::regex::{self, RegexError};
use crate::limits::{MULTILINE_LINES_MAX, MULTILINE_WAIT};
use traces::Trace;

/// Which lines continue the record before them. One serves all files of a shard: a compiled pattern has caches.
#[derive(Debug, Clone)]
pub struct Continuations {
    format: Format,
    own: Option<Regex>,
}

impl Continuations {
    /// The usual ones, in files that are read as `format`.
    pub fn new(format: Format) -> Self {
        Self { format, own: None }
    }

    /// And every line that `pattern` matches.
    pub fn with_pattern(self, pattern: &str) -> Result<Self, RegexError> {
        Ok(Self { own: Some(regex::compile(&[pattern])?), ..self })
    }

    /// Whether a line of this kind is a record whatever stands around it.
    fn is_alone(&self, frame: &Frame<'_>) -> bool {
        if frame.kind == FrameKind::TooLong {
            return true;
        }
        let line = frame.line();
        match self.format {
            Format::Json | Format::Csv => true,
            Format::Text | Format::Syslog => false,
            // An indented brace opens a dump, unless it closes on its line.
            Format::Auto => match line.first() {
                Some(b'{') => true,
                Some(b' ' | b'\t') => detect(self.format, line) == Shape::Json && line.trim_ascii_end().ends_with(b"}"),
                _ => false,
            },
        }
    }

    fn names(&self, line: &[u8]) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_match(line))
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The joiner keeps it; [`Joiner::take`] may have a record now.
    Kept,
    /// It is a record, and nothing is before it: take it from where it is.
    Alone,
}

/// A record, and where it lies.
#[derive(Debug)]
pub struct Joined<'a> {
    /// Its lines.
    pub frame: Frame<'a>,
    /// From its first line to behind its last one, and that line's end, in the file.
    pub place: Range<u64>,
}

/// Lines that are kept.
#[derive(Debug, Default)]
struct Held {
    text: Partial,
    kind: Option<FrameKind>,
    lines: usize,
    place: Range<u64>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.kind.is_none()
    }

    fn begin(&mut self, frame: &Frame<'_>, place: Range<u64>) {
        self.text.keep(frame.line());
        (self.kind, self.lines, self.place) = (Some(frame.kind), 1, place);
    }

    fn join(&mut self, blank_lines: usize, line: &[u8], end: u64) {
        for _ in 0..=blank_lines {
            self.text.keep(b"\n");
        }
        self.text.keep(line);
        self.lines += 1 + blank_lines;
        self.place.end = end;
    }

    fn hand_out(&mut self) -> Option<Joined<'_>> {
        let kind = self.kind.take()?;
        let (len, may_hold_newlines) = (self.text.len(), self.lines > 1);
        self.text.hand_out();
        let mut frame = self.text.frame(0, len, kind);
        frame.may_hold_newlines = may_hold_newlines;
        Some(Joined { frame, place: self.place.clone() })
    }
}

/// Joins the lines of one file.
///
/// Invariant: what is `ready` is before what is `held`, and was begun and ended by lines that were pushed.
#[derive(Debug)]
pub struct Joiner {
    line_max: usize,
    trace: Trace,
    ready: Held,
    held: Held,
    /// What is held is alone: nothing joins it.
    is_held_alone: bool,
    /// Empty lines behind what is held: they are within it only if another line of it follows.
    blank_lines: usize,
    /// When the last line that is not empty was pushed.
    pushed_ms: u64,
    /// The last record was given out because time was up.
    is_timed_out: bool,
    split: u64,
}

impl Joiner {
    /// For records of at most `line_max` bytes.
    pub fn new(line_max: usize) -> Self {
        Self {
            line_max,
            trace: Trace::default(),
            ready: Held::default(),
            held: Held::default(),
            is_held_alone: false,
            blank_lines: 0,
            pushed_ms: 0,
            is_timed_out: false,
            split: 0,
        }
    }

    /// Takes the next line of the file, which lies at `place`, with what terminates it.
    ///
    /// # Panics
    /// If [`take`](Self::take) would still give something.
    pub fn push(&mut self, continuations: &Continuations, frame: &Frame<'_>, place: Range<u64>, now_ms: u64) -> Pushed {
        assert!(self.ready.is_empty() && !self.is_held_alone);
        self.ready.text.forget_handed_out();
        let line = frame.line();
        if line.is_empty() {
            self.blank_lines += usize::from(!self.held.is_empty());
            return Pushed::Kept;
        }
        self.pushed_ms = now_ms;
        let is_alone = continuations.is_alone(frame);
        if is_alone {
            self.trace = Trace::default();
        } else if self.trace.joins(line, self.held.text.unfinished()) || continuations.names(line) {
            let bytes = self.held.text.len() + 1 + self.blank_lines + line.len();
            let lines = self.held.lines + 1 + self.blank_lines;
            if !self.held.is_empty() && bytes <= self.line_max && lines <= MULTILINE_LINES_MAX {
                self.held.join(std::mem::take(&mut self.blank_lines), line, place.end);
                return Pushed::Kept;
            }
            self.split += u64::from(!self.held.is_empty() || self.is_timed_out);
        }
        (self.is_timed_out, self.blank_lines) = (false, 0);
        std::mem::swap(&mut self.ready, &mut self.held);
        if is_alone && self.ready.is_empty() {
            return Pushed::Alone;
        }
        self.held.begin(frame, place);
        self.is_held_alone = is_alone;
        Pushed::Kept
    }

    /// A record that nothing can join any more. Call until it returns none.
    pub fn take(&mut self) -> Option<Joined<'_>> {
        self.ready.text.forget_handed_out();
        if self.ready.is_empty() && self.is_held_alone {
            self.flush();
        }
        self.ready.hand_out()
    }

    /// When what is held has waited long enough for another line; none if nothing is held. In the milliseconds of [`push`](Self::push).
    pub fn due_ms(&self) -> Option<u64> {
        (!self.held.is_empty()).then(|| self.pushed_ms + MULTILINE_WAIT.as_millis() as u64)
    }

    /// Ends the record that is held, if it is due: [`take`](Self::take) gives it.
    pub fn expire(&mut self, now_ms: u64) {
        if self.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.flush();
            self.is_timed_out = true;
        }
    }

    /// Ends the record that is held, because nothing follows it: [`take`](Self::take) gives it.
    ///
    /// # Panics
    /// If [`take`](Self::take) would still give something.
    pub fn flush(&mut self) {
        assert!(self.ready.is_empty());
        self.ready.text.forget_handed_out();
        std::mem::swap(&mut self.ready, &mut self.held);
        (self.is_held_alone, self.blank_lines) = (false, 0);
    }

    /// Heap bytes.
    pub fn capacity(&self) -> usize {
        self.ready.text.capacity() + self.held.text.capacity()
    }

    /// How many records began, since the last call, with a line that belongs to the one before, which a bound had ended.
    pub fn take_split(&mut self) -> u64 {
        std::mem::take(&mut self.split)
    }
}
