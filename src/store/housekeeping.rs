//! The disk thread of the control plane: asks for the free space, opens and shuts the [`IntakeGate`], and lets [`Retention`] delete what is to go.
//!
//! One thread for both, because they look at the same thing: with a limit set, the oldest archives go before intake has to pause. Started after recovery and before
//! the first line is taken in; stopped last of the store, because a writer that waits for a full disk may wait for a deletion.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::disk::Disk;
use super::error::StorageError;
use super::guard::{self, FreeSpace, Intake, IntakeGate, Seen, Space};
use super::pool::{OnFatal, PoolHandle};
use super::retention::{Missing, RetainLimits, Retention, RetentionStats};
use super::unread::Unread;
use crate::limits::{DISK_GUARD_INTERVAL, RETENTION_TIME_SHARE, RETENTION_TIME_SHARE_MAX};

/// How long a stop waits for a deletion that is under way: a file system that hangs must not hang the process.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What the disk thread needs to know.
pub struct HousekeepingConfig {
    /// The way to the files.
    pub disk: Disk,
    /// The data directory.
    pub dir: PathBuf,
    /// What may be kept.
    pub retain: RetainLimits,
    /// Opened and shut, with the lower mark.
    pub gate: Arc<IntakeGate>,
    /// Where deletions are counted.
    pub stats: Arc<RetentionStats>,
    /// What retention is to leave.
    pub unread: Unread,
    /// Asked whether it waits for a full disk, and whether it has archived something.
    pub pool: PoolHandle,
    /// Told if the thread panics: nobody guards the disk any more.
    pub on_fatal: OnFatal,
}

/// The running disk thread. Stopped on drop.
#[derive(Debug)]
pub struct Housekeeping {
    running: Option<Sender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Housekeeping {
    /// Starts it. When this returns, the gate is shut if it has to be.
    pub fn start(config: HousekeepingConfig) -> std::io::Result<Housekeeping> {
        let HousekeepingConfig { disk, dir, retain, gate, stats, unread, pool, on_fatal } = config;
        let retention = retain.is_set().then(|| Retention::new(disk, dir.clone(), retain, stats).leaving(unread));
        let mut rounds = Rounds::new(dir, gate, pool, retention);
        let space = rounds.space();
        rounds.guard(space);
        let (running, stop) = bounded::<()>(0);
        let (alive, ended) = bounded::<()>(0);
        let run = move || {
            while stop.recv_timeout(DISK_GUARD_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                rounds.round(|| stop.try_recv() == Err(TryRecvError::Empty));
            }
        };
        thread::Builder::new().name("disk".to_owned()).spawn(move || {
            // Nothing in memory is used after a panic but the failure's report.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                on_fatal(StorageError::Panicked {
                    thread: "disk".to_owned(),
                    message: "see above; nobody guards the disk any more".to_owned(),
                });
            }
            drop(alive);
        })?;
        Ok(Housekeeping { running: Some(running), ended })
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        self.running.take();
        if self.ended.recv_timeout(STOP_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the file system has not answered for {STOP_PATIENCE:?}; not waiting for it");
        }
    }
}

/// What the thread does, round by round.
struct Rounds {
    dir: PathBuf,
    gate: Arc<IntakeGate>,
    pool: PoolHandle,
    decision: FreeSpace,
    started: Instant,
    /// When intake was paused.
    paused: Option<Instant>,
    /// What the last full disk said.
    full: String,
    /// Whether the last question for the space failed: its warning stands until one does not.
    failing: bool,
    retention: Option<Retention>,
    /// When retention looked last, how long that took, and what the pool had archived by then.
    looked: Instant,
    took: Duration,
    archived: Option<u64>,
    /// Whether that was for the sake of space, and brought none.
    futile: bool,
}

impl Rounds {
    fn new(dir: PathBuf, gate: Arc<IntakeGate>, pool: PoolHandle, retention: Option<Retention>) -> Rounds {
        let now = Instant::now();
        Rounds {
            decision: FreeSpace::new(gate.min_free_bytes()),
            dir,
            gate,
            pool,
            started: now,
            paused: None,
            full: String::new(),
            failing: false,
            retention,
            looked: now,
            took: Duration::ZERO,
            archived: None,
            futile: false,
        }
    }

    /// Archives go first, so that intake pauses only where that did not help.
    fn round(&mut self, go_on: impl Fn() -> bool) {
        let mut space = self.space();
        if 0 < self.retain(space, go_on) {
            space = self.space();
        }
        self.guard(space);
    }

    /// Decides whether lines may be taken in.
    fn guard(&mut self, space: Option<Space>) {
        let met_full = self.gate.met_full().or_else(|| self.pool.stats().paused());
        let now_ms = self.started.elapsed().as_millis() as u64;
        let intake = self.decision.observe(Seen { space, met_full: met_full.is_some(), now_ms });
        self.full = met_full.unwrap_or(std::mem::take(&mut self.full));
        let reason = self.decision.reason(&self.dir, space, &self.full);
        if let (None, Some(reason)) = (self.paused, &reason) {
            tracing::warn!("intake pauses: {reason}; senders wait, nothing that was taken in is lost");
        }
        self.gate.set(space, reason);
        match (intake, self.paused) {
            (Intake::Open, Some(since)) => {
                self.paused = None;
                tracing::info!("intake resumes after {:.1} s", since.elapsed().as_secs_f64());
            }
            (Intake::LowSpace | Intake::Full, None) => self.paused = Some(Instant::now()),
            _ => {}
        }
    }

    fn space(&mut self) -> Option<Space> {
        let asked = guard::space(&self.dir);
        match &asked {
            Err(error) if !self.failing => tracing::warn!("cannot ask for the free space of {}: {error}", self.dir.display()),
            _ => {}
        }
        self.failing = asked.is_err();
        asked.ok().flatten()
    }

    /// Deletes what is to go, if it is time to look. Returns how many segments went.
    fn retain(&mut self, space: Option<Space>, go_on: impl Fn() -> bool) -> usize {
        let Some(retention) = &mut self.retention else { return 0 };
        let missing = space.map_or(Missing::default(), |space| self.decision.missing(space));
        let is_low = missing != Missing::default();
        let archived = Some(self.pool.stats().archived());
        let begun = Instant::now();
        let share = if is_low && !self.futile { RETENTION_TIME_SHARE_MAX } else { RETENTION_TIME_SHARE };
        let is_rested = self.looked + share * self.took <= begun;
        let is_due = self.looked + retention.interval() <= begun || is_low || archived != self.archived;
        if !(is_rested && is_due) {
            return 0;
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let deleted = retention.round(now_s, missing, go_on);
        self.looked = Instant::now();
        self.took = self.looked - begun;
        self.futile = is_low && deleted == 0;
        self.archived = archived;
        deleted
    }
}

#[cfg(test)]
mod tests;
