//! Times without a year or a zone, completed: RFC 3164's `Mmm dd hh:mm:ss` (section 4.1.2) is the sender's local time.
//!
//! The year is the one that puts the time nearest to when it was received: at New Year the one before or after, and for Feb 29 a leap year. The zone is the
//! configured one; a local time that a change of clocks repeats is the first of the two, one that it leaves out is as much later.
//!
//! What is written can be read without knowing any of this: `2026-11-24T15:00:00.123+01:00`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::record::Timestamp;
use crate::record::timestamp::{RFC3339_BYTES, parse_fraction};

const SECOND_US: i64 = 1_000_000;
/// Within this of now a time can't be nearer in another year: half of 364 days, since a year has at least 365, less a change of clocks.
const HALF_YEAR_US: i64 = 364 * 12 * 3600 * SECOND_US;
/// Leap years are at most eight apart.
const LEAP_YEARS_APART_MAX: i16 = 8;

/// A date and time of day as they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CivilTime {
    /// If it was written.
    pub(super) year: Option<i16>,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    /// Whether UTC was written.
    pub(super) is_utc: bool,
}

/// Completes times, and remembers the last: the messages of a busy sender share their second.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    last: Option<Completed>,
    /// Where times are written to be taken apart; only its allocation is kept.
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Completed {
    civil: CivilTime,
    time: Timestamp,
    /// `2026-11-24T15:00:00`.
    second: [u8; SECOND_BYTES],
    /// `+01:00`; `Z` for UTC.
    offset: [u8; OFFSET_BYTES],
    offset_len: usize,
}

const SECOND_BYTES: usize = 19;
const OFFSET_BYTES: usize = 6;

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, last: None, scratch: Vec::with_capacity(RFC3339_BYTES) }
    }

    /// Appends `civil` with `fraction`, completed, and returns it. None, and nothing appended, where there is no such date.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, civil: CivilTime, fraction: &str, received: Timestamp) -> Option<Timestamp> {
        let micros = parse_fraction(fraction.as_bytes())?;
        let is_last = |last: &Completed| last.civil == civil && (civil.year.is_some() || is_this_year(last.time, received));
        let completed = match self.last.filter(is_last) {
            Some(last) => last,
            None => {
                let completed = self.complete(civil, received)?;
                *self.last.insert(completed)
            }
        };
        out.extend_from_slice(&completed.second);
        out.extend_from_slice(fraction.as_bytes());
        out.extend_from_slice(&completed.offset[..completed.offset_len]);
        Some(Timestamp(completed.time.0 + micros))
    }

    fn complete(&mut self, civil: CivilTime, received: Timestamp) -> Option<Completed> {
        let zone = if civil.is_utc { &TimeZone::UTC } else { &self.zone };
        let time = match civil.year {
            Some(year) => time_in(year, civil, zone)?,
            None => nearest(civil, zone, received)?,
        };
        let offset_s = zone.to_offset(jiff::Timestamp::from_microsecond(time.0).ok()?).seconds();
        // RFC 3339 has no seconds there; only times before the 20th century need them.
        let minutes = if offset_s % 60 == 0 { offset_s / 60 } else { 0 };
        self.scratch.clear();
        Timestamp(time.0 + i64::from(minutes) * 60 * SECOND_US).write_rfc3339(&mut self.scratch);
        let mut second = [0; SECOND_BYTES];
        second.copy_from_slice(&self.scratch[..SECOND_BYTES]);
        let (offset, offset_len) = offset_text(minutes);
        Some(Completed { civil, time, second, offset, offset_len })
    }
}

fn offset_text(minutes: i32) -> ([u8; OFFSET_BYTES], usize) {
    if minutes == 0 {
        return (*b"Z     ", 1);
    }
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let (hours, rest) = (minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60);
    let sign = if minutes < 0 { b'-' } else { b'+' };
    ([sign, digit(hours / 10), digit(hours), b':', digit(rest / 10), digit(rest)], OFFSET_BYTES)
}

fn is_this_year(time: Timestamp, now: Timestamp) -> bool {
    time.0.abs_diff(now.0) < HALF_YEAR_US as u64
}

fn time_in(year: i16, civil: CivilTime, zone: &TimeZone) -> Option<Timestamp> {
    let part = |number: u8| i8::try_from(number).ok();
    let CivilTime { month, day, hour, minute, second, .. } = civil;
    let local = DateTime::new(year, part(month)?, part(day)?, part(hour)?, part(minute)?, part(second)?, 0).ok()?;
    Some(Timestamp(zone.to_timestamp(local).ok()?.as_microsecond()))
}

/// `civil` in the year that puts it nearest to `now`.
fn nearest(civil: CivilTime, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let this_year = zone.to_datetime(jiff::Timestamp::from_microsecond(now.0).ok()?).year();
    let mut best: Option<(i16, Timestamp)> = None;
    for apart in 0..=LEAP_YEARS_APART_MAX {
        // From two years further on none can be nearer.
        if best.is_some_and(|(found, time)| found + 1 < apart || is_this_year(time, now)) {
            break;
        }
        for year in [this_year - apart, this_year + apart] {
            if let Some(time) = time_in(year, civil, zone)
                && best.is_none_or(|(_, best)| time.0.abs_diff(now.0) < best.0.abs_diff(now.0))
            {
                best = Some((best.map_or(apart, |(found, _)| found), time));
            }
        }
    }
    best.map(|(_, time)| time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn civil(month: u8, day: u8) -> CivilTime {
        CivilTime { year: None, month, day, hour: 12, minute: 0, second: 0, is_utc: false }
    }

    fn written(zone: &str, civil: CivilTime, now: &str) -> String {
        let mut out = Vec::new();
        let zone = TimeZone::get(zone).expect("a zone");
        let now = Timestamp::parse(now).expect("a time");
        let time = Clock::new(zone).write(&mut out, civil, "", now);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(time, Timestamp::parse(&text), "what is written says when");
        text
    }

    #[test]
    fn the_year_is_the_nearest() {
        let table = [
            (civil(12, 31), "2027-01-01T00:00:00Z", "2026-12-31T12:00:00Z"),
            (civil(1, 1), "2026-12-31T23:59:59Z", "2027-01-01T12:00:00Z"),
            (civil(1, 1), "2027-01-01T00:00:00Z", "2027-01-01T12:00:00Z"),
            (civil(6, 1), "2026-11-24T00:00:00Z", "2026-06-01T12:00:00Z"),
            (civil(5, 1), "2026-11-24T00:00:00Z", "2027-05-01T12:00:00Z"),
            (civil(2, 29), "2028-02-29T12:00:01Z", "2028-02-29T12:00:00Z"),
            (civil(2, 29), "2028-03-01T00:00:00Z", "2028-02-29T12:00:00Z"),
            (civil(2, 29), "2027-12-31T00:00:00Z", "2028-02-29T12:00:00Z"),
            (civil(2, 29), "2026-02-28T00:00:00Z", "2024-02-29T12:00:00Z"),
            (civil(2, 29), "2026-03-02T00:00:00Z", "2028-02-29T12:00:00Z"),
            (civil(2, 29), "2100-03-02T00:00:00Z", "2104-02-29T12:00:00Z"),
            (civil(2, 29), "2099-12-01T00:00:00Z", "2096-02-29T12:00:00Z"),
            (civil(2, 30), "2026-03-02T00:00:00Z", ""),
        ];
        for (civil, now, expected) in table {
            assert_eq!(written("UTC", civil, now), expected, "{civil:?} at {now}");
        }
    }

    #[test]
    fn the_zone_is_the_configured_one() {
        let at = |month, day, hour| CivilTime { hour, minute: 30, ..civil(month, day) };
        let table = [
            ("Europe/Berlin", at(11, 24, 15), "2026-11-24T15:30:00+01:00"),
            ("Europe/Berlin", at(7, 1, 15), "2026-07-01T15:30:00+02:00"),
            ("Europe/Berlin", at(3, 29, 2), "2026-03-29T03:30:00+02:00"), // left out
            ("Europe/Berlin", at(10, 25, 2), "2026-10-25T02:30:00+02:00"), // twice
            ("America/St_Johns", at(11, 24, 15), "2026-11-24T15:30:00-03:30"),
            ("UTC", at(11, 24, 15), "2026-11-24T15:30:00Z"),
            ("Europe/Berlin", CivilTime { is_utc: true, ..at(11, 24, 15) }, "2026-11-24T15:30:00Z"),
        ];
        for (zone, civil, expected) in table {
            assert_eq!(written(zone, civil, "2026-09-01T00:00:00Z"), expected);
        }
        // New Year's eve in the sender's zone is not UTC's.
        assert_eq!(written("Asia/Tokyo", at(1, 1, 8), "2026-12-31T23:30:00Z"), "2027-01-01T08:30:00+09:00");
    }

    proptest! {
        #[test]
        fn what_is_remembered_changes_nothing(days in prop::collection::vec((1..=12u8, 1..=31u8, 0i64..800), 1..20)) {
            let mut clock = Clock::new(TimeZone::UTC);
            for (month, day, now_days) in days {
                let now = Timestamp(1_795_532_400_000_000 + now_days * 86_400_000_000);
                let (mut one, mut other) = (Vec::new(), Vec::new());
                for _ in 0..2 {
                    one.clear();
                    let time = clock.write(&mut one, civil(month, day), ".5", now);
                    other.clear();
                    prop_assert_eq!(time, Clock::new(TimeZone::UTC).write(&mut other, civil(month, day), ".5", now));
                    prop_assert_eq!(&one, &other);
                }
            }
        }
    }
}
