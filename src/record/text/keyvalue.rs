//! logfmt (`time=… level=info msg="…" key=value`, as Go's slog and many others write), and the `key=value` pairs at the end of other lines.
//!
//! Values are strings as they came; what is quoted loses its quotes, and its escapes where they are JSON's too.

use super::parts::{Kind, Member, Name, Parts, Span};
use super::scan::{is_space, quoted, skip_spaces};
use crate::limits::{TEXT_KEY_BYTES_MAX, TEXT_MEMBERS_MAX};
use crate::record::timestamp::forms;
use crate::record::{KnownKey, known_key};

/// One pair.
struct Pair {
    key: Span,
    value: Span,
    kind: Kind,
    end: usize,
}

/// Reads a line of logfmt: pairs from its beginning to its end, and among them a message, a level or a time. Whether it is one.
pub(super) fn logfmt(line: &[u8], parts: &mut Parts) -> bool {
    let text_len = line.len();
    let mut at = 0;
    let (mut has_meaning, mut has_message) = (false, false);
    while at < text_len {
        let Some(pair) = pair(line, at) else { break };
        let value = pair.value.bytes(line);
        match meaning(pair.key.bytes(line)) {
            Some(KnownKey::Time) if parts.time.is_none() && pair.kind == Kind::Text => {
                if let Some(time) = std::str::from_utf8(value).ok().and_then(forms::whole) {
                    parts.set_time(time, pair.value.start as usize, true);
                    has_meaning = true;
                }
            }
            Some(KnownKey::Level) if parts.level.is_none() && pair.kind == Kind::Text => {
                parts.set_level(line, pair.value);
                has_meaning = true;
            }
            Some(KnownKey::Service) if parts.service.is_none() && pair.kind == Kind::Text => parts.service = Some(pair.value),
            Some(KnownKey::Message) if !has_message => {
                (parts.message, parts.is_message_escaped) = (pair.value, pair.kind == Kind::Escaped);
                (has_meaning, has_message) = (true, true);
            }
            Some(_) => {}
            None => add(line, &pair, parts),
        }
        at = skip_spaces(line, pair.end);
    }
    at == text_len && has_meaning
}

/// Adds the pairs at the end of the line, behind `from`, as members. The message keeps them.
pub(super) fn tail(line: &[u8], from: usize, parts: &mut Parts) {
    let mut starts = [0; TEXT_MEMBERS_MAX];
    let mut count = 0;
    let mut end = line.len();
    // A last word without `=` ends it at once: that is what most lines have.
    while count < starts.len() && end > from {
        let Some(start) = pair_before(line, from, end) else { break };
        starts[count] = start;
        count += 1;
        end = start;
    }
    for start in starts[..count].iter().rev() {
        if let Some(pair) = pair(line, *start) {
            add(line, &pair, parts);
        }
    }
}

/// Where the pair begins that ends before `end`, with white space or `from` before it.
fn pair_before(line: &[u8], from: usize, end: usize) -> Option<usize> {
    let end = from + line[from..end].iter().rposition(|byte| !is_space(*byte))? + 1;
    let mut at = end;
    if line[end - 1] == b'"' {
        // Back to the quote that opens: the one behind `=`.
        at = from + memchr::memmem::rfind(&line[from..end - 1], b"=\"")?;
    }
    let start = from + memchr::memrchr2(b' ', b'\t', &line[from..at]).map_or(0, |space| space + 1);
    (end - start <= 16 * TEXT_KEY_BYTES_MAX && pair(line, start)?.end == end).then_some(start)
}

/// The pair at `at`, with white space or the end behind it.
fn pair(line: &[u8], at: usize) -> Option<Pair> {
    let window = &line[at..line.len().min(at + TEXT_KEY_BYTES_MAX + 1)];
    let key_len = memchr::memchr(b'=', window).filter(|len| *len > 0 && window[..*len].iter().all(|byte| is_key_byte(*byte)))?;
    if window[0].is_ascii_digit() {
        return None;
    }
    let key = Span::new(at, at + key_len);
    let value_at = at + key_len + 1;
    if let Some(value) = quoted(line, value_at) {
        let end = value.end as usize + 1;
        let kind = if memchr::memchr(b'\\', value.bytes(line)).is_none() {
            Kind::Text
        } else if is_json_escaped(value.bytes(line)) {
            Kind::Escaped
        } else {
            return raw(line, key, value_at, end);
        };
        return is_end(line, end).then_some(Pair { key, value, kind, end });
    }
    let len = line[value_at..].iter().position(|byte| is_space(*byte)).unwrap_or(line.len() - value_at);
    raw(line, key, value_at, value_at + len)
}

fn raw(line: &[u8], key: Span, value_at: usize, end: usize) -> Option<Pair> {
    is_end(line, end).then(|| Pair { key, value: Span::new(value_at, end), kind: Kind::Text, end })
}

fn is_end(line: &[u8], at: usize) -> bool {
    line.get(at).is_none_or(|byte| is_space(*byte))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'@')
}

/// Whether `text` is the inside of a JSON string (RFC 8259, section 7) and every parser takes it.
fn is_json_escaped(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..]) => after,
            (b'\\', [b'u', a, b, c, d, after @ ..])
                if [a, b, c, d].iter().all(|hex| hex.is_ascii_hexdigit()) && !matches!(a, b'd' | b'D') =>
            {
                after
            }
            (b'\\' | b'"' | 0..=0x1f, _) => return false,
            _ => after,
        };
    }
    true
}

/// What a key, which is ASCII, means.
fn meaning(key: &[u8]) -> Option<KnownKey> {
    std::str::from_utf8(key).ok().and_then(known_key)
}

/// Adds a pair under its own name, unless the record has that name, or the name means something in every record.
fn add(line: &[u8], pair: &Pair, parts: &mut Parts) {
    let key = pair.key.bytes(line);
    let is_taken = meaning(key).is_some()
        || matches!(key, b"layout" | b"tags")
        || parts.members.iter().any(|member| match member.name {
            Name::Fixed(name) => name.as_bytes() == key,
            Name::Key(span) => span.bytes(line) == key,
            Name::Group { .. } => false,
        });
    if !is_taken {
        parts.push(Member { name: Name::Key(pair.key), span: pair.value, kind: pair.kind });
    }
}
