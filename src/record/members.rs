//! The members of a stored JSON object, read in place, without building anything: for searching, which looks at few lines and at few members of each.
//!
//! Every stored line was validated when it came (by simd-json or serde_json). This only walks; on bytes that are no JSON it ends early and finds less, and
//! never fails.

mod fields;

use std::borrow::Cow;

pub use self::fields::MemberFields;

use super::timestamp::TimeReader;
use super::{KnownKey, Level, Timestamp, counted_key, words};

/// A value as it stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// What is between the quotes, escapes and all.
    String(&'a [u8]),
    /// `{…}`.
    Object(&'a [u8]),
    /// `[…]`.
    Array(&'a [u8]),
    /// A number, `true`, `false` or `null`.
    Bare(&'a [u8]),
}

/// What is read from a line for counting, pruning and order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts<'a> {
    /// How serious it is.
    pub level: Level,
    /// When it says that it happened.
    pub time: Option<Timestamp>,
    /// Which program wrote it.
    pub service: Option<Cow<'a, [u8]>>,
}

/// Walks the members of an object, or the elements of an array with keys that are empty.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    rest: &'a [u8],
    is_array: bool,
}

/// The members of the object that is `line`.
pub fn members(line: &[u8]) -> Members<'_> {
    Members { rest: line.trim_ascii_start().strip_prefix(b"{").unwrap_or_default(), is_array: false }
}

/// The elements of an array.
pub fn elements(array: &[u8]) -> impl Iterator<Item = Value<'_>> {
    Members { rest: array.strip_prefix(b"[").unwrap_or_default(), is_array: true }.map(|(_, value)| value)
}

/// The string that stands escaped between quotes.
pub fn decoded(escaped: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', escaped).is_none() {
        return Cow::Borrowed(escaped);
    }
    let mut scratch = Vec::new();
    words::text(escaped, &mut scratch);
    Cow::Owned(scratch)
}

/// The first time in `line` that can be read.
pub fn time(line: &[u8], times: &mut TimeReader) -> Option<Timestamp> {
    first_time(line, times).or_else(|| any_time(line, times))
}

/// That of the first member, if it is one, as most programs write it.
fn first_time(line: &[u8], times: &mut TimeReader) -> Option<Timestamp> {
    let begin = [&b"{\"timestamp\":\""[..], b"{\"time\":\"", b"{\"ts\":\"", b"{\"@timestamp\":\""];
    let text = begin.into_iter().find_map(|begin| line.strip_prefix(begin))?;
    let end = memchr::memchr2(b'"', b'\\', text)?;
    if text[end] == b'"' { times.parse_bytes(&text[..end]) } else { None }
}

fn any_time(line: &[u8], times: &mut TimeReader) -> Option<Timestamp> {
    members(line).filter(|(key, _)| kind(key) == Some(KnownKey::Time)).find_map(|(_, value)| read_time(value, times))
}

/// The facts of `line`: the same that [`JsonScanner`](super::json::JsonScanner) reads.
pub fn facts<'a>(line: &'a [u8], times: &mut TimeReader) -> Facts<'a> {
    let mut facts = Facts::default();
    for (key, value) in members(line) {
        match kind(key) {
            Some(KnownKey::Level) if facts.level == Level::Unknown => facts.level = read_level(value),
            Some(KnownKey::Time) if facts.time.is_none() => facts.time = read_time(value, times),
            Some(KnownKey::Service) if facts.service.is_none() => facts.service = read_text(value),
            _ => {}
        }
        if facts.level != Level::Unknown && facts.time.is_some() && facts.service.is_some() {
            break;
        }
    }
    facts
}

fn kind(key: &[u8]) -> Option<KnownKey> {
    match decoded(key) {
        Cow::Borrowed(key) => counted_key(std::str::from_utf8(key).ok()?),
        Cow::Owned(key) => counted_key(std::str::from_utf8(&key).ok()?),
    }
}

fn read_level(value: Value<'_>) -> Level {
    match value {
        Value::String(escaped) => Level::parse(&decoded(escaped)),
        Value::Bare(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map_or(Level::Unknown, Level::from_number),
        Value::Object(_) | Value::Array(_) => Level::Unknown,
    }
}

fn read_time(value: Value<'_>, times: &mut TimeReader) -> Option<Timestamp> {
    match value {
        Value::String(escaped) => times.parse_bytes(&decoded(escaped)),
        Value::Bare(text) => times.parse_bytes(text),
        Value::Object(_) | Value::Array(_) => None,
    }
}

fn read_text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(escaped) if !escaped.is_empty() => Some(decoded(escaped)),
        _ => None,
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_separators();
        let key = if self.is_array { &[] } else { self.string()? };
        if !self.is_array {
            self.skip_separators();
        }
        let value = self.value()?;
        Some((key, value))
    }
}

impl<'a> Members<'a> {
    /// White space, and the separators of valid JSON: where they must stand has been checked before.
    fn skip_separators(&mut self) {
        let skipped = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':')).count();
        self.rest = &self.rest[skipped..];
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let end = string_end(inside)?;
        self.rest = &inside[end + 1..];
        Some(&inside[..end])
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'"' => self.string().map(Value::String),
            b'{' => self.container().map(Value::Object),
            b'[' => self.container().map(Value::Array),
            b'}' | b']' => None,
            _ => {
                let len = self.rest.iter().take_while(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')).count();
                let (bare, rest) = self.rest.split_at(len);
                self.rest = rest;
                Some(Value::Bare(bare))
            }
        }
    }

    fn container(&mut self) -> Option<&'a [u8]> {
        let (container, rest) = self.rest.split_at(container_end(self.rest)?);
        self.rest = rest;
        Some(container)
    }
}

/// Behind the object or array that `bytes` begins with.
pub(super) fn container_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match bytes.get(at)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => at += 1 + string_end(&bytes[at + 1..])?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where the quote is that ends the string at the start of `inside`.
pub(super) fn string_end(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', inside.get(at..)?)?;
        if inside[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::framer::PADDING;
    use crate::record::json::JsonScanner;
    use proptest::prelude::*;

    #[test]
    fn members_and_elements() {
        let line = br#" { "a" : "x\"y" , "b":[1,[2],{"c":"]"}], "d":{"e":"}"},"f":null } "#;
        let found: Vec<_> = members(line).map(|(key, value)| (std::str::from_utf8(key).unwrap(), value)).collect();
        assert_eq!(
            found,
            [
                ("a", Value::String(br#"x\"y"#)),
                ("b", Value::Array(br#"[1,[2],{"c":"]"}]"#)),
                ("d", Value::Object(br#"{"e":"}"}"#)),
                ("f", Value::Bare(b"null")),
            ]
        );
        let inner: Vec<_> = elements(br#"[1,[2],{"c":"]"}]"#).collect();
        assert_eq!(inner, [Value::Bare(b"1"), Value::Array(b"[2]"), Value::Object(br#"{"c":"]"}"#)]);
        assert_eq!((elements(b"[]").count(), members(b"{}").count(), members(b"damaged").count()), (0, 0, 0));
    }

    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            (0..100u64).prop_map(|n| n.to_string()),
            any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
            Just("null".to_owned()),
            Just("{\"level\":\"error\",\"x\":[\"}\"]}".to_owned()),
            Just("[1,\"]\"]".to_owned()),
            prop_oneof![Just("warn"), Just("2026-11-24T15:00:00Z"), Just("1795532400"), Just(""), Just("auth\"\\é"), Just("x")]
                .prop_map(|text| serde_json::to_string(text).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn facts_are_those_of_the_scanner(members in prop::collection::vec((prop::sample::select(vec![
            "level", "lvl", "time", "ts", "@timestamp", "service", "app", "message", "\\u006cevel", "x",
        ]), scalar()), 0..8)) {
            let line = format!("{{{}}}", members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect::<Vec<_>>().join(" ,"));
            let mut padded = line.clone().into_bytes();
            padded.resize(line.len() + PADDING, 0);
            let scanned = JsonScanner::default().scan(&mut padded, line.len(), line.as_bytes(), |meta| {
                (meta.level, meta.time, meta.service.map(|service| service.as_bytes().to_vec()))
            });
            let mut times = TimeReader::default();
            let facts = facts(line.as_bytes(), &mut times);
            prop_assert_eq!(time(line.as_bytes(), &mut times), facts.time);
            prop_assert_eq!(Ok((facts.level, facts.time, facts.service.map(Cow::into_owned))), scanned, "{}", line);
        }

        #[test]
        fn any_bytes_are_walked(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ a1".to_vec()), 0..60)) {
            members(&bytes).for_each(drop);
            elements(&bytes).for_each(drop);
            facts(&bytes, &mut TimeReader::default());
        }
    }
}
