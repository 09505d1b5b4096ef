//! The JSON object of a text line.

use super::escape::{write_escaped, write_member};
use super::parts::{Kind, Span, View};
use crate::record::{Level, Timestamp};

/// Appends the object of `view`'s line, received at `received`.
pub(super) fn write(out: &mut Vec<u8>, view: &View<'_>, received: Timestamp) {
    let (parts, line) = (view.parts, view.line);
    out.extend_from_slice(b"{\"timestamp\":\"");
    match parts.time {
        Some(time) if time.is_full => write_escaped(out, time.span.of(line)),
        Some(time) => time.time.write_rfc3339(out),
        None => received.write_rfc3339(out),
    }
    out.push(b'"');
    if let Some(text) = view.level_text() {
        let level = view.level();
        write_member(out, "level", if level == Level::Unknown { text } else { level.name() });
    }
    if let Some(span) = parts.service {
        write_member(out, "service", span.of(line));
    }
    match parts.is_message_escaped {
        true => write_raw(out, "message", parts.message.of(line), "\""),
        false => write_member(out, "message", parts.message.of(line)),
    }
    for member in &parts.members {
        let (name, value) = (view.name(member), member.span.of(line));
        match member.kind {
            Kind::Number if is_plain_number(value) => write_raw(out, name, value, ""),
            Kind::Escaped => write_raw(out, name, value, "\""),
            Kind::Number | Kind::Text => write_member(out, name, value),
        }
    }
    write_layout(out, view);
    out.push(b'}');
}

/// A member whose value is JSON as it is, between `quote`s.
fn write_raw(out: &mut Vec<u8>, name: &str, value: &str, quote: &str) {
    out.extend_from_slice(b",\"");
    write_escaped(out, name);
    out.extend_from_slice(b"\":");
    for piece in [quote, value, quote] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// The line with names in the places of values; nothing if it is the message as a whole.
fn write_layout(out: &mut Vec<u8>, view: &View<'_>) {
    let whole = Span::new(0, view.line.len());
    if view.parts.message == whole && !view.parts.is_message_escaped {
        return;
    }
    out.extend_from_slice(b",\"layout\":\"");
    let mut at = 0;
    for place in view.places().iter() {
        write_literal(out, &view.line[at..place.span.start as usize]);
        out.push(b'{');
        write_escaped(out, place.name);
        out.push(b'}');
        at = place.span.end as usize;
    }
    write_literal(out, &view.line[at..]);
    out.push(b'"');
}

fn write_literal(out: &mut Vec<u8>, text: &str) {
    for (n, piece) in text.split('{').enumerate() {
        if n > 0 {
            out.extend_from_slice(b"{{");
        }
        write_escaped(out, piece);
    }
}

/// Whether every reader of JSON gives `text` back as it stands: a whole number without leading zeros that a double holds.
fn is_plain_number(text: &str) -> bool {
    let digits = text.as_bytes();
    (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && (digits[0] != b'0' || digits.len() == 1)
}
