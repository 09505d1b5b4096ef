//! Cuts received bytes into lines. One framer per connection; it keeps only the unfinished last line, since the receive buffer is the shard's.
//!
//! LF ends a line, a CR before it belongs to the end. A stream whose first terminator is NUL (Python's SysLogHandler) is cut at NULs instead, and an LF
//! within is content; should no further NUL come within `line_max`, or before the stream ends, the bytes are cut at LFs after all, so that a stray NUL never
//! costs the lines after it. Empty lines are not lines.
//!
//! Where the format may be syslog, a stream that begins with a count before a `<PRI>` is cut by counts (`octets`, RFC 6587, section 3.4.1). Of CSV an LF within
//! quotes is content (`quotes`), with the same way out as NUL: where quotes never close, the stream is cut at LFs from there on.
//!
//! Every byte is scanned once and, if its line spans two receives, copied once, however the bytes drip in.
//!
//! Invariant: the unfinished line is at most `line_max` bytes long, and the two that may belong to its terminator.

mod octets;
mod partial;
mod quotes;

use super::detect::Format;
use octets::Octets;
use quotes::Quotes;

pub(super) use partial::Partial;

/// Bytes that must follow a line in memory for simd-json to read it in place.
pub const PADDING: usize = simd_json::INPUT_PADDING;

/// Received bytes, `bytes[at..end]`, with at least [`PADDING`] spare bytes behind them.
#[derive(Debug)]
pub struct Chunk<'a> {
    bytes: &'a mut [u8],
    at: usize,
    end: usize,
}

impl<'a> Chunk<'a> {
    /// The first `len` bytes of `bytes` were received.
    ///
    /// # Panics
    /// If fewer than [`PADDING`] bytes follow them.
    pub fn new(bytes: &'a mut [u8], len: usize) -> Self {
        assert!(len + PADDING <= bytes.len());
        Self { bytes, at: 0, end: len }
    }

    /// Bytes that have been used up.
    pub fn used_len(&self) -> usize {
        self.at
    }

    /// What has not been used up.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..self.end]
    }

    /// Uses the next `len` bytes up. Returns where they begin, for [`frame`](Self::frame).
    pub(super) fn advance(&mut self, len: usize) -> usize {
        let start = self.at;
        self.at += len;
        assert!(self.at <= self.end);
        start
    }

    /// The `len` bytes from `start` on, with what follows them as padding.
    pub(super) fn frame(&mut self, start: usize, len: usize, kind: FrameKind) -> Frame<'_> {
        Frame { padded: &mut self.bytes[start..], len, kind, may_hold_newlines: false }
    }
}

/// Where a line of a file lies, whose bytes come in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePlace {
    /// Bytes of the chunk that were used up.
    pub used: usize,
    /// Bytes up to there, of this chunk or the ones before, that belong to lines to come.
    pub kept: usize,
    /// Bytes before those, of this chunk or the ones before, that the line had, with what ended it.
    pub len: usize,
}

/// Whether a frame is all of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A line.
    Whole,
    /// The first `line_max` bytes of a longer line; the rest is skipped.
    TooLong,
}

/// One line, where it was received.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The line, then at least [`PADDING`] bytes of anything.
    padded: &'a mut [u8],
    len: usize,
    /// Whether this is all of the line.
    pub kind: FrameKind,
    /// Whether a newline may be content: something else ends the line.
    pub may_hold_newlines: bool,
}

impl<'a> Frame<'a> {
    /// The line that is all of `line`, to which padding is added.
    pub fn new(line: &'a mut Vec<u8>, kind: FrameKind, may_hold_newlines: bool) -> Self {
        let len = line.len();
        line.resize(len + PADDING, 0);
        Self { padded: line, len, kind, may_hold_newlines }
    }

    /// The line without its terminator.
    pub fn line(&self) -> &[u8] {
        &self.padded[..self.len]
    }

    /// Bytes of the line.
    pub fn line_len(&self) -> usize {
        self.len
    }

    /// The line and its padding, for a parser that works in place.
    pub fn padded(&mut self) -> &mut [u8] {
        self.padded
    }
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Nothing has ended one yet.
    Undecided,
    Lf,
    Nul,
    /// An LF outside of quotes.
    Csv,
    /// A count before each line.
    Octets,
}

/// Where a line lies: which bytes, and from where to where.
enum Place {
    Chunk { start: usize, len: usize },
    Partial { start: usize, len: usize },
}

/// Cuts one connection's bytes into lines.
#[derive(Debug)]
pub struct Framer {
    line_max: usize,
    framing: Framing,
    partial: Partial,
    /// Bytes of the line that was cut last, at an LF, with what ended it.
    cut_len: usize,
    /// `partial` is being cut at LFs, from here on: its stream turned out not to be framed by NULs.
    recut_at: Option<usize>,
    /// The rest of a line that was too long is being skipped.
    is_skipping: bool,
    /// The stream may yet turn out to have counts.
    may_be_counted: bool,
    /// Empty lines are lines.
    keeps_empty: bool,
    octets: Octets,
    quotes: Quotes,
}

/// What a terminator may add to a line before it is known to be one: CR and LF.
const TERMINATOR_BYTES: usize = 2;

impl Framer {
    /// For lines of at most `line_max` bytes. Allocates nothing until a line is unfinished.
    pub fn new(line_max: usize) -> Self {
        Self {
            line_max,
            framing: Framing::Undecided,
            partial: Partial::default(),
            cut_len: 0,
            recut_at: None,
            is_skipping: false,
            may_be_counted: false,
            keeps_empty: false,
            octets: Octets::default(),
            quotes: Quotes::default(),
        }
    }

    /// For a stream that is read as `format`.
    pub fn for_format(format: Format, line_max: usize) -> Self {
        let framing = if format == Format::Csv { Framing::Csv } else { Framing::Undecided };
        Self { framing, may_be_counted: matches!(format, Format::Auto | Format::Syslog), ..Self::new(line_max) }
    }

    /// For a file, whose lines end with LF whatever else they hold.
    pub fn for_file(format: Format, line_max: usize) -> Self {
        let framing = if format == Format::Csv { Framing::Csv } else { Framing::Lf };
        Self { framing, ..Self::new(line_max) }
    }

    /// The same framer, for which empty lines are lines: within a record of several they mean something.
    pub fn keeping_empty_lines(self) -> Self {
        Self { keeps_empty: true, ..self }
    }

    /// Passes over what follows up to the next line.
    pub fn skip_line(&mut self) {
        self.is_skipping = true;
    }

    /// Whether the rest of a line is being passed over.
    pub fn is_skipping(&self) -> bool {
        self.is_skipping
    }

    /// Bytes that were taken from chunks, and that are neither of a line that was handed out nor passed over.
    pub fn kept_len(&self) -> usize {
        self.partial.len() - self.recut_at.unwrap_or(0).min(self.partial.len())
    }

    /// The next line, or none when the chunk is used up; what is unfinished is kept.
    pub fn next<'a>(&'a mut self, chunk: &'a mut Chunk<'_>) -> Option<Frame<'a>> {
        let (place, kind) = self.advance(chunk)?;
        Some(self.frame(place, kind, chunk))
    }

    /// The same of a file, and where the line lies.
    pub fn next_with_place<'a>(&'a mut self, chunk: &'a mut Chunk<'_>) -> Option<(Frame<'a>, LinePlace)> {
        let (place, kind) = self.advance(chunk)?;
        let lies = LinePlace { used: chunk.at, kept: self.kept_len(), len: self.cut_len };
        Some((self.frame(place, kind, chunk), lies))
    }

    fn frame<'a>(&'a mut self, place: Place, kind: FrameKind, chunk: &'a mut Chunk<'_>) -> Frame<'a> {
        let frame = match place {
            Place::Chunk { start, len } => chunk.frame(start, len, kind),
            Place::Partial { start, len } => self.partial.frame(start, len, kind),
        };
        Frame { may_hold_newlines: !matches!(self.framing, Framing::Lf | Framing::Undecided), ..frame }
    }

    /// What is left at the end of the stream: a last line without terminator is a line. Call until it returns none.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        loop {
            if let Some((start, len, kind)) = self.recut() {
                return Some(self.partial.frame(start, len, kind));
            }
            if self.framing == Framing::Octets {
                return self.finish_octets();
            }
            if self.is_skipping || self.partial.len() == 0 {
                return None;
            }
            if matches!(self.framing, Framing::Nul | Framing::Csv) && self.partial.unfinished().contains(&b'\n') {
                self.recut_at = Some(0);
                self.framing = Framing::Lf;
                continue;
            }
            let (len, kind) = self.fit(self.partial.len());
            self.partial.hand_out();
            return Some(self.partial.frame(0, len, kind));
        }
    }

    /// Heap bytes held for the unfinished line.
    pub fn partial_capacity(&self) -> usize {
        self.partial.capacity()
    }

    /// Bytes of the unfinished line.
    pub fn partial_len(&self) -> usize {
        self.partial.len()
    }

    /// How often since the last call a count was wrong: something stood where a count belongs, or the stream ended within a line.
    pub fn take_miscounted(&mut self) -> u64 {
        self.octets.take_miscounted()
    }

    fn advance(&mut self, chunk: &mut Chunk<'_>) -> Option<(Place, FrameKind)> {
        loop {
            if let Some((start, len, kind)) = self.recut() {
                return Some((Place::Partial { start, len }, kind));
            }
            let rest = chunk.rest();
            if rest.is_empty() {
                return None;
            }
            if self.may_be_counted {
                self.look_for_count(rest);
            }
            let mut looked_at = rest.len();
            let terminator = match self.framing {
                Framing::Lf => memchr::memchr(b'\n', rest),
                Framing::Nul => memchr::memchr(0, rest),
                Framing::Undecided => memchr::memchr2(b'\n', 0, rest),
                Framing::Csv if self.is_skipping => memchr::memchr(b'\n', rest),
                Framing::Csv => {
                    // Not beyond what makes the line too long: there the line ends at any LF, and so however the bytes come in pieces.
                    looked_at = rest.len().min(self.line_max + TERMINATOR_BYTES + 1 - self.partial.len());
                    self.quotes.line_end(&rest[..looked_at])
                }
                Framing::Octets => return self.advance_octets(chunk),
            };
            if self.framing == Framing::Undecided
                && let Some(found) = terminator
            {
                self.framing = if rest[found] == 0 { Framing::Nul } else { Framing::Lf };
            }
            let fresh = terminator.unwrap_or(looked_at);
            if !self.is_skipping && self.is_misframed(&rest[..fresh]) {
                self.framing = Framing::Lf;
                self.recut_at = Some(0);
                continue;
            }
            let start = chunk.at;
            chunk.at += fresh + usize::from(terminator.is_some());
            if let Some(found) = self.take(&chunk.bytes[start..start + fresh], start, terminator.is_some()) {
                return Some(found);
            }
        }
    }

    /// Takes the next `fresh` bytes of a line, which lie at `start` of the chunk.
    fn take(&mut self, fresh: &[u8], start: usize, is_terminated: bool) -> Option<(Place, FrameKind)> {
        if self.is_skipping {
            self.is_skipping = !is_terminated;
            self.quotes = Quotes::default();
            return None;
        }
        self.cut_len = self.partial.len() + fresh.len() + usize::from(is_terminated);
        if self.partial.len() == 0 && is_terminated {
            let (len, kind) = self.fit(trimmed_len(fresh, self.framing));
            return (len > 0 || self.keeps_empty).then_some((Place::Chunk { start, len }, kind));
        }
        let kept_max = self.line_max + TERMINATOR_BYTES;
        let room = kept_max - self.partial.len();
        self.partial.keep(&fresh[..fresh.len().min(room)]);
        assert!(self.partial.len() <= kept_max);
        if fresh.len() > room {
            self.is_skipping = !is_terminated;
            self.partial.hand_out();
            return Some((Place::Partial { start: 0, len: self.line_max }, FrameKind::TooLong));
        }
        if !is_terminated {
            return None;
        }
        self.partial.hand_out();
        let (len, kind) = self.fit(trimmed_len(self.partial.unfinished(), self.framing));
        (len > 0 || self.keeps_empty).then_some((Place::Partial { start: 0, len }, kind))
    }

    /// Whether a line that should end with a NUL, or whose quotes are open, is too long but holds an LF: then that was what ended it.
    fn is_misframed(&self, fresh: &[u8]) -> bool {
        let kept_max = self.line_max + TERMINATOR_BYTES;
        let len = self.partial.len() + fresh.len();
        if !matches!(self.framing, Framing::Nul | Framing::Csv) || len <= kept_max {
            return false;
        }
        let looked_at = &fresh[..(kept_max - self.partial.len()).min(fresh.len())];
        self.partial.unfinished().contains(&b'\n') || looked_at.contains(&b'\n')
    }

    /// Forgets what was handed out; the next line of a partial that is being cut at LFs.
    fn recut(&mut self) -> Option<(usize, usize, FrameKind)> {
        self.partial.forget_handed_out();
        while let Some(at) = self.recut_at {
            let Some(len) = memchr::memchr(b'\n', &self.partial.unfinished()[at..]) else {
                self.partial.remove_front(at);
                self.recut_at = None;
                break;
            };
            (self.recut_at, self.cut_len) = (Some(at + len + 1), len + 1);
            let (len, kind) = self.fit(trimmed_len(&self.partial.unfinished()[at..at + len], Framing::Lf));
            if len > 0 {
                return Some((at, len, kind));
            }
        }
        None
    }

    fn fit(&self, len: usize) -> (usize, FrameKind) {
        if len <= self.line_max { (len, FrameKind::Whole) } else { (self.line_max, FrameKind::TooLong) }
    }
}

/// Bytes of a line without what belongs to its terminator: a CR, and before a NUL or the end of a count an LF or CRLF.
fn trimmed_len(line: &[u8], framing: Framing) -> usize {
    let line = match framing {
        Framing::Nul => without_newline(line),
        Framing::Octets => without_newline(line.strip_suffix(b"\0").unwrap_or(line)),
        Framing::Lf | Framing::Undecided | Framing::Csv => line.strip_suffix(b"\r").unwrap_or(line),
    };
    line.len()
}

/// `line` without the LF or CRLF that it may end with.
pub(super) fn without_newline(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTIAL_SMALL_BYTES;
    use proptest::prelude::*;

    #[test]
    fn empty_lines_are_kept_if_asked_for() {
        for pieces in [&[&b"a\n\n\r\nb\n\n"[..]][..], &[b"a", b"\n", b"\n\r", b"\nb\n", b"\n"]] {
            let mut framer = Framer::for_file(Format::Auto, 10).keeping_empty_lines();
            let mut lines = Vec::new();
            for piece in pieces {
                let mut bytes = piece.to_vec();
                bytes.resize(piece.len() + PADDING, b'#');
                let mut chunk = Chunk::new(&mut bytes, piece.len());
                while let Some(frame) = framer.next(&mut chunk) {
                    lines.push(String::from_utf8(frame.line().to_vec()).unwrap());
                }
            }
            assert_eq!(lines, ["a", "", "", "b", ""]);
            assert!(framer.finish().is_none());
        }
    }

    /// Every frame of `pieces`, one after the other.
    fn frames(line_max: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, FrameKind)> {
        frames_as(Format::Text, line_max, pieces)
    }

    fn frames_as(format: Format, line_max: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, FrameKind)> {
        let mut framer = Framer::for_format(format, line_max);
        let mut frames = Vec::new();
        let mut take = |frame: Frame<'_>| frames.push((frame.line().to_vec(), frame.kind));
        for piece in pieces {
            let mut bytes = piece.to_vec();
            bytes.resize(piece.len() + PADDING, b'#');
            let mut chunk = Chunk::new(&mut bytes, piece.len());
            while let Some(frame) = framer.next(&mut chunk) {
                take(frame);
            }
            assert!(framer.partial_len() <= line_max + TERMINATOR_BYTES);
        }
        while let Some(frame) = framer.finish() {
            take(frame);
        }
        frames
    }

    fn whole(lines: &[&str]) -> Vec<(Vec<u8>, FrameKind)> {
        lines.iter().map(|line| (line.as_bytes().to_vec(), FrameKind::Whole)).collect()
    }

    #[test]
    fn terminators() {
        let table: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"a", &["a"]),
            (b"a\nb\n", &["a", "b"]),
            (b"a\n\n\nb", &["a", "b"]),
            (b"a\r\nb\r\n\r\n", &["a", "b"]),
            (b"a\rb\n", &["a\rb"]),
            (b"a\0b\0", &["a", "b"]),
            (b"a\nb\0c\n", &["a", "b\0c"]),
            (b"a\0b\nc\0", &["a", "b\nc"]),
            (b"a\0b\n\0c\r\n\0", &["a", "b", "c"]),
        ];
        for (bytes, lines) in table {
            for size in [1, 2, 3, 100] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                assert_eq!(frames(100, &pieces), whole(lines), "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_stray_nul_costs_no_line() {
        assert_eq!(frames(100, &[b"a\0b\nc\nd"]), whole(&["a", "b", "c", "d"]), "the stream ends without another NUL");
        let many = b"a\0".iter().copied().chain(b"line\n".repeat(50)).collect::<Vec<u8>>();
        let mut expected = vec!["a"];
        expected.extend(["line"; 50]);
        for size in [1, 7, 300] {
            let pieces: Vec<&[u8]> = many.chunks(size).collect();
            assert_eq!(frames(100, &pieces), whole(&expected), "pieces of {size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_not() {
        for size in [1, 2, 3, 5, 100] {
            let pieces: Vec<&[u8]> = b"1234567890\nabc\n123456789012\r\nx".chunks(size).collect();
            let expected = [
                (b"1234567890".to_vec(), FrameKind::Whole),
                (b"abc".to_vec(), FrameKind::Whole),
                (b"1234567890".to_vec(), FrameKind::TooLong),
                (b"x".to_vec(), FrameKind::Whole),
            ];
            assert_eq!(frames(10, &pieces), expected, "pieces of {size}");
        }
        assert_eq!(frames(10, &[b"12345678901"]), [(b"1234567890".to_vec(), FrameKind::TooLong)]);
        assert_eq!(frames(10, &[&[b'x'; 10_000]]), [(vec![b'x'; 10], FrameKind::TooLong)]);
    }

    #[test]
    fn a_csv_line_may_hold_newlines_within_quotes() {
        let table: &[(&str, &[&str])] = &[
            ("a,\"b\nc\"\r\nd,e\n", &["a,\"b\nc\"", "d,e"]),
            ("a,\"open\nb,c\n", &["a,\"open", "b,c"]), // the stream ends
            ("a,\"open\nb,cdefghijkl\nmnopqrs\n\"x\ny\"\n", &["a,\"open", "b,cdefghijkl", "mnopqrs", "\"x", "y\""]), // it grows too long
        ];
        for (text, expected) in table {
            for size in [1, 2, 3, 100] {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                assert_eq!(frames_as(Format::Csv, 20, &pieces), whole(expected), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn memory_for_a_long_line_is_given_back() {
        let mut framer = Framer::new(1 << 20);
        assert_eq!(framer.partial_capacity(), 0);
        for _ in 0..100 {
            let mut bytes = vec![b'x'; 10_000 + PADDING];
            assert!(framer.next(&mut Chunk::new(&mut bytes, 10_000)).is_none());
        }
        assert!(framer.partial_capacity() >= 1_000_000);
        let mut end = vec![b'\n'; 1 + PADDING];
        assert_eq!(framer.next(&mut Chunk::new(&mut end, 1)).expect("a line").line_len(), 1_000_000);
        assert!(framer.next(&mut Chunk::new(&mut end, 0)).is_none());
        assert!(framer.partial_capacity() <= PARTIAL_SMALL_BYTES);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(bytes in proptest::collection::vec(prop_oneof![4 => Just(b'x'), 2 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(0u8)], 0..200), cuts in proptest::collection::vec(1..20usize, 1..40), line_max in 4..30usize) {
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(frames(line_max, &pieces), frames(line_max, &[&bytes]));
        }

        #[test]
        fn any_pieces_of_csv_give_the_same_lines(text in "[a\",\n\r]{0,200}", size in 1..20usize, line_max in 4..30usize) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(frames_as(Format::Csv, line_max, &pieces), frames_as(Format::Csv, line_max, &[text.as_bytes()]));
        }

        #[test]
        fn lines_of_files_lie_where_they_say(text in "[a\",\n\r]{0,200}", size in 1..20usize, line_max in 4..30usize, is_csv: bool, keeps_empty: bool) {
            let framer = Framer::for_file(if is_csv { Format::Csv } else { Format::Auto }, line_max);
            let mut framer = if keeps_empty { framer.keeping_empty_lines() } else { framer };
            let mut before = 0;
            for piece in text.as_bytes().chunks(size) {
                let mut bytes = piece.to_vec();
                bytes.resize(piece.len() + PADDING, b'#');
                let mut chunk = Chunk::new(&mut bytes, piece.len());
                while let Some((frame, LinePlace { used, kept, len })) = framer.next_with_place(&mut chunk) {
                    let end = before + used - kept;
                    let (line, place) = (str::from_utf8(frame.line()).unwrap(), &text[end - len..end]);
                    prop_assert!(end == len || text[..end - len].ends_with('\n'), "{place:?} begins within a line");
                    match frame.kind {
                        FrameKind::Whole => prop_assert_eq!(place.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)), Some(line)),
                        FrameKind::TooLong => prop_assert!(place.starts_with(line)),
                    }
                }
                before += piece.len();
            }
        }

        #[test]
        fn lines_without_nul_are_those_of_a_plain_split(text in "[a-z\r\n]{0,300}") {
            let plain: Vec<&str> = text.split_terminator('\n').collect();
            let ends = text.ends_with('\n');
            let last = plain.len().saturating_sub(1);
            let expected: Vec<&str> = plain.iter().enumerate().map(|(i, line)| if i < last || ends { line.strip_suffix('\r').unwrap_or(line) } else { line }).filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(frames(1_000, &[text.as_bytes()]), whole(&expected));
        }
    }
}
