//! Files that are followed, from the recovery of their checkpoints to the thread that watches them.

use std::cell::LazyCell;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::{Config, Role};
use crate::limits::WATCH_READS_MAX;
use crate::metrics::files::FileTotals;
use crate::outputs::Target;
use crate::record::multiline::Continuations;
use crate::shard::{ShardFiles, TaskSender};
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::marks::Marks;
use crate::store::name::FileName;
use crate::store::recover::Recovered;
use crate::watch::checkpoints::{self, Checkpoints};
use crate::watch::journal::{FileRecord, Journal, Replayed};
use crate::watch::own::OwnFolder;
use crate::watch::patterns::{self, Pattern};
use crate::watch::sources::Sources;
use crate::watch::task::ReadReport;
use crate::watch::watcher::{Watcher, WatcherConfig};

/// What the process writes: store and outputs.
fn own(config: &Config) -> Vec<OwnFolder> {
    let of_output = |output: &Target| {
        let target = output.clone();
        OwnFolder { path: target.folder(), is_own: Box::new(move |name| target.owns(name)) }
    };
    let outputs = config.outputs.iter().map(of_output);
    std::iter::once(OwnFolder::whole(config.data_dir.clone())).chain(outputs).collect()
}

/// What is to be followed and can't be, since only the process itself writes there.
pub(super) fn refused(config: &Config) -> Vec<String> {
    let refused = config.watch.iter().filter(|pattern| pattern.is_only_in(&config.data_dir));
    let dir = config.data_dir.display();
    refused
        .map(|pattern| format!("--watch {pattern}: files of {dir}, where lines are stored, are not followed; store them elsewhere"))
        .collect()
}

/// Brings store and checkpoints together. What is known of files, if any are followed.
pub(super) fn recover(config: &Config, disk: &Disk, journal: Journal, recovered: &mut Recovered) -> Result<Option<Past>, StorageError> {
    let dir = &config.data_dir;
    if config.watch.is_empty() && journal.is_empty() {
        return Ok(None);
    }
    let is_first = !FileName::Checkpoints.in_dir(dir).exists();
    // Others have sent lines too, where files are not the only source: they do not give them again.
    let is_only_source = config.role != Role::Serve;
    let sources = LazyCell::new(|| Sources::of(patterns::scan(&config.watch, config.archives, &own(config))));
    let has = is_only_source.then_some(|record: &FileRecord, bytes| sources.has(record, bytes));
    let replayed = checkpoints::recover(disk, dir, journal, has, recovered)?;
    if config.watch.is_empty() {
        return checkpoints::settle(disk, dir, &replayed).map(|()| None);
    }
    Ok(Some(Past { replayed, is_first }))
}

/// What former processes did.
pub(super) struct Past {
    replayed: Replayed,
    /// There was none that followed files.
    is_first: bool,
}

/// What was set up for files, before the shards run.
pub(super) struct Following {
    past: Past,
    checkpoints: Arc<Checkpoints>,
    continuations: Option<Continuations>,
    reports: (Sender<ReadReport>, Receiver<ReadReport>),
}

impl Following {
    pub(super) fn begin(config: &Config, disk: &Disk, marks: &Arc<Marks>, past: Past) -> Result<Self, StorageError> {
        let is_shared = config.role == Role::Serve;
        let checkpoints = Checkpoints::begin(disk.clone(), &config.data_dir, marks.clone(), past.replayed.clone(), is_shared)?;
        Ok(Self { past, checkpoints, continuations: config.continuations.clone(), reports: bounded(WATCH_READS_MAX) })
    }

    /// The shards' end.
    pub(super) fn of_shards(&self) -> ShardFiles {
        ShardFiles { checkpoints: self.checkpoints.clone(), continuations: self.continuations.clone(), reports: self.reports.0.clone() }
    }

    /// Starts the thread that watches.
    pub(super) fn start(
        self,
        config: &Config,
        tasks: TaskSender,
        totals: Arc<FileTotals>,
        failures: &Sender<StorageError>,
    ) -> io::Result<Watcher> {
        let failures = failures.clone();
        let watcher = WatcherConfig {
            patterns: config.watch.iter().map(Pattern::absolute).collect::<io::Result<_>>()?,
            archives: config.archives,
            from: config.from,
            is_first: self.past.is_first,
            is_once: matches!(config.role, Role::Collect { is_once: true, .. }),
            own: own(config),
            shards: config.shards,
            replayed: self.past.replayed,
            checkpoints: self.checkpoints,
            totals,
            hand: Box::new(move |shard, task| tasks.send(shard, task)),
            reports: self.reports.1,
        };
        Watcher::start(watcher, move |error| drop(failures.send(error)))
    }
}
