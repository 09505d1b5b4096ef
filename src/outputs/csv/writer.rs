//! Rows as CSV (RFC 4180): commas, CRLF, quotes where a field needs them. Pure.

use std::borrow::Cow;

use csv_core::{Terminator, WriteResult, WriterBuilder};

use crate::outputs::row::Row;

/// The first line of every file. docs/OUTPUTS.md says what the columns hold.
pub(super) const HEADER: &[u8] = b"time,timestamp,level,service,message,tags,fields\r\n";

/// Forms one row at a time, in a buffer that it keeps.
pub(super) struct RowWriter {
    core: csv_core::Writer,
    row: Vec<u8>,
}

impl Default for RowWriter {
    fn default() -> Self {
        RowWriter { core: WriterBuilder::new().terminator(Terminator::CRLF).build(), row: Vec::new() }
    }
}

impl RowWriter {
    /// The row that was formed last, with its line end.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// Forms `row`. Its time is RFC 3339, UTC with microseconds; what it does not have is empty.
    pub(super) fn form(&mut self, row: &Row<'_>) {
        let mut time = Vec::with_capacity(32);
        if let Some(at) = row.time {
            at.write_rfc3339(&mut time);
        }
        let fields: [&[u8]; 7] = [
            &time,
            text(&row.timestamp),
            row.level.name().as_bytes(),
            text(&row.service),
            text(&row.message),
            row.tags.unwrap_or_default().as_bytes(),
            row.fields.as_bytes(),
        ];
        self.row.clear();
        for (at, mut rest) in fields.into_iter().enumerate() {
            if 0 < at {
                self.put(MARK_BYTES, |core, out| core.delimiter(out));
            }
            // At most every byte is a quote, which is doubled.
            self.put(2 * rest.len() + MARK_BYTES, |core, out| {
                let (result, read, written) = core.field(rest, out);
                rest = &rest[read..];
                (result, written)
            });
        }
        self.put(MARK_BYTES, |core, out| core.terminator(out));
    }

    /// Lets `step` write behind the row, `room` bytes at a time, until it is done.
    fn put(&mut self, room: usize, mut step: impl FnMut(&mut csv_core::Writer, &mut [u8]) -> (WriteResult, usize)) {
        loop {
            let len = self.row.len();
            self.row.resize(len + room, 0);
            let (result, written) = step(&mut self.core, &mut self.row[len..]);
            self.row.truncate(len + written);
            if result == WriteResult::InputEmpty {
                return;
            }
        }
    }
}

fn text<'a>(text: &'a Option<Cow<'_, str>>) -> &'a [u8] {
    text.as_deref().unwrap_or_default().as_bytes()
}

/// Room for quotes, a comma, or a line end.
const MARK_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Level, Timestamp};
    use proptest::prelude::*;

    #[test]
    fn quotes_stand_where_a_field_needs_them() {
        let row = Row {
            time: Some(Timestamp(1_000_000)),
            timestamp: None,
            level: Level::Info,
            service: Some("a,b".into()),
            message: Some("say \"hi\"\r\nagain".into()),
            tags: None,
            fields: "{}",
        };
        let mut writer = RowWriter::default();
        for _ in 0..2 {
            writer.form(&row);
            let expected = "1970-01-01T00:00:01.000000Z,,INFO,\"a,b\",\"say \"\"hi\"\"\r\nagain\",,{}\r\n";
            assert_eq!(std::str::from_utf8(writer.row()).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_reader_gives_the_texts_back(texts in prop::collection::vec("[a,\"\r\n é]{0,80}", 3)) {
            let fields = format!("{{\"x\":{}}}", serde_json::to_string(&texts[2]).unwrap());
            let row = Row { time: None, timestamp: None, level: Level::Unknown, service: Some(texts[0].as_str().into()), message: Some(texts[1].as_str().into()), tags: Some("[\"a\"]"), fields: &fields };
            let mut writer = RowWriter::default();
            writer.form(&row);
            let mut reader = csv_core::Reader::new();
            let (mut out, mut ends) = (vec![0; 4_000], [0; 20]);
            let (_, _, _, columns) = reader.read_record(writer.row(), &mut out, &mut ends);
            prop_assert_eq!(columns, 7);
            let column = |at: usize| std::str::from_utf8(&out[ends[at - 1]..ends[at]]).unwrap();
            prop_assert_eq!((column(3), column(4), column(5), column(6)), (texts[0].as_str(), texts[1].as_str(), "[\"a\"]", fields.as_str()));
        }
    }
}
