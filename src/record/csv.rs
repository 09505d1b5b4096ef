//! CSV: lines of fields, by the csv crate's rules, whose columns a header names once per connection, or the configuration.
//!
//! A record becomes `{"timestamp":…,"level":…,"service":…,"message":…}` from the columns that go by those names (`columns`), and then the other columns in their
//! order; every value is a string. A level that is known is normalised, everything else stands as it came.
//!
//! Deliberately absent: guessing delimiters, headers and types.

mod columns;

use std::sync::Arc;

use super::text::{write_escaped, write_member};
use super::timestamp::TimeReader;
use super::{Level, RecordMeta, RejectReason, Timestamp};
use crate::limits::CSV_COLUMNS_MAX;

pub use columns::Columns;
use columns::Known;

/// A byte order mark: no content at the beginning of a line.
const BOM: &str = "\u{feff}";

/// What is known of a connection's columns.
#[derive(Debug, Clone, Default)]
pub enum Header {
    /// The next line names them.
    #[default]
    Awaited,
    /// They are these.
    Known(Arc<Columns>),
    /// The line that should have named them could not: nobody knows what the others mean.
    Unusable,
}

impl Header {
    /// Of a connection that has sent nothing: the configured columns, or those that its first line names.
    pub fn new(configured: Option<&Arc<Columns>>) -> Self {
        configured.cloned().map_or(Self::Awaited, Self::Known)
    }
}

/// Reads lines, reusing its buffers.
#[derive(Default)]
pub struct CsvReader {
    splitter: Splitter,
    times: TimeReader,
}

impl CsvReader {
    /// Appends the record of `line`, received at `received`, without a newline; or notes the columns that it names, and returns none. On rejection `out` is left
    /// as it was.
    pub fn write_record<'a>(
        &'a mut self,
        out: &mut Vec<u8>,
        line: &'a [u8],
        header: &mut Header,
        received: Timestamp,
    ) -> Result<Option<RecordMeta<'a>>, RejectReason> {
        let text = simdutf8::basic::from_utf8(line).map_err(|_| RejectReason::InvalidUtf8);
        let columns = match header {
            Header::Known(columns) => columns,
            Header::Unusable => return Err(RejectReason::CsvHeader),
            Header::Awaited => {
                *header = Header::Unusable;
                let text = text?;
                let fields = self.splitter.split(without_bom(text), CSV_COLUMNS_MAX).ok_or(RejectReason::CsvHeader)?;
                *header = Header::Known(Arc::new(Columns::new(fields.iter()).map_err(|_| RejectReason::CsvHeader)?));
                return Ok(None);
            }
        };
        let text = without_bom(text?);
        let fields = self.splitter.split(text, columns.len()).filter(|fields| fields.ends.len() == columns.len());
        Ok(Some(write(out, columns, &fields.ok_or(RejectReason::CsvRagged)?, &mut self.times, received)))
    }
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

fn write<'a>(out: &mut Vec<u8>, columns: &Columns, fields: &Fields<'a>, times: &mut TimeReader, received: Timestamp) -> RecordMeta<'a> {
    let known = |column: Known| columns.known(column).map(|at| fields.get(at)).filter(|value| !value.is_empty());
    let (time, level, service) = (known(Known::Time), known(Known::Level), known(Known::Service));
    out.extend_from_slice(b"{\"timestamp\":\"");
    match time {
        Some(time) => write_escaped(out, time),
        None => received.write_rfc3339(out),
    }
    out.push(b'"');
    let parsed = level.map_or(Level::Unknown, |level| Level::parse(level.as_bytes()));
    if let Some(level) = level {
        write_member(out, "level", if parsed == Level::Unknown { level } else { parsed.name() });
    }
    if let Some(service) = service {
        write_member(out, "service", service);
    }
    if let Some(at) = columns.known(Known::Message) {
        write_member(out, "message", fields.get(at));
    }
    for (at, name) in columns.others() {
        write_member(out, name, fields.get(at));
    }
    out.push(b'}');
    RecordMeta { level: parsed, time: time.and_then(|time| times.parse(time)), service }
}

/// Splits lines into fields.
struct Splitter {
    csv: csv_core::Reader,
    /// The fields of a line with quotes, one behind the other.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { csv: csv_core::Reader::new(), unquoted: Vec::new(), ends: Vec::with_capacity(CSV_COLUMNS_MAX + 1) }
    }
}

/// The fields of one line: `text` up to each of `ends`, with `gap` bytes between.
struct Fields<'a> {
    text: &'a str,
    ends: &'a [usize],
    gap: usize,
}

impl<'a> Fields<'a> {
    fn get(&self, at: usize) -> &'a str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] + self.gap };
        &self.text[start..self.ends[at]]
    }

    fn iter(&self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(|at| self.get(at))
    }
}

impl Splitter {
    /// The fields of `line`; none if there are more than `max`, or more than one record.
    fn split<'a>(&'a mut self, line: &'a str, max: usize) -> Option<Fields<'a>> {
        self.ends.clear();
        if memchr::memchr3(b'"', b'\r', b'\n', line.as_bytes()).is_some() {
            return self.split_quoted(line, max);
        }
        for comma in memchr::memchr_iter(b',', line.as_bytes()) {
            if self.ends.len() == max {
                return None;
            }
            self.ends.push(comma);
        }
        self.ends.push(line.len());
        (self.ends.len() <= max).then_some(Fields { text: line, ends: &self.ends, gap: 1 })
    }

    fn split_quoted<'a>(&'a mut self, line: &str, max: usize) -> Option<Fields<'a>> {
        let Self { csv, unquoted, ends } = self;
        csv.reset();
        if unquoted.len() <= line.len() {
            unquoted.resize(line.len() + 1, 0);
        }
        ends.resize(max + 1, 0);
        let (result, mut read, written, mut count) = csv.read_record(line.as_bytes(), unquoted, ends);
        let result = match result {
            csv_core::ReadRecordResult::InputEmpty => {
                let (result, _, _, last) = csv.read_record(&[], &mut unquoted[written..], &mut ends[count..]);
                count += last;
                result
            }
            result => {
                let behind = &line.as_bytes()[read..];
                read += behind.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                result
            }
        };
        let is_one = matches!(result, csv_core::ReadRecordResult::Record) && read == line.len() && count <= max;
        ends.truncate(count);
        let text = simdutf8::basic::from_utf8(&unquoted[..written]).ok()?;
        is_one.then_some(Fields { text, ends, gap: 0 })
    }
}

#[cfg(test)]
mod tests;
