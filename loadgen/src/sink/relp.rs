//! A server that acknowledges whatever comes: the least that a RELP client can be measured against.
//!
//! It trusts its clients to number their frames in order, answers all frames of one read with one write, and knows `close` by its letters.

use std::io::{self, ErrorKind, Read, Write};

use super::READ_BYTES;

/// What follows the number in nearly every answer.
const OK: &[u8] = b" rsp 6 200 OK\n";
/// What follows it in the answer to `open`.
const OPENED: &[u8] = b" rsp 45 200 OK\nrelp_version=0\ncommands=syslog,nothing\n";

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A header, of which so many bytes are in hand.
    Header(usize),
    /// So many bytes of a payload and its LF.
    Payload(usize),
}

/// Longer than any header: three fields of 9, 32 and 9 bytes, each with its space.
const HEADER_BYTES_MAX: usize = 53;

/// Reads one client's frames and acknowledges each, until it closes. `count` gets lines and bytes as they come.
pub(super) fn acknowledge(stream: &mut (impl Read + Write), count: impl Fn(u64, usize)) -> io::Result<()> {
    let mut frames = Frames { next: Next::Header(0), header: [0; HEADER_BYTES_MAX], lines: 0 };
    let mut buf = vec![0; READ_BYTES];
    let mut out = Vec::new();
    loop {
        let n = match stream.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let is_open = frames.take(&buf[..n], &mut out)?;
        stream.write_all(&out)?;
        out.clear();
        count(std::mem::take(&mut frames.lines), n);
        if !is_open {
            return Ok(());
        }
    }
}

struct Frames {
    next: Next,
    /// The beginning of a header that is not whole.
    header: [u8; HEADER_BYTES_MAX],
    lines: u64,
}

impl Frames {
    /// Answers every frame whose header is in `bytes`, whose payload is discarded as it comes. False when one of them was `close`.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        while !bytes.is_empty() {
            match self.next {
                Next::Payload(left) if bytes.len() < left => {
                    self.next = Next::Payload(left - bytes.len());
                    return Ok(true);
                }
                Next::Payload(left) => {
                    bytes = &bytes[left..];
                    self.next = Next::Header(0);
                }
                Next::Header(kept) => {
                    let fresh = bytes.len().min(HEADER_BYTES_MAX - kept);
                    let whole = if kept == 0 {
                        parse(bytes, out)?
                    } else {
                        self.header[kept..kept + fresh].copy_from_slice(&bytes[..fresh]);
                        parse(&self.header[..kept + fresh], out)?
                    };
                    let Some(Header { command, len, payload }) = whole else {
                        self.header[kept..kept + fresh].copy_from_slice(&bytes[..fresh]);
                        self.next = Next::Header(kept + fresh);
                        return Ok(true);
                    };
                    match command {
                        b's' => self.lines += 1,
                        b'c' => return Ok(false),
                        _ => {}
                    }
                    bytes = &bytes[len - kept..];
                    self.next = Next::Payload(payload);
                }
            }
        }
        Ok(true)
    }
}

struct Header {
    /// Its first letter.
    command: u8,
    len: usize,
    /// Bytes of the payload and its LF.
    payload: usize,
}

/// The header that `bytes` begin with, with a space behind its length unless that is 0; it is answered. `None` while it is not whole.
fn parse(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<Option<Header>> {
    let head = &bytes[..bytes.len().min(HEADER_BYTES_MAX)];
    let malformed = || io::Error::new(ErrorKind::InvalidData, "it does not speak RELP");
    let not_yet = || if head.len() < HEADER_BYTES_MAX { Ok(None) } else { Err(malformed()) };
    let Some(number_end) = memchr::memchr(b' ', head) else { return not_yet() };
    let Some(command_len) = memchr::memchr(b' ', &head[number_end + 1..]) else { return not_yet() };
    let mut at = number_end + 1 + command_len + 1;
    let mut payload = 0;
    while let Some(digit) = head.get(at).filter(|byte| byte.is_ascii_digit()) {
        payload = payload * 10 + usize::from(digit - b'0');
        at += 1;
        if 9 < at - number_end - command_len - 2 {
            return Err(malformed());
        }
    }
    let Some(&behind) = head.get(at) else { return not_yet() };
    if 9 < number_end || command_len == 0 || behind != b' ' && (behind != b'\n' || 0 < payload) {
        return Err(malformed());
    }
    let command = head[number_end + 1];
    out.extend_from_slice(&head[..number_end]);
    out.extend_from_slice(if command == b'o' { OPENED } else { OK });
    Ok(Some(Header { command, len: at + usize::from(behind == b' '), payload: payload + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_answered_wherever_it_is_split() {
        let bytes = b"1 open 15 commands=syslog\n2 syslog 5 a b\nc\n3 syslog 0\n4 syslog 0 \n999999999 syslog 1 x\n5 close 0\n";
        let expected = [b"1" as &[u8], OPENED, b"2", OK, b"3", OK, b"4", OK, b"999999999", OK, b"5", OK].concat();
        for size in 1..bytes.len() {
            let mut frames = Frames { next: Next::Header(0), header: [0; HEADER_BYTES_MAX], lines: 0 };
            let mut out = Vec::new();
            let open: Vec<bool> = bytes.chunks(size).map(|chunk| frames.take(chunk, &mut out).unwrap()).collect();
            assert_eq!((String::from_utf8_lossy(&out), frames.lines), (String::from_utf8_lossy(&expected), 4), "{size}");
            assert!(open.contains(&false));
        }
        let text = OPENED.splitn(4, |&byte| byte == b' ').last().unwrap();
        assert_eq!(text.len() - 1, 45);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bytes in [
            "x".repeat(60),
            "1 syslog 1234567890 ".to_owned(),
            "1 syslog x".to_owned(),
            "1  1 x\n".to_owned(),
            "1 syslog 5\nhello\n".to_owned(),
        ] {
            let mut frames = Frames { next: Next::Header(0), header: [0; HEADER_BYTES_MAX], lines: 0 };
            assert!(frames.take(bytes.as_bytes(), &mut Vec::new()).is_err(), "{bytes}");
        }
    }
}
