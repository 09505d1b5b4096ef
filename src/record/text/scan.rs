//! Small readers over the bytes of a line, for the shapes.

use super::parts::{LevelPart, Parts, Span, TimePart};
use crate::limits::TEXT_TOKEN_BYTES_MAX;
use crate::record::Level;
use crate::record::timestamp::forms::Found;

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first place from `at` on that is no white space.
pub(super) fn skip_spaces(line: &[u8], at: usize) -> usize {
    at + line[at..].iter().take_while(|byte| is_space(**byte)).count()
}

/// The word from `at` to white space or the end, unless it is longer than any that matters.
pub(super) fn word(line: &[u8], at: usize) -> Option<Span> {
    let rest = &line[at..line.len().min(at + TEXT_TOKEN_BYTES_MAX)];
    let len = rest.iter().position(|byte| is_space(*byte)).or((at + rest.len() == line.len()).then_some(rest.len()))?;
    (len > 0).then(|| Span::new(at, at + len))
}

/// What stands within the brackets that open at `at`; brackets within count.
pub(super) fn bracket(line: &[u8], at: usize) -> Option<Span> {
    if line.get(at) != Some(&b'[') {
        return None;
    }
    let mut depth = 0;
    for (n, byte) in line[at..].iter().take(TEXT_TOKEN_BYTES_MAX).enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(Span::new(at + 1, at + n)),
            b']' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What stands within the double quotes that open at `at`; a quote behind a backslash is content.
pub(super) fn quoted(line: &[u8], at: usize) -> Option<Span> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    let mut from = at + 1;
    loop {
        let end = from + memchr::memchr2(b'"', b'\\', line.get(from..)?)?;
        if line[end] == b'"' {
            return Some(Span::new(at + 1, end));
        }
        from = end + 2;
    }
}

pub(super) fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Whether `text` is the name of a level, and no single letter or number, which may mean anything.
pub(super) fn is_level_name(text: &[u8]) -> bool {
    (3..=13).contains(&text.len()) && text.iter().all(u8::is_ascii_alphabetic) && Level::parse(text) != Level::Unknown
}

impl Parts {
    /// Notes a time that begins at `at`.
    pub(super) fn set_time(&mut self, found: Found, at: usize, is_full: bool) {
        self.time = Some(TimePart { span: Span::new(at, at + found.len), time: found.time, is_full, is_civil: found.is_civil });
    }

    /// Notes a level, whatever its name.
    pub(super) fn set_level(&mut self, line: &[u8], span: Span) {
        self.level = Some(LevelPart { span, level: Level::parse(span.bytes(line)) });
    }

    /// Everything from `at` on, without the white space before it, is the message.
    pub(super) fn set_message_from(&mut self, line: &[u8], at: usize) {
        self.message = Span::new(skip_spaces(line, at), line.len());
    }
}
