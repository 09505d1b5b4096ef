//! What a look at everything finds: files that are known, and others.

use std::collections::HashSet;

use super::{Found, Phase, Tracker};
use crate::limits::WATCH_LOOKS_MAX;
use crate::watch::content::FileId;
use crate::watch::journal::Entry;
use crate::watch::task::{Encoding, Ending};

impl Tracker {
    /// A look at everything: `scan` tells each file that it finds. Returns those of which nothing is known; [`add`](Self::add) takes them, and [`end_scan`](Self::end_scan) what is missing.
    ///
    /// Files are renamed while they are looked at. Then one may be missed, and what came after it not: so where one is new or missing, everything is looked at once more, until it is the
    /// same twice.
    pub fn look(&mut self, now_ms: u64, mut scan: impl FnMut(&mut dyn FnMut(&Found))) -> Vec<Found> {
        self.scans += 1;
        self.note_names();
        let (mut known, mut missing, mut looks) = (HashSet::new(), 0, 0);
        loop {
            let mut new = Vec::new();
            self.looks += 1;
            scan(&mut |found| {
                // What the look before knew, and gave up since it was renamed, is no stranger.
                let is_new = self.saw(found, now_ms) || known.contains(&found.key) && self.strangers.remove(&found.key).is_some();
                new.extend(is_new.then(|| found.clone()));
            });
            looks += 1;
            let were_missing = std::mem::replace(&mut missing, self.missing().count());
            let is_as_before = were_missing == missing && new.iter().all(|found| known.contains(&found.key));
            if is_as_before || looks == WATCH_LOOKS_MAX {
                return new;
            }
            known.extend(new.iter().map(|found| found.key));
        }
    }

    /// What no look has found since the last one began.
    pub(super) fn missing(&self) -> impl Iterator<Item = FileId> {
        self.files.iter().filter(|(_, file)| file.phase != Phase::Gone && file.seen < self.scans).map(|(id, _)| *id)
    }

    /// A file was seen. Returns whether nothing is known of it: a [look](Self::look) is due.
    pub fn saw(&mut self, found: &Found, now_ms: u64) -> bool {
        let Some(id) = self.by_key.get(&found.key).copied() else {
            return !self.is_refused(found) && !self.saw_twin(found) && self.is_of_interest(found) && self.is_decided(found, now_ms);
        };
        let (scans, looks) = (self.scans, self.looks);
        let file = self.files.get_mut(&id).expect("a key belongs to a file");
        let is_first = file.look < looks;
        (file.seen, file.look) = (scans, looks);
        if file.path != found.path && file.record.head.len == 0 && file.size != found.size && file.phase != Phase::Reading {
            // Another name, and nothing is known by which it could be the same: the inode may be another file's by now.
            self.forget(id);
            return true;
        }
        // Of two names of one file the first counts.
        if is_first && file.path != found.path {
            file.rename(found);
            self.entries.push(Entry::File(file.record.clone()));
        }
        let is_this = file.path == found.path;
        file.is_rotated |= is_this && !found.is_matched;
        if is_this {
            self.take_name(&found.path, id);
        }
        let file = self.files.get_mut(&id).expect("a key belongs to a file");
        let shortest = file.offset.bytes.max(u64::from(file.record.head.len));
        let is_shorter = found.encoding == Encoding::Plain && found.size < shortest;
        if is_shorter && file.phase != Phase::Reading {
            self.rewritten(id);
            return true;
        } else if file.size != found.size {
            (file.size, file.changed_ms, file.is_at_end, file.ending) = (found.size, now_ms, false, Ending::Open);
            (file.modified_ns, file.failed_ms) = (found.modified_ns, None);
            self.enqueue(id);
            self.note_filled(id);
        } else if found.encoding == Encoding::Plain && file.modified_ns != found.modified_ns {
            // It may have been written anew, with as many bytes: how it begins tells.
            (file.modified_ns, file.is_at_end) = (found.modified_ns, false);
            self.enqueue(id);
        } else if !file.is_at_end && file.phase == Phase::Idle && file.failed_ms.is_none() {
            self.enqueue(id);
        }
        false
    }
}
