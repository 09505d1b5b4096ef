//! RELP, the client's side: frames out, answers in. Pure.
//!
//! After librelp's "RELP - The Reliable Event Logging Protocol" (`doc/relp.md` there). A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. Transaction numbers
//! count the commands of one session from 1; a server answers each with `TXNR rsp DATALEN SP DATA LF`, in their order. DATA is a status, 200 for success,
//! and a text.
//!
//! A line of a run ends with an LF that is no part of it. Behind the header of a frame it is the frame's own: a header in front of each line makes frames of
//! lines.

pub mod answers;

pub use answers::{Answers, Event, Malformed};

/// The offers of a client, the payload of `open`.
const OFFERS: &str = concat!("relp_version=0\nrelp_software=loadgen,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog");

/// A transaction number has at most so many digits; behind the largest comes 1.
const TXNR_DIGITS: usize = 9;

/// A transaction number as text that counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txnr {
    digits: [u8; TXNR_DIGITS],
    start: usize,
}

impl Txnr {
    /// The first of a session.
    pub const FIRST: Self = Self { digits: *b"000000001", start: TXNR_DIGITS - 1 };

    /// Without leading zeros.
    pub fn text(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    /// Becomes its successor.
    pub fn advance(&mut self) {
        for digit in self.digits[self.start..].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        match self.start.checked_sub(1) {
            Some(start) => {
                self.digits[start] = b'1';
                self.start = start;
            }
            None => *self = Self::FIRST,
        }
    }
}

/// Appends the frame that begins a session.
pub fn open(txnr: &mut Txnr, out: &mut Vec<u8>) {
    header(txnr, "open", OFFERS.len(), out);
    out.extend_from_slice(OFFERS.as_bytes());
    out.push(b'\n');
}

/// Appends the frame that ends a session.
pub fn close(txnr: &mut Txnr, out: &mut Vec<u8>) {
    out.extend_from_slice(txnr.text());
    out.extend_from_slice(b" close 0\n");
    txnr.advance();
}

/// Appends what goes in front of a line that has `line_bytes` bytes, newline included.
pub fn before_line(txnr: &mut Txnr, line_bytes: usize, out: &mut Vec<u8>) {
    header(txnr, "syslog", line_bytes - 1, out);
}

#[inline]
fn header(txnr: &mut Txnr, command: &str, mut data_bytes: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; TXNR_DIGITS];
    let mut start = TXNR_DIGITS;
    while 0 < data_bytes || start == TXNR_DIGITS {
        start -= 1;
        digits[start] = b'0' + (data_bytes % 10) as u8;
        data_bytes /= 10;
    }
    out.extend_from_slice(txnr.text());
    out.push(b' ');
    out.extend_from_slice(command.as_bytes());
    out.push(b' ');
    out.extend_from_slice(&digits[start..]);
    out.push(b' ');
    txnr.advance();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_on_and_wrap_to_one() {
        let mut txnr = Txnr::FIRST;
        for expected in 1..=100_001 {
            assert_eq!(txnr.text(), expected.to_string().as_bytes());
            txnr.advance();
        }
        let mut last = Txnr { digits: *b"999999998", start: 0 };
        last.advance();
        assert_eq!(last.text(), b"999999999");
        last.advance();
        assert_eq!(last, Txnr::FIRST);
    }

    #[test]
    fn frames_say_their_length() {
        let (mut txnr, mut out) = (Txnr::FIRST, Vec::new());
        open(&mut txnr, &mut out);
        for line in ["a\n", "\n", &"x".repeat(1200)] {
            before_line(&mut txnr, line.len(), &mut out);
            out.extend_from_slice(line.as_bytes());
        }
        close(&mut txnr, &mut out);
        let long = "x".repeat(1200);
        let expected = format!("1 open {} {OFFERS}\n2 syslog 1 a\n3 syslog 0 \n4 syslog 1199 {long}5 close 0\n", OFFERS.len());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
