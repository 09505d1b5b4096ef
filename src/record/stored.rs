//! Lines as they stand in segments, read again for what is counted about them: after a crash, when nobody remembers.

use super::members;
use super::timestamp::TimeReader;
use super::{Level, Timestamp};

/// Reads stored lines. Every stored line is a JSON object, which was validated when it came, so this walks it in place and needs no memory; of one that is damaged
/// it reads what it can.
#[derive(Debug, Default)]
pub struct StoredScanner {
    times: TimeReader,
}

impl StoredScanner {
    /// The level and time of `line`, without its newline.
    pub fn scan(&mut self, line: &[u8]) -> (Level, Option<Timestamp>) {
        let facts = members::facts(line, &mut self.times);
        (facts.level, facts.time)
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
