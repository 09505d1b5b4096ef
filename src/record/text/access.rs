//! The access logs of Apache, nginx and others: common log format, combined log format, and both with the virtual host before them.
//!
//! `CLIENT IDENT USER [TIME] "REQUEST" STATUS BYTES ["REFERER" "USER AGENT" [REST]]`: the message is the request.

use super::parts::{Parts, Span};
use super::scan::{quoted, skip_spaces, word};
use crate::record::timestamp::forms;

/// Reads an access log line. Whether it is one.
pub(super) fn read(line: &[u8], parts: &mut Parts) -> bool {
    read_to_end(line, parts).is_some()
}

fn read_to_end(line: &[u8], parts: &mut Parts) -> Option<()> {
    let mut words = [Span::default(); 4];
    let (mut count, mut at) = (0, 0);
    while line.get(at) != Some(&b'[') {
        let found = word(line, at).filter(|_| count < words.len())?;
        words[count] = found;
        count += 1;
        at = found.end as usize + 1;
        if at >= line.len() {
            return None;
        }
    }
    let time = forms::full(&line[at + 1..])?;
    let time_at = at + 1;
    at = time_at + time.len;
    if line.get(at..at + 2) != Some(b"] ") {
        return None;
    }
    let request = quoted(line, at + 2)?;
    let (vhost, [client, _ident, user]) = match count {
        3 => (None, [words[0], words[1], words[2]]),
        4 => (Some(words[0]), [words[1], words[2], words[3]]),
        _ => return None,
    };
    at = request.end as usize + 1;
    let status =
        word(line, skip_spaces(line, at)).filter(|status| status.bytes(line).iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'))?;
    let bytes = word(line, skip_spaces(line, status.end as usize));
    parts.set_time(time, time_at, true);
    parts.message = request;
    let mut add = |name, span: Span| {
        if !matches!(span.bytes(line), b"-" | b"") {
            parts.add(name, span);
        }
    };
    add("client", client);
    add("user", user);
    if let Some(vhost) = vhost {
        add("vhost", vhost);
    }
    // Names that a request line has (RFC 9112, section 3), if it has its three parts.
    if let [Some(method), Some(path), Some(protocol)] = thirds(line, request) {
        add("method", method);
        add("path", path);
        add("protocol", protocol);
    }
    parts.add_number("status", status);
    let Some(bytes) = bytes else { return Some(()) };
    if bytes.bytes(line) != b"-" {
        parts.add_number("bytes", bytes);
    }
    at = skip_spaces(line, bytes.end as usize);
    for name in ["referer", "user_agent"] {
        let Some(value) = quoted(line, at) else { break };
        if !matches!(value.bytes(line), b"-" | b"") {
            parts.add(name, value);
        }
        at = skip_spaces(line, value.end as usize + 1);
    }
    if at < line.len() {
        parts.add("rest", Span::new(at, line.len()));
    }
    Some(())
}

/// The method, the target and the protocol of a request.
fn thirds(line: &[u8], request: Span) -> [Option<Span>; 3] {
    let (start, end) = (request.start as usize, request.end as usize);
    let bytes = &line[start..end];
    let (first, last) = (memchr::memchr(b' ', bytes), memchr::memrchr(b' ', bytes));
    match (first, last) {
        (Some(first), Some(last)) if 0 < first && first + 1 < last && last + 1 < bytes.len() => [
            Some(Span::new(start, start + first)),
            Some(Span::new(start + first + 1, start + last)),
            Some(Span::new(start + last + 1, end)),
        ],
        _ => [None; 3],
    }
}
