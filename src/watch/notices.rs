//! What the system tells of files: which changed, and that names came or went. Gathered, so that a file that is written a thousand times is looked at once.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::limits::WATCH_FILES_MAX;

/// What was told since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Files that changed.
    pub(super) changed: HashSet<PathBuf>,
    /// Names came or went, or nobody knows.
    pub(super) is_all: bool,
}

/// Notifications of some folders; of none where the system has none to give.
pub(super) struct Notices {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// Those that can't be watched.
    refused: BTreeSet<PathBuf>,
    news: Arc<Mutex<News>>,
    told: Receiver<()>,
}

impl Notices {
    pub(super) fn new() -> Self {
        let news = Arc::new(Mutex::new(News::default()));
        let (tell, told) = bounded(1);
        let into = news.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| take(event, &into, &tell));
        if let Err(error) = &watcher {
            tracing::info!("no notifications of files ({error}): they are looked at several times per second");
        }
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), refused: BTreeSet::new(), news, told }
    }

    /// Tells that there is news.
    pub(super) fn told(&self) -> &Receiver<()> {
        &self.told
    }

    /// What was told since the last call.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether changes in every folder are told.
    pub(super) fn is_everything_told(&self) -> bool {
        self.watcher.is_some() && self.refused.is_empty()
    }

    /// Has these folders watched, and no others.
    pub(super) fn watch(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            let _ = watcher.unwatch(gone); // it may be gone altogether
        }
        self.refused.retain(|folder| folders.contains(folder));
        for new in folders.difference(&self.folders) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive)
                && self.refused.insert(new.clone())
            {
                tracing::info!("no notifications of {} ({error}): it is looked at several times per second", new.display());
            }
        }
        // A folder that was refused is tried again with each call, since it may have been missing for a moment.
        self.folders = folders.difference(&self.refused).cloned().collect();
    }
}

fn take(event: notify::Result<Event>, into: &Mutex<News>, tell: &Sender<()>) {
    let mut news = into.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        // What others, and this process itself, read.
        Ok(Event { kind: EventKind::Access(_), .. }) => return,
        Ok(Event { kind: EventKind::Modify(kind), paths, .. })
            if !matches!(kind, ModifyKind::Name(_)) && news.changed.len() < WATCH_FILES_MAX =>
        {
            news.changed.extend(paths);
        }
        _ => news.is_all = true,
    }
    drop(news);
    let _ = tell.try_send(()); // it has been told already
}
