//! Files that were emptied, deleted, or rotated out of sight; and last lines that nobody ends.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::copies::{self, Twin};
use super::file::Tracked;
use super::{Phase, Tracker};
use crate::limits::{MULTILINE_WAIT, WATCH_FORMER_MAX, WATCH_LAST_LINE_IDLE, WATCH_NAMES_MAX, WATCH_RETRY, WATCH_ROTATED_IDLE};
use crate::watch::content::FileId;
use crate::watch::journal::{Entry, Offset};
use crate::watch::task::{Encoding, Ending};

impl Tracker {
    /// The inode holds another content: one that is new, or a copy. The one before may go on in a copy.
    pub(super) fn rewritten(&mut self, id: FileId) {
        self.numbers.rewritten += 1;
        self.forget(id);
    }

    /// What is where a content was is another one.
    pub(super) fn forget(&mut self, id: FileId) {
        let path = self.files[&id].path.clone();
        if self.by_path.get(&path) == Some(&id) {
            self.by_path.remove(&path);
        }
        self.go(id);
    }

    /// A content is nowhere to be found; a copy of it takes its place.
    pub(super) fn go(&mut self, id: FileId) {
        let file = self.files.get_mut(&id).expect("known");
        (file.phase, file.gone) = (Phase::Gone, self.scans);
        if self.by_key.get(&file.record.key) == Some(&id) {
            self.by_key.remove(&file.record.key);
        }
        self.queue.retain(|queued| *queued != id);
        if file.record.head.len == 0 && file.offset == Offset::default() {
            // Nothing is known of it, by which it could be known again.
            self.files.remove(&id);
            self.entries.push(Entry::Gone(id));
            return;
        }
        self.names.extend(copies::names(&file.path));
        self.former.push_back(id);
        let offset = file.offset.bytes;
        let is_it = |twin: &Twin| twin.of == id && (twin.found.encoding == Encoding::Gzip || offset <= twin.found.size);
        let twin = self.twins.iter().filter(|(_, twin)| is_it(twin)).max_by_key(|(_, twin)| twin.found.size).map(|(key, _)| *key);
        if let Some(twin) = twin.and_then(|key| self.twins.remove(&key)) {
            let changed_ms = self.files[&id].changed_ms;
            self.locate(id, &twin.found, changed_ms);
        }
        while self.former.len() > WATCH_FORMER_MAX {
            let oldest = self.former.pop_front().expect("there are some");
            self.files.remove(&oldest);
            self.entries.push(Entry::Gone(oldest));
        }
    }

    /// It has ended. `held_size` tells the length of a file whose descriptor is held, if it is. What is in a folder of `hidden`, or one itself, could not be looked for.
    pub fn end_scan(&mut self, now_ms: u64, held_size: impl Fn(FileId) -> Option<u64>, hidden: &HashSet<PathBuf>) {
        for id in self.missing().collect::<Vec<_>>() {
            let file = self.files.get_mut(&id).expect("listed");
            if file.phase == Phase::Reading {
                continue;
            }
            if file.path.ancestors().any(|path| hidden.contains(path)) {
                if file.phase == Phase::Idle && !file.is_at_end {
                    file.failed_ms.get_or_insert(now_ms);
                }
                continue;
            }
            match held_size(id) {
                Some(size) if size != file.size => {
                    (file.size, file.changed_ms, file.is_at_end, file.is_rotated) = (size, now_ms, false, true);
                    file.ending = Ending::Open;
                    self.enqueue(id);
                }
                Some(_) => file.is_rotated = true,
                None => {
                    if !file.is_at_end && file.offset.bytes < file.size {
                        self.numbers.lost_bytes += file.size - file.offset.bytes;
                    }
                    self.go(id);
                }
            }
        }
        self.no_copies.clear();
        let is_kept = |seen: u64, kept: usize| seen == self.scans || !hidden.is_empty() && kept < WATCH_NAMES_MAX;
        // A copy of which nobody knows all any more is looked at anew.
        let files = &self.files;
        let is_covered = |twin: &Twin| files.get(&twin.of).is_some_and(|file| file.phase != Phase::Gone || file.covers(&twin.found));
        let (twins, ignored, strangers) = (self.twins.len(), self.ignored.len(), self.strangers.len());
        self.twins.retain(|_, twin| is_kept(twin.seen, twins) && is_covered(twin));
        self.ignored.retain(|_, it| is_kept(it.seen, ignored));
        self.strangers.retain(|_, seen| is_kept(*seen, strangers));
        self.age(now_ms);
    }

    /// Ends last lines and rotated files that nobody writes to any more.
    fn age(&mut self, now_ms: u64) {
        let quiet = |file: &Tracked, wait: Duration| file.changed_ms + wait.as_millis() as u64 <= now_ms;
        let ending = |file: &Tracked| match () {
            () if quiet(file, WATCH_LAST_LINE_IDLE) => Ending::Line,
            () if quiet(file, MULTILINE_WAIT) => Ending::Record,
            () => Ending::Open,
        };
        let mut due = Vec::new();
        let mut left = Vec::new();
        for (id, file) in &mut self.files {
            if !matches!(file.phase, Phase::Idle | Phase::Queued) {
                continue;
            }
            let is_over = file.phase == Phase::Idle && file.is_rotated && quiet(file, WATCH_ROTATED_IDLE);
            if file.failed_ms.is_some_and(|failed| failed.saturating_add(WATCH_RETRY.as_millis() as u64) <= now_ms) {
                file.failed_ms = None;
                due.push(*id);
            } else if file.is_at_end && file.offset.bytes < file.size && file.ending < ending(file) {
                (file.ending, file.is_at_end) = (ending(file), false);
                due.push(*id);
            } else if file.is_at_end && is_over {
                left.push(*id);
            }
        }
        due.into_iter().for_each(|id| self.enqueue(id));
        for id in left {
            let file = &self.files[&id];
            // One that is asked for by its new name is followed on; one that nobody can find is not.
            if file.seen < self.scans {
                self.go(id);
            }
        }
    }
}
