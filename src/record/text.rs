//! Text lines become JSON objects: `timestamp`, `level`, `service`, `message`, what else the line carried, and `layout`.
//!
//! The usual shapes are recognised line by line, own [`patterns`](pattern) before them; what none fits is its record's message, whole. In a line of a shape
//! the message is only a part, and `layout` is the line with the names of members in braces where their values stood (`{{` is a brace): put the values back, and
//! the line is there, byte for byte. A record without `layout` has its whole line as `message`. docs/adr/0007 says why.
//!
//! Of a record of several lines the first one has the shape; the others belong to its message.
//!
//! Invariant: of every line its record gives back every byte. A property holds it.

pub mod pattern;

mod access;
mod escape;
mod head;
mod keyvalue;
mod parts;
mod record;
mod scan;
mod shapes;

#[cfg(test)]
mod tests;

use crate::limits::TEXT_SHAPE_BYTES_MAX;
pub use escape::{write_escaped, write_member};

use jiff::tz::TimeZone;

use parts::Parts;
use pattern::Patterns;

use super::timestamp::zone::Zone;
use super::{Fields, RecordMeta, RejectReason, Timestamp};

/// Reads text lines, reusing its buffers: no allocation per line after warm-up.
#[derive(Debug, Default)]
pub struct TextReader {
    patterns: Patterns,
    zone: Zone,
    parts: Parts,
}

impl TextReader {
    /// A reader for which times without a zone are of `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone: Zone::new(zone), ..Self::default() }
    }

    /// The same reader, which tries `patterns` before the usual shapes.
    pub fn with_patterns(self, patterns: Patterns) -> Self {
        Self { patterns, ..self }
    }

    /// Appends the record of `line`, received at `received`, without a newline; `read` is given what it carries. What is not UTF-8 is rejected, and `out` left
    /// as it was.
    pub fn write_record<R>(
        &mut self,
        out: &mut Vec<u8>,
        line: &[u8],
        received: Timestamp,
        read: impl FnOnce(RecordMeta<'_>, &dyn Fields) -> R,
    ) -> Result<R, RejectReason> {
        let line = simdutf8::basic::from_utf8(line).map_err(|_| RejectReason::InvalidUtf8)?;
        let Self { patterns, zone, parts } = self;
        let first = &line[..memchr::memchr(b'\n', line.as_bytes()).unwrap_or(line.len())];
        parts.clear(first.len());
        if first.len() <= TEXT_SHAPE_BYTES_MAX && !patterns.read(first, parts) {
            shapes::read(first, zone.civil(received), parts);
        }
        parts.set_zone(zone);
        if first.len() < line.len() {
            parts.continue_message(first.len(), line.len());
        }
        let fields = parts.view(line, patterns);
        record::write(out, &fields, received);
        Ok(read(fields.meta(received), &fields))
    }
}
