//! Files that are, or may be, copies of one that is followed: `copytruncate` makes one, and then empties the original; archiving makes one, and then deletes it.
//!
//! While both are there a copy is not read. When the original is emptied or gone, its content goes on in the copy. What has the name of a copy, came while the original was followed, and is
//! a copy of nothing that is known, is what rotation made of a file before anybody could look at it, and is read.

use std::collections::HashMap;
use std::path::Path;

use super::file::Tracked;
use super::{Found, Phase, Tracker};
use crate::limits::WATCH_LAST_LINE_IDLE;
use crate::watch::content::{FileId, FileKey, Head};
use crate::watch::rotated::{Place, is_rotated_name, rotation_base};

/// A copy of a content that is still where it was, or has just gone.
#[derive(Debug)]
pub(super) struct Twin {
    pub(super) found: Found,
    pub(super) of: FileId,
    pub(super) seen: u64,
}

/// See [`Tracker`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Ignored {
    size: u64,
    /// Since when it has that length.
    since_ms: u64,
    pub(super) seen: u64,
}

/// A file that may be a copy that is being made, or a file of its own: it is looked at by each scan, and time will tell.
#[derive(Debug)]
pub(super) struct Undecided {
    pub(super) place: Place,
    pub(super) modified_ns: i128,
    since_ms: u64,
}

fn is_old(since_ms: u64, now_ms: u64) -> bool {
    since_ms + WATCH_LAST_LINE_IDLE.as_millis() as u64 <= now_ms
}

/// What names of copies of `path` may begin with.
pub(super) fn names(path: &Path) -> Vec<String> {
    let base = rotation_base(path);
    [base.file_name(), base.file_stem()].into_iter().flatten().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// What a copy that has the name `name` may be a copy of, as [`names`] tells it.
pub(super) fn beginnings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(['.', '-', '_', '~']).map(|(end, _)| &name[..end])
}

impl Tracker {
    /// Whether a file that nothing is known of is to be looked at: its name was asked for, or rotation may have made it of a file that was read. One whose name
    /// said nothing when it was first seen is a stranger: it was there before, and whatever is read later, it is none of that.
    pub(super) fn is_of_interest(&mut self, found: &Found) -> bool {
        if found.is_matched {
            return true;
        }
        let is_stranger = self.strangers.contains_key(&found.key) || !self.is_wanted(found);
        if is_stranger {
            self.strangers.insert(found.key, self.scans);
        }
        !is_stranger
    }

    /// A copy that has grown beyond what it is a copy of is none, nor is one of what is gone that grows; one that has grown is looked at again.
    pub(super) fn saw_twin(&mut self, found: &Found) -> bool {
        let Some(twin) = self.twins.get_mut(&found.key) else { return false };
        let is_as_it_was = twin.found.size == found.size;
        (twin.seen, twin.found) = (self.scans, found.clone());
        let original = self.files.get(&twin.of);
        let is_copy = is_as_it_was && original.is_some_and(|original| original.covers(found));
        if !is_copy {
            // Nobody copies any more what is gone.
            if !is_as_it_was && original.is_some_and(|original| original.phase == Phase::Gone) {
                self.no_copies.insert(found.key);
            }
            self.twins.remove(&found.key);
        }
        is_copy
    }

    /// Whether a name begins as those of copies do. Asked for each new file, of which there may be many, before each of those that are known is.
    pub(super) fn may_name_copy(&self, path: &Path) -> bool {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        beginnings(&name).any(|name| self.names.contains(name))
    }

    /// Whether rotation may have made it of a file that was read, which may have another name by now.
    fn is_wanted(&self, found: &Found) -> bool {
        self.may_name_copy(&found.path)
            && self.files.values().any(|file| file.may_be_copied(self.scans) && is_rotated_name(&found.path, &file.place.series))
    }

    /// Whether it is to be looked at: what was no use before is looked at again when it has another length, or after a while.
    pub(super) fn is_decided(&mut self, found: &Found, now_ms: u64) -> bool {
        let Some(ignored) = self.ignored.get_mut(&found.key) else { return true };
        ignored.seen = self.scans;
        ignored.size != found.size || is_old(ignored.since_ms, now_ms)
    }

    /// Whether it may be a copy that is being made: too short to tell, or longer than its original was when that was looked at; and not for long. Or one of a file
    /// of which somebody is about to tell how it begins.
    fn may_yet_be_copy(&self, found: &Found, head: &[u8], is_old: bool) -> bool {
        let may_be = |file: &&Tracked| file.may_be_copied(self.scans) && is_rotated_name(&found.path, &file.path);
        let is_short = |file: &Tracked| file.record.head.may_grow_from(head);
        let is_long = |file: &Tracked| file.phase != Phase::Gone && file.is_alike(found, head);
        let is_untold = |file: &Tracked| {
            file.phase == Phase::Reading && file.record.head.is_of(head) || file.phase == Phase::Queued && file.is_untold() && 0 < file.size
        };
        self.files.values().filter(may_be).any(|file| is_untold(file) || !is_old && (is_short(file) || is_long(file)))
    }

    /// What begins as a new file does and is as long, where it still is; or has just gone, and was read to behind the end of that. Of two that turned up together, only
    /// if there is much that they begin with.
    pub(super) fn originals(&self, found: &Found, head: &[u8]) -> Vec<FileId> {
        let may_be = |file: &Tracked| file.may_be_copied(self.scans) || file.record.head.is_full();
        let is_there = |file: &Tracked| file.phase != Phase::Gone || self.scans <= file.gone + 1 && !self.no_copies.contains(&found.key);
        // All that is cheap first: there may be as many files as new ones.
        let full = Head::of(head);
        let begins_so = |file: &Tracked| file.record.head.len != full.len || file.record.head == full;
        let is_it = |file: &Tracked| may_be(file) && is_there(file) && file.covers(found) && begins_so(file) && file.is_alike(found, head);
        self.files.iter().filter(|(_, file)| is_it(file)).map(|(id, _)| *id).collect()
    }

    /// Whether `found`, of which nothing is known, is left for the next scan to decide. `before` are those that the last one has left.
    pub(super) fn puts_off(&mut self, found: &Found, head: &[u8], now_ms: u64, before: &HashMap<FileKey, Undecided>) -> bool {
        let since_ms = before.get(&found.key).map_or(now_ms, |undecided| undecided.since_ms);
        let puts_off = self.may_yet_be_copy(found, head, is_old(since_ms, now_ms));
        if puts_off {
            let undecided = Undecided { place: Place::of(&found.path), modified_ns: found.modified_ns, since_ms };
            self.undecided.insert(found.key, undecided);
        }
        puts_off
    }

    /// A file is not to be followed, for now.
    pub fn ignore(&mut self, found: &Found, now_ms: u64) {
        self.ignored.insert(found.key, Ignored { size: found.size, since_ms: now_ms, seen: self.scans });
    }

    /// What names of copies may begin with: those of files that were read, without what rotation adds, and without their ends.
    pub(super) fn note_names(&mut self) {
        self.names.clear();
        for file in self.files.values().filter(|file| file.may_be_copied(self.scans)) {
            self.names.extend(names(&file.path));
        }
    }
}
