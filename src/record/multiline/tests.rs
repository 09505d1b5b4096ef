//! Traces of every language against the records they must make, bounds, and what holds for any lines.

use std::ops::Range;

use proptest::prelude::*;

use super::{Continuations, Joiner, Pushed};
use crate::limits::{MULTILINE_LINES_MAX, MULTILINE_WAIT};
use crate::record::detect::Format;
use crate::record::framer::{Frame, FrameKind, Partial};

const WAIT_MS: u64 = MULTILINE_WAIT.as_millis() as u64;

/// A record that came out: its text, where it lies, and whether it was a line that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    text: String,
    place: Range<u64>,
    is_too_long: bool,
}

/// A file that is being followed.
struct File {
    continuations: Continuations,
    joiner: Joiner,
    end: u64,
    now_ms: u64,
    records: Vec<Record>,
}

impl File {
    fn new(continuations: Continuations, line_max: usize) -> Self {
        Self { continuations, joiner: Joiner::new(line_max), end: 0, now_ms: 0, records: Vec::new() }
    }

    fn auto() -> Self {
        Self::new(Continuations::new(Format::Auto), 1 << 20)
    }

    fn record(frame: &Frame<'_>, place: Range<u64>) -> Record {
        let text = String::from_utf8(frame.line().to_vec()).expect("UTF-8");
        assert!(frame.may_hold_newlines || !text.contains('\n'));
        Record { text, place, is_too_long: frame.kind == FrameKind::TooLong }
    }

    fn drain(&mut self) {
        while let Some(joined) = self.joiner.take() {
            self.records.push(Self::record(&joined.frame, joined.place));
        }
    }

    fn push_kind(&mut self, line: &str, kind: FrameKind) {
        let place = self.end..self.end + line.len() as u64 + 1;
        self.end = place.end;
        let mut partial = Partial::default();
        partial.keep(line.as_bytes());
        let frame = partial.frame(0, line.len(), kind);
        match self.joiner.push(&self.continuations, &frame, place.clone(), self.now_ms) {
            Pushed::Alone => self.records.push(Self::record(&frame, place)),
            Pushed::Kept => self.drain(),
        }
    }

    fn push(&mut self, line: &str) {
        self.push_kind(line, FrameKind::Whole);
    }

    fn expire(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.joiner.expire(now_ms);
        self.drain();
    }

    fn finish(mut self) -> Vec<Record> {
        self.joiner.flush();
        self.drain();
        self.records
    }

    fn texts(self) -> Vec<String> {
        self.finish().into_iter().map(|record| record.text).collect()
    }
}

/// The lines of the golden file, each with whether it begins a record.
fn golden() -> impl Iterator<Item = (bool, &'static str)> {
    include_str!("tests/traces.txt").lines().filter_map(|line| {
        let begun = line.strip_prefix("> ").map(|line| (true, line));
        begun.or_else(|| line.strip_prefix("| ").or((line == "|").then_some("")).map(|line| (false, line)))
    })
}

#[test]
fn every_trace_is_one_record() {
    let mut expected: Vec<String> = Vec::new();
    let mut file = File::auto();
    for (begins, line) in golden() {
        match expected.last_mut().filter(|_| !begins) {
            Some(record) => *record += &format!("\n{line}"),
            None => expected.push(line.to_owned()),
        }
        file.push(line);
    }
    assert_eq!(file.joiner.take_split(), 0);
    let found = file.texts();
    let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    if let Some(at) = differs {
        panic!("found\n{}\n\nexpected\n{}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_record_lies_from_its_first_line_to_its_last() {
    let mut file = File::auto();
    for line in ["a", "", "\tb", "", "", "c", "{}", "d"] {
        file.push(line);
    }
    let places: Vec<(String, Range<u64>)> = file.finish().into_iter().map(|record| (record.text, record.place)).collect();
    let expected = [("a\n\n\tb", 0..6), ("c", 8..10), ("{}", 10..13), ("d", 13..15)];
    assert_eq!(places, expected.map(|(text, place)| (text.to_owned(), place)));
}

#[test]
fn what_is_alone_passes_through() {
    let mut file = File::auto();
    for line in ["{\"a\":1}", "{\"a\":2}"] {
        file.push(line);
        assert_eq!(file.joiner.due_ms(), None, "nothing of it is kept");
    }
    assert_eq!((file.records.len(), file.joiner.capacity()), (2, 0));
    for format in [Format::Json, Format::Csv] {
        let mut file = File::new(Continuations::new(format), 1 << 20);
        for line in ["a", "\tb", "Caused by: c"] {
            file.push(line);
        }
        assert_eq!((file.records.len(), file.joiner.capacity()), (3, 0), "{format:?}");
    }
    let mut file = File::new(Continuations::new(Format::Text), 1 << 20);
    for line in ["{", "  \"a\": 1", "}", "{}"] {
        file.push(line);
    }
    assert_eq!(file.texts(), ["{\n  \"a\": 1\n}", "{}"], "of text a brace means nothing");
}

#[test]
fn a_line_that_is_too_long_stays_one() {
    let mut file = File::auto();
    file.push("a");
    file.push_kind("\tbbbbb", FrameKind::TooLong);
    file.push("\tc");
    let found: Vec<(String, bool)> = file.finish().into_iter().map(|record| (record.text, record.is_too_long)).collect();
    assert_eq!(found, [("a", false), ("\tbbbbb", true), ("\tc", false)].map(|(text, is)| (text.to_owned(), is)));
}

#[test]
fn a_pattern_names_others() {
    let continuations = Continuations::new(Format::Auto).with_pattern(r"^(\+ |.*\\$)").unwrap();
    let mut file = File::new(continuations, 1 << 20);
    for line in ["make all", "+ cc -c a.c", "+ ld", "next", "\tindented"] {
        file.push(line);
    }
    assert_eq!(file.texts(), ["make all\n+ cc -c a.c\n+ ld", "next\n\tindented"]);
    let said = Continuations::new(Format::Auto).with_pattern("(").err().map(String::from);
    assert!(said.is_some_and(|said| said.contains("character 1")));
}

#[test]
fn bytes_and_lines_are_bounded() {
    let mut file = File::new(Continuations::new(Format::Auto), 10);
    for line in ["12345", "\t789", "\tb", "\tc", "\tdddddddd", "e"] {
        file.push(line);
    }
    assert_eq!(file.joiner.take_split(), 2);
    assert_eq!(file.texts(), ["12345\n\t789", "\tb\n\tc", "\tdddddddd", "e"]);

    let mut file = File::auto();
    file.push("x");
    for _ in 0..2 * MULTILINE_LINES_MAX {
        file.push("\ty");
    }
    assert_eq!(file.joiner.take_split(), 2);
    let lines: Vec<usize> = file.texts().iter().map(|text| text.lines().count()).collect();
    assert_eq!(lines, [MULTILINE_LINES_MAX, MULTILINE_LINES_MAX, 1]);
}

#[test]
fn a_trace_that_a_bound_splits_goes_on() {
    let mut file = File::new(Continuations::new(Format::Auto), 60);
    for line in
        ["Traceback (most recent call last):", "  File \"a.py\", line 1", "    f()", "  File \"a.py\", line 2", "KeyError: 'a'", "b"]
    {
        file.push(line);
    }
    let found = file.texts();
    assert_eq!(found.last().map(String::as_str), Some("b"));
    assert!(found[found.len() - 2].ends_with("\nKeyError: 'a'"), "{found:?}");
}

#[test]
fn time_is_bounded() {
    let mut file = File::auto();
    assert_eq!(file.joiner.due_ms(), None);
    file.push("a");
    file.now_ms = 5;
    file.push("\tb");
    assert_eq!(file.joiner.due_ms(), Some(5 + WAIT_MS));
    file.now_ms = 6;
    file.push("");
    assert_eq!(file.joiner.due_ms(), Some(5 + WAIT_MS), "empty lines are nothing to wait for");
    file.expire(4 + WAIT_MS);
    assert!(file.records.is_empty());
    file.expire(5 + WAIT_MS);
    assert_eq!((file.records[0].text.as_str(), file.joiner.due_ms(), file.joiner.take_split()), ("a\n\tb", None, 0));
    file.push("\tc");
    assert_eq!(file.joiner.take_split(), 1, "it belongs to what was given out");
    file.push("\td");
    file.expire(20 * WAIT_MS);
    file.push("e");
    assert_eq!(file.joiner.take_split(), 0);
    assert_eq!(file.texts(), ["a\n\tb", "\tc\n\td", "e"]);
}

#[test]
fn memory_of_a_long_record_is_given_back() {
    let mut file = File::auto();
    file.push(&"x".repeat(1 << 19));
    file.push("y");
    file.push("z");
    assert!(file.joiner.capacity() < 1 << 14, "{}", file.joiner.capacity());
}

fn any_line() -> impl Strategy<Value = String> {
    let known: Vec<String> = golden().map(|(_, line)| line.to_owned()).collect();
    prop_oneof![
        4 => prop::sample::select(known),
        1 => "[ \t]{0,3}[a-z{}:.(]{1,12}",
        1 => "[^\n]{1,20}",
        1 => Just(String::new()),
    ]
}

proptest! {
    /// However lines and time come: in order, each once, none lost; no record beyond its bounds, and each lies where it says.
    #[test]
    fn splitting_gives_the_lines_again(
        steps in prop::collection::vec((any_line(), 0..WAIT_MS * 5 / 4, any::<prop::sample::Index>()), 0..60),
        line_max in 20..200usize,
        format in prop::sample::select(Format::ALL.to_vec()),
    ) {
        let mut file = File::new(Continuations::new(format).with_pattern("[a-c]$").unwrap(), line_max);
        let (mut lines, mut text) = (Vec::new(), String::new());
        for (line, pause_ms, cut) in &steps {
            let mut cut = cut.index(line_max);
            while !line.is_char_boundary(cut.min(line.len())) {
                cut -= 1;
            }
            let line = &line[..cut.min(line.len())];
            file.expire(file.now_ms + pause_ms);
            file.push(line);
            text += line;
            text.push('\n');
            lines.extend((!line.is_empty()).then_some(line));
        }
        let records = file.finish();
        let found: Vec<&str> = records.iter().flat_map(|record| record.text.split('\n')).filter(|line| !line.is_empty()).collect();
        prop_assert_eq!(found, lines);
        for record in &records {
            prop_assert!(record.text.len() <= line_max && !record.text.is_empty());
            prop_assert_eq!(&text[record.place.start as usize..record.place.end as usize], format!("{}\n", record.text));
        }
    }
}
