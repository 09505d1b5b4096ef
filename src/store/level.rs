//! How hard to compress: the best ratio that the backlog allows. Pure.
//!
//! The rungs of a [`Ladder`] are the levels worth having, fastest first; each has a cost in nanoseconds of CPU per raw byte, which starts from the
//! figures of `docs/adr/0002-compression-engines.md` and follows what this machine measures. Asked before each segment, [`Ladder::decide`] goes
//! straight to the fastest rung when segments queue up, and climbs one rung at a time while the pool would stay nearly idle on the next one.

use super::name::Codec;

/// `--compression-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelChoice {
    /// Chosen per segment.
    Auto,
    /// One of [`Codec::levels`].
    Fixed(i32),
}

/// A rung is kept while it would keep each thread busy for at most this share of the time.
const UTILISATION_MAX: f64 = 0.10;
/// A higher rung is taken only below this share: between the two, nothing changes, so a load at the edge does not swing to and fro.
const UTILISATION_CLIMB_MAX: f64 = 0.07;
/// The weight of the newest measurement in a running average.
const NEWEST_WEIGHT: f64 = 0.2;

/// What the pool sees when it decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Sealed segments that wait behind this one.
    pub queued: usize,
    /// Raw segments on disk.
    pub permits_in_use: usize,
    /// How many there may be.
    pub permits_total: usize,
    /// Raw bytes sealed per second; `None` before two segments have arrived.
    pub arrival_bytes_per_s: Option<f64>,
    /// Threads that compress.
    pub threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Rung {
    level: i32,
    cost_ns_per_byte: f64,
}

/// The levels that `auto` chooses from, and the one it stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    rungs: Vec<Rung>,
    current: usize,
}

impl Ladder {
    /// The ladder of `codec`: each rung is at least 5 % smaller than the one below it. The levels left out cost more than a rung that is at least as
    /// small.
    pub fn of(codec: Codec) -> Ladder {
        match codec {
            Codec::Gzip if cfg!(feature = "isal") => Ladder::new(&[(1, 1.0), (5, 6.2), (8, 18.0)]),
            Codec::Gzip => Ladder::new(&[(1, 2.7), (2, 3.7), (5, 6.2), (8, 18.0)]),
            Codec::Zstd => Ladder::new(&[(1, 1.4), (6, 6.5), (9, 9.5)]),
        }
    }

    fn new(rungs: &[(i32, f64)]) -> Ladder {
        let rungs = rungs.iter().map(|&(level, cost_ns_per_byte)| Rung { level, cost_ns_per_byte }).collect();
        Ladder { rungs, current: 0 }
    }

    /// The level for the next segment.
    pub fn decide(&mut self, load: &Load) -> i32 {
        self.current = self.choose(load);
        self.rungs[self.current].level
    }

    /// Learns that a segment of `raw_bytes` took `cpu_ns` at `level`.
    pub fn measured(&mut self, level: i32, raw_bytes: u64, cpu_ns: u64) {
        if let Some(rung) = self.rungs.iter_mut().find(|rung| rung.level == level)
            && 0 < raw_bytes
        {
            rung.cost_ns_per_byte = running_average(Some(rung.cost_ns_per_byte), cpu_ns as f64 / raw_bytes as f64);
        }
    }

    fn choose(&self, load: &Load) -> usize {
        let behind = load.threads < load.queued || load.permits_total < 2 * load.permits_in_use;
        let Some(bytes_per_s) = load.arrival_bytes_per_s.filter(|_| !behind) else {
            return 0;
        };
        let utilisation = |rung: &Rung| bytes_per_s * rung.cost_ns_per_byte / 1e9 / load.threads as f64;
        let next = self.current + 1;
        if load.queued == 0 && self.rungs.get(next).is_some_and(|rung| utilisation(rung) <= UTILISATION_CLIMB_MAX) {
            return next;
        }
        (0..=self.current).rev().find(|&rung| utilisation(&self.rungs[rung]) <= UTILISATION_MAX).unwrap_or(0)
    }
}

/// Follows how many raw bytes are sealed per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrivals {
    last_ns: Option<u64>,
    interval_ns: Option<f64>,
    bytes: Option<f64>,
}

impl Arrivals {
    /// A segment of `raw_bytes` was sealed at `now_ns` on a clock that never goes back.
    pub fn arrived(&mut self, now_ns: u64, raw_bytes: u64) {
        if let Some(last_ns) = self.last_ns {
            self.interval_ns = Some(running_average(self.interval_ns, now_ns.saturating_sub(last_ns) as f64));
        }
        self.bytes = Some(running_average(self.bytes, raw_bytes as f64));
        self.last_ns = Some(now_ns);
    }

    /// Raw bytes per second at `now_ns`: a silence that is longer than the usual interval counts as an interval.
    pub fn bytes_per_s(&self, now_ns: u64) -> Option<f64> {
        let (last_ns, interval_ns) = (self.last_ns?, self.interval_ns?);
        let silence_ns = now_ns.saturating_sub(last_ns) as f64;
        Some(self.bytes? / interval_ns.max(silence_ns).max(1.0) * 1e9)
    }
}

fn running_average(old: Option<f64>, newest: f64) -> f64 {
    old.map_or(newest, |old| old + NEWEST_WEIGHT * (newest - old))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: f64 = 1e6;

    fn load(queued: usize, permits_in_use: usize, arrival_mb_per_s: Option<f64>) -> Load {
        Load { queued, permits_in_use, permits_total: 64, arrival_bytes_per_s: arrival_mb_per_s.map(|mb| mb * MB), threads: 1 }
    }

    /// Levels 1, 5, 9 at 1, 10, 20 ns per byte: with one thread, 10 % is 100, 10 and 5 MB/s, 7 % is 7 and 3.5 MB/s.
    fn ladder(current: usize) -> Ladder {
        Ladder { current, ..Ladder::new(&[(1, 1.0), (5, 10.0), (9, 20.0)]) }
    }

    #[test]
    fn table() {
        for (current, load, expected) in [
            (0, load(0, 1, None), 1),      // nothing known yet: the fastest
            (0, load(0, 1, Some(0.1)), 5), // idle: one rung at a time
            (1, load(0, 1, Some(0.1)), 9),
            (2, load(0, 1, Some(0.1)), 9), // the top
            (0, load(0, 1, Some(6.9)), 5), // just below 7 %
            (0, load(0, 1, Some(7.1)), 1), // between 7 and 10 %: does not climb,
            (1, load(0, 1, Some(9.9)), 5), // and does not fall
            (1, load(0, 1, Some(10.1)), 1),
            (2, load(0, 1, Some(8.0)), 5), // falls only as far as it must
            (2, load(0, 1, Some(50.0)), 1),
            (0, load(0, 1, Some(900.0)), 1), // never below the fastest
            (1, load(1, 1, Some(0.1)), 5),   // one waits: no climbing
            (2, load(2, 1, Some(0.1)), 1),   // more wait than there are threads
            (2, load(0, 33, Some(0.1)), 1),  // more than half of the permits
            (2, load(0, 32, Some(0.1)), 9),
            (0, Load { threads: 4, ..load(0, 1, Some(27.0)) }, 5), // four threads share the work
        ] {
            assert_eq!(ladder(current).decide(&load), expected, "from rung {current} at {load:?}");
        }
    }

    #[test]
    fn costs_follow_the_machine() {
        let mut ladder = ladder(1);
        let busy = load(0, 1, Some(8.0));
        assert_eq!(ladder.clone().decide(&busy), 5);
        for _ in 0..20 {
            ladder.measured(5, 1_000_000, 30_000_000); // 30 ns per byte: a slow core
        }
        assert_eq!(ladder.decide(&busy), 1);
        ladder.measured(7, 1, 1); // not a rung: ignored
        ladder.measured(5, 0, 1); // empty: ignored
        assert!(ladder.rungs.iter().all(|rung| rung.cost_ns_per_byte.is_finite()));
    }

    #[test]
    fn arrivals_are_averaged_and_silence_counts() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.bytes_per_s(5), None);
        for second in 0..50u64 {
            arrivals.arrived(second * 1_000_000_000, 5_000_000);
        }
        let now = 49 * 1_000_000_000;
        assert_eq!(arrivals.bytes_per_s(now), Some(5e6));
        assert_eq!(arrivals.bytes_per_s(now + 10_000_000_000), Some(5e5));
        arrivals.arrived(now, 5_000_000); // two at once: no division by zero
        assert!(arrivals.bytes_per_s(now).unwrap().is_finite());
    }

    #[test]
    fn ladders_hold_levels_of_their_codec() {
        for codec in Codec::ALL {
            let ladder = Ladder::of(codec);
            assert!(ladder.rungs.iter().all(|rung| codec.levels().contains(&rung.level)));
            assert!(ladder.rungs.is_sorted_by(|a, b| a.level < b.level && a.cost_ns_per_byte < b.cost_ns_per_byte));
        }
    }
}
