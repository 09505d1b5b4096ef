//! Lines behind their counts: `MSG-LEN SP SYSLOG-MSG` (RFC 6587, section 3.4.1), found by the `<PRI>` with which every syslog message begins.
//!
//! Between two lines an LF, CR or NUL is forgiven: some senders end each line and count. Anything else there means that a count was wrong; so does one that no
//! line may be as long as. What then comes is a line up to an LF or to the next count before a `<PRI>`, from where on counts hold again: nothing is lost but the
//! place where a message ended, and each time is counted. The same is done to a line that the stream ends in.
//!
//! Invariant: the matcher has seen what `partial` holds while no count runs.

use super::{Chunk, Frame, FrameKind, Framer, Framing, Place, TERMINATOR_BYTES, trimmed_len};

/// Nine digits are more than the longest line.
const COUNT_DIGITS_MAX: usize = 9;
/// `<191>`.
const PRI_BYTES_MAX: usize = 5;

/// The state of a stream with counts.
#[derive(Debug, Default)]
pub(super) struct Octets {
    /// Bytes of the line that are yet to come; 0 between lines.
    left: usize,
    matcher: Matcher,
    /// The beginning of the line whose count ended other bytes: those come first.
    next: Option<Begun>,
    /// What the stream ended in, on its way to be cut once more.
    ending: Option<Ending>,
    miscounted: u64,
}

/// A count, and the `<PRI>` by which it was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    count: usize,
    /// Bytes of the count and the space behind it.
    header_len: usize,
    pri: [u8; PRI_BYTES_MAX],
    pri_len: usize,
}

#[derive(Debug)]
struct Ending {
    bytes: Vec<u8>,
    len: usize,
    at: usize,
}

/// Recognises a count before a `<PRI>` byte by byte, wherever it stands.
#[derive(Debug, Default, Clone, Copy)]
struct Matcher {
    count: usize,
    digits: usize,
    has_space: bool,
    pri: [u8; PRI_BYTES_MAX],
    pri_len: usize,
}

impl Matcher {
    /// Takes the next byte; tells when it completes a match.
    fn push(&mut self, byte: u8) -> Option<Begun> {
        let is_digit = byte.is_ascii_digit();
        let fits = match (self.has_space, self.pri_len) {
            (false, _) if is_digit => (self.digits > 0 || byte != b'0') && self.digits < COUNT_DIGITS_MAX,
            (false, _) => byte == b' ' && self.digits > 0,
            (true, 0) => byte == b'<',
            (true, 1) => is_digit,
            (true, 2 | 3) => is_digit || byte == b'>',
            _ => byte == b'>',
        };
        if !fits {
            *self = Self::default();
            if !matches!(byte, b'1'..=b'9') {
                return None;
            }
        }
        if self.has_space {
            self.pri[self.pri_len] = byte;
            self.pri_len += 1;
        } else if byte == b' ' {
            self.has_space = true;
        } else {
            self.count = self.count * 10 + usize::from(byte - b'0');
            self.digits += 1;
        }
        if byte != b'>' {
            return None;
        }
        let Self { count, digits, pri, pri_len, .. } = std::mem::take(self);
        (pri_len <= count).then_some(Begun { count, header_len: digits + 1, pri, pri_len })
    }

    /// Bytes of the match so far.
    fn len(&self) -> usize {
        self.digits + usize::from(self.has_space) + self.pri_len
    }
}

/// What a beginning tells.
#[derive(Debug, PartialEq, Eq)]
enum Begins {
    WithCount(Begun),
    Otherwise,
    /// So far it is one.
    Unknown,
}

fn begins(bytes: impl Iterator<Item = u8>) -> Begins {
    let mut matcher = Matcher::default();
    for (at, byte) in bytes.enumerate() {
        if let Some(begun) = matcher.push(byte) {
            return Begins::WithCount(begun);
        }
        if matcher.len() != at + 1 {
            return Begins::Otherwise;
        }
    }
    Begins::Unknown
}

impl Octets {
    pub(super) fn take_miscounted(&mut self) -> u64 {
        std::mem::take(&mut self.miscounted)
    }
}

impl Framer {
    /// Decides whether the stream, which goes on with `rest`, has counts.
    pub(super) fn look_for_count(&mut self, rest: &[u8]) {
        match begins(self.partial.unfinished().iter().chain(rest).copied()) {
            Begins::Unknown => return,
            Begins::WithCount(_) => {
                self.framing = Framing::Octets;
                for byte in self.partial.unfinished() {
                    let _ = self.octets.matcher.push(*byte); // a part of the match
                }
            }
            Begins::Otherwise => {}
        }
        self.may_be_counted = false;
    }

    /// The next line of a stream with counts.
    pub(super) fn advance_octets(&mut self, chunk: &mut Chunk<'_>) -> Option<(Place, FrameKind)> {
        loop {
            self.partial.forget_handed_out();
            if let Some(begun) = self.octets.next.take()
                && let Some(found) = self.begin(begun)
            {
                return Some(found);
            }
            let rest = chunk.rest();
            if rest.is_empty() {
                return None;
            }
            let found = if self.octets.left > 0 {
                self.counted(chunk)
            } else if self.partial.len() > 0 || self.is_skipping {
                self.uncounted(chunk)
            } else if matches!(rest[0], b'\r' | b'\n' | 0) {
                chunk.advance(1);
                None
            } else if let Begins::WithCount(begun) = begins(rest.iter().copied())
                && begun.count <= self.kept_max()
            {
                chunk.advance(begun.header_len);
                self.octets.left = begun.count;
                self.counted(chunk)
            } else {
                self.uncounted(chunk)
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// What is left at the end of a stream with counts.
    pub(super) fn finish_octets(&mut self) -> Option<Frame<'_>> {
        if self.octets.left > 0 && self.octets.ending.is_none() {
            self.octets.miscounted += 1;
            self.octets.left = 0;
            let (bytes, len) = self.partial.take();
            self.octets.ending = Some(Ending { bytes, len, at: 0 });
        }
        if let Some(mut ending) = self.octets.ending.take() {
            let mut chunk = Chunk { bytes: &mut ending.bytes, at: ending.at, end: ending.len };
            let found = self.advance_octets(&mut chunk);
            ending.at = chunk.at;
            if let Some((place, kind)) = found {
                let frame = match place {
                    Place::Chunk { start, len } => {
                        let bytes = &mut self.octets.ending.insert(ending).bytes;
                        Frame { padded: &mut bytes[start..], len, kind, may_hold_newlines: true }
                    }
                    Place::Partial { start, len } => {
                        self.octets.ending = Some(ending);
                        self.partial.frame(start, len, kind)
                    }
                };
                return Some(Frame { may_hold_newlines: true, ..frame });
            }
            self.octets.ending = Some(ending);
        }
        if self.is_skipping || self.partial.len() == 0 {
            return None;
        }
        self.octets.miscounted += u64::from(self.octets.ending.is_none());
        self.octets.left = 0;
        let (len, kind) = self.fit(trimmed_len(self.partial.unfinished(), Framing::Octets));
        self.partial.hand_out();
        let frame = self.partial.frame(0, len, kind);
        (len > 0).then_some(Frame { may_hold_newlines: true, ..frame })
    }

    /// Begins the line behind a count that was found among other bytes, or within two receives. Gives it where it is no longer than its `<PRI>`.
    fn begin(&mut self, begun: Begun) -> Option<(Place, FrameKind)> {
        self.partial.keep(&begun.pri[..begun.pri_len]);
        self.octets.left = begun.count - begun.pri_len;
        if self.octets.left > 0 { None } else { self.hand_out_partial() }
    }

    /// Takes bytes of a line whose count runs.
    fn counted(&mut self, chunk: &mut Chunk<'_>) -> Option<(Place, FrameKind)> {
        let fresh = chunk.rest().len().min(self.octets.left);
        let start = chunk.advance(fresh);
        self.octets.left -= fresh;
        let bytes = &chunk.bytes[start..start + fresh];
        if self.octets.left == 0 && self.partial.len() == 0 {
            let (len, kind) = self.fit(trimmed_len(bytes, Framing::Octets));
            return (len > 0).then_some((Place::Chunk { start, len }, kind));
        }
        self.partial.keep(bytes);
        if self.octets.left > 0 { None } else { self.hand_out_partial() }
    }

    /// Takes bytes where a count belongs: up to an LF, or to a count.
    fn uncounted(&mut self, chunk: &mut Chunk<'_>) -> Option<(Place, FrameKind)> {
        let rest = chunk.rest();
        let (matched_before, mut begun) = (self.octets.matcher, None);
        let stop = rest.iter().position(|byte| {
            begun = self.octets.matcher.push(*byte).filter(|begun| begun.count <= self.line_max + TERMINATOR_BYTES);
            begun.is_some() || *byte == b'\n'
        });
        let fresh = stop.unwrap_or(rest.len());
        let room = if self.is_skipping { 0 } else { self.kept_max() - self.partial.len() };
        if !self.is_skipping && fresh > room {
            // Its end may be among these bytes, but not before they make it too long; what follows is looked at again.
            let start = chunk.advance(room + 1);
            let bytes = &chunk.bytes[start..=start + room];
            self.octets.matcher = matched_before;
            for byte in bytes {
                let _ = self.octets.matcher.push(*byte); // no match: that would have been the stop
            }
            self.partial.keep(&bytes[..room]);
            self.is_skipping = true;
            self.octets.miscounted += 1;
            self.partial.hand_out();
            return Some((Place::Partial { start: 0, len: self.line_max }, FrameKind::TooLong));
        }
        let start = chunk.advance(fresh + usize::from(stop.is_some()));
        let was_skipping = self.is_skipping;
        if !was_skipping {
            self.partial.keep(&chunk.bytes[start..start + fresh]);
        }
        stop?;
        self.octets.matcher = Matcher::default();
        self.is_skipping = false;
        // All of the match but its last byte is kept.
        let match_len = begun.map_or(0, |begun| begun.header_len + begun.pri_len - 1);
        self.octets.next = begun;
        if was_skipping {
            return None;
        }
        let text_len = self.partial.len() - match_len;
        let (len, kind) = self.fit(trimmed_len(&self.partial.unfinished()[..text_len], Framing::Lf));
        self.octets.miscounted += u64::from(len > 0);
        self.partial.hand_out();
        (len > 0).then_some((Place::Partial { start: 0, len }, kind))
    }

    fn hand_out_partial(&mut self) -> Option<(Place, FrameKind)> {
        let (len, kind) = self.fit(trimmed_len(self.partial.unfinished(), Framing::Octets));
        self.partial.hand_out();
        (len > 0).then_some((Place::Partial { start: 0, len }, kind))
    }

    fn kept_max(&self) -> usize {
        self.line_max + TERMINATOR_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::PADDING;
    use super::*;
    use crate::record::detect::Format;
    use proptest::prelude::*;

    /// The lines of `pieces`, and how often a count was wrong.
    fn lines(line_max: usize, pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let mut framer = Framer::for_format(Format::Auto, line_max);
        let mut lines = Vec::new();
        let mut take = |frame: Frame<'_>| {
            let mark = if frame.kind == FrameKind::TooLong { "!" } else { "" };
            lines.push(format!("{mark}{}", String::from_utf8_lossy(frame.line())));
        };
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
        (lines, framer.take_miscounted())
    }

    #[test]
    fn counts_and_what_stands_in_their_place() {
        let table: &[(&str, &[&str], u64)] = &[
            ("7 <13>one8 <13>three", &["<13>one", "<13>thre", "e"], 1),
            ("7 <13>one7 <13>two", &["<13>one", "<13>two"], 0),
            ("10 <13>one\ntw8 <13>one\n8 <13>two\0", &["<13>one\ntw", "<13>one", "<13>two"], 0),
            ("7 <13>one\n7 <13>two\r\n", &["<13>one", "<13>two"], 0),
            ("4 <13>5 <191>3 <1>", &["<13>", "<191>", "<1>"], 0),
            // A count that is too small: the rest is a line, up to an LF or to the next count.
            ("6 <13>one\n7 <13>two", &["<13>on", "e", "<13>two"], 1),
            ("6 <13>onX7 <13>two", &["<13>on", "X", "<13>two"], 1),
            // One that is too large takes in what follows; then counts hold again.
            ("9 <13>one7 <13>two7 <13>six", &["<13>one7 ", "<13>two", "<13>six"], 1),
            // The stream ends within it: it is cut once more.
            ("30 <13>one7 <13>two\n7 <13>six", &["<13>one", "<13>two", "<13>six"], 2),
            // One that no line may have: not a count.
            ("90 <13>one7 <13>two\n7 <13>six", &["90 <13>one", "<13>two", "<13>six"], 1),
            ("9 <13>one", &["<13>one"], 1),
            ("7 <13>one12", &["<13>one", "12"], 1),
            ("7 <13>one999999999 <13>two\n7 <13>six", &["<13>one", "999999999 <13>two", "<13>six"], 1),
            // No counts: lines that begin with numbers.
            ("7 <no>\n7 <13>one\n", &["7 <no>", "7 <13>one"], 0),
            ("07 <13>one\n", &["07 <13>one"], 0),
            ("2 <13>one\n", &["2 <13>one"], 0),
            ("12", &["12"], 0),
        ];
        for (text, expected, miscounted) in table {
            for size in [1, 2, 3, 5, 100] {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
                assert_eq!(lines(40, &pieces), (expected, *miscounted), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_ends_at_the_next_count() {
        let long = format!("60 <13>{}7 <13>two", "x".repeat(56));
        for size in [1, 3, 7, 1000] {
            let pieces: Vec<&[u8]> = [b"7 <13>one", long.as_bytes()].concat().leak().chunks(size).collect();
            let (lines, miscounted) = lines(20, &pieces);
            assert_eq!(lines, ["<13>one", "!60 <13>xxxxxxxxxxxxx", "<13>two"], "pieces of {size}");
            assert_eq!(miscounted, 1);
        }
    }

    proptest! {
        #[test]
        fn counted_lines_come_out_as_they_went_in(messages in prop::collection::vec("<[0-9]{1,3}>[a-z0-9 <>\n]{0,20}[a-z]", 1..20), size in 1..50usize) {
            let bytes: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
            let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(size).collect();
            prop_assert_eq!(lines(40, &pieces), (messages, 0));
        }

        #[test]
        fn any_pieces_give_the_same_lines(tail in "([0-9]{1,3} <[0-9]{1,2}>|[0-9x<> \n\r]){0,60}", cuts in prop::collection::vec(1..20usize, 1..40), line_max in 8..40usize) {
            let bytes = format!("7 <13>one{tail}").into_bytes();
            let (mut pieces, mut rest): (Vec<&[u8]>, _) = (Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(lines(line_max, &pieces), lines(line_max, &[&bytes]));
        }
    }
}
