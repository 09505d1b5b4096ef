//! Live tails over HTTP. Written by their threads, at their start and end, and where a listener misses lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of tails.
#[derive(Debug, Default)]
pub struct TailTotals {
    listening: AtomicU64,
    refused: AtomicU64,
    missed: AtomicU64,
}

impl TailTotals {
    /// Counts a listener until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Listening {
        self.listening.fetch_add(1, Ordering::Relaxed);
        Listening { totals: self.clone() }
    }

    /// Counts one that was told to come back later.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many listen now.
    pub fn listening(&self) -> u64 {
        self.listening.load(Ordering::Relaxed)
    }

    /// How many were told to come back later.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lines that matched, and were not told to listeners that were too slow.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// A listener.
#[derive(Debug)]
pub struct Listening {
    totals: Arc<TailTotals>,
}

impl Listening {
    /// Counts `lines` that it missed.
    pub fn missed(&self, lines: u64) {
        self.totals.missed.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.totals.listening.fetch_sub(1, Ordering::Relaxed);
    }
}
