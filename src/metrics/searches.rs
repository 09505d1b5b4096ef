//! What searches over HTTP came to. Written by their threads, each once at its start and once at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchEnd {
    /// Everything was looked at.
    Complete,
    /// As many lines were found as were wanted.
    Lines,
    /// The answer became too long.
    Bytes,
    /// It took too long.
    Time,
    /// Whoever asked went away.
    Cancelled,
    /// Its query or range was too large to begin.
    TooMuch,
    /// Something could not be read.
    Failed,
}

impl SearchEnd {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Complete, Self::Lines, Self::Bytes, Self::Time, Self::Cancelled, Self::TooMuch, Self::Failed];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Lines => "lines",
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Cancelled => "cancelled",
            Self::TooMuch => "too_much",
            Self::Failed => "failed",
        }
    }
}

/// Numbers of searches.
#[derive(Debug, Default)]
pub struct SearchTotals {
    running: AtomicU64,
    refused: AtomicU64,
    ended: [AtomicU64; SearchEnd::COUNT],
}

impl SearchTotals {
    /// Counts one as running until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> RunningSearch {
        self.running.fetch_add(1, Ordering::Relaxed);
        RunningSearch { totals: self.clone(), end: SearchEnd::Failed }
    }

    /// Counts one that was told to come back later.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many run now.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// How many were told to come back later.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many ended so.
    pub fn ended(&self, end: SearchEnd) -> u64 {
        self.ended[end as usize].load(Ordering::Relaxed)
    }
}

/// A search that runs. One that panics has failed.
#[derive(Debug)]
pub struct RunningSearch {
    totals: Arc<SearchTotals>,
    /// How it is to be counted.
    pub end: SearchEnd,
}

impl Drop for RunningSearch {
    fn drop(&mut self) {
        self.totals.ended[self.end as usize].fetch_add(1, Ordering::Relaxed);
        self.totals.running.fetch_sub(1, Ordering::Relaxed);
    }
}
