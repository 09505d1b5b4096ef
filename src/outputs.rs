//! Outputs beside the segments: a CSV file, an SQLite database. Each follows the store with a [`Cursor`](crate::store::cursor::Cursor) on a thread of its own.
//!
//! ```text
//! shards -> store -> Cursor -> follower -> rows -> csv | sqlite
//! ```
//!
//! The store is their buffer: an output that is slow, locked or broken keeps its place in it, and nobody waits for it. What it has stored and where it is in
//! the store become durable together, so after a crash it goes on without a gap and without a row twice. What it has not read, retention keeps
//! ([`unread`](crate::store::unread)).
//!
//! Invariants: only what is durable in the store is output, so an output never has a row that the store has lost; a mark that retention sees moves only after the
//! output's own sync; no error of an output reaches the daemon.

mod csv;
mod follower;
mod row;
mod sqlite;
mod target;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

use crate::metrics::outputs::OutputStats;
use crate::store::cursor::{Chunk, Positions, StoreReader};
use crate::store::error::StorageError;
use crate::store::name::Stream;
use crate::store::policy::RotationPolicy;
use crate::store::unread::ReadMark;

use self::follower::Follower;
pub use self::target::{Kind, Target, clash};

/// Why `target` can't be an output, if a file that is there already is not its own. What may change by itself, such as a lock, is no reason. Changes nothing.
pub fn foreign(target: &Target) -> Option<String> {
    let looked = match target.kind {
        Kind::Csv => csv::look(&target.path),
        Kind::Sqlite => sqlite::look(&target.path),
    };
    looked.err().map(|error| format!("output {target}: {error}"))
}

/// Makes the folder of an output's file, and says so where it was missing.
fn make_folder(folder: &Path) -> io::Result<()> {
    let is_missing = !folder.as_os_str().is_empty() && !folder.exists();
    std::fs::create_dir_all(folder)?;
    if is_missing {
        tracing::info!("created {}, for an output", folder.display());
    }
    Ok(())
}

/// Why an output can't go on for now. Its text names the file.
#[derive(Debug, Error)]
pub enum OutputError {
    /// A file operation failed, of the output or of the store.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// SQLite refused.
    #[error("{path}: {error}")]
    Sqlite {
        /// The database.
        path: String,
        /// What it said.
        error: rusqlite::Error,
    },
    /// What is there is not this output's.
    #[error("{0}")]
    Foreign(String),
}

/// Where rows go.
trait Sink {
    /// Where it is in the store: what it has stored, durably, ends here. None, if it has nothing yet.
    fn positions(&self) -> Option<Positions>;

    /// Takes the rows of `chunk`, not durably yet. Returns how many.
    fn write(&mut self, chunk: &Chunk<'_>) -> Result<u64, OutputError>;

    /// Makes what was taken durable, and that it ends at `positions`, together.
    fn commit(&mut self, positions: &Positions) -> Result<(), OutputError>;

    /// Does what is due without rows. Called between commits.
    fn tick(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// What all outputs need to know.
#[derive(Debug, Clone)]
pub struct OutputsConfig {
    /// The store that they follow.
    pub store: StoreReader,
    /// Which lines.
    pub stream: Stream,
    /// When a CSV file ends.
    pub rotation: RotationPolicy,
}

/// One output before it runs.
#[derive(Debug, Clone)]
pub struct Output {
    /// What it is.
    pub target: Target,
    /// Where its numbers are.
    pub stats: Arc<OutputStats>,
    /// Where it says what it has read.
    pub read: Arc<ReadMark>,
}

impl Output {
    /// An output of `stream`.
    pub fn new(target: Target, stream: Stream) -> Output {
        let stats = Arc::new(OutputStats::new(target.to_string()));
        Output { target, stats, read: ReadMark::new(stream) }
    }
}

/// The running outputs.
#[derive(Debug)]
pub struct Outputs {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    stop: Sender<Instant>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    stats: Arc<OutputStats>,
}

impl Outputs {
    /// Starts a thread for each output.
    pub fn start(config: &OutputsConfig, outputs: Vec<Output>) -> io::Result<Outputs> {
        let mut running = Vec::with_capacity(outputs.len());
        for output in outputs {
            let stats = Arc::clone(&output.stats);
            let (stop, stopping) = bounded(1);
            let (alive, ended) = bounded::<()>(0);
            let follower = Follower::new(config.clone(), output, stopping);
            thread::Builder::new().name(stats.kind().to_owned()).spawn(move || {
                follower.run();
                drop(alive);
            })?;
            running.push(Running { stop, ended, stats });
        }
        Ok(Outputs { running })
    }

    /// Lets each output read what the store has by now, until `deadline`; what is left it reads after the next start. Call it when nobody writes any more.
    pub fn stop(self, deadline: Instant) {
        for running in &self.running {
            let _ = running.stop.send(deadline); // one that has ended needs no telling
        }
        for Running { ended, stats, .. } in self.running {
            // A sync or a lock that hangs must not hang the process: a crash loses nothing either.
            let patience = deadline.saturating_duration_since(Instant::now()).max(STOP_PATIENCE_MIN);
            let has_ended = ended.recv_timeout(patience) != Err(crossbeam_channel::RecvTimeoutError::Timeout);
            match stats.lag_bytes() {
                0 if has_ended && stats.problem().is_none() => {}
                bytes => tracing::info!("output {} goes on at the next start; {bytes} bytes of the store are left to read", stats.name()),
            }
        }
    }
}

/// What an output may take to end its transaction at the deadline.
const STOP_PATIENCE_MIN: Duration = Duration::from_millis(500);
