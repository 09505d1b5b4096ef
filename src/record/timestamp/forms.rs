//! The times that stand at the beginning of log lines, in the forms that programs write.
//!
//! Full ones: ISO dates with `-` or `/` and `T` or a space, Java's and Python's comma, zones as `Z`, offset or `UTC`; Spark's `17/06/09 20:10:40`, HDFS's
//! `081109 203615`, Blue Gene's `2005-06-03-15.42.50.363779`, ctime's `Sun Dec 04 04:47:44 2005` with a fraction or not, the common log format's
//! `10/Oct/2000:13:55:36 -0700`, Redis's `24 Nov 2026 15:00:00.123`. And those that leave the year or the date out: syslog's `Dec 10 06:55:46`, Android's
//! `03-17 16:13:38.811`, glog's `1124 15:00:00.123456`, logback's `15:00:00.123`, which are placed where they come nearest to `now`, what the clock that they were
//! read from showed when they were received.

use super::{DAY_S, SECOND_US, Timestamp, days_from_civil, days_in_month, number, parse_utc};

/// A time that was read, and how many bytes it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The time.
    pub time: Timestamp,
    /// Its bytes.
    pub len: usize,
    /// It names no zone: `time` is what a clock of UTC showed.
    pub is_civil: bool,
}

impl Found {
    fn utc(time: Timestamp, len: usize) -> Self {
        Self { time, len, is_civil: false }
    }

    fn civil(civil_us: i64, len: usize) -> Self {
        Self { time: Timestamp(civil_us), len, is_civil: true }
    }
}

/// All of `text` as a time or an epoch; none where it is neither.
pub fn whole(text: &str) -> Option<Found> {
    let bytes = text.as_bytes();
    let utc = |time| Found::utc(time, bytes.len());
    if let Some(time) = parse_utc(bytes) {
        return Some(utc(time));
    }
    if let Some(found) = full(bytes).filter(|found| found.len == bytes.len()) {
        return Some(found);
    }
    if bytes.len() >= 5 && bytes[4] == b'-' {
        return general(text);
    }
    let epoch = text.parse::<i64>().ok().and_then(Timestamp::from_epoch);
    epoch.or_else(|| text.parse::<f64>().ok().and_then(Timestamp::from_epoch_seconds)).map(utc)
}

/// What else jiff takes for a time.
fn general(text: &str) -> Option<Found> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Found::utc(Timestamp(time.as_microsecond()), text.len()));
    }
    let time = jiff::tz::TimeZone::UTC.to_timestamp(text.parse().ok()?).ok()?;
    Some(Found::civil(time.as_microsecond(), text.len()))
}

/// A full time at the beginning of `text`.
pub fn full(text: &[u8]) -> Option<Found> {
    let found = match text.first()? {
        b'0'..=b'9' => {
            iso(text).or_else(|| short_year(text)).or_else(|| compact(text)).or_else(|| common_log(text)).or_else(|| redis(text))
        }
        b'A'..=b'Z' => ctime(text),
        _ => None,
    }?;
    is_boundary(text, found.len).then_some(found)
}

/// syslog's `Dec 10 06:55:46`: no year, the day padded with a space (RFC 3164, section 4.1.2).
pub fn month_day(text: &[u8], now: Timestamp) -> Option<Found> {
    let month = month(text.get(..3)?)?;
    if text.get(3) != Some(&b' ') || text.get(6) != Some(&b' ') {
        return None;
    }
    let day = if text[4] == b' ' { number(&text[5..6])? } else { number(&text[4..6])? };
    let (clock_us, clock_len) = clock(&text[7..], b':')?;
    yearless(month, day, clock_us, now, 7 + clock_len).filter(|found| is_boundary(text, found.len))
}

/// glog's `1124 15:00:00.123456`.
pub fn glog(text: &[u8], now: Timestamp) -> Option<Found> {
    let (month, day) = (number(text.get(..2)?)?, number(text.get(2..4)?)?);
    let (clock_us, clock_len) = clock(text.get(5..)?, b':')?;
    (text[4] == b' ').then(|| yearless(month, day, clock_us, now, 5 + clock_len)).flatten().filter(|found| is_boundary(text, found.len))
}

/// Android's `03-17 16:13:38.811`.
pub fn logcat(text: &[u8], now: Timestamp) -> Option<Found> {
    if text.get(2) != Some(&b'-') || text.get(5) != Some(&b' ') {
        return None;
    }
    let (month, day) = (number(&text[..2])?, number(&text[3..5])?);
    let (clock_us, clock_len) = clock(&text[6..], b':')?;
    yearless(month, day, clock_us, now, 6 + clock_len).filter(|found| is_boundary(text, found.len))
}

/// logback's `15:00:00.123`: no date.
pub fn clock_only(text: &[u8], now: Timestamp) -> Option<Found> {
    const DAY_US: i64 = DAY_S * SECOND_US;
    let (clock_us, len) = clock(text, b':')?;
    let today = now.0.div_euclid(DAY_US) * DAY_US;
    let days = [today - DAY_US, today, today + DAY_US];
    let civil_us = days.into_iter().map(|day| day + clock_us).min_by_key(|civil_us| civil_us.abs_diff(now.0))?;
    is_boundary(text, len).then_some(Found::civil(civil_us, len))
}

/// An epoch at the beginning of a line: 10 digits, with a fraction or without, or 13 (milliseconds), and a space.
pub fn epoch(text: &[u8]) -> Option<Found> {
    let digits = text.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let fraction = match text.get(digits) {
        Some(b'.') if digits == 10 => 1 + text[11..].iter().take(9).take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let len = digits + fraction;
    let has_form = matches!((digits, fraction), (10, 0 | 2..) | (13, 0)) && matches!(text.get(len), None | Some(b' ' | b'\t'));
    let text = std::str::from_utf8(&text[..len]).ok()?;
    has_form.then(|| Timestamp::parse(text)).flatten().map(|time| Found::utc(time, len))
}

/// The year that puts a date nearest to `now`, right at New Year too.
fn yearless(month: u32, day: u32, clock_us: i64, now: Timestamp, len: usize) -> Option<Found> {
    let (this_year, ..) = super::civil_from_days(now.0.div_euclid(DAY_S * SECOND_US));
    let years = [this_year.checked_sub(1)?, this_year, this_year + 1];
    let times = years.into_iter().filter_map(|year| date(year, month, day)).map(|date_us| date_us + clock_us);
    times.min_by_key(|civil_us| civil_us.abs_diff(now.0)).map(|civil_us| Found::civil(civil_us, len))
}

fn iso(text: &[u8]) -> Option<Found> {
    let head = text.get(..19)?;
    if head[4] != head[7] || !matches!(head[4], b'-' | b'/') {
        return None;
    }
    let date_us = date(number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?)?;
    if head[10] == b'-' {
        let (clock_us, len) = clock(&text[11..], b'.')?;
        return Some(Found::civil(date_us + clock_us, 11 + len));
    }
    if !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (clock_us, len) = clock(&text[11..], b':')?;
    Some(zoned(text, date_us + clock_us, 11 + len))
}

fn short_year(text: &[u8]) -> Option<Found> {
    let head = text.get(..17)?;
    if head[2] != b'/' || head[5] != b'/' || head[8] != b' ' {
        return None;
    }
    let date_us = date(2000 + number(&head[..2])?, number(&head[3..5])?, number(&head[6..8])?)?;
    let (clock_us, len) = clock(&text[9..], b':')?;
    Some(Found::civil(date_us + clock_us, 9 + len))
}

fn compact(text: &[u8]) -> Option<Found> {
    let head = text.get(..13)?;
    if head[6] != b' ' {
        return None;
    }
    let date_us = date(2000 + number(&head[..2])?, number(&head[2..4])?, number(&head[4..6])?)?;
    let seconds = seconds_of_day(number(&head[7..9])?, number(&head[9..11])?, number(&head[11..13])?)?;
    Some(Found::civil(date_us + seconds * SECOND_US, 13))
}

fn common_log(text: &[u8]) -> Option<Found> {
    let head = text.get(..20)?;
    if head[2] != b'/' || head[6] != b'/' || head[11] != b':' {
        return None;
    }
    let date_us = date(number(&head[7..11])?, month(&head[3..6])?, number(&head[..2])?)?;
    let (clock_us, len) = clock(&text[12..], b':')?;
    Some(zoned(text, date_us + clock_us, 12 + len))
}

fn redis(text: &[u8]) -> Option<Found> {
    let head = text.get(..20)?;
    if head[2] != b' ' || head[6] != b' ' || head[11] != b' ' {
        return None;
    }
    let date_us = date(number(&head[7..11])?, month(&head[3..6])?, number(&head[..2])?)?;
    let (clock_us, len) = clock(&text[12..], b':')?;
    Some(Found::civil(date_us + clock_us, 12 + len))
}

fn ctime(text: &[u8]) -> Option<Found> {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    let head = text.get(..19)?;
    if !DAYS.contains(&&head[..3]) || head[3] != b' ' || head[7] != b' ' || head[10] != b' ' {
        return None;
    }
    let day = if head[8] == b' ' { number(&head[9..10])? } else { number(&head[8..10])? };
    let (clock_us, len) = clock(&text[11..], b':')?;
    let year_at = 11 + len + 1;
    let year = text.get(year_at..year_at + 4).filter(|_| text[year_at - 1] == b' ')?;
    Some(Found::civil(date(number(year)?, month(&head[4..7])?, day)? + clock_us, year_at + 4))
}

/// A zone behind a time of `len` bytes: `Z`, `+01:00` or `-0700` with a space before it or not, ` UTC`, ` GMT`; or none.
fn zoned(text: &[u8], civil_us: i64, len: usize) -> Found {
    let rest = &text[len..];
    if let Some(b'Z' | b'z') = rest.first() {
        return Found::utc(Timestamp(civil_us), len + 1);
    }
    let (space, zone) = match rest.split_first() {
        Some((b' ', zone)) => (1, zone),
        _ => (0, rest),
    };
    if space == 1 && (zone.starts_with(b"UTC") || zone.starts_with(b"GMT")) && is_boundary(zone, 3) {
        return Found::utc(Timestamp(civil_us), len + 4);
    }
    match offset(zone) {
        Some((offset_us, bytes)) if is_boundary(zone, bytes) => Found::utc(Timestamp(civil_us - offset_us), len + space + bytes),
        _ => Found::civil(civil_us, len),
    }
}

fn offset(zone: &[u8]) -> Option<(i64, usize)> {
    let sign = match zone.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let minutes_at = if zone.get(3) == Some(&b':') { 4 } else { 3 };
    let (hours, minutes) = (number(zone.get(1..3)?)?, number(zone.get(minutes_at..minutes_at + 2)?)?);
    let seconds = i64::from(hours * 3_600 + minutes * 60);
    (hours < 24 && minutes < 60).then_some((sign * seconds * SECOND_US, minutes_at + 2))
}

/// `15:00:00` and a fraction of one to nine digits behind `.` or `,`: microseconds of the day, and bytes.
fn clock(text: &[u8], separator: u8) -> Option<(i64, usize)> {
    let head = text.get(..8)?;
    if head[2] != separator || head[5] != separator {
        return None;
    }
    let seconds = seconds_of_day(number(&head[..2])?, number(&head[3..5])?, number(&head[6..8])?)?;
    let digits = match text.get(8) {
        Some(b'.' | b',') => text[9..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    if !(1..=9).contains(&digits) {
        return Some((seconds * SECOND_US, 8));
    }
    let kept = digits.min(6);
    let micros = number(&text[9..9 + kept])? * 10u32.pow(6 - kept as u32);
    Some((seconds * SECOND_US + i64::from(micros), 9 + digits))
}

fn seconds_of_day(hour: u32, minute: u32, second: u32) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60).then(|| i64::from(hour * 3_600 + minute * 60 + second))
}

/// Microseconds of midnight.
fn date(year: u32, month: u32, day: u32) -> Option<i64> {
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    is_date.then(|| days_from_civil(year, month, day) * DAY_S * SECOND_US)
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    NAMES.chunks_exact(3).position(|month| month == name).map(|at| at as u32 + 1)
}

/// Whether no letter or digit follows.
fn is_boundary(text: &[u8], len: usize) -> bool {
    !text.get(len).is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = fn(&[u8], Timestamp) -> Option<Found>;

    fn rfc3339(time: Timestamp) -> String {
        let mut out = Vec::new();
        time.write_rfc3339(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn full_times_in_every_form() {
        let table = [
            ("2026-11-24 15:00:00,123 INFO", "2026-11-24T15:00:00.123000Z", 23),
            ("2026/11/24 15:00:00 x", "2026-11-24T15:00:00.000000Z", 19),
            ("2026-11-24T15:00:00.123456789+01:30 x", "2026-11-24T13:30:00.123456Z", 35),
            ("2026-11-24 15:00:00 +0100]", "2026-11-24T14:00:00.000000Z", 25),
            ("2026-11-24 15:00:00 -12345", "2026-11-24T15:00:00.000000Z", 19),
            ("2026-11-24 15:00:00.5 UTC [1]", "2026-11-24T15:00:00.500000Z", 25),
            ("17/06/09 20:10:40 INFO", "2017-06-09T20:10:40.000000Z", 17),
            ("081109 203615 148 INFO", "2008-11-09T20:36:15.000000Z", 13),
            ("2005-06-03-15.42.50.363779 R02", "2005-06-03T15:42:50.363779Z", 26),
            ("Sun Dec 04 04:47:44 2005]", "2005-12-04T04:47:44.000000Z", 24),
            ("Sun Dec  4 04:47:44.25 2005", "2005-12-04T04:47:44.250000Z", 27),
            ("10/Oct/2000:13:55:36 -0700]", "2000-10-10T20:55:36.000000Z", 26),
            ("24 Nov 2026 15:00:00.123 *", "2026-11-24T15:00:00.123000Z", 24),
        ];
        for (text, time, len) in table {
            let found = full(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((rfc3339(found.time).as_str(), found.len), (time, len), "{text}");
            assert_eq!(Timestamp::parse(&text[..len]), Some(found.time), "{text}: read again from a record");
        }
        for text in ["2026-02-30 15:00:00", "2026-11-24 25:00:00", "2026-11-24 15:00:00x", "203615 081109", "Sun Foo 04 04:47:44 2005", ""]
        {
            assert_eq!(full(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_what_comes_nearest() {
        let now = Timestamp::parse("2027-01-01T00:10:00Z").unwrap();
        let table: [(Read, &str, &str); 6] = [
            (month_day, "Dec 31 23:59:59 host", "2026-12-31T23:59:59.000000Z"),
            (month_day, "Jan  2 00:00:00 host", "2027-01-02T00:00:00.000000Z"),
            (glog, "1231 23:59:59.000001 7", "2026-12-31T23:59:59.000001Z"),
            (logcat, "03-17 16:13:38.811 1", "2027-03-17T16:13:38.811000Z"),
            (clock_only, "23:59:59.5 x", "2026-12-31T23:59:59.500000Z"),
            (clock_only, "00:00:01 x", "2027-01-01T00:00:01.000000Z"),
        ];
        for (read, text, time) in table {
            assert_eq!(read(text.as_bytes(), now).map(|found| rfc3339(found.time)).as_deref(), Some(time), "{text}");
        }
        assert_eq!(month_day(b"Feb 30 00:00:00", now), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "([0-9]{1,4}[-/ :.,]?|Dec |Sun |[+Z]){0,12}.{0,5}", now in -4_000_000_000_000_000i64..4_000_000_000_000_000) {
            let (bytes, now) = (text.as_bytes(), Timestamp(now));
            let found = [full(bytes), month_day(bytes, now), glog(bytes, now), logcat(bytes, now), clock_only(bytes, now), epoch(bytes)];
            prop_assert!(found.into_iter().flatten().all(|found| found.len <= bytes.len()));
        }
    }
}
