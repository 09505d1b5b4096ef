//! The members of a JSON line by name, read in place: for rules, on the few lines that simd-json refuses and that are legal. Numbers are handed out as they came.

use super::{Value, decoded, elements, members, read_level};
use crate::record::{Fields, KnownKey, Level, known_key};

/// A valid JSON object.
#[derive(Debug, Clone, Copy)]
pub struct MemberFields<'a>(pub &'a [u8]);

impl Fields for MemberFields<'_> {
    fn visit(&self, name: &str, found: &mut dyn FnMut(&str)) {
        let Some(known) = KnownKey::of_field(name) else { return at_path(self.0, name, found) };
        for (key, value) in members(self.0) {
            if known_key(&String::from_utf8_lossy(&decoded(key))) == Some(known) {
                let level = if known == KnownKey::Level { read_level(value) } else { Level::Unknown };
                if level != Level::Unknown {
                    found(level.name());
                }
                values(value, found);
            }
        }
    }
}

/// The member that `path` names, or the one that its dots lead to.
fn at_path(object: &[u8], path: &str, found: &mut dyn FnMut(&str)) {
    for (key, value) in members(object) {
        let key = decoded(key);
        match (path.as_bytes().strip_prefix(&key[..]), value) {
            (Some(b""), value) => values(value, found),
            // Behind a dot, which is one byte, text goes on.
            (Some([b'.', ..]), Value::Object(inner)) if !key.is_empty() => at_path(inner, &path[key.len() + 1..], found),
            _ => {}
        }
    }
}

/// A value as text, an array element by element; what is nested deeper is not looked into.
fn values(value: Value<'_>, found: &mut dyn FnMut(&str)) {
    match value {
        Value::Array(array) => elements(array).for_each(|element| scalar(element, found)),
        value => scalar(value, found),
    }
}

fn scalar(value: Value<'_>, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(escaped) => found(&String::from_utf8_lossy(&decoded(escaped))),
        Value::Bare(text) => found(&String::from_utf8_lossy(text)),
        Value::Object(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_by_path() {
        let line = br#"{"lvl":"warning","a":{"b":[1e999,"x\n",[2],{"c":3}],"b.c":null},"a.b":true,"msg":"\ud800"}"#;
        let visit = |name: &str| {
            let mut all = Vec::new();
            MemberFields(line).visit(name, &mut |value| all.push(value.to_owned()));
            all
        };
        assert_eq!(visit("level"), ["WARN", "warning"]);
        assert_eq!(visit("a.b"), ["1e999", "x\n", "true"]);
        assert_eq!(visit("a.b.c"), ["null"]);
        assert_eq!(visit("message").len(), 1);
        assert!(visit("a").is_empty() && visit("missing").is_empty() && visit("").is_empty());
    }
}
