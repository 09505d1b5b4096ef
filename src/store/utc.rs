//! Calendar dates of the UTC, for file names. Pure.
//!
//! The algorithms are Howard Hinnant's `days_from_civil` and `civil_from_days` (public domain), for the proleptic Gregorian calendar, restricted
//! to the years 1970 to 9999: what a segment's name can hold.

const DAY_S: u64 = 86_400;

/// The first second that no name can hold: 10000-01-01 00:00:00 UTC.
pub const SECONDS_END: u64 = 253_402_300_800;

/// A date and a time of day, as a file name shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// 1970 to 9999.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59; leap seconds do not exist in this count.
    pub second: u64,
}

impl Civil {
    /// The date of `seconds` since 1970-01-01 00:00:00 UTC. A clock beyond the year 9999 reads as its last second.
    pub fn from_seconds(seconds: u64) -> Civil {
        let seconds = seconds.min(SECONDS_END - 1);
        let (days, rest) = (seconds / DAY_S, seconds % DAY_S);
        let z = days + 719_468; // days since 0000-03-01
        let era = z / 146_097;
        let day_of_era = z % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Seconds since 1970-01-01 00:00:00 UTC, or `None` where there is no such date.
    pub fn to_seconds(self) -> Option<u64> {
        let sane = (1970..=9999).contains(&self.year) && (1..=12).contains(&self.month) && self.day != 0;
        if !sane {
            return None;
        }
        let year = self.year - u64::from(self.month <= 2);
        let (era, year_of_era) = (year / 400, year % 400);
        let shifted_month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * DAY_S + self.hour * 3_600 + self.minute * 60 + self.second;
        // A date that does not exist (February 30) comes back as another one.
        (Civil::from_seconds(seconds) == self).then_some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let civil = |year, month, day, hour, minute, second| Civil { year, month, day, hour, minute, second };
        for (seconds, date) in [
            (0, civil(1970, 1, 1, 0, 0, 0)),
            (951_782_400, civil(2000, 2, 29, 0, 0, 0)),
            (1_795_532_400, civil(2026, 11, 24, 15, 0, 0)),
            (SECONDS_END - 1, civil(9999, 12, 31, 23, 59, 59)),
        ] {
            assert_eq!(Civil::from_seconds(seconds), date);
            assert_eq!(date.to_seconds(), Some(seconds));
        }
        assert_eq!(Civil::from_seconds(u64::MAX), civil(9999, 12, 31, 23, 59, 59));
        for missing in [civil(2026, 2, 29, 0, 0, 0), civil(2026, 13, 1, 0, 0, 0), civil(2026, 1, 1, 24, 0, 0), civil(2026, 1, 0, 0, 0, 0)] {
            assert_eq!(missing.to_seconds(), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0..SECONDS_END) {
            prop_assert_eq!(Civil::from_seconds(seconds).to_seconds(), Some(seconds));
        }
    }
}
