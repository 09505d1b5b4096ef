//! How long lines take, as histograms: recorded by a shard in its own memory, published a few times per second, read by the control plane.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// The longest latency told apart, in nanoseconds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 60 * 1_000_000_000;
/// Significant decimal digits: a value is off by at most 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("constant bounds are valid")
}

/// A shard's own histogram.
#[derive(Debug)]
pub struct LatencyRecorder(Histogram<u64>);

impl Default for LatencyRecorder {
    fn default() -> Self {
        Self(histogram())
    }
}

impl LatencyRecorder {
    /// Counts `records` lines that took `latency_ns` each.
    pub fn record(&mut self, latency_ns: u64, records: u64) {
        self.0.saturating_record_n(latency_ns.max(1), records);
    }
}

/// Where a shard publishes its latencies.
#[derive(Debug)]
pub struct LatencySlot(Mutex<Published>);

#[derive(Debug)]
struct Published {
    since_taken: Histogram<u64>,
    total: Histogram<u64>,
    sum_ns: u128,
}

impl Default for LatencySlot {
    fn default() -> Self {
        Self(Mutex::new(Published { since_taken: histogram(), total: histogram(), sum_ns: 0 }))
    }
}

impl LatencySlot {
    fn lock(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were published since the start.
    pub fn count(&self) -> u64 {
        self.lock().total.len()
    }

    /// Counts records directly: nanoseconds, and how many took as long. For what happens once per sync, on any thread.
    pub fn record(&self, latencies: impl Iterator<Item = (u64, u64)>) {
        let mut published = self.lock();
        for (latency_ns, records) in latencies {
            published.since_taken.saturating_record_n(latency_ns.max(1), records);
            published.total.saturating_record_n(latency_ns.max(1), records);
            published.sum_ns += u128::from(latency_ns) * u128::from(records);
        }
    }

    /// Moves what was recorded here.
    pub fn publish(&self, recorder: &mut LatencyRecorder) {
        if recorder.0.is_empty() {
            return;
        }
        let mut published = self.lock();
        published.sum_ns += recorder
            .0
            .iter_recorded()
            .map(|value| u128::from(value.value_iterated_to()) * u128::from(value.count_at_value()))
            .sum::<u128>();
        published.since_taken.add(&recorder.0).expect("the same bounds");
        published.total.add(&recorder.0).expect("the same bounds");
        recorder.0.reset();
    }
}

/// The latencies of several shards together.
#[derive(Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    sum_ns: u128,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { histogram: histogram(), sum_ns: 0 }
    }
}

impl Latencies {
    /// Adds what a shard has published since this was last done, and begins its next interval. For the one reader that prints intervals.
    pub fn take(&mut self, slot: &LatencySlot) {
        let mut published = slot.lock();
        self.histogram.add(&published.since_taken).expect("the same bounds");
        published.since_taken.reset();
    }

    /// Adds what a shard has published since the start.
    pub fn add_total(&mut self, slot: &LatencySlot) {
        let published = slot.lock();
        self.histogram.add(&published.total).expect("the same bounds");
        self.sum_ns += published.sum_ns;
    }

    /// These without those that there were `before`.
    ///
    /// # Panics
    /// If there were other ones before.
    pub fn since(&self, before: Option<&Self>) -> Self {
        let mut since = Self { histogram: self.histogram.clone(), sum_ns: self.sum_ns };
        if let Some(before) = before {
            since.histogram.subtract(&before.histogram).expect("earlier ones are among the later ones");
            since.sum_ns -= before.sum_ns;
        }
        since
    }

    /// The latency in milliseconds that the share `quantile` of the lines did not exceed; 0 where there are none.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.histogram.is_empty() { 0.0 } else { self.histogram.value_at_quantile(quantile) as f64 / 1e6 }
    }

    /// The longest latency, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.histogram.max() as f64 / 1e6
    }

    /// How many lines took at most `limit_ns`.
    pub fn count_up_to(&self, limit_ns: u64) -> u64 {
        self.histogram.count_between(0, limit_ns)
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latencies' sum, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_taken_once_and_the_total_stays() {
        let slot = LatencySlot::default();
        let mut recorder = LatencyRecorder::default();
        recorder.record(1_000_000, 99);
        recorder.record(100_000_000, 1);
        slot.publish(&mut recorder);
        let mut interval = Latencies::default();
        interval.take(&slot);
        assert_eq!(interval.count(), 100);
        assert!((interval.quantile_ms(0.5) - 1.0).abs() < 0.01);
        assert!((interval.max_ms() - 100.0).abs() < 0.2);
        let mut next = Latencies::default();
        next.take(&slot);
        assert_eq!((next.count(), next.quantile_ms(0.99)), (0, 0.0));
        let mut total = Latencies::default();
        total.add_total(&slot);
        assert_eq!((total.count(), total.count_up_to(2_000_000)), (100, 99));
        assert!((total.sum_seconds() - 0.199).abs() < 0.001);
    }

    #[test]
    fn what_is_off_the_scale_counts_at_its_end() {
        let slot = LatencySlot::default();
        let mut recorder = LatencyRecorder::default();
        recorder.record(0, 1);
        recorder.record(u64::MAX, 1);
        slot.publish(&mut recorder);
        let mut total = Latencies::default();
        total.add_total(&slot);
        assert_eq!(total.count(), 2);
        assert!(total.max_ms() >= 59_999.0);
    }
}
