//! The request to end: from a signal, to every thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

/// The exit code of a process that a second Ctrl-C ends at once.
const EXIT_INTERRUPTED: i32 = 130;

/// Set once, seen by all, and wakes sleepers.
#[derive(Debug, Default)]
pub struct Stop {
    since: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Stop {
    /// Asks everyone to end.
    pub fn request(&self) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// When it was requested, if it was.
    pub fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `when`. False as soon as the end is requested.
    pub fn sleep_until(&self, when: Instant) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        while since.is_none() {
            let left = when.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            since = self.changed.wait_timeout(since, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// Set by Ctrl-C and SIGTERM from now on. A second one ends the process at once.
pub fn on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED, signalled.clone()).context("handle signals")?;
        signal_hook::flag::register(signal, signalled.clone()).context("handle signals")?;
    }
    Ok(signalled)
}

/// Whether such a flag is set.
pub fn is_set(signalled: &AtomicBool) -> bool {
    signalled.load(Ordering::Relaxed)
}
