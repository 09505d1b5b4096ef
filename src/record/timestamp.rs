//! Points in time, as records carry them.
//!
//! Understood: RFC 3339 (section 5.6) with `T` or a space, a fraction of up to nine digits after `.` or `,`, and `Z`, an offset, or nothing (then UTC); and
//! Unix epochs in seconds, milliseconds, microseconds or nanoseconds, told apart by their magnitude; and what else [`forms`] lists.

pub mod forms;
pub mod zone;

/// Microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Bytes of `2026-11-24T15:00:00.000000Z`.
pub const RFC3339_BYTES: usize = 27;

const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;

impl Timestamp {
    /// Reads a time or an epoch from text; none where it is neither. A time without a zone is of UTC.
    pub fn parse(text: &str) -> Option<Self> {
        forms::whole(text).map(|found| found.time)
    }

    /// An integer epoch: seconds up to the year 5138, then milliseconds, microseconds, nanoseconds, a thousand times as many each.
    pub fn from_epoch(number: i64) -> Option<Self> {
        let micros = match number.unsigned_abs() {
            0..100_000_000_000 => number * SECOND_US,
            100_000_000_000..100_000_000_000_000 => number * 1_000,
            100_000_000_000_000..100_000_000_000_000_000 => number,
            _ => number / 1_000,
        };
        Some(Self(micros))
    }

    /// A fractional epoch, of the same magnitudes.
    pub fn from_epoch_seconds(number: f64) -> Option<Self> {
        if !number.is_finite() || number.abs() >= 9e18 {
            return None;
        }
        if number.abs() < 1e11 { Some(Self((number * 1e6).round() as i64)) } else { Self::from_epoch(number as i64) }
    }

    /// `2026-11-24T15:00:00.000000Z`, as [`Timestamp::write_rfc3339`] writes it.
    pub fn to_rfc3339(self) -> String {
        let mut text = Vec::with_capacity(RFC3339_BYTES);
        self.write_rfc3339(&mut text);
        String::from_utf8(text).expect("ASCII")
    }

    /// Appends `2026-11-24T15:00:00.000000Z`, without allocating where `out` has room. Years are clamped to 0..=9999.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        const YEAR_0: i64 = -62_167_219_200 * SECOND_US;
        const YEAR_10_000: i64 = 253_402_300_800 * SECOND_US;
        let micros = self.0.clamp(YEAR_0, YEAR_10_000 - 1);
        let (seconds, fraction) = (micros.div_euclid(SECOND_US), micros.rem_euclid(SECOND_US) as u32);
        let (days, second_of_day) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S) as u32);
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], second_of_day / 3_600);
        put(&mut text[14..16], second_of_day / 60 % 60);
        put(&mut text[17..19], second_of_day % 60);
        put(&mut text[20..26], fraction);
        out.extend_from_slice(&text);
    }
}

/// Bytes of `2026-11-24T15:00:00`.
const SECOND_BYTES: usize = 19;

/// Reads times of which many begin alike: the lines of a busy sender share their second, and only the fraction is read anew.
#[derive(Debug)]
pub struct TimeReader {
    /// The first [`SECOND_BYTES`] of the last time in the usual form.
    second_text: [u8; SECOND_BYTES],
    second_us: i64,
}

impl Default for TimeReader {
    fn default() -> Self {
        Self { second_text: *b"1970-01-01T00:00:00", second_us: 0 }
    }
}

impl TimeReader {
    /// Like [`Timestamp::parse`].
    pub fn parse(&mut self, text: &str) -> Option<Timestamp> {
        self.parse_usual(text.as_bytes()).or_else(|| Timestamp::parse(text))
    }

    /// The same of bytes, of which only unusual ones are looked at for being UTF-8.
    pub fn parse_bytes(&mut self, text: &[u8]) -> Option<Timestamp> {
        self.parse_usual(text).or_else(|| Timestamp::parse(std::str::from_utf8(text).ok()?))
    }

    fn parse_usual(&mut self, text: &[u8]) -> Option<Timestamp> {
        if let Some((second_text, rest)) = text.split_first_chunk::<SECOND_BYTES>() {
            if *second_text == self.second_text
                && let Some(micros) = parse_utc_fraction(rest)
            {
                return Some(Timestamp(self.second_us + micros));
            }
            if let Some(time) = parse_utc(text) {
                (self.second_text, self.second_us) = (*second_text, time.0 - parse_utc_fraction(rest)?);
                return Some(time);
            }
        }
        None
    }
}

fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The usual form, `YYYY-MM-DDTHH:MM:SS` with or without a fraction, ending in `Z` or `+HH:MM`.
fn parse_utc(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_at_checked(SECOND_BYTES)?;
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let (year, month, day) = (number(&head[0..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (hour, minute, second) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || days_in_month(year, month) < day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = parse_utc_fraction(tail)?;
    let seconds = days_from_civil(year, month, day) * DAY_S + i64::from(hour * 3_600 + minute * 60 + second);
    Some(Timestamp(seconds * SECOND_US + micros))
}

/// What follows the second: a fraction of one to nine digits or none, and `Z` or `+HH:MM`. In microseconds, from that second of UTC on.
fn parse_utc_fraction(tail: &[u8]) -> Option<i64> {
    match tail {
        [fraction @ .., b'Z'] => parse_fraction(fraction),
        [fraction @ .., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let offset_us = i64::from(hours * 60 + minutes) * 60 * SECOND_US;
            let is_valid = hours < 24 && minutes < 60;
            let micros = parse_fraction(fraction).filter(|_| is_valid)?;
            Some(if *sign == b'+' { micros - offset_us } else { micros + offset_us })
        }
        _ => None,
    }
}

/// A point and one to nine digits, or nothing. In microseconds.
pub(super) fn parse_fraction(fraction: &[u8]) -> Option<i64> {
    let Some((point, digits)) = fraction.split_first() else { return Some(0) };
    if !matches!(point, b'.' | b',') || !(1..=9).contains(&digits.len()) {
        return None;
    }
    let kept = &digits[..digits.len().min(6)];
    number(&digits[kept.len()..])?;
    Some(i64::from(number(kept)? * 10u32.pow(6 - kept.len() as u32)))
}

pub(super) fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let table: &[(&str, Option<i64>)] = &[
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-24T15:00:00.000100Z", Some(1_795_532_400_000_100)),
            ("2026-11-24 15:00:00,123Z", Some(1_795_532_400_123_000)),
            ("2026-11-24T15:00:00", Some(1_795_532_400_000_000)),
            ("2026-11-24T16:00:00.5+01:00", Some(1_795_532_400_500_000)),
            ("2026-11-24T10:30:00.000001-04:30", Some(1_795_532_400_000_001)),
            ("2026-11-24T16:00:00+26:00", None),
            ("2026-11-24T16:00:00+0100", Some(1_795_532_400_000_000)),
            ("2026-02-29T00:00:00Z", None),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("1795532400", Some(1_795_532_400_000_000)),
            ("1795532400123", Some(1_795_532_400_123_000)),
            ("1795532400123456", Some(1_795_532_400_123_456)),
            ("1795532400123456789", Some(1_795_532_400_123_456)),
            ("1795532400.25", Some(1_795_532_400_250_000)),
            ("yesterday", None),
            ("", None),
            ("NaN", None),
        ];
        for (text, micros) in table {
            assert_eq!(Timestamp::parse(text), micros.map(Timestamp), "{text}");
        }
        let mut reader = TimeReader::default();
        for (text, micros) in table.iter().chain(table) {
            assert_eq!(reader.parse(text), micros.map(Timestamp), "{text}");
            assert_eq!(reader.parse(text), micros.map(Timestamp), "{text}, again");
        }
    }

    proptest! {
        #[test]
        fn written_times_are_what_jiff_says_and_parse_back(micros in -62_167_219_200_000_000i64..253_402_300_799_999_999) {
            let mut out = Vec::new();
            Timestamp(micros).write_rfc3339(&mut out);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.len(), RFC3339_BYTES);
            prop_assert_eq!(Timestamp::parse(&text), Some(Timestamp(micros)));
            if let Ok(theirs) = text.parse::<jiff::Timestamp>() {
                prop_assert_eq!(theirs.as_microsecond(), micros);
            }
        }

        #[test]
        fn a_reader_reads_what_parse_reads(
            texts in prop::collection::vec("2026-(02|11)-(2[4-9]|30)[T ]15:00:0[0-2]([.,][0-9]{1,10})?(Z|[+-]0[0-9]:[03]0)?", 1..20),
        ) {
            let mut reader = TimeReader::default();
            for text in texts {
                prop_assert_eq!(reader.parse(&text), Timestamp::parse(&text), "{}", text);
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
