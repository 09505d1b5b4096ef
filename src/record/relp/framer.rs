//! Cuts received bytes into RELP frames: the sibling of the line [`Framer`](crate::record::framer::Framer), with the same chunks and frames.
//!
//! A frame that lies whole in what was received is handed out where it is. Of one that spans receives the payload is copied once, as it comes: a length that is
//! only announced costs nothing.
//!
//! Invariant: what is kept of a frame is at most `line_max` bytes of its payload and the three that may belong to a line's end, and its header.

use super::header::{HEADER_BYTES_MAX, Header, parse};
use super::{Command, RelpError};
use crate::record::framer::{Chunk, Frame, FrameKind, Partial, without_newline};

/// What may end the line in a payload: CR, LF and NUL.
const TERMINATOR_BYTES: usize = 3;

/// One frame, its payload where it was received.
#[derive(Debug)]
pub struct RelpFrame<'a> {
    /// Its transaction number; 0 for a hint.
    pub txnr: u32,
    /// What it asks for.
    pub command: Command,
    /// Its payload without the terminator that a line in it may have. May be empty, and may hold newlines.
    pub payload: Frame<'a>,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    /// `left` bytes of the payload, then the trailer.
    Payload {
        header: Header,
        left: usize,
    },
    /// A frame was malformed: where the next one begins can't be known.
    Lost,
}

/// Where a payload lies: which bytes, and from where to where.
enum Place {
    Chunk { start: usize, len: usize },
    Partial { len: usize },
}

/// Cuts one connection's bytes into frames.
#[derive(Debug)]
pub struct RelpFramer {
    line_max: usize,
    state: State,
    /// An unfinished header, its first `header_len` bytes.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// What is kept of an unfinished payload.
    partial: Partial,
}

impl RelpFramer {
    /// For lines of at most `line_max` bytes. Allocates nothing until a payload is unfinished.
    pub fn new(line_max: usize) -> Self {
        Self { line_max, state: State::Header, header: [0; HEADER_BYTES_MAX], header_len: 0, partial: Partial::default() }
    }

    /// The next frame, or none when the chunk is used up; what is unfinished is kept. An error is the last thing that a connection gives: whatever follows it
    /// is skipped.
    pub fn next<'a>(&'a mut self, chunk: &'a mut Chunk<'_>) -> Option<Result<RelpFrame<'a>, RelpError>> {
        self.partial.forget_handed_out();
        Some(match self.advance(chunk)? {
            Ok((Header { txnr, command, .. }, place, kind)) => {
                let mut payload = match place {
                    Place::Chunk { start, len } => chunk.frame(start, len, kind),
                    Place::Partial { len } => self.partial.frame(0, len, kind),
                };
                payload.may_hold_newlines = true;
                Ok(RelpFrame { txnr, command, payload })
            }
            Err(error) => {
                self.state = State::Lost;
                self.partial = Partial::default();
                self.header_len = 0;
                Err(error)
            }
        })
    }

    /// What it means that the stream ends here: an unfinished frame is not acknowledged, so its sender still has it.
    pub fn finish(&self) -> Result<(), RelpError> {
        match self.state {
            State::Header if self.header_len > 0 => Err(RelpError::Truncated),
            State::Payload { .. } => Err(RelpError::Truncated),
            State::Header | State::Lost => Ok(()),
        }
    }

    /// Heap bytes held for the unfinished payload.
    pub fn partial_capacity(&self) -> usize {
        self.partial.capacity()
    }

    /// Bytes kept of the unfinished payload.
    pub fn partial_len(&self) -> usize {
        self.partial.len()
    }

    fn advance(&mut self, chunk: &mut Chunk<'_>) -> Option<Result<(Header, Place, FrameKind), RelpError>> {
        loop {
            let rest = chunk.rest();
            if rest.is_empty() {
                return None;
            }
            match self.state {
                State::Lost => {
                    chunk.advance(rest.len());
                    return None;
                }
                State::Header => match self.header(chunk) {
                    Ok(Some(header)) => self.state = State::Payload { header, left: header.data_len },
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                },
                State::Payload { header, left } => {
                    if let Some(outcome) = self.payload(chunk, header, left) {
                        return Some(outcome.map(|(place, kind)| (header, place, kind)));
                    }
                }
            }
        }
    }

    /// The next header, or none when the chunk is used up.
    fn header(&mut self, chunk: &mut Chunk<'_>) -> Result<Option<Header>, RelpError> {
        let rest = chunk.rest();
        let kept = self.header_len;
        if kept == 0
            && let Some((header, len)) = parse(rest)?
        {
            chunk.advance(len);
            return Ok(Some(header));
        }
        let fresh = rest.len().min(HEADER_BYTES_MAX - kept);
        self.header[kept..kept + fresh].copy_from_slice(&rest[..fresh]);
        self.header_len += fresh;
        let Some((header, len)) = parse(&self.header[..self.header_len])? else {
            chunk.advance(fresh);
            return Ok(None);
        };
        self.header_len = 0;
        chunk.advance(len - kept); // without its last byte it was no header
        Ok(Some(header))
    }

    /// Takes what there is of a payload of which `left` bytes are missing, and its trailer.
    fn payload(&mut self, chunk: &mut Chunk<'_>, header: Header, left: usize) -> Option<Result<(Place, FrameKind), RelpError>> {
        let rest = chunk.rest();
        let kept_max = self.line_max + TERMINATOR_BYTES;
        let Some(&trailer) = rest.get(left) else {
            let room = kept_max - self.partial.len();
            self.partial.keep(&rest[..rest.len().min(room)]);
            assert!(self.partial.len() <= kept_max);
            self.state = State::Payload { header, left: left - rest.len() };
            chunk.advance(rest.len());
            return None;
        };
        if trailer != b'\n' {
            return Some(Err(RelpError::MalformedTrailer));
        }
        self.state = State::Header;
        if self.partial.len() == 0 {
            let (len, kind) = self.fit(&rest[..left], header.data_len);
            let start = chunk.advance(left + 1);
            return Some(Ok((Place::Chunk { start, len }, kind)));
        }
        let room = kept_max - self.partial.len();
        self.partial.keep(&rest[..left.min(room)]);
        chunk.advance(left + 1);
        let (len, kind) = self.fit(self.partial.unfinished(), header.data_len);
        self.partial.hand_out();
        Some(Ok((Place::Partial { len }, kind)))
    }

    /// How much of a payload is its line, given as much of it as is kept.
    fn fit(&self, kept: &[u8], data_len: usize) -> (usize, FrameKind) {
        if data_len > self.line_max + TERMINATOR_BYTES {
            return (self.line_max, FrameKind::TooLong);
        }
        let len = line(kept).len();
        if len <= self.line_max { (len, FrameKind::Whole) } else { (self.line_max, FrameKind::TooLong) }
    }
}

/// The line in a payload. DATALEN says where a payload ends, yet templates of syslog daemons end it with LF as well, and C programs with NUL; rsyslog takes one
/// of each off what it receives, the NUL first, and so does this. All others are content.
fn line(payload: &[u8]) -> &[u8] {
    without_newline(payload.strip_suffix(b"\0").unwrap_or(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTIAL_SMALL_BYTES;
    use crate::record::framer::PADDING;
    use proptest::prelude::*;

    /// A frame with its payload owned.
    type Owned = (u32, Command, Vec<u8>, FrameKind);

    /// Every frame of `pieces`, one after the other, and how it ended.
    fn frames(line_max: usize, pieces: &[&[u8]]) -> (Vec<Owned>, Result<(), RelpError>) {
        let mut framer = RelpFramer::new(line_max);
        let mut frames = Vec::new();
        let mut end = Ok(());
        for piece in pieces {
            let mut bytes = piece.to_vec();
            bytes.resize(piece.len() + PADDING, b'#');
            let mut chunk = Chunk::new(&mut bytes, piece.len());
            while let Some(frame) = framer.next(&mut chunk) {
                assert_eq!(end, Ok(()), "nothing follows an error");
                match frame {
                    Ok(mut frame) => {
                        frames.push((frame.txnr, frame.command, frame.payload.line().to_vec(), frame.payload.kind));
                        assert!(frame.payload.line_len() <= line_max);
                        assert!(frame.payload.line_len() + PADDING <= frame.payload.padded().len());
                    }
                    Err(error) => end = Err(error),
                }
            }
            assert!(chunk.rest().is_empty());
            assert!(framer.partial_len() <= line_max + TERMINATOR_BYTES);
            assert!(framer.partial_capacity() <= 2 * (line_max + TERMINATOR_BYTES + PADDING));
        }
        (frames, end.and(framer.finish()))
    }

    fn syslog(txnr: u32, line: &str) -> Owned {
        (txnr, Command::Syslog, line.as_bytes().to_vec(), FrameKind::Whole)
    }

    #[test]
    fn a_payload_is_a_line_however_it_ends() {
        let table: &[(&[u8], &str)] = &[
            (b"1 syslog 3 abc\n", "abc"),
            (b"1 syslog 4 abc\n\n", "abc"),
            (b"1 syslog 5 abc\r\n\n", "abc"),
            (b"1 syslog 4 abc\0\n", "abc"),
            (b"1 syslog 6 abc\r\n\0\n", "abc"),
            (b"1 syslog 5 abc\n\n\n", "abc\n"),
            (b"1 syslog 5 abc\0\0\n", "abc\0"),
            (b"1 syslog 4 abc\r\n", "abc\r"),
            (b"1 syslog 7 a\nb\r\nc \n", "a\nb\r\nc "),
            (b"1 syslog 4  abc\n", " abc"),
            (b"1 syslog 0\n", ""),
            (b"1 syslog 0 \n", ""),
            (b"1 syslog 1 \n\n", ""),
        ];
        for (bytes, line) in table {
            for size in [1, 2, 3, 100] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                assert_eq!(frames(100, &pieces), (vec![syslog(1, line)], Ok(())), "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_too_long_is_cut_and_the_next_frame_is_not() {
        let long = |txnr| (txnr, Command::Syslog, b"1234567890".to_vec(), FrameKind::TooLong);
        let bytes = b"1 syslog 13 1234567890\r\n\0\n2 syslog 11 12345678901\n3 syslog 30 123456789012345678901234567890\n4 syslog 1 x\n";
        for size in [1, 2, 3, 5, 7, 100] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let expected = vec![syslog(1, "1234567890"), long(2), long(3), syslog(4, "x")];
            assert_eq!(frames(10, &pieces), (expected, Ok(())), "pieces of {size}");
        }
    }

    #[test]
    fn a_length_that_is_only_announced_costs_nothing() {
        let mut framer = RelpFramer::new(1 << 20);
        let mut bytes = b"1 syslog 999999999 abc".to_vec();
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        assert!(framer.next(&mut Chunk::new(&mut bytes, len)).is_none());
        assert!(framer.partial_capacity() < 100);
        let mut filler = vec![b'x'; 1_000_000 + PADDING];
        for _ in 0..999 {
            assert!(framer.next(&mut Chunk::new(&mut filler, 1_000_000)).is_none());
            assert!(framer.partial_capacity() <= 3 << 20);
        }
        assert_eq!(framer.finish(), Err(RelpError::Truncated));
        filler[999_996] = b'\n';
        let mut chunk = Chunk::new(&mut filler, 999_997);
        let frame = framer.next(&mut chunk).expect("a frame").expect("legal");
        assert_eq!((frame.txnr, frame.payload.line_len(), frame.payload.kind), (1, 1 << 20, FrameKind::TooLong));
        assert!(framer.next(&mut chunk).is_none());
        assert!(framer.partial_capacity() <= PARTIAL_SMALL_BYTES, "given back");
        assert_eq!(framer.finish(), Ok(()));
    }

    #[test]
    fn what_is_malformed_ends_the_stream_after_what_was_not() {
        let table: &[(&[u8], usize, RelpError)] = &[
            (b"1 syslog 3 abcd\n2 syslog 1 x\n", 0, RelpError::MalformedTrailer),
            (b"1 syslog 1 a\n2 syslog 3 ab\n3 syslog 1 x\n", 1, RelpError::MalformedTrailer),
            (b"1 syslog 1 a\n2 syslog 0 abc\n", 1, RelpError::MalformedTrailer),
            (b"1 syslog 1 a\n\n", 1, RelpError::MalformedTxnr),
            (b"1 syslog 1 a\n{\"message\":\"no RELP\"}\n", 1, RelpError::MalformedTxnr),
            (b"GET / HTTP/1.1\r\n", 0, RelpError::MalformedTxnr),
            (b"<34>Oct 11 22:14:15 host app: text\n", 0, RelpError::MalformedTxnr),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 0, RelpError::MalformedTxnr),
            (b"1 syslog 1 a\n2 sys", 1, RelpError::Truncated),
            (b"1 syslog 5 a\n", 0, RelpError::Truncated),
            (b"1 syslog 1 a", 0, RelpError::Truncated),
            (b"1 close 0", 0, RelpError::Truncated),
        ];
        for (bytes, before, error) in table {
            for size in [1, 2, 3, 100] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                let (frames, end) = frames(100, &pieces);
                assert_eq!((frames.len(), end), (*before, Err(*error)), "{} in pieces of {size}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn a_frame_that_is_whole_is_handed_out_in_place() {
        let mut framer = RelpFramer::new(100);
        let mut bytes = b"1 syslog 2 {}\n2 close 0\n".to_vec();
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        let mut chunk = Chunk::new(&mut bytes, len);
        while let Some(frame) = framer.next(&mut chunk) {
            frame.expect("legal").payload.padded()[..2].fill(b'!'); // as a parser that works in place does
        }
        assert_eq!(framer.partial_capacity(), 0);
        assert_eq!(&bytes[..14], b"1 syslog 2 !!\n");
    }

    /// `bytes` in pieces of the sizes `cuts`, over and over.
    fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }

    proptest! {
        #[test]
        fn any_pieces_of_legal_frames_give_the_frames(
            payloads in proptest::collection::vec("[a-z\n\r\0 0-9]{0,30}", 0..12),
            cuts in proptest::collection::vec(1..20usize, 1..40),
            line_max in 4..40usize,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (at, payload) in payloads.iter().enumerate() {
                let txnr = at as u32 + 1;
                let space = if payload.is_empty() { "" } else { " " };
                bytes.extend_from_slice(format!("{txnr} syslog {}{space}{payload}\n", payload.len()).as_bytes());
                let line = payload.strip_suffix('\0').unwrap_or(payload);
                let line = line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line);
                // A payload that is longer than any terminator explains is too long, and then keeps what looks like one.
                expected.push(match payload.len() <= line_max + TERMINATOR_BYTES && line.len() <= line_max {
                    true => syslog(txnr, line),
                    false => (txnr, Command::Syslog, payload.as_bytes()[..line_max].to_vec(), FrameKind::TooLong),
                });
            }
            prop_assert_eq!(frames(line_max, &pieces(&bytes, &cuts)), (expected, Ok(())));
        }

        #[test]
        fn any_bytes_in_any_pieces_give_the_same(
            tokens in proptest::collection::vec(prop_oneof![
                6 => "[0-9]{1,2}", 6 => Just(" ".to_owned()), 3 => Just("\n".to_owned()), 3 => Just("1 syslog 4 abcd\n".to_owned()),
                2 => Just("syslog".to_owned()), 1 => "[a-z]{1,3}", 1 => Just("0 x 0\n".to_owned()), 1 => Just("9 y 30 ".to_owned()),
            ], 0..40),
            cuts in proptest::collection::vec(1..20usize, 1..40),
            line_max in 4..30usize,
        ) {
            let bytes = tokens.concat().into_bytes();
            prop_assert_eq!(frames(line_max, &pieces(&bytes, &cuts)), frames(line_max, &[&bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cuts in proptest::collection::vec(1..20usize, 1..10)) {
            prop_assert_eq!(frames(10, &pieces(&bytes, &cuts)), frames(10, &[&bytes]));
        }
    }
}
