//! What outputs count. Each is written by the output's thread, and read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One output's numbers.
#[derive(Debug)]
pub struct OutputStats {
    name: String,
    records: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
    lost_segments: AtomicU64,
    lag_bytes: AtomicU64,
    /// Since when it has not read everything, in milliseconds since 1970; 0 while it has.
    behind_since_ms: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl OutputStats {
    /// Of the output `name`, `KIND:PATH`.
    pub fn new(name: String) -> OutputStats {
        let zero = AtomicU64::default;
        OutputStats {
            name,
            records: zero(),
            bytes: zero(),
            commits: zero(),
            failures: zero(),
            lost_segments: zero(),
            lag_bytes: zero(),
            behind_since_ms: zero(),
            problem: Mutex::default(),
        }
    }

    /// `KIND:PATH`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `KIND`.
    pub fn kind(&self) -> &str {
        self.name.split(':').next().unwrap_or_default()
    }

    /// Records stored durably since the start, their bytes in the store with newlines, and in how many commits.
    pub fn stored(&self) -> (u64, u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (get(&self.records), get(&self.bytes), get(&self.commits))
    }

    /// A commit has stored so much.
    pub fn add_stored(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Failures since the start, each of which was followed by another try.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Why it does not store anything right now, if it does not.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It has failed. Returns whether it had not before.
    pub fn fail(&self, problem: String) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).replace(problem).is_none()
    }

    /// It stores again. Returns whether it had failed.
    pub fn recover(&self) -> bool {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Segments that were deleted or damaged before they were read to their end.
    pub fn lost_segments(&self) -> u64 {
        self.lost_segments.load(Ordering::Relaxed)
    }

    /// So many more were.
    pub fn add_lost_segments(&self, segments: u64) {
        self.lost_segments.fetch_add(segments, Ordering::Relaxed);
    }

    /// Bytes of the store's files that it has not read to their end, as they are on disk.
    pub fn lag_bytes(&self) -> u64 {
        self.lag_bytes.load(Ordering::Relaxed)
    }

    /// For how long it has not had everything that is durable, in seconds.
    pub fn lag_seconds(&self) -> f64 {
        match self.behind_since_ms.load(Ordering::Relaxed) {
            0 => 0.0,
            since_ms => now_ms().saturating_sub(since_ms) as f64 / 1e3,
        }
    }

    /// It has so much left to read.
    pub fn set_lag_bytes(&self, bytes: u64) {
        self.lag_bytes.store(bytes, Ordering::Relaxed);
    }

    /// It has read everything that it may.
    pub fn caught_up(&self) {
        self.behind_since_ms.store(0, Ordering::Relaxed);
    }

    /// It has not; what is left is from `since_s`, in seconds since 1970, or from now.
    pub fn behind(&self, since_s: Option<u64>) {
        let since_ms = since_s.map_or_else(now_ms, |seconds| 1_000 * seconds).max(1);
        let _ = self.behind_since_ms.compare_exchange(0, since_ms, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_begins_once_and_a_problem_is_told_once() {
        let stats = OutputStats::new("csv:x:y".to_owned());
        assert_eq!((stats.kind(), stats.lag_seconds()), ("csv", 0.0));
        stats.behind(Some(1));
        stats.behind(None);
        assert!(1e9 < stats.lag_seconds());
        stats.caught_up();
        assert_eq!(stats.lag_seconds(), 0.0);
        assert!(stats.fail("locked".to_owned()) && !stats.fail("still".to_owned()));
        assert_eq!(stats.problem().as_deref(), Some("still"));
        assert!(stats.recover() && !stats.recover());
        assert_eq!((stats.failures(), stats.problem()), (2, None));
    }
}
