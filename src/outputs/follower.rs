//! One output's thread: reads the store, hands lines to the sink, has them stored together with the place where they end.
//!
//! After an error everything is begun again from what the sink has stored, later and later: a warning once, until it has gone well.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::csv::Csv;
use super::sqlite::Sqlite;
use super::{Kind, Output, OutputError, OutputsConfig, Sink};
use crate::limits::{OUTPUT_COMMIT_BYTES, OUTPUT_COMMIT_INTERVAL, OUTPUT_POLL, OUTPUT_RETRY_MAX, OUTPUT_RETRY_MIN};
use crate::store::cursor::{Backlog, Cursor, Losses, Positions, Reach, Start};

pub(super) struct Follower {
    config: OutputsConfig,
    output: Output,
    /// Tells the deadline of a stop, once.
    stopping: Receiver<Instant>,
    deadline: Option<Instant>,
    /// What the sink has stored, as far as it has said.
    stored: Option<Positions>,
}

/// Records and bytes that the sink has taken since its last commit.
#[derive(Default)]
struct Taken {
    records: u64,
    bytes: u64,
}

impl Follower {
    pub(super) fn new(config: OutputsConfig, output: Output, stopping: Receiver<Instant>) -> Follower {
        Follower { config, output, stopping, deadline: None, stored: None }
    }

    /// Runs until a stop.
    pub(super) fn run(mut self) {
        let mut wait = OUTPUT_RETRY_MIN;
        loop {
            let begun = Instant::now();
            // What it held is dropped; the next try begins from what is stored.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.follow()));
            let problem = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "a panic, see above".to_owned(),
            };
            let stats = &self.output.stats;
            if stats.fail(problem.clone()) {
                tracing::warn!("output {}: {problem}; it keeps its place and tries again", stats.name());
            }
            if begun.elapsed() > OUTPUT_RETRY_MAX {
                wait = OUTPUT_RETRY_MIN;
            }
            self.measure();
            if self.is_stopping(wait) {
                return; // no more tries: the next start goes on
            }
            wait = (2 * wait).min(OUTPUT_RETRY_MAX);
        }
    }

    /// Follows the store until a stop or an error.
    fn follow(&mut self) -> Result<(), OutputError> {
        let (OutputsConfig { store, stream, rotation }, target) = (self.config.clone(), self.output.target.clone());
        match target.kind {
            Kind::Csv => self.feed(Csv::open(store.disk, &target.path, rotation)?),
            Kind::Sqlite => self.feed(Sqlite::open(&target.path, stream)?),
        }
    }

    fn feed(&mut self, mut sink: impl Sink) -> Result<(), OutputError> {
        self.stored = sink.positions();
        let mut cursor = self.cursor()?;
        self.output.read.set(cursor.positions());
        let mut losses = Losses::default();
        self.show_backlog(cursor.backlog()?);
        let mut last_commit = Instant::now();
        loop {
            let was_stopping = self.deadline.is_some(); // by then everything was written
            let mut taken = Taken::default();
            let is_behind = self.take(&mut cursor, &mut sink, &mut taken, last_commit)?;
            let positions = cursor.positions();
            if self.stored.as_ref() != Some(&positions) {
                sink.commit(&positions)?;
                self.stored(positions, &taken);
            } else {
                sink.tick()?;
            }
            last_commit = Instant::now();
            self.count_losses(&mut losses, cursor.losses());
            if self.output.stats.recover() {
                tracing::info!("output {} stores again", self.output.stats.name());
            }
            let backlog = cursor.backlog()?;
            self.show_backlog(backlog);
            if !is_behind {
                self.output.stats.caught_up();
            }
            if was_stopping && (!is_behind || self.deadline.is_some_and(|deadline| deadline <= Instant::now())) {
                return Ok(());
            }
            self.is_stopping(if is_behind { Duration::ZERO } else { OUTPUT_POLL });
        }
    }

    /// Reads until there is nothing more, or enough for a commit. Returns whether there may be more.
    fn take(&mut self, cursor: &mut Cursor, sink: &mut impl Sink, taken: &mut Taken, since: Instant) -> Result<bool, OutputError> {
        while let Some(chunk) = cursor.next()? {
            taken.records += sink.write(&chunk)?;
            taken.bytes += chunk.lines.len() as u64;
            if OUTPUT_COMMIT_BYTES <= taken.bytes || OUTPUT_COMMIT_INTERVAL <= since.elapsed() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn stored(&mut self, positions: Positions, taken: &Taken) {
        self.output.stats.add_stored(taken.records, taken.bytes);
        self.output.read.set(positions.clone());
        self.stored = Some(positions);
    }

    fn cursor(&self) -> Result<Cursor, OutputError> {
        let start = self.stored.clone().map_or(Start::Beginning, Start::At);
        Ok(Cursor::new(self.config.store.clone(), self.config.stream, Reach::Durable, &start)?)
    }

    /// Says how far behind an output is that does not store anything right now.
    fn measure(&mut self) {
        if let Ok(backlog) = self.cursor().and_then(|mut cursor| Ok(cursor.backlog()?)) {
            self.show_backlog(backlog);
        }
    }

    fn show_backlog(&self, Backlog { bytes, oldest_sealed_at_s }: Backlog) {
        let stats = &self.output.stats;
        stats.set_lag_bytes(bytes);
        if 0 < bytes {
            stats.behind(oldest_sealed_at_s);
        }
    }

    fn count_losses(&self, before: &mut Losses, now: Losses) {
        let segments = |losses: Losses| losses.gone_segments + losses.damaged_segments;
        self.output.stats.add_lost_segments(segments(now) - segments(*before));
        *before = now;
    }

    /// Waits so long, or until a stop is asked for. Returns whether one is.
    fn is_stopping(&mut self, wait: Duration) -> bool {
        if self.deadline.is_none() {
            match self.stopping.recv_timeout(wait) {
                Ok(deadline) => self.deadline = Some(deadline),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.deadline = Some(Instant::now()),
            }
        }
        self.deadline.is_some()
    }
}
