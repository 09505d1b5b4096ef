//! The members of a JSON line by name, read from the tape: for rules that look at one field.

use std::io::Write as _;

use simd_json::{Node, StaticNode};

use super::{level, nodes};
use crate::record::{Fields, KnownKey, Level, known_key};

/// A line's tape.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonFields<'a>(pub(super) &'a [Node<'a>]);

impl Fields for JsonFields<'_> {
    /// The member `name`, else by the path that its dots make. Numbers and words are handed out as text, arrays element by element.
    fn visit(&self, name: &str, found: &mut dyn FnMut(&str)) {
        match KnownKey::of_field(name) {
            Some(known) => {
                for (key, value) in members(self.0) {
                    if known_key(key) == Some(known) {
                        let level = if known == KnownKey::Level { level(&value[0]) } else { Level::Unknown };
                        if level != Level::Unknown {
                            found(level.name());
                        }
                        values(value, found);
                    }
                }
            }
            None => at_path(self.0, name, found),
        }
    }
}

fn at_path(tape: &[Node<'_>], path: &str, found: &mut dyn FnMut(&str)) {
    for (key, value) in members(tape) {
        match path.strip_prefix(key) {
            Some("") => values(value, found),
            Some(rest) if !key.is_empty() => {
                if let Some(rest) = rest.strip_prefix('.') {
                    at_path(value, rest, found);
                }
            }
            _ => {}
        }
    }
}

/// The members of the object that `tape` begins with; none if it begins with something else.
fn members<'a>(tape: &'a [Node<'a>]) -> impl Iterator<Item = (&'a str, &'a [Node<'a>])> {
    let mut left = if let Some(&Node::Object { len, .. }) = tape.first() { len } else { 0 };
    let mut at = 1;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let Node::String(key) = tape.get(at)? else { return None };
        let value = tape.get(at + 1..)?;
        at += 1 + nodes(value.first()?);
        Some((*key, value))
    })
}

/// The value that `tape` begins with, as text.
fn values(tape: &[Node<'_>], found: &mut dyn FnMut(&str)) {
    match tape.first() {
        Some(Node::String(text)) => found(text),
        Some(Node::Static(value)) => number(*value, found),
        Some(&Node::Array { len, .. }) => {
            let mut at = 1;
            for _ in 0..len {
                // Elements that are arrays or objects themselves are not looked into.
                match tape.get(at) {
                    Some(Node::String(text)) => found(text),
                    Some(Node::Static(value)) => number(*value, found),
                    Some(_) => {}
                    None => return,
                }
                at += nodes(&tape[at]);
            }
        }
        Some(Node::Object { .. }) | None => {}
    }
}

fn number(value: StaticNode, found: &mut dyn FnMut(&str)) {
    match value {
        StaticNode::Bool(true) => found("true"),
        StaticNode::Bool(false) => found("false"),
        StaticNode::Null => found("null"),
        StaticNode::U64(number) => found(itoa::Buffer::new().format(number)),
        StaticNode::I64(number) => found(itoa::Buffer::new().format(number)),
        StaticNode::F64(number) => {
            // The longest: a sign, 309 digits, a point, and 17 behind it.
            let mut text = [0; 400];
            let mut rest = &mut text[..];
            let is_written = write!(rest, "{number}").is_ok();
            let len = 400 - rest.len();
            if is_written && let Ok(text) = std::str::from_utf8(&text[..len]) {
                found(text);
            }
        }
    }
}
