//! Lines as they stand in segments, read again for what is counted about them: after a crash, when nobody remembers.

use super::framer::PADDING;
use super::json::JsonScanner;
use super::{Level, Timestamp};

/// Reads stored lines, reusing its buffers. Every stored line is a JSON object; one that is damaged counts as a line without level and time.
#[derive(Default)]
pub struct StoredScanner {
    json: JsonScanner,
    padded: Vec<u8>,
}

impl StoredScanner {
    /// The level and time of `line`, without its newline.
    pub fn scan(&mut self, line: &[u8]) -> (Level, Option<Timestamp>) {
        self.padded.clear();
        self.padded.extend_from_slice(line);
        self.padded.resize(line.len() + PADDING, 0);
        self.json.scan(&mut self.padded, line.len(), line, |meta| (meta.level, meta.time)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_time_or_neither() {
        let mut scanner = StoredScanner::default();
        let table: &[(&[u8], Level, Option<i64>)] = &[
            (br#"{"level":"ERROR","time":"1970-01-01T00:00:01Z"}"#, Level::Error, Some(1_000_000)),
            (br#"{"message":"x"}"#, Level::Unknown, None),
            (b"damaged", Level::Unknown, None),
            (b"", Level::Unknown, None),
        ];
        for (line, level, time_us) in table {
            assert_eq!(scanner.scan(line), (*level, time_us.map(Timestamp)));
        }
    }
}
