//! A server's answers, as they were received: in bulk where they say the usual, one by one where they don't.

use std::fmt;

use super::{TXNR_DIGITS, Txnr};

/// What follows the number of nearly every answer.
const OK: &[u8] = b" rsp 6 200 OK\n";
/// The longest command (specification, "RELP FRAME": 1*32ALPHA).
const COMMAND_BYTES_MAX: usize = 32;
/// The longest payload of an answer: offers are the longest, and take a hundred bytes.
const DATA_BYTES_MAX: usize = 4096;
/// The longest answer, so that a buffer of this size always holds one whole.
pub const ANSWER_BYTES_MAX: usize = TXNR_DIGITS + 1 + COMMAND_BYTES_MAX + 1 + TXNR_DIGITS + 1 + DATA_BYTES_MAX + 1;

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many commands, the oldest, succeeded.
    Accepted(u64),
    /// The oldest command did not, with the first line of what was said about it.
    Refused(&'a [u8]),
    /// The server ends the session (specification, "Hint Command serverclose").
    ServerClose,
    /// A hint of another kind.
    Hint,
}

/// Bytes that are no answer to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not RELP: {}", self.0)
    }
}

/// Reads the answers of one session.
#[derive(Debug)]
pub struct Answers {
    /// The command that is answered next.
    expected: Txnr,
}

impl Default for Answers {
    fn default() -> Self {
        Self { expected: Txnr::FIRST }
    }
}

/// One frame of a server.
struct Frame<'a> {
    txnr: &'a [u8],
    command: &'a [u8],
    data: &'a [u8],
    len: usize,
}

impl Answers {
    /// What `bytes` begin with, and how many of them that was; `None` while it is not whole. `awaited` commands were sent and are not answered.
    pub fn next<'a>(&mut self, bytes: &'a [u8], awaited: u64) -> Result<Option<(Event<'a>, usize)>, Malformed> {
        let (mut used, mut count) = (0, 0);
        while count < awaited
            && let Some(rest) = bytes[used..].strip_prefix(self.expected.text())
            && rest.starts_with(OK)
        {
            used += self.expected.text().len() + OK.len();
            count += 1;
            self.expected.advance();
        }
        if 0 < count {
            return Ok(Some((Event::Accepted(count), used)));
        }
        let Some(frame) = Frame::parse(bytes)? else { return Ok(None) };
        let event = match frame.command {
            b"serverclose" => Event::ServerClose,
            _ if frame.txnr.is_empty() => Event::Hint,
            b"rsp" if awaited == 0 => return Err(Malformed("an answer to nothing")),
            b"rsp" if frame.txnr != self.expected.text() => return Err(Malformed("an answer out of turn")),
            b"rsp" => {
                self.expected.advance();
                judge(frame.data)
            }
            _ => return Err(Malformed("a command that a server does not give")),
        };
        Ok(Some((event, frame.len)))
    }
}

/// Success is the status 200, whatever the text behind it.
fn judge(data: &[u8]) -> Event<'_> {
    match data.strip_prefix(b"200") {
        Some(rest) if matches!(rest.first(), None | Some(b' ' | b'\n')) => Event::Accepted(1),
        _ => Event::Refused(data.split(|&byte| byte == b'\n').next().unwrap_or_default()),
    }
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with, its number without leading zeros (so a hint's is empty). An error at the first wrong byte.
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(txnr) = token(bytes, TXNR_DIGITS, u8::is_ascii_digit).map_err(|()| Malformed("no number begins a frame"))? else {
            return Ok(None);
        };
        if bytes[txnr.len()] != b' ' {
            return Err(Malformed("no space behind a number"));
        }
        let rest = &bytes[txnr.len() + 1..];
        let Some(command) = token(rest, COMMAND_BYTES_MAX, u8::is_ascii_alphabetic).map_err(|()| Malformed("no command in a frame"))?
        else {
            return Ok(None);
        };
        if rest[command.len()] != b' ' {
            return Err(Malformed("no space behind a command"));
        }
        let rest = &rest[command.len() + 1..];
        let Some(digits) = token(rest, TXNR_DIGITS, u8::is_ascii_digit).map_err(|()| Malformed("no length in a frame"))? else {
            return Ok(None);
        };
        let data_bytes = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if DATA_BYTES_MAX < data_bytes {
            return Err(Malformed("an answer that is too long"));
        }
        let rest = &rest[digits.len()..];
        let rest = match rest[0] {
            b' ' => &rest[1..],
            b'\n' if data_bytes == 0 => rest, // without data there is no space before it
            _ => return Err(Malformed("no space behind a length")),
        };
        match rest.get(data_bytes) {
            None => Ok(None),
            Some(b'\n') => {
                let len = bytes.len() - rest.len() + data_bytes + 1;
                let zeros = txnr.iter().take_while(|&&digit| digit == b'0').count();
                Ok(Some(Self { txnr: &txnr[zeros..], command, data: &rest[..data_bytes], len }))
            }
            Some(_) => Err(Malformed("no LF behind a payload")),
        }
    }
}

/// The 1 to `max` bytes of a kind that `bytes` begin with, once the byte behind them is there.
fn token(bytes: &[u8], max: usize, is_part: impl Fn(&u8) -> bool) -> Result<Option<&[u8]>, ()> {
    let len = bytes.iter().take(max + 1).take_while(|byte| is_part(byte)).count();
    if max < len || len == 0 && !bytes.is_empty() {
        return Err(());
    }
    Ok((len < bytes.len()).then(|| &bytes[..len]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that `pieces` say, received one after the other, runs of acceptances in one.
    fn events(pieces: &[&[u8]], awaited: u64) -> Result<Vec<String>, Malformed> {
        let (mut answers, mut kept, mut events, mut left) = (Answers::default(), Vec::new(), Vec::<String>::new(), awaited);
        let mut accepted = 0;
        for piece in pieces {
            kept.extend_from_slice(piece);
            while let Some((event, used)) = answers.next(&kept, left)? {
                let told = match event {
                    Event::Accepted(count) => {
                        (accepted, left) = (accepted + count, left - count);
                        None
                    }
                    Event::Refused(text) => {
                        left -= 1;
                        Some(format!("refused {}", String::from_utf8_lossy(text)))
                    }
                    Event::ServerClose => Some("close".to_owned()),
                    Event::Hint => Some("hint".to_owned()),
                };
                if let Some(told) = told {
                    if 0 < accepted {
                        events.push(std::mem::take(&mut accepted).to_string());
                    }
                    events.push(told);
                }
                kept.drain(..used);
            }
        }
        if 0 < accepted {
            events.push(accepted.to_string());
        }
        Ok(events)
    }

    const SESSION: &str = "1 rsp 57 200 OK\nrelp_version=0\nrelp_software=x,1\ncommands=syslog,a\n2 rsp 6 200 OK\n3 rsp 6 200 OK\n\
        4 rsp 14 500 no, thanks\n005 rsp 6 200 OK\n0 whatever 3 a b\n6 rsp 3 200\n7 rsp 0\n8 rsp 0 \n9 rsp 4 2000\n10 rsp 6 200 OK\n11 rsp 6 200 OK\n0 serverclose 0\n";
    const TOLD: [&str; 9] = ["3", "refused 500 no, thanks", "1", "hint", "1", "refused ", "refused ", "refused 2000", "2"];

    #[test]
    fn a_session() {
        let all = [&TOLD[..], &["close"]].concat();
        assert_eq!(events(&[SESSION.as_bytes()], 11).unwrap(), all);
        let bytes: Vec<&[u8]> = SESSION.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes, 11).unwrap(), all);
        assert_eq!(events(&[b"9 serverclose 0\n"], 0).unwrap(), ["close"]);
    }

    #[test]
    fn what_is_no_answer_is_an_error_at_its_first_wrong_byte() {
        let long = "x".repeat(33);
        for (bytes, awaited) in [
            ("x", 1),
            (" ", 1),
            ("1x", 1),
            ("1\n", 1),
            ("1000000000", 1),
            ("1  ", 1),
            ("1 5", 1),
            (&format!("1 {long}"), 1),
            ("1 rsp\n", 1),
            ("1 rsp x", 1),
            ("1 rsp  ", 1),
            ("1 rsp 6x", 1),
            ("1 rsp 6\n", 1),
            ("1 rsp 9999 ", 1),
            ("1 rsp 6 200 OKx", 1),
            ("2 rsp 6 200 OK\n", 1),
            ("1 rsp 6 200 OK\n2 rsp 6 200 OK\n", 1),
            ("1 rsp 6 200 OK\n1 rsp 6 200 OK\n", 2),
            ("1 rsp 6 200 OK\n", 0),
            ("1 syslog 1 a\n", 1),
        ] {
            assert!(events(&[bytes.as_bytes()], awaited).is_err(), "{bytes:?}");
            assert!(events(&[&bytes.as_bytes()[..bytes.len() - 1]], awaited).is_ok(), "{bytes:?} without its last byte");
        }
    }

    #[test]
    fn numbers_wrap_within_a_read() {
        let mut answers = Answers { expected: Txnr { digits: *b"999999999", start: 0 } };
        let bytes = b"999999999 rsp 6 200 OK\n1 rsp 6 200 OK\n2 rsp";
        assert_eq!(answers.next(bytes, 5).unwrap(), Some((Event::Accepted(2), bytes.len() - 5)));
        assert_eq!(answers.next(&bytes[bytes.len() - 5..], 3).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(cuts in prop::collection::vec(0..SESSION.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, SESSION.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &SESSION.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&pieces, 11).unwrap(), events(&[SESSION.as_bytes()], 11).unwrap());
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(prop::sample::select(&b"0129 rspclose\nOK"[..]), 0..60)) {
            if let Ok(Some((_, used))) = Answers::default().next(&bytes, 2) {
                prop_assert!(used <= bytes.len() && 0 < used);
            }
        }
    }
}
