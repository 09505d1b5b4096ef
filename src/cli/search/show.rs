//! Lines and counts on stdout: raw, as JSON, CSV (RFC 4180), or a table for people.

use std::borrow::Cow;
use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;

use crate::record::layout;
use crate::record::members::{self, Facts, Value};
use crate::record::timestamp::TimeReader;
use crate::record::{Level, Timestamp};
use crate::search::Found;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Each line as it is stored
    Raw,
    /// As it came, where it is stored as its parts (text lines of a known shape), else as it is stored
    Line,
    /// One JSON object a line: time, level, service, and the record
    Json,
    /// time, level, service, message
    Csv,
    /// The same, aligned, for people
    Table,
}

/// What is written goes through here.
pub(in crate::cli) struct Show {
    out: BufWriter<Stdout>,
    format: Format,
    is_coloured: bool,
    times: TimeReader,
}

const RESET: &[u8] = b"\x1b[0m";
const DIM: &[u8] = b"\x1b[2m";

impl Show {
    pub(in crate::cli) fn new(format: Format, is_terminal: bool) -> Self {
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none();
        Self { out: BufWriter::with_capacity(64 * 1024, io::stdout()), format, is_coloured, times: TimeReader::default() }
    }

    /// What stands before the first line.
    pub(in crate::cli) fn begin(&mut self) -> io::Result<()> {
        if self.format == Format::Csv { self.out.write_all(b"time,level,service,message\r\n") } else { Ok(()) }
    }

    /// One matching line.
    pub(in crate::cli) fn line(&mut self, found: &Found<'_>) -> io::Result<()> {
        let plain = match self.format {
            Format::Raw => Some(Cow::Borrowed(found.line)),
            Format::Line => Some(layout::line(found.line).map_or(Cow::Borrowed(found.line), Cow::Owned)),
            Format::Json | Format::Csv | Format::Table => None,
        };
        if let Some(line) = plain {
            self.out.write_all(&line)?;
            return self.out.write_all(b"\n");
        }
        let facts = members::facts(found.line, &mut self.times);
        let mut time = Vec::new();
        Timestamp(found.time_us).write_rfc3339(&mut time);
        match self.format {
            Format::Raw | Format::Line => Ok(()),
            Format::Json => self.json(found, &facts, &time),
            Format::Csv => self.csv(found, &facts, &time),
            Format::Table => self.row(found, &facts, &time),
        }
    }

    /// After the last one.
    pub(in crate::cli) fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn json(&mut self, found: &Found<'_>, facts: &Facts<'_>, time: &[u8]) -> io::Result<()> {
        let service = facts.service.as_ref().map(|service| String::from_utf8_lossy(service));
        self.out.write_all(b"{\"time\":\"")?;
        self.out.write_all(time)?;
        write!(self.out, "\",\"level\":\"{}\",\"service\":{},\"record\":", facts.level.name(), serde_json::json!(service))?;
        self.out.write_all(found.line)?;
        self.out.write_all(b"}\n")
    }

    fn csv(&mut self, found: &Found<'_>, facts: &Facts<'_>, time: &[u8]) -> io::Result<()> {
        let service = facts.service.clone().unwrap_or_default();
        for (at, field) in [time, facts.level.name().as_bytes(), &service, &message(found.line)].into_iter().enumerate() {
            self.out.write_all(if at == 0 { b"" } else { b"," })?;
            write_csv(&mut self.out, field)?;
        }
        self.out.write_all(b"\r\n")
    }

    /// Each record is one row, so that a pager can scroll sideways. Control characters would command the terminal, and are not shown.
    fn row(&mut self, found: &Found<'_>, facts: &Facts<'_>, time: &[u8]) -> io::Result<()> {
        let (dim, level, reset) = if self.is_coloured { (DIM, colour(facts.level), RESET) } else { (&b""[..], &b""[..], &b""[..]) };
        let service = facts.service.clone().unwrap_or_default();
        self.out.write_all(dim)?;
        self.out.write_all(time)?;
        self.out.write_all(reset)?;
        self.out.write_all(b"  ")?;
        self.out.write_all(level)?;
        write!(self.out, "{:<7}", facts.level.name())?;
        self.out.write_all(reset)?;
        writeln!(self.out, "  {:<12}  {}", printable(&service), printable(&message(found.line)))
    }

    /// Groups and how many lines each has.
    pub(in crate::cli) fn counts(&mut self, name: &str, groups: &[(String, u64)]) -> io::Result<()> {
        if self.format == Format::Csv {
            write!(self.out, "{name},count\r\n")?;
        }
        for (group, lines) in groups {
            match self.format {
                Format::Raw | Format::Line | Format::Table => writeln!(self.out, "{lines:>12}  {}", printable(group.as_bytes()))?,
                Format::Json => writeln!(self.out, "{}", serde_json::json!({ name: group, "count": lines }))?,
                Format::Csv => {
                    write_csv(&mut self.out, group.as_bytes())?;
                    write!(self.out, ",{lines}\r\n")?;
                }
            }
        }
        self.out.flush()
    }
}

/// The message of a record, or the line that was rejected; the whole record if it has neither.
fn message(line: &[u8]) -> Cow<'_, [u8]> {
    let is_message = |key: &[u8]| matches!(key, b"message" | b"msg" | b"line");
    members::members(line)
        .find_map(|(key, value)| match value {
            Value::String(escaped) if is_message(key) => Some(members::decoded(escaped)),
            _ => None,
        })
        .unwrap_or(Cow::Borrowed(line))
}

fn write_csv(out: &mut impl Write, field: &[u8]) -> io::Result<()> {
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

fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '␣' } else { c }).collect()
}

fn colour(level: Level) -> &'static [u8] {
    match level {
        Level::Fatal => b"\x1b[1;31m",
        Level::Error => b"\x1b[31m",
        Level::Warn => b"\x1b[33m",
        Level::Info => b"\x1b[32m",
        Level::Debug | Level::Trace | Level::Unknown => DIM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        for (field, expected) in [("plain é", "plain é"), ("a,b", "\"a,b\""), ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""), ("", "")] {
            let mut out = Vec::new();
            write_csv(&mut out, field.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_row_commands_no_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\nc\xff"), "a␣[31mb␣c\u{fffd}");
        assert_eq!(*message(br#"{"x":1,"msg":"a\nb"}"#), *b"a\nb");
        assert_eq!(*message(b"damaged"), *b"damaged");
    }
}
