//! The zone of a clock whose times name none.
//!
//! A local time that a change of clocks repeats is the first of the two, one that it leaves out is as much later.

use jiff::tz::TimeZone;

use super::{DAY_S, SECOND_US, Timestamp};

const DAY_US: i64 = DAY_S * SECOND_US;

/// A zone, and the offset that holds around the times that were asked for last: log lines stay between two changes of clocks for months.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: TimeZone,
    offset_us: i64,
    /// From the change of clocks before to the one after, in microseconds since 1970 UTC.
    holds: std::ops::Range<i64>,
}

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self { zone: TimeZone::UTC, offset_us: 0, holds: i64::MIN..i64::MAX }
    }
}

impl Zone {
    /// Nothing is asked of `zone` yet.
    pub fn new(zone: TimeZone) -> Self {
        if zone == TimeZone::UTC { Self::default() } else { Self { zone, offset_us: 0, holds: 0..0 } }
    }

    /// What the clock showed at `time`, as if it were of UTC.
    pub fn civil(&mut self, time: Timestamp) -> Timestamp {
        if !self.holds.contains(&time.0) {
            self.look_up(time);
        }
        Timestamp(time.0.saturating_add(self.offset_us))
    }

    /// When the clock showed `civil`; `civil` itself where it showed that at no time that there is.
    pub fn time(&mut self, civil: Timestamp) -> Timestamp {
        let time_us = civil.0.saturating_sub(self.offset_us);
        // No zone is further from UTC than a day, so what is that far from a change of clocks has one meaning.
        if self.holds.start.saturating_add(DAY_US) <= time_us && time_us < self.holds.end.saturating_sub(DAY_US) {
            return Timestamp(time_us);
        }
        let exact = jiff::Timestamp::from_microsecond(civil.0).ok().map(|utc| TimeZone::UTC.to_datetime(utc));
        let Some(time) = exact.and_then(|civil| self.zone.to_timestamp(civil).ok()) else { return civil };
        let time = Timestamp(time.as_microsecond());
        self.look_up(time);
        time
    }

    /// Learns the offset at `time`, and how long it holds.
    fn look_up(&mut self, time: Timestamp) {
        let [at, behind] = [time.0, time.0.saturating_add(1)].map(jiff::Timestamp::from_microsecond);
        let (Ok(at), Ok(behind)) = (at, behind) else {
            (self.offset_us, self.holds) = (0, 0..0);
            return;
        };
        self.offset_us = i64::from(self.zone.to_offset(at).seconds()) * SECOND_US;
        let before = self.zone.preceding(behind).next().map_or(jiff::Timestamp::MIN, |change| change.timestamp());
        let after = self.zone.following(at).next().map_or(jiff::Timestamp::MAX, |change| change.timestamp());
        self.holds = before.as_microsecond()..after.as_microsecond();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZONES: [&str; 6] = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia"];

    fn exact(zone: &TimeZone, civil: Timestamp) -> Option<i64> {
        let civil = TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(civil.0).ok()?);
        Some(zone.to_timestamp(civil).ok()?.as_microsecond())
    }

    fn times() -> impl Strategy<Value = i64> {
        // Around the changes of clocks of 2026 in Europe, and anywhere.
        let near = |around: i64| (around - 2 * DAY_US)..(around + 2 * DAY_US);
        prop_oneof![near(1_774_746_000_000_000), near(1_792_890_000_000_000), 0..4_000_000_000_000_000i64, any::<i64>()]
    }

    proptest! {
        #[test]
        fn what_is_remembered_changes_nothing(zone in prop::sample::select(ZONES.to_vec()), times in prop::collection::vec(times(), 1..20)) {
            let (zone, mut remembering) = (TimeZone::get(zone).unwrap(), Zone::new(TimeZone::get(zone).unwrap()));
            for time in times.into_iter().map(Timestamp) {
                prop_assert_eq!(remembering.time(time).0, exact(&zone, time).unwrap_or(time.0));
                prop_assert_eq!(remembering.civil(time), Zone::new(zone.clone()).civil(time));
            }
        }

        #[test]
        fn a_clock_is_read_as_it_shows(zone in prop::sample::select(ZONES.to_vec()), time in 0..4_000_000_000_000_000i64) {
            let tz = TimeZone::get(zone).unwrap();
            let mut zone = Zone::new(tz.clone());
            let offset_s = tz.to_offset(jiff::Timestamp::from_microsecond(time).unwrap()).seconds();
            let civil = zone.civil(Timestamp(time));
            prop_assert_eq!(civil.0 - time, i64::from(offset_s) * SECOND_US);
            // Of an hour that comes twice, the first: what it is told for shows the same.
            let told = zone.time(civil);
            prop_assert!(told.0 <= time && zone.civil(told) == civil);
        }
    }
}
