//! The line that a record was made of: a text line of a known shape is stored as its parts and a `layout` that names them (docs/FORMAT.md). Pure.
//!
//! Invariant: every word of the line stands whole in the text of its record, because no place in a layout begins or ends within a word. So whoever looks for words
//! need not rebuild lines, and a token filter of records holds the words of their lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::members::{self, Value};
use super::words::is_word_byte;
use crate::limits::TEXT_MEMBERS_MAX;

/// The members that a layout may name: time, level, service and message, and the others.
const PLACES_MAX: usize = TEXT_MEMBERS_MAX + 4;

static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"layout\":\""));

/// Whether some line of `stored` may have a layout. Much faster than looking at its members.
pub fn may_have(stored: &[u8]) -> bool {
    KEY.find(stored).is_some()
}

/// The line that became the record `stored`, which is never shorter, since each byte of the line stands in it; `None` where the record has no layout, or one that
/// logboom would not write.
pub fn line(stored: &[u8]) -> Option<Vec<u8>> {
    if !may_have(stored) {
        return None;
    }
    let Value::String(layout) = member(stored, b"layout")? else { return None };
    let layout = members::decoded(layout);
    let (mut rest, mut line, mut places) = (&layout[..], Vec::new(), 0);
    while let Some(open) = memchr::memchr(b'{', rest) {
        push(&mut line, &rest[..open])?;
        rest = &rest[open + 1..];
        if let Some(after) = rest.strip_prefix(b"{") {
            line.push(b'{');
            rest = after;
            continue;
        }
        let close = memchr::memchr(b'}', rest)?;
        push(&mut line, &text(member(stored, &rest[..close])?)?)?;
        rest = &rest[close + 1..];
        places += 1;
        if PLACES_MAX < places || stored.len() < line.len() {
            return None;
        }
    }
    push(&mut line, rest)?;
    (line.len() <= stored.len()).then_some(line)
}

/// Appends a piece, unless the two would make one word.
fn push(line: &mut Vec<u8>, piece: &[u8]) -> Option<()> {
    let [end, start] = [line.last(), piece.first()].map(|byte| byte.is_some_and(|&byte| is_word_byte(byte)));
    line.extend_from_slice(piece);
    (!end || !start).then_some(())
}

fn member<'a>(stored: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
    members::members(stored).find(|(key, _)| members::decoded(key) == name).map(|(_, value)| value)
}

fn text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(escaped) => Some(members::decoded(escaped)),
        Value::Bare(text) => Some(Cow::Borrowed(text)),
        Value::Object(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_what_is_no_layout_of_ours_does_not() {
        for (stored, expected) in [
            (r#"{"a":"x \"y\"","n":7,"layout":"{{{a}} [{n}]\t"}"#, Some("{x \"y\"} [7]\t")),
            (r#"{"message":"m","layout":"{message}","tags":["t"]}"#, Some("m")),
            (r#"{"message":"m"}"#, None),
            (r#"{"layout":"{gone}"}"#, None),
            (r#"{"a":"in","layout":"with{a}"}"#, None),
            (r#"{"a":"with","b":"in","layout":"{a}{b}"}"#, None),
            (r#"{"layout":"{open"}"#, None),
            (r#"{"layout":["{layout}"]}"#, None),
            (r#"{"m":{"layout":"x"}}"#, None),
            (r#"{"o":{},"layout":"{o}"}"#, None),
        ] {
            assert_eq!(line(stored.as_bytes()).as_deref(), expected.map(str::as_bytes), "{stored}");
        }
        let trace = format!("failed\\n\\tat {}", "x".repeat(100_000));
        let stored = format!("{{\"level\":\"ERROR\",\"message\":\"{trace}\",\"layout\":\"{{level}}: {{message}}\"}}");
        assert_eq!(line(stored.as_bytes()), Some(format!("ERROR: failed\n\tat {}", "x".repeat(100_000)).into_bytes()));
        let bomb = format!("{{\"a\":\"{}\",\"layout\":\"{}\"}}", "x".repeat(1_000), "{a}".repeat(1_000));
        assert_eq!(line(bomb.as_bytes()), None);
        assert_eq!(line(format!("{{\"a\":\"\",\"layout\":\"{}\"}}", "{a}".repeat(1_000)).as_bytes()), None);
    }
}
