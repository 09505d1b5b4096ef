//! STRUCTURED-DATA (RFC 5424, section 6.3): `[id name="value" …]…`, or `-`.
//!
//! Written as an object of objects of strings; a parameter that stands more than once in its element (section 6.3.3 allows it) is an array of them. An element that
//! stands twice is none by section 6.3.2, and as malformed as one that does not end.

use std::ops::Range;

use crate::limits::SYSLOG_PARAMS_MAX;
use crate::record::text::write_escaped;

/// Where parts of the message last read lie, as distances from its end: so they are valid for every slice that ends there.
#[derive(Debug, Default)]
pub(super) struct StructuredData {
    elements: Vec<Element>,
    params: Vec<Param>,
}

/// From and to, as distances from the end.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    fn of(self, text: &str) -> &str {
        &text[text.len() - self.from..text.len() - self.to]
    }
}

#[derive(Debug)]
struct Element {
    id: Span,
    params: Range<usize>,
}

#[derive(Debug)]
struct Param {
    name: Span,
    /// With its escapes.
    value: Span,
}

impl StructuredData {
    /// Reads what `body` begins with. Returns the message behind it, or none where it is malformed.
    pub(super) fn read<'a>(&mut self, body: &'a str) -> Option<&'a str> {
        self.elements.clear();
        self.params.clear();
        let bytes = body.as_bytes();
        let span = |range: Range<usize>| Span { from: bytes.len() - range.start, to: bytes.len() - range.end };
        let is_nil = body.starts_with('-');
        let mut at = usize::from(is_nil);
        while !is_nil && bytes.get(at) == Some(&b'[') {
            let id = name(bytes, at + 1)?;
            at = id.end;
            let first = self.params.len();
            while bytes.get(at) == Some(&b' ') {
                let name = name(bytes, at + 1)?;
                if bytes.get(name.end..name.end + 2)? != b"=\"" || self.params.len() == SYSLOG_PARAMS_MAX {
                    return None;
                }
                let value = name.end + 2..value_end(bytes, name.end + 2)?;
                at = value.end + 1;
                self.params.push(Param { name: span(name), value: span(value) });
            }
            if bytes.get(at) != Some(&b']') || self.elements.len() == SYSLOG_PARAMS_MAX {
                return None;
            }
            at += 1;
            let id = span(id);
            if self.elements.iter().any(|element| element.id.of(body) == id.of(body)) {
                return None;
            }
            self.elements.push(Element { id, params: first..self.params.len() });
        }
        match bytes.get(at) {
            _ if at == 0 => None,
            None => Some(""),
            Some(b' ') => Some(&body[at + 1..]),
            Some(_) => None,
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Appends what was read, as JSON. `text` ends with the body that was read.
    pub(super) fn write(&self, out: &mut Vec<u8>, text: &str) {
        for (n, element) in self.elements.iter().enumerate() {
            out.extend_from_slice(if n == 0 { b"{\"" } else { b",\"" });
            write_escaped(out, element.id.of(text));
            out.extend_from_slice(b"\":{");
            self.write_params(out, text, &self.params[element.params.clone()]);
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn write_params(&self, out: &mut Vec<u8>, text: &str, params: &[Param]) {
        let mut is_first = true;
        for (n, param) in params.iter().enumerate() {
            let name = param.name.of(text);
            let is_same = |other: &&Param| other.name.of(text) == name;
            if params[..n].iter().any(|other| is_same(&other)) {
                continue;
            }
            out.extend_from_slice(if is_first { b"\"" } else { b",\"" });
            is_first = false;
            write_escaped(out, name);
            out.extend_from_slice(b"\":");
            let mut again = params[n + 1..].iter().filter(is_same).peekable();
            let is_array = again.peek().is_some();
            if is_array {
                out.push(b'[');
            }
            write_value(out, param.value.of(text));
            for param in again {
                out.push(b',');
                write_value(out, param.value.of(text));
            }
            if is_array {
                out.push(b']');
            }
        }
    }
}

/// The name at `from`: printable ASCII but `=`, space, `]` and `"`, and here anything beyond ASCII too.
fn name(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let is_end = |byte: &u8| matches!(byte, b'=' | b']' | b'"' | 0..=b' ' | 0x7f);
    let len = bytes.get(from..)?.iter().position(is_end)?;
    (len > 0).then(|| from..from + len)
}

/// Where the quote is that ends the value at `from`.
fn value_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', &bytes[at..])?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
        if at > bytes.len() {
            return None;
        }
    }
}

/// Appends a value as a JSON string. A backslash escapes `"`, `\` and `]` only; before anything else it is itself (section 6.3.3).
fn write_value(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let is_escape = matches!(rest.as_bytes().get(at + 1), Some(b'"' | b'\\' | b']'));
        let (plain, next) = if is_escape { (at, at + 1) } else { (at + 1, at + 1) };
        write_escaped(out, &rest[..plain]);
        // What was escaped is no escape itself.
        let kept = usize::from(is_escape);
        write_escaped(out, &rest[next..next + kept]);
        rest = &rest[next + kept..];
    }
    write_escaped(out, rest);
    out.push(b'"');
}
