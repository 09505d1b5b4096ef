//! A found line as one row for other programs: a JSON object or a CSV record (RFC 4180), each with the time, level and service that searching saw in it. Pure.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Found;
use crate::record::Timestamp;
use crate::record::members::{self, Value};
use crate::record::timestamp::TimeReader;

/// What stands before the first CSV record.
pub const CSV_HEADER: &[u8] = b"time,level,service,message\r\n";

/// Writes rows, keeping what it reads times with.
#[derive(Debug, Default)]
pub struct Rows {
    times: TimeReader,
}

impl Rows {
    /// `{"time":…,"level":…,"service":…,"record":…}` and a newline; the record is the line as it is stored.
    pub fn json(&mut self, found: &Found<'_>, out: &mut impl Write) -> io::Result<()> {
        let facts = members::facts(found.line, &mut self.times);
        let service = facts.service.as_ref().map(|service| String::from_utf8_lossy(service));
        write!(out, "{{\"time\":\"{}\",\"level\":\"{}\",\"service\":", Timestamp(found.time_us).to_rfc3339(), facts.level.name())?;
        serde_json::to_writer(&mut *out, &service)?;
        out.write_all(b",\"record\":")?;
        out.write_all(found.line)?;
        out.write_all(b"}\n")
    }

    /// Time, level, service, message.
    pub fn csv(&mut self, found: &Found<'_>, out: &mut impl Write) -> io::Result<()> {
        let facts = members::facts(found.line, &mut self.times);
        let service = facts.service.unwrap_or_default();
        let time = Timestamp(found.time_us).to_rfc3339();
        for (at, field) in [time.as_bytes(), facts.level.name().as_bytes(), &service, &message(found.line)].into_iter().enumerate() {
            out.write_all(if at == 0 { b"" } else { b"," })?;
            csv_field(field, out)?;
        }
        out.write_all(b"\r\n")
    }
}

/// The message of a record, or the line that was rejected; the whole record if it has neither.
pub fn message(line: &[u8]) -> Cow<'_, [u8]> {
    let is_message = |key: &[u8]| matches!(key, b"message" | b"msg" | b"line");
    members::members(line)
        .find_map(|(key, value)| match value {
            Value::String(escaped) if is_message(key) => Some(members::decoded(escaped)),
            _ => None,
        })
        .unwrap_or(Cow::Borrowed(line))
}

/// One field, in quotes where it must be.
pub fn csv_field(field: &[u8], out: &mut impl Write) -> io::Result<()> {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        return out.write_all(field);
    }
    out.write_all(b"\"")?;
    for (at, part) in field.split(|&byte| byte == b'"').enumerate() {
        out.write_all(if at == 0 { b"" } else { b"\"\"" })?;
        out.write_all(part)?;
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        for (field, expected) in [("plain é", "plain é"), ("a,b", "\"a,b\""), ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""), ("", "")] {
            let mut out = Vec::new();
            csv_field(field.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_row_has_what_was_seen_in_the_line_and_the_line() {
        let line = br#"{"level":"warning","app":"a\"b","msg":"x,y","n":1.0}"#;
        let found = Found { line, time_us: 1_795_532_400_000_001 };
        let (mut rows, mut out) = (Rows::default(), Vec::new());
        rows.json(&found, &mut out).unwrap();
        rows.csv(&found, &mut out).unwrap();
        let expected = "{\"time\":\"2026-11-24T15:00:00.000001Z\",\"level\":\"WARN\",\"service\":\"a\\\"b\",\"record\":{\"level\":\"warning\",\"app\":\"a\\\"b\",\"msg\":\"x,y\",\"n\":1.0}}\n\
                        2026-11-24T15:00:00.000001Z,WARN,\"a\"\"b\",\"x,y\"\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(*message(b"damaged"), *b"damaged");
    }
}
