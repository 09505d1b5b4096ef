//! A stored line as the columns of a table. Pure.
//!
//! Columns hold what nearly every record has. Whatever a column does not give back exactly stays in `fields`, a JSON object of members as they stood in the
//! line, in their order: numbers of any size, duplicates and escapes included. What is counted by level is what the daemon counted: the same scanner reads
//! the line.

use std::borrow::Cow;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::stored::StoredScanner;
use crate::record::timestamp::TimeReader;
use crate::record::{KnownKey, Level, Timestamp, known_key};

/// A line's columns. Texts hold no NUL, which CSV readers and SQLite's functions stumble on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// Its time, normalised.
    pub time: Option<Timestamp>,
    /// Its time as it came.
    pub timestamp: Option<Cow<'a, str>>,
    /// Its level, normalised.
    pub level: Level,
    /// Which program wrote it.
    pub service: Option<Cow<'a, str>>,
    /// What it says.
    pub message: Option<Cow<'a, str>>,
    /// Its `tags`, a JSON array.
    pub tags: Option<&'a str>,
    /// Everything else, a JSON object.
    pub fields: &'a str,
}

/// Reads lines, reusing its buffers.
#[derive(Default)]
pub(super) struct RowReader {
    scanner: StoredScanner,
    times: TimeReader,
    fields: String,
}

/// The columns that are found among the members.
#[derive(Default)]
struct Found<'a> {
    timestamp: Option<Cow<'a, str>>,
    has_level: bool,
    service: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    tags: Option<&'a str>,
}

impl RowReader {
    /// The columns of `line`, without its newline. One that is damaged, no JSON object, is its `message`.
    pub(super) fn read<'a>(&'a mut self, line: &'a [u8]) -> Row<'a> {
        let (level, time) = self.scanner.scan(line);
        self.fields.clear();
        self.fields.push('{');
        let mut found = Found::default();
        let text = std::str::from_utf8(line).unwrap_or_default();
        let (times, fields) = (&mut self.times, &mut self.fields);
        let is_whole = each_member(text, |key, value| {
            if !found.take(key, value, level, time, times) {
                let comma = if fields.len() == 1 { "" } else { "," };
                fields.extend([comma, key, ":", value]);
            }
        });
        if !is_whole {
            self.fields.truncate(1);
            let message = String::from_utf8_lossy(line).replace('\0', "\u{FFFD}");
            found = Found { message: Some(Cow::Owned(message)), ..Found::default() };
        }
        self.fields.push('}');
        let Found { timestamp, service, message, tags, .. } = found;
        Row { time, timestamp, level, service, message, tags, fields: &self.fields }
    }
}

impl<'a> Found<'a> {
    /// Puts a member into its column. False, if it has none, or the column does not say all of it.
    fn take(&mut self, key: &'a str, value: &'a str, level: Level, time: Option<Timestamp>, times: &mut TimeReader) -> bool {
        let key = plain(key).unwrap_or_default();
        if key == "tags" && self.tags.is_none() && value.starts_with('[') {
            self.tags = Some(value);
            return true;
        }
        let text = plain(value);
        match (known_key(&key), text) {
            (Some(KnownKey::Level), Some(text)) if !self.has_level && Level::parse(text.as_bytes()) == level && level != Level::Unknown => {
                self.has_level = true;
                text == level.name()
            }
            (Some(KnownKey::Time), text) if self.timestamp.is_none() && time.is_some() => match text {
                Some(text) => times.parse(&text) == time && put(&mut self.timestamp, text),
                None => {
                    if number_as_time(value) == time {
                        self.timestamp = Some(Cow::Borrowed(value));
                    }
                    false // a string and a number look alike in the column
                }
            },
            (Some(KnownKey::Service), Some(text)) if self.service.is_none() && !text.is_empty() => put(&mut self.service, text),
            (Some(KnownKey::Message), Some(text)) if self.message.is_none() => put(&mut self.message, text),
            _ => false,
        }
    }
}

/// Puts `text` into `column`. Returns whether that says all of it.
fn put<'a>(column: &mut Option<Cow<'a, str>>, text: Cow<'a, str>) -> bool {
    let has_nul = text.contains('\0');
    *column = Some(if has_nul { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { text });
    !has_nul
}

/// The text of a JSON string; none, if `value` is something else, or holds half of a surrogate pair (RFC 8259, section 8.2), which no text can.
fn plain(value: &str) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(value).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

fn number_as_time(value: &str) -> Option<Timestamp> {
    match value.parse() {
        Ok(number) => Timestamp::from_epoch(number),
        Err(_) => value.parse().ok().and_then(Timestamp::from_epoch_seconds),
    }
}

/// Hands the keys, with their quotes, and values of the object `text` to `found`, as they stand there. False, if it is none.
fn each_member<'a>(text: &'a str, found: impl FnMut(&'a str, &'a str)) -> bool {
    struct Members<F>(F);
    impl<'de, F: FnMut(&'de str, &'de str)> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                (self.0)(key.get(), value.get());
            }
            Ok(())
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    (&mut json).deserialize_map(Members(found)).and_then(|()| json.end()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Time, timestamp, level, service, message, tags and fields, `-` where there is none.
    fn columns(line: &str) -> String {
        let mut reader = RowReader::default();
        let row = reader.read(line.as_bytes());
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or("-").to_owned();
        let time = row.time.map_or("-".to_owned(), |time| time.0.to_string());
        let (level, tags) = (row.level.name(), row.tags.unwrap_or("-"));
        format!("{time} | {} | {level} | {} | {} | {tags} | {}", text(&row.timestamp), text(&row.service), text(&row.message), row.fields)
    }

    #[test]
    fn columns_and_what_is_left() {
        let table = [
            (
                r#"{"timestamp":"1970-01-01T00:00:01Z","level":"INFO","service":"auth","message":"hello","tags":["a"],"user":7}"#,
                r#"1000000 | 1970-01-01T00:00:01Z | INFO | auth | hello | ["a"] | {"user":7}"#,
            ),
            (
                r#"{"ts":1,"lvl":"warning","app":"x","msg":"a\tb \"c\"","layout":"{timestamp}"}"#,
                "1000000 | 1 | WARN | x | a\tb \"c\" | - | {\"ts\":1,\"lvl\":\"warning\",\"layout\":\"{timestamp}\"}",
            ),
            // Numbers of any size, duplicates, nesting, escapes in keys: as they stand.
            (
                r#"{"n":123456789012345678901234567890.10,"a":1,"a":{"b":[1, {"c":null}]},"\u0061":2,"message":5}"#,
                r#"- | - | UNKNOWN | - | - | - | {"n":123456789012345678901234567890.10,"a":1,"a":{"b":[1, {"c":null}]},"\u0061":2,"message":5}"#,
            ),
            // The first that can be read counts; the others stay.
            (
                r#"{"time":"soon","ts":"1970-01-01T00:00:02Z","level":"loud","severity":"ERROR","level":"INFO"}"#,
                r#"2000000 | 1970-01-01T00:00:02Z | ERROR | - | - | - | {"time":"soon","level":"loud","level":"INFO"}"#,
            ),
            (r#"{"level":30,"tags":"x","service":""}"#, r#"- | - | INFO | - | - | - | {"level":30,"tags":"x","service":""}"#),
            // No text can hold these: the column says what it can, and the member stays.
            (r#"{"message":"a\u0000b"}"#, "- | - | UNKNOWN | - | a\u{FFFD}b | - | {\"message\":\"a\\u0000b\"}"),
            (r#"{"message":"\ud800","level":"INFO"}"#, r#"- | - | INFO | - | - | - | {"message":"\ud800"}"#),
            (r#" { "\u006cevel" : "INFO" , "x" : [ 1 ] } "#, r#"- | - | INFO | - | - | - | {"x":[ 1 ]}"#),
            ("{}", "- | - | UNKNOWN | - | - | - | {}"),
            ("damaged\0", "- | - | UNKNOWN | - | damaged\u{FFFD} | - | {}"),
            ("[1]", "- | - | UNKNOWN | - | [1] | - | {}"),
        ];
        for (line, expected) in table {
            assert_eq!(columns(line), expected, "{line}");
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            prop::sample::select(vec!["null", "[1,2]", "{\"a\":{}}", "1e400", "\"WARN\"", "\"warn\"", "\"2026-11-24T15:00:00Z\""])
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn every_member_is_in_its_column_or_in_the_fields(members in prop::collection::vec((prop::sample::select(vec![
            "level", "ts", "time", "service", "message", "msg", "tags", "x", "y\\n",
        ]), value()), 0..8)) {
            let line = format!("{{{}}}", members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>().join(","));
            let mut reader = RowReader::default();
            let (level, _) = StoredScanner::default().scan(line.as_bytes());
            let row = reader.read(line.as_bytes());
            prop_assert_eq!(row.level, level);
            let mut left = Vec::new();
            prop_assert!(each_member(row.fields, |key, value| left.push((key.trim_matches('"').to_owned(), value.to_owned()))));
            let mut columns: Vec<String> = [&row.timestamp, &row.service, &row.message].into_iter().flatten().map(|text| serde_json::to_string(text).unwrap()).collect();
            columns.extend(row.tags.map(str::to_owned));
            columns.push(format!("\"{}\"", row.level.name()));
            for (key, value) in members {
                let is_left = left.first() == Some(&(key.to_owned(), value.clone()));
                if is_left {
                    left.remove(0);
                }
                prop_assert!(is_left || columns.iter().any(|column| serde_json::from_str::<serde_json::Value>(column).ok() == serde_json::from_str(&value).ok()), "{} in {}", value, line);
            }
            prop_assert!(left.is_empty(), "in their order");
        }

        #[test]
        fn any_bytes_are_a_row(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            RowReader::default().read(&bytes);
        }
    }
}
