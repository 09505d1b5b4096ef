//! What becomes of files that are followed: the state machine. Pure: what was seen and read in, what to read next out; times are passed in.
//!
//! It knows *contents* and not names. A content is where its inode is, as long as it begins as it did; when the inode is gone or was written anew, the content goes on in a
//! copy of it (`copytruncate`) or in its archive, if one turns up that begins alike and whose name says so. So whatever rotation does, a content is read once, to its end.
//!
//! Invariants: a content is read by one task at a time; its offset never goes back; a file that took another's name is not begun before the other was read to its end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::content::{FileId, FileKey, Head, is_rotated_name};
use super::journal::{Entry, FileRecord, Offset, Replayed};
use super::task::{Encoding, ReadOutcome, ReadReport};
use crate::limits::{WATCH_FILES_MAX, WATCH_FORMER_MAX, WATCH_LAST_LINE_IDLE, WATCH_RETRY, WATCH_ROTATED_IDLE};
use crate::store::name::Stream;

mod file;
mod numbers;
#[cfg(test)]
mod tests;

use file::Tracked;
pub use numbers::TrackerNumbers;

/// Where files that are there at the first start are begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With their first line.
    Beginning,
    /// Behind what they hold.
    End,
}

/// A file that a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub path: Arc<Path>,
    /// Its inode.
    pub key: FileKey,
    /// Its length.
    pub size: u64,
    /// How its bytes are stored.
    pub encoding: Encoding,
    /// Whether its name was asked for. Others in the same folder may be what rotation made of those.
    pub is_matched: bool,
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which content.
    pub id: FileId,
    /// Where it was seen last.
    pub path: Arc<Path>,
    /// Which file that must be.
    pub key: FileKey,
    /// See [`Found::encoding`].
    pub encoding: Encoding,
    /// From where.
    pub offset: Offset,
    /// By slot: what is stored already.
    pub stored: [u64; Stream::SLOTS],
    /// How it must begin.
    pub head: Head,
    /// Whether the last line ends with the file.
    pub ends: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    from: From,
    /// Files are read once: their last lines end with them.
    is_once: bool,
    files: BTreeMap<FileId, Tracked>,
    by_key: HashMap<FileKey, FileId>,
    by_path: HashMap<Arc<Path>, FileId>,
    /// Those that are nowhere to be found, the longest first.
    former: VecDeque<FileId>,
    /// Files that are the same as one that is still there, perhaps on their way to replace it.
    twins: HashMap<FileKey, Twin>,
    /// Files that are none of ours, or not yet, with their lengths and since when they have those.
    ignored: HashMap<FileKey, (u64, u64)>,
    queue: VecDeque<FileId>,
    next_id: FileId,
    scans: u64,
    entries: Vec<Entry>,
    numbers: TrackerNumbers,
}

#[derive(Debug)]
struct Twin {
    found: Found,
    of: FileId,
    seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nowhere to be found.
    Gone,
    Idle,
    Queued,
    Reading,
}

impl Tracker {
    /// Goes on from what a journal said.
    pub fn new(from: From, is_once: bool, replayed: &Replayed) -> Self {
        // Files that are there at a later start have come since.
        let from = if replayed.files.is_empty() { from } else { From::Beginning };
        let files: BTreeMap<FileId, Tracked> =
            replayed.files.iter().map(|(id, (record, offsets))| (*id, Tracked::remembered(record, *offsets))).collect();
        Self {
            from,
            is_once,
            former: files.keys().copied().collect(),
            next_id: files.keys().last().map_or(1, |last| last + 1),
            files,
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            twins: HashMap::new(),
            ignored: HashMap::new(),
            queue: VecDeque::new(),
            scans: 0,
            entries: Vec::new(),
            numbers: TrackerNumbers::default(),
        }
    }

    /// What is to be written to the journal before anything else is read.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// A file was seen. Returns whether nothing is known of it: then [`add`](Self::add) it, by how it begins.
    pub fn saw(&mut self, found: &Found, now_ms: u64) -> bool {
        let Some(id) = self.by_key.get(&found.key).copied() else {
            return !self.saw_twin(found) && (found.is_matched || self.is_wanted(found)) && self.is_decided(found, now_ms);
        };
        let scans = self.scans;
        let file = self.files.get_mut(&id).expect("a key belongs to a file");
        let is_first = file.seen < scans;
        file.seen = scans;
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
        let is_shorter = found.encoding == Encoding::Plain && found.size < file.offset.bytes;
        if is_shorter && file.phase != Phase::Reading {
            self.rewritten(id, now_ms);
        } else if file.size != found.size {
            (file.size, file.changed_ms, file.is_at_end, file.is_ended) = (found.size, now_ms, false, false);
            self.enqueue(id);
        } else if !file.is_at_end && file.phase == Phase::Idle && file.failed_ms.is_none() {
            self.enqueue(id);
        }
        false
    }

    /// A copy that has grown beyond what it is a copy of is none.
    fn saw_twin(&mut self, found: &Found) -> bool {
        let Some(twin) = self.twins.get_mut(&found.key) else { return false };
        (twin.seen, twin.found) = (self.scans, found.clone());
        let is_copy = self.files.get(&twin.of).is_some_and(|original| original.fits(found));
        if !is_copy {
            self.twins.remove(&found.key);
        }
        is_copy
    }

    /// Whether rotation may have made it of a file that was read.
    fn is_wanted(&self, found: &Found) -> bool {
        self.files.values().any(|file| 0 < file.offset.bytes && is_rotated_name(&found.path, &file.path))
    }

    /// Whether it is to be looked at: what was no use before is looked at again when it has grown, or has not for a while.
    fn is_decided(&mut self, found: &Found, now_ms: u64) -> bool {
        match self.ignored.get(&found.key) {
            Some((size, since_ms)) if *size == found.size => {
                found.is_matched && since_ms + WATCH_LAST_LINE_IDLE.as_millis() as u64 <= now_ms
            }
            _ => true,
        }
    }

    /// Takes new files, by how each begins. What goes on in one of them is found before any of them counts as new.
    pub fn add(&mut self, news: Vec<(Found, Vec<u8>)>, now_ms: u64) {
        let by_inode = |tracker: &Self, found: &Found, head: &[u8]| tracker.known(|file| file.is_at(found.key) && file.record.head.is_of(head));
        let by_content = |tracker: &Self, found: &Found, head: &[u8]| {
            tracker.known(|file| file.record.key.ino == found.key.ino && file.is_certainly(head) || file.may_go_on_in(found, head))
        };
        let (mut rest, mut later) = (Vec::new(), Vec::new());
        for (found, head) in news {
            match by_inode(self, &found, &head) {
                Some(id) => self.locate(id, &found, now_ms),
                None => later.push((found, head)),
            }
        }
        for (found, head) in later {
            match by_content(self, &found, &head) {
                Some(id) => self.locate(id, &found, now_ms),
                None => rest.push((found, head)),
            }
        }
        for (found, head) in rest {
            let original = self.files.iter().find(|(_, file)| file.phase != Phase::Gone && file.is_alike(&found, &head) && file.fits(&found));
            if let Some(of) = original.map(|(id, _)| *id) {
                self.twins.insert(found.key, Twin { of, seen: self.scans, found });
            } else if found.is_matched && !self.may_yet_be_copy(&found, &head, now_ms) {
                self.ignored.remove(&found.key);
                self.begin(&found, &head, now_ms);
            } else {
                let known = self.ignored.insert(found.key, (found.size, now_ms));
                if let Some((size, since_ms)) = known.filter(|(size, _)| *size == found.size) {
                    self.ignored.insert(found.key, (size, since_ms));
                }
            }
        }
    }

    /// Whether it may be a copy that is being made: too short to tell, or longer than its original was when that was looked at; and not for long.
    fn may_yet_be_copy(&self, found: &Found, head: &[u8], now_ms: u64) -> bool {
        let is_old = self.ignored.get(&found.key).is_some_and(|(size, since_ms)| {
            *size == found.size && since_ms + WATCH_LAST_LINE_IDLE.as_millis() as u64 <= now_ms
        });
        let is_short = |file: &Tracked| {
            0 < file.offset.bytes && found.size < u64::from(file.record.head.len) && is_rotated_name(&found.path, &file.path)
        };
        let is_long = |file: &Tracked| file.phase != Phase::Gone && file.is_alike(found, head);
        !is_old && self.files.values().any(|file| is_short(file) || is_long(file))
    }

    /// Of those that are gone, the one of which most is known.
    fn known(&self, is_it: impl Fn(&Tracked) -> bool) -> Option<FileId> {
        let candidates = self.former.iter().filter(|id| is_it(&self.files[id]));
        candidates.max_by_key(|id| (self.files[id].record.head.len, **id)).copied()
    }

    /// A content that was gone goes on here.
    fn locate(&mut self, id: FileId, found: &Found, now_ms: u64) {
        self.former.retain(|former| *former != id);
        self.take_name(&found.path, id);
        self.by_key.insert(found.key, id);
        let scans = self.scans;
        let file = self.files.get_mut(&id).expect("known");
        let is_elsewhere = file.record.key != found.key || file.path != found.path;
        file.rename(found);
        file.record.key = found.key;
        (file.encoding, file.size, file.changed_ms, file.seen, file.phase) = (found.encoding, found.size, now_ms, scans, Phase::Idle);
        file.is_rotated = !found.is_matched;
        if is_elsewhere {
            self.entries.push(Entry::File(file.record.clone()));
        }
        if found.encoding == Encoding::Plain && found.size < file.offset.bytes {
            self.rewritten(id, now_ms);
        } else {
            self.enqueue(id);
        }
    }

    fn begin(&mut self, found: &Found, head: &[u8], now_ms: u64) {
        if self.files.len() - self.former.len() >= WATCH_FILES_MAX {
            self.numbers.refused += 1;
            return;
        }
        let is_at_end = self.from == From::End && self.scans <= 1 && found.encoding == Encoding::Plain;
        // What of its last line is there already is none of ours.
        let offset = Offset { bytes: if is_at_end { found.size } else { 0 }, is_mid_line: is_at_end && found.size > 0 };
        let id = self.insert(found.key, found, Head::of(&head[..head.len().min(found.size as usize)]), offset, now_ms);
        self.enqueue(id);
    }

    fn insert(&mut self, key: FileKey, found: &Found, head: Head, offset: Offset, now_ms: u64) -> FileId {
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
        self.files.insert(id, file);
        self.by_key.insert(key, id);
        self.take_name(&found.path, id);
        id
    }

    /// The name belongs to `id` from now on; who had it is read to its end first.
    fn take_name(&mut self, path: &Arc<Path>, id: FileId) {
        let Some(before) = self.by_path.insert(path.clone(), id).filter(|before| *before != id) else { return };
        if let Some(file) = self.files.get_mut(&before).filter(|file| file.phase != Phase::Gone) {
            (file.is_rotated, file.is_at_end) = (true, false);
            self.numbers.rotated += 1;
            self.enqueue(before);
            self.files.get_mut(&id).expect("who takes a name is known").after = Some(before);
        }
    }

    /// The inode holds another content. The one before may go on in a copy.
    fn rewritten(&mut self, id: FileId, now_ms: u64) {
        self.numbers.rewritten += 1;
        let file = &self.files[&id];
        let (key, encoding, is_matched) = (file.record.key, file.encoding, !file.is_rotated);
        let found = Found { path: file.path.clone(), key, size: 0, encoding, is_matched };
        self.go(id);
        self.by_path.remove(&found.path);
        let new = self.insert(key, &found, Head::default(), Offset::default(), now_ms);
        self.files.get_mut(&new).expect("inserted").not_before_scan = self.scans + 1;
        self.enqueue(new);
    }

    /// A content is nowhere to be found; a copy of it takes its place.
    fn go(&mut self, id: FileId) {
        let file = self.files.get_mut(&id).expect("known");
        file.phase = Phase::Gone;
        if self.by_key.get(&file.record.key) == Some(&id) {
            self.by_key.remove(&file.record.key);
        }
        self.queue.retain(|queued| *queued != id);
        self.former.push_back(id);
        self.ignored.clear();
        let offset = file.offset.bytes;
        let is_it = |twin: &Twin| twin.of == id && (twin.found.encoding == Encoding::Gzip || offset <= twin.found.size);
        let twin = self.twins.iter().find(|(_, twin)| is_it(twin)).map(|(key, _)| *key);
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

    /// A look at everything begins.
    pub fn begin_scan(&mut self) {
        self.scans += 1;
    }

    /// It has ended. `held_size` tells the length of a file whose descriptor is held, if it is.
    pub fn end_scan(&mut self, now_ms: u64, held_size: impl Fn(FileId) -> Option<u64>) {
        let unseen: Vec<FileId> =
            self.files.iter().filter(|(_, file)| file.phase != Phase::Gone && file.seen < self.scans).map(|(id, _)| *id).collect();
        for id in unseen {
            let file = self.files.get_mut(&id).expect("listed");
            if file.phase == Phase::Reading {
                continue;
            }
            match held_size(id) {
                Some(size) if size != file.size => {
                    (file.size, file.changed_ms, file.is_at_end, file.is_rotated) = (size, now_ms, false, true);
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
        let scans = self.scans;
        // A copy whose original is gone and does not go on in it is looked at anew.
        let files = &self.files;
        self.twins.retain(|_, twin| twin.seen == scans && files.get(&twin.of).is_some_and(|file| file.phase != Phase::Gone));
        self.age(now_ms);
    }

    /// Ends last lines and rotated files that nobody writes to any more.
    fn age(&mut self, now_ms: u64) {
        let quiet = |file: &Tracked, wait: std::time::Duration| file.changed_ms + wait.as_millis() as u64 <= now_ms;
        let mut due = Vec::new();
        let mut left = Vec::new();
        for (id, file) in &mut self.files {
            if file.phase != Phase::Idle {
                continue;
            }
            let is_over = file.is_rotated && quiet(file, WATCH_ROTATED_IDLE);
            if file.failed_ms.is_some_and(|failed| failed + WATCH_RETRY.as_millis() as u64 <= now_ms) {
                file.failed_ms = None;
                due.push(*id);
            } else if file.is_at_end && !file.is_ended && file.offset.bytes < file.size && (is_over || quiet(file, WATCH_LAST_LINE_IDLE)) {
                (file.is_ended, file.is_at_end) = (true, false);
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

    fn enqueue(&mut self, id: FileId) {
        let file = self.files.get_mut(&id).expect("known");
        match file.phase {
            Phase::Idle => {
                file.phase = Phase::Queued;
                self.queue.push_back(id);
            }
            Phase::Reading => file.is_due = true,
            Phase::Queued | Phase::Gone => {}
        }
    }

    /// The next file to read, if there is one. Tell with [`done`](Self::done) what came of it.
    pub fn next(&mut self) -> Option<Job> {
        let at = self.queue.iter().position(|id| self.may_begin(*id))?;
        let id = self.queue.remove(at).expect("just found");
        let is_once = self.is_once;
        let file = self.files.get_mut(&id).expect("queued");
        file.phase = Phase::Reading;
        file.is_due = false;
        Some(Job {
            id,
            path: file.path.clone(),
            key: file.record.key,
            encoding: file.encoding,
            offset: file.offset,
            stored: file.stored,
            head: file.record.head,
            ends: file.is_ended || is_once || file.encoding == Encoding::Gzip,
        })
    }

    fn may_begin(&self, id: FileId) -> bool {
        let file = &self.files[&id];
        let waits_for = file.after.and_then(|before| self.files.get(&before));
        let waits = waits_for.is_some_and(|before| before.phase != Phase::Gone && !before.is_at_end && before.failed_ms.is_none());
        !waits && file.not_before_scan <= self.scans
    }

    /// A task has ended.
    pub fn done(&mut self, report: &ReadReport, now_ms: u64) {
        let id = report.id;
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Idle;
        file.offset = file.offset.max(Offset { bytes: report.offset, is_mid_line: report.is_mid_line });
        if report.head != file.record.head {
            file.record.head = report.head;
            self.entries.push(Entry::File(file.record.clone()));
        }
        match &report.outcome {
            ReadOutcome::AtEnd => {
                file.is_at_end = !file.is_due;
                file.size = if file.encoding == Encoding::Plain { file.size.max(file.offset.bytes) } else { file.size };
                if file.is_due {
                    self.enqueue(id);
                }
            }
            ReadOutcome::More => self.enqueue(id),
            ReadOutcome::Rewritten => self.rewritten(id, now_ms),
            ReadOutcome::Failed(_) => {
                file.failed_ms = Some(now_ms);
                self.numbers.failures += 1;
            }
            ReadOutcome::Stopped => {}
        }
    }

    /// A file is not to be followed, for now.
    pub fn ignore(&mut self, found: &Found, now_ms: u64) {
        self.ignored.insert(found.key, (found.size, now_ms));
    }

    /// Whether anything is known of a content.
    pub fn is_known(&self, id: FileId) -> bool {
        self.files.contains_key(&id)
    }

    /// Where a content was seen last.
    pub fn path(&self, id: FileId) -> Option<Arc<Path>> {
        self.files.get(&id).map(|file| file.path.clone())
    }

    /// It could not be opened where it was: another file is there, or none. The next scan tells.
    pub fn missed(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.phase = Phase::Idle;
            file.is_at_end = false;
        }
    }
}
