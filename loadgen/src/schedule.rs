//! When each send of a client is due, in nanoseconds from the start of the run. Pure.
//!
//! In an open loop the time of send `k` is computed from `k`, never by adding up sleeps, so it can't drift. The schedule counts in *work*: seconds at the base
//! rate. A [`Shape`] maps work to time, a [`Gaps`] says where the sends lie within the work. In a closed loop ([`Pace::Interval`]) a send is due an interval after
//! the one before it was due, or as soon as that one is done where it took longer.

pub mod shape;

pub use shape::{Burst, Shape};

use crate::payload::dice::{Dice, mix};

/// Nanoseconds of a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// Sends of one client whose gaps are drawn together. They take exactly as long as as many even ones, which is what keeps the rate exact.
const WINDOW: u64 = 512;

/// How the sends of one client lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Evenly; the clients take turns.
    Even,
    /// At random and without memory: a Poisson process, given its count in each window of 512 sends. Every client has its own.
    Poisson,
}

/// The open-loop schedule of one client.
#[derive(Debug, Clone)]
pub struct Schedule {
    shape: Shape,
    gaps: Gaps,
    /// Base rate over all clients, in lines per second.
    rate: u64,
    /// Lines of one send.
    batch: u64,
    client: u64,
    clients: u64,
    seed: u64,
    /// The window of random places in hand, and its number: a copy of what can be computed at any time.
    window: Option<(u64, Vec<f64>)>,
}

impl Schedule {
    /// The schedule of `client` of `clients`, which together send `rate` lines per second in batches of `batch`.
    ///
    /// # Panics
    /// If a number is 0, or there is no such client.
    pub fn new(shape: Shape, gaps: Gaps, rate: u64, batch: u64, client: u32, clients: u32, seed: u64) -> Self {
        assert!(0 < rate && 0 < batch && client < clients);
        Self { shape, gaps, rate, batch, client: client.into(), clients: clients.into(), seed, window: None }
    }

    /// When send `k` is due. Never falls as `k` grows.
    pub fn due_ns(&mut self, k: u64) -> u64 {
        // Whole lines over all clients first: exact, however long the run.
        match self.gaps {
            Gaps::Even => self.time_of(u128::from(k * self.clients + self.client) * u128::from(self.batch), 0.0),
            Gaps::Poisson => {
                let turn = u128::from(self.clients * self.batch);
                let (window, place) = (k / WINDOW, self.place(k));
                self.time_of(u128::from(window * WINDOW) * turn, place * WINDOW as f64 * turn as f64)
            }
        }
    }

    fn time_of(&self, lines: u128, more_lines: f64) -> u64 {
        let more_ns = more_lines / self.rate as f64 * NS_PER_S as f64;
        self.shape.time_ns(lines * u128::from(NS_PER_S) / u128::from(self.rate) + more_ns as u128)
    }

    /// Where in its window send `k` lies, in 0..1.
    fn place(&mut self, k: u64) -> f64 {
        let number = k / WINDOW;
        let (kept, places) = self.window.get_or_insert_with(|| (u64::MAX, Vec::new()));
        if *kept != number {
            let mut dice = Dice::new(self.seed ^ mix(self.client), 3 + number);
            *places = (0..WINDOW).map(|_| dice.unit()).collect();
            places.sort_unstable_by(f64::total_cmp);
            *kept = number;
        }
        places[(k % WINDOW) as usize]
    }
}

/// What decides when a client sends.
#[derive(Debug, Clone)]
pub enum Pace {
    /// As fast as the target takes it.
    FlatOut,
    /// Closed loop: a pause between sends, shorter within a burst.
    Interval {
        /// From due to due.
        interval_ns: u64,
        /// How much faster it goes, and when.
        shape: Shape,
        /// When the first send is due: the clients are spread over one interval.
        first_ns: u64,
    },
    /// Open loop.
    Rate(Schedule),
}

impl Pace {
    /// When send `k` is due, at the earliest; `last_due_ns` and `free_ns` say when the send before it was due and was done.
    pub fn due_ns(&mut self, k: u64, last_due_ns: u64, free_ns: u64) -> u64 {
        match self {
            Pace::FlatOut => free_ns,
            Pace::Interval { first_ns, .. } if k == 0 => *first_ns,
            Pace::Interval { interval_ns, shape, .. } => {
                let faster = shape.rate_at(last_due_ns);
                free_ns.max(last_due_ns + (*interval_ns as f64 / faster) as u64)
            }
            Pace::Rate(schedule) => schedule.due_ns(k),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BURST: Burst = Burst { factor: 10.0, length_ns: 5 * NS_PER_S, every_ns: 60 * NS_PER_S };

    fn sends_before(schedule: &mut Schedule, end_ns: u64) -> u64 {
        (0..).take_while(|k| schedule.due_ns(*k) < end_ns).count() as u64
    }

    #[test]
    fn totals_over_whole_periods_are_exact() {
        let burst = Shape::burst(BURST);
        let cases = [
            // shape, gaps, rate, batch, clients, seconds, lines expected
            (Shape::Flat, Gaps::Even, 1000, 1, 1, 60, 60_000),
            (Shape::Flat, Gaps::Even, 999, 7, 3, 70, 69_930),
            (Shape::diurnal(), Gaps::Even, 1000, 10, 2, 120, 120_000),
            (Shape::incident(), Gaps::Even, 1000, 10, 2, 120, 120_000),
            (burst, Gaps::Even, 100, 1, 1, 60, 100 * (55 + 50)),
            (Shape::Flat, Gaps::Poisson, 512, 1, 1, 60, 30_720),
        ];
        for (shape, gaps, rate, batch, clients, seconds, expected) in cases {
            let lines: u64 = (0..clients)
                .map(|client| {
                    let mut schedule = Schedule::new(shape, gaps, rate, batch, client, clients, 1);
                    sends_before(&mut schedule, seconds * NS_PER_S) * batch
                })
                .sum();
            assert!(lines.abs_diff(expected) <= batch, "{shape:?} {gaps:?}: {lines}, expected {expected}");
        }
    }

    #[test]
    fn even_sends_take_turns_without_drift() {
        for (client, k, due_ns) in [(0, 0, 0), (1, 0, 100_000_000), (0, 1, 200_000_000), (1, 5_000_000_000, 1_000_000_000_100_000_000)] {
            assert_eq!(Schedule::new(Shape::Flat, Gaps::Even, 1000, 100, client, 2, 1).due_ns(k), due_ns, "{client} {k}");
        }
    }

    #[test]
    fn a_burst_is_in_the_middle_and_as_dense_as_it_says() {
        let mut schedule = Schedule::new(Shape::burst(BURST), Gaps::Even, 100, 1, 0, 1, 1);
        let before = sends_before(&mut schedule, 27_500_000_000);
        let within = sends_before(&mut schedule, 32_500_000_000) - before;
        let after = sends_before(&mut schedule, 60 * NS_PER_S) - before - within;
        assert_eq!([before, within, after], [2750, 5000, 2750]);
    }

    #[test]
    fn poisson_gaps_vary_as_they_should() {
        let mut schedule = Schedule::new(Shape::Flat, Gaps::Poisson, 1000, 1, 0, 1, 4);
        let due: Vec<f64> = (0..100_000).map(|k| schedule.due_ns(k) as f64).collect();
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean; // 1 for exponential gaps, 0 for even ones
        assert!((0.97..1.03).contains(&variation), "{variation}");
    }

    #[test]
    fn a_closed_loop_waits_for_its_target_and_hurries_in_a_burst() {
        let mut pace = Pace::Interval { interval_ns: 1000, shape: Shape::Flat, first_ns: 250 };
        for (k, last_due, free, due) in [(0, 0, 0, 250), (1, 250, 300, 1250), (2, 1250, 5000, 5000), (3, 5000, 5100, 6000)] {
            assert_eq!(pace.due_ns(k, last_due, free), due);
        }
        let mut pace = Pace::Interval { interval_ns: NS_PER_S, shape: Shape::burst(BURST), first_ns: 0 };
        assert_eq!(pace.due_ns(1, 31 * NS_PER_S, 0), 31 * NS_PER_S + NS_PER_S / 10);
    }

    proptest! {
        #[test]
        fn due_never_falls_and_depends_on_the_index_alone(
            shape in prop::sample::select(vec![Shape::Flat, Shape::diurnal(), Shape::incident(), Shape::burst(BURST)]),
            gaps in prop::sample::select(vec![Gaps::Even, Gaps::Poisson]),
            rate in 1..5_000_000u64, batch in 1..1000u64, clients in 1..70u32, from in 0..10_000_000u64,
        ) {
            let mut schedule = Schedule::new(shape, gaps, rate, batch, clients - 1, clients, 9);
            let mut last = 0;
            for k in from..from + 1500 {
                let due = schedule.due_ns(k);
                prop_assert!(last <= due, "{} then {}", last, due);
                last = due;
            }
            let mut fresh = Schedule::new(shape, gaps, rate, batch, clients - 1, clients, 9);
            prop_assert_eq!(fresh.due_ns(from + 1499), last);
        }
    }
}
