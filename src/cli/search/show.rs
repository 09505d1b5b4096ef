//! Lines and counts on stdout: raw, as JSON, CSV (RFC 4180), or a table for people.

use std::borrow::Cow;
use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;

use crate::record::layout;
use crate::record::members;
use crate::record::timestamp::TimeReader;
use crate::record::{Level, Timestamp};
use crate::search::Found;
use crate::search::rows::{CSV_HEADER, Rows, csv_field, message};

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
    rows: Rows,
}

const RESET: &[u8] = b"\x1b[0m";
const DIM: &[u8] = b"\x1b[2m";

impl Show {
    pub(in crate::cli) fn new(format: Format, is_terminal: bool) -> Self {
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none();
        Self {
            out: BufWriter::with_capacity(64 * 1024, io::stdout()),
            format,
            is_coloured,
            times: TimeReader::default(),
            rows: Rows::default(),
        }
    }

    /// What stands before the first line.
    pub(in crate::cli) fn begin(&mut self) -> io::Result<()> {
        if self.format == Format::Csv { self.out.write_all(CSV_HEADER) } else { Ok(()) }
    }

    /// One matching line.
    pub(in crate::cli) fn line(&mut self, found: &Found<'_>) -> io::Result<()> {
        match self.format {
            Format::Raw => self.out.write_all(found.line).and_then(|()| self.out.write_all(b"\n")),
            Format::Line => {
                let line = layout::line(found.line).map_or(Cow::Borrowed(found.line), Cow::Owned);
                self.out.write_all(&line).and_then(|()| self.out.write_all(b"\n"))
            }
            Format::Json => self.rows.json(found, &mut self.out),
            Format::Csv => self.rows.csv(found, &mut self.out),
            Format::Table => self.row(found),
        }
    }

    /// After the last one.
    pub(in crate::cli) fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Each record is one row, so that a pager can scroll sideways. Control characters would command the terminal, and are not shown.
    fn row(&mut self, found: &Found<'_>) -> io::Result<()> {
        let facts = members::facts(found.line, &mut self.times);
        let time = Timestamp(found.time_us).to_rfc3339();
        let (dim, level, reset) = if self.is_coloured { (DIM, colour(facts.level), RESET) } else { (&b""[..], &b""[..], &b""[..]) };
        let service = facts.service.unwrap_or_default();
        self.out.write_all(dim)?;
        self.out.write_all(time.as_bytes())?;
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
                    csv_field(group.as_bytes(), &mut self.out)?;
                    write!(self.out, ",{lines}\r\n")?;
                }
            }
        }
        self.out.flush()
    }
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
    fn a_row_commands_no_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\nc\xff"), "a␣[31mb␣c\u{fffd}");
        assert_eq!(*message(br#"{"x":1,"msg":"a\nb"}"#), *b"a\nb");
    }
}
