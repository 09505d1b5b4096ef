//! The last minutes, one sample per second, so that whoever opens the dashboard sees what came before.
//!
//! Invariants: a sample is taken from counters alone, lists no directory, and costs microseconds while nothing comes in; there are never more than
//! [`HISTORY_SAMPLES_MAX`] of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Telemetry;
use super::counters::{Ledger, ShardCounters};
use super::latency::{Latencies, LatencySlot};
use crate::limits::HISTORY_SAMPLES_MAX;
use crate::record::Level;

/// The names of a sample's numbers, in their order. Rates are per second, latencies in milliseconds; a latency of an interval without lines is no number.
pub const NAMES: [&str; SAMPLE_LEN] = [
    "time_ms",
    "received",
    "written",
    "filtered",
    "rejected",
    "received_bytes",
    "written_bytes",
    "archived_bytes",
    "written_p50",
    "written_p99",
    "written_p999",
    "synced_p50",
    "synced_p99",
    "synced_p999",
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "fatal",
    "unknown",
    "connections",
    "compress_queue",
    "raw_segments",
];
const SAMPLE_LEN: usize = 17 + Level::COUNT;

/// One second's numbers, as [`NAMES`] names them.
pub type Sample = [f64; SAMPLE_LEN];

/// What the samples are differences of.
#[derive(Debug, Default)]
struct Totals {
    ledger: Ledger,
    received_bytes: u64,
    archived_bytes: u64,
}

impl Totals {
    fn of(telemetry: &Telemetry) -> Self {
        Self {
            ledger: telemetry.ledger(),
            received_bytes: sum(telemetry, |shard| shard.received_bytes.get()),
            archived_bytes: telemetry.pool_numbers().map_or(0, |pool| pool.archive_bytes),
        }
    }
}

fn sum(telemetry: &Telemetry, value: impl Fn(&ShardCounters) -> u64) -> u64 {
    telemetry.shards.iter().map(|shard| value(&shard.counters)).sum()
}

/// Latencies of the time between two looks, of one kind.
#[derive(Debug, Default)]
struct Between {
    before: Option<Latencies>,
}

impl Between {
    /// The quantiles 0.5, 0.99 and 0.999 of what has come since the last look, in milliseconds.
    fn next<'a>(&mut self, slots: impl Iterator<Item = &'a LatencySlot> + Clone) -> [f64; 3] {
        let count: u64 = slots.clone().map(LatencySlot::count).sum();
        if count == self.before.as_ref().map_or(0, Latencies::count) {
            return [f64::NAN; 3];
        }
        let mut total = Latencies::default();
        slots.for_each(|slot| total.add_total(slot));
        let since = total.since(self.before.as_ref());
        self.before = Some(total);
        [0.5, 0.99, 0.999].map(|quantile| since.quantile_ms(quantile))
    }
}

/// Takes samples and keeps them.
#[derive(Debug)]
pub struct History {
    samples: VecDeque<Sample>,
    before: Totals,
    looked: Instant,
    written: Between,
    synced: Between,
}

impl History {
    /// Begins now.
    pub fn new(telemetry: &Telemetry) -> Self {
        let (written, synced) = (Between::default(), Between::default());
        Self { samples: VecDeque::new(), before: Totals::of(telemetry), looked: Instant::now(), written, synced }
    }

    /// What there is, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Takes the next sample; `time_ms` is milliseconds since 1970 UTC.
    pub fn take(&mut self, telemetry: &Telemetry, time_ms: f64) -> Sample {
        let now = Instant::now();
        let sample = self.sample(telemetry, time_ms, now - self.looked);
        self.looked = now;
        if self.samples.len() == HISTORY_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        sample
    }

    fn sample(&mut self, telemetry: &Telemetry, time_ms: f64, elapsed: Duration) -> Sample {
        let totals = Totals::of(telemetry);
        let (now, before) = (&totals.ledger, &self.before.ledger);
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round();
        let mut sample = [0.0; SAMPLE_LEN];
        sample[0] = time_ms.round();
        sample[1] = rate(now.received, before.received);
        sample[2] = rate(now.written, before.written);
        sample[3] = rate(now.filtered, before.filtered);
        sample[4] = rate(now.rejected_total(), before.rejected_total());
        sample[5] = rate(totals.received_bytes, self.before.received_bytes);
        sample[6] = rate(now.written_bytes + now.rejected_bytes, before.written_bytes + before.rejected_bytes);
        sample[7] = rate(totals.archived_bytes, self.before.archived_bytes);
        sample[8..11].copy_from_slice(&self.written.next(telemetry.shards.iter().map(|shard| &shard.received_to_written)));
        sample[11..14].copy_from_slice(&self.synced.next(telemetry.shards.iter().map(|shard| &shard.received_to_synced)));
        for level in 0..Level::COUNT {
            sample[14 + level] = rate(now.levels[level], before.levels[level]);
        }
        let gauges = &mut sample[14 + Level::COUNT..];
        gauges[0] = sum(telemetry, ShardCounters::connections_open) as f64;
        gauges[1] = telemetry.pool_numbers().map_or(0, |pool| pool.queued) as f64;
        gauges[2] = telemetry.raw_segments().0 as f64;
        self.before = totals;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::latency::LatencyRecorder;

    fn value(sample: &Sample, name: &str) -> f64 {
        sample[NAMES.iter().position(|one| *one == name).unwrap()]
    }

    #[test]
    fn a_sample_is_what_came_since_the_one_before() {
        let telemetry = Telemetry::new(2);
        let mut history = History::new(&telemetry);
        let mut recorder = LatencyRecorder::default();
        for shard in &telemetry.shards {
            shard.counters.publish(|ledger| {
                ledger.received += 100;
                ledger.written += 90;
                ledger.rejected[0] += 10;
                ledger.levels[Level::Warn as usize] += 90;
            });
            recorder.record(2_000_000, 90);
            shard.received_to_written.publish(&mut recorder);
        }
        let second = Duration::from_secs(1);
        let sample = history.sample(&telemetry, 1_000.4, second);
        for (name, expected) in
            [("time_ms", 1_000.0), ("received", 200.0), ("written", 180.0), ("rejected", 20.0), ("warn", 180.0), ("info", 0.0)]
        {
            assert_eq!(value(&sample, name), expected, "{name}");
        }
        assert!((value(&sample, "written_p99") - 2.0).abs() < 0.01 && value(&sample, "synced_p50").is_nan());
        recorder.record(50_000_000, 1);
        telemetry.shards[0].received_to_written.publish(&mut recorder);
        let next = history.sample(&telemetry, 2_000.0, second);
        assert_eq!(value(&next, "received"), 0.0);
        assert!((value(&next, "written_p50") - 50.0).abs() < 0.1, "of this second alone");
        assert!(value(&history.sample(&telemetry, 3_000.0, second), "written_p50").is_nan());
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let telemetry = Telemetry::new(1);
        let mut history = History::new(&telemetry);
        for n in 0..HISTORY_SAMPLES_MAX + 5 {
            history.take(&telemetry, n as f64);
        }
        assert_eq!(history.samples().count(), HISTORY_SAMPLES_MAX);
        assert_eq!(history.samples().next().unwrap()[0], 5.0);
    }
}
