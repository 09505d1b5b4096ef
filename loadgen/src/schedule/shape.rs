//! How the rate changes over time. Pure.
//!
//! Every shape is periodic. Work is time at the base rate: in a burst ten times the base rate, ten seconds of work are done in one second. Time is found from
//! work exactly for the number of whole periods (integers), and by the inverse of the shape's integral within one.

use super::NS_PER_S;

/// `--burst 10x/5s/60s`: ten times the rate for 5 s in the middle of every 60 s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// How many times the rate.
    pub factor: f64,
    /// For how long.
    pub length_ns: u64,
    /// From one to the next.
    pub every_ns: u64,
}

/// The rate over time, as a multiple of the base rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Always 1.
    Flat,
    /// `base`, and `peak` in the middle `length_ns` of each period.
    Steps {
        /// One period.
        period_ns: u64,
        /// The step up in its middle.
        length_ns: u64,
        /// Outside it.
        base: f64,
        /// Inside it.
        peak: f64,
    },
    /// A day and a night in each period: `1 - swing * cos`, quiet at its ends.
    Wave {
        /// One period.
        period_ns: u64,
        /// From 0 to 1.
        swing: f64,
    },
}

/// A day of `--pattern diurnal`, an hour of `--pattern incident`, sped up to fit a benchmark.
const PATTERN_PERIOD_NS: u64 = 60 * NS_PER_S;
/// `--pattern incident`: users retry for ten seconds in each period, at five times the usual rate.
const INCIDENT_NS: u64 = 10 * NS_PER_S;
const INCIDENT_FACTOR: f64 = 5.0;
/// `--pattern diurnal`: from a tenth to nineteen tenths of the mean.
const DIURNAL_SWING: f64 = 0.9;

impl Shape {
    /// A burst on top of the base rate: the mean is higher than the base.
    pub fn burst(burst: Burst) -> Self {
        Shape::Steps { period_ns: burst.every_ns, length_ns: burst.length_ns, base: 1.0, peak: burst.factor }
    }

    /// Day and night, with the base rate as the mean.
    pub fn diurnal() -> Self {
        Shape::Wave { period_ns: PATTERN_PERIOD_NS, swing: DIURNAL_SWING }
    }

    /// A surge in each period, with the base rate as the mean.
    pub fn incident() -> Self {
        let share = INCIDENT_NS as f64 / PATTERN_PERIOD_NS as f64;
        let base = 1.0 / (1.0 + (INCIDENT_FACTOR - 1.0) * share);
        Shape::Steps { period_ns: PATTERN_PERIOD_NS, length_ns: INCIDENT_NS, base, peak: base * INCIDENT_FACTOR }
    }

    /// The rate at a time, as a multiple of the base rate.
    pub fn rate_at(&self, time_ns: u64) -> f64 {
        match *self {
            Shape::Flat => 1.0,
            Shape::Steps { period_ns, length_ns, base, peak } => {
                let (from, at) = ((period_ns - length_ns) / 2, time_ns % period_ns);
                if (from..from + length_ns).contains(&at) { peak } else { base }
            }
            Shape::Wave { period_ns, swing } => {
                let turn = (time_ns % period_ns) as f64 / period_ns as f64;
                1.0 - swing * (turn * std::f64::consts::TAU).cos()
            }
        }
    }

    /// When so much work is done, if it began at 0. Saturates at `u64::MAX`, 584 years.
    pub fn time_ns(&self, work_ns: u128) -> u64 {
        let (period_ns, period_work_ns) = match *self {
            Shape::Flat => return u64::try_from(work_ns).unwrap_or(u64::MAX),
            Shape::Steps { period_ns, length_ns, base, peak } => {
                let work = base * (period_ns - length_ns) as f64 + peak * length_ns as f64;
                (period_ns, work.round() as u128)
            }
            Shape::Wave { period_ns, .. } => (period_ns, u128::from(period_ns)),
        };
        let (periods, rest) = (work_ns / period_work_ns, (work_ns % period_work_ns) as f64);
        let within = self.time_within(rest).min(period_ns as f64) as u64;
        u64::try_from(periods * u128::from(period_ns)).unwrap_or(u64::MAX).saturating_add(within)
    }

    /// The inverse of the integral of the rate, within one period.
    fn time_within(&self, work: f64) -> f64 {
        match *self {
            Shape::Flat => work,
            Shape::Steps { period_ns, length_ns, base, peak } => {
                let (from, length) = (((period_ns - length_ns) / 2) as f64, length_ns as f64);
                let (work_before, work_within) = (from * base, length * peak);
                if work < work_before {
                    work / base
                } else if work < work_before + work_within {
                    from + (work - work_before) / peak
                } else {
                    from + length + (work - work_before - work_within) / base
                }
            }
            Shape::Wave { period_ns, swing } => {
                let period = period_ns as f64;
                let turn = std::f64::consts::TAU / period;
                let done = |time: f64| time - swing * (turn * time).sin() / turn;
                let (mut low, mut high) = (0.0, period);
                // The integral rises everywhere, so halving finds the time; 48 halvings of a minute are below a nanosecond.
                for _ in 0..48 {
                    let middle = (low + high) / 2.0;
                    if done(middle) < work { low = middle } else { high = middle }
                }
                low
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_time_agree_with_the_rate() {
        let burst = Burst { factor: 4.0, length_ns: NS_PER_S, every_ns: 10 * NS_PER_S };
        for shape in [Shape::Flat, Shape::burst(burst), Shape::diurnal(), Shape::incident()] {
            // The rate, summed over three minutes in small steps, is the work that the time belongs to.
            let step_ns = 1_000_000;
            let mut work_ns = 0.0;
            for step in 0..180_000u64 {
                if step % 7_001 == 0 {
                    let time_ns = shape.time_ns(work_ns as u128);
                    assert!(time_ns.abs_diff(step * step_ns) <= 2 * step_ns, "{shape:?}: {time_ns} is not {}", step * step_ns);
                }
                work_ns += shape.rate_at(step * step_ns) * step_ns as f64;
            }
        }
    }

    #[test]
    fn patterns_keep_the_mean() {
        for shape in [Shape::diurnal(), Shape::incident()] {
            for periods in [1u64, 2, 1000] {
                let due_ns = shape.time_ns(u128::from(periods * PATTERN_PERIOD_NS));
                assert!(due_ns.abs_diff(periods * PATTERN_PERIOD_NS) <= 10, "{shape:?} {periods}: {due_ns}");
            }
        }
    }
}
