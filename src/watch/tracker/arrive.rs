//! New files: contents that are known, copies of them, and contents that begin.

use std::path::Path;
use std::sync::Arc;

use super::copies::{self, Twin};
use super::file::Tracked;
use super::former::FormerIndex;
use super::{Found, From, Phase, Tracker};
use crate::limits::{WATCH_FILES_MAX, WATCH_NAMES_MAX};
use crate::store::name::Stream;
use crate::watch::content::{FileId, FileKey, Head};
use crate::watch::journal::{Entry, FileRecord, Offset};
use crate::watch::task::Encoding;

impl Tracker {
    /// Takes new files, by how each begins. What goes on in one of them is found before any of them counts as new. `is_other` tells whether a file that begins as one
    /// at a path goes on otherwise.
    pub fn add(&mut self, news: Vec<(Found, Vec<u8>)>, now_ms: u64, is_other: impl Fn(&Found, &Path, FileKey) -> bool) {
        let former = if news.is_empty() { FormerIndex::default() } else { FormerIndex::new(self) };
        let (mut rest, mut later) = (Vec::new(), Vec::new());
        let undecided = std::mem::take(&mut self.undecided);
        for (found, head) in news {
            if self.by_key.contains_key(&found.key) {
                continue; // by another name
            }
            match former.by_inode(self, &found, &head) {
                Some(id) => self.meet_again(id, &found, &head, now_ms),
                None => later.push((found, head)),
            }
        }
        // Of two copies the longer one has what the other has.
        later.sort_by_key(|(found, _)| std::cmp::Reverse(found.size));
        for (found, head) in later {
            if self.by_key.contains_key(&found.key) {
                continue;
            }
            let known = if self.no_copies.contains(&found.key) { None } else { former.by_content(self, &found, &head) };
            match known {
                Some(id) => self.meet_again(id, &found, &head, now_ms),
                None => rest.push((found, head)),
            }
        }
        for (found, head) in rest {
            if self.by_key.contains_key(&found.key) {
                continue;
            }
            let may_be_copy = self.may_name_copy(&found.path);
            let originals = if may_be_copy { self.originals(&found, &head) } else { Vec::new() };
            let is_of = |id: &&FileId| {
                let file = &self.files[*id];
                file.phase == Phase::Gone || !is_other(&found, &file.path, file.record.key)
            };
            if let Some(of) = originals.iter().find(is_of).copied() {
                self.twins.insert(found.key, Twin { of, seen: self.scans, found });
            } else if !found.is_matched && self.scans == 1 {
                self.strangers.insert(found.key, self.scans);
            } else if !(originals.is_empty() && may_be_copy && self.puts_off(&found, &head, now_ms, &undecided)) {
                self.ignored.remove(&found.key);
                self.begin(&found, &head, now_ms);
            }
        }
        self.put_in_order();
    }

    /// A content that was gone goes on here.
    pub(super) fn locate(&mut self, id: FileId, found: &Found, now_ms: u64) {
        self.former.retain(|former| *former != id);
        self.take_name(&found.path, id);
        self.by_key.insert(found.key, id);
        let (scans, looks) = (self.scans, self.looks);
        let file = self.files.get_mut(&id).expect("known");
        let is_elsewhere = file.record.key != found.key || file.path != found.path;
        file.rename(found);
        file.record.key = found.key;
        (file.encoding, file.size, file.changed_ms, file.seen, file.phase) = (found.encoding, found.size, now_ms, scans, Phase::Idle);
        (file.modified_ns, file.look) = (found.modified_ns, looks);
        file.is_rotated = !found.is_matched;
        if is_elsewhere {
            self.entries.push(Entry::File(file.record.clone()));
        }
        self.enqueue(id);
    }

    /// The same, of one that was looked at: more may be known now of how it begins.
    fn meet_again(&mut self, id: FileId, found: &Found, head: &[u8], now_ms: u64) {
        self.locate(id, found, now_ms);
        let file = self.files.get_mut(&id).expect("known");
        let head = Head::of(head);
        if file.record.head.len < head.len {
            file.record.head = head;
            self.entries.push(Entry::File(file.record.clone()));
        }
    }

    /// Whether a file was refused, and still is.
    pub(super) fn is_refused(&self, found: &Found) -> bool {
        self.is_full() && self.refused.contains(&found.key)
    }

    fn is_full(&self) -> bool {
        WATCH_FILES_MAX <= self.files.len() - self.former.len()
    }

    fn begin(&mut self, found: &Found, head: &[u8], now_ms: u64) {
        if self.is_full() {
            if self.refused.len() < WATCH_NAMES_MAX && self.refused.insert(found.key) {
                self.numbers.refused += 1;
            }
            return;
        }
        self.refused.remove(&found.key);
        self.undecided.remove(&found.key); // by another name
        let offset = match found.encoding {
            _ if self.from == From::Beginning || 1 < self.scans => Offset::default(),
            // What of its last line is there already is none of ours.
            Encoding::Plain => Offset { bytes: found.size, is_mid_line: 0 < found.size },
            // However long it is.
            Encoding::Gzip => Offset { bytes: u64::MAX, is_mid_line: false },
        };
        let id = self.insert(found.key, found, Head::of(head), offset, now_ms);
        self.enqueue(id);
    }

    pub(super) fn insert(&mut self, key: FileKey, found: &Found, head: Head, offset: Offset, now_ms: u64) -> FileId {
        let id = self.next_id;
        self.next_id += 1;
        let record = FileRecord { id, key, head, path: found.path.to_path_buf() };
        self.entries.push(Entry::File(record.clone()));
        if offset != Offset::default() {
            self.entries.push(Entry::Read(id, [offset; Stream::SLOTS]));
        }
        let mut file = Tracked::remembered(&record, [offset; Stream::SLOTS]);
        file.rename(found);
        (file.encoding, file.size, file.changed_ms, file.seen, file.phase) = (found.encoding, found.size, now_ms, self.scans, Phase::Idle);
        (file.modified_ns, file.since, file.look) = (found.modified_ns, self.scans, self.looks);
        self.files.insert(id, file);
        self.names.extend(copies::names(&found.path));
        self.by_key.insert(key, id);
        self.take_name(&found.path, id);
        id
    }

    /// The name belongs to `id` from now on; who had it is read to its end first.
    pub(super) fn take_name(&mut self, path: &Arc<Path>, id: FileId) {
        let Some(before) = self.by_path.insert(path.clone(), id).filter(|before| *before != id) else { return };
        if let Some(file) = self.files.get_mut(&before).filter(|file| file.phase != Phase::Gone) {
            (file.is_rotated, file.is_at_end) = (true, false);
            self.numbers.rotated += 1;
            self.enqueue(before);
            self.join(before, id);
        }
    }
}
