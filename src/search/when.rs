//! Points in time as people type them: `1h` ago, or a date. Pure but for [`now_us`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::record::Timestamp;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Now, in microseconds since 1970 UTC.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Reads `1h`, `30m`, `7d` (before `now_us`), `now`, `2026-11-24`, `2026-11-24T15:00`, the same with seconds, a fraction and an offset, or a Unix epoch. Without an offset
/// it is UTC. In microseconds since 1970 UTC; an error says what is allowed.
pub fn parse(text: &str, now_us: i64) -> Result<i64, String> {
    if text == "now" {
        return Ok(now_us);
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()?.checked_mul(DAY_US));
    let ago = || {
        let duration = text.parse::<jiff::SignedDuration>().ok()?;
        i64::try_from(duration.as_micros()).ok()
    };
    if let Some(ago_us) = days.or_else(ago) {
        return Ok(now_us.saturating_sub(ago_us));
    }
    date(text).or_else(|| Timestamp::parse(text).map(|time| time.0)).ok_or_else(|| {
        "expected a time: 15m, 1h, 7d (ago), 2026-11-24, 2026-11-24T15:00, 2026-11-24T15:00:00+01:00 (without an offset, UTC)".to_owned()
    })
}

/// A date with or without a time of day, in UTC.
fn date(text: &str) -> Option<i64> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => return None,
    };
    Timestamp::parse(&whole).filter(|_| text.as_bytes()[4] == b'-').map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let now = 1_795_532_400 * SECOND_US; // 2026-11-24T15:00:00Z
        for (text, expected) in [
            ("now", now),
            ("1h", now - 3_600 * SECOND_US),
            ("90s", now - 90 * SECOND_US),
            ("2d", now - 2 * DAY_US),
            ("2026-11-24T15:00", now),
            ("2026-11-24 15:00", now),
            ("2026-11-24", now - 15 * 3_600 * SECOND_US),
            ("2026-11-24T15:00:00.5", now + SECOND_US / 2),
            ("2026-11-24T16:00:00+01:00", now),
            ("1795532400", now),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "24.11.2026", "2026-13-01", "5 parsecs"] {
            assert!(parse(text, now).unwrap_err().contains("1h"), "{text}");
        }
    }
}
