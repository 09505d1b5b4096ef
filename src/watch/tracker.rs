//! What becomes of files that are followed: the state machine. Pure: what was seen and read in, what to read next out; times are passed in.
//!
//! It knows *contents* and not names. A content is where its inode is, as long as it begins as it did; when the inode is gone or was written anew, the content goes on in a
//! copy of it (`copytruncate`) or in its archive, if one turns up that begins alike and whose name says so. So whatever rotation does, a content is read once, to its end.
//!
//! Invariants: a content is read by one task at a time; its offset never goes back; a file that took another's name is not begun before the other was read to its end.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::content::{FileId, FileKey, Head};
use super::journal::{Entry, Offset, Replayed};
use super::task::{Encoding, Ending, ReadOutcome, ReadReport};
use crate::limits::WATCH_ARCHIVES_MAX;
use crate::store::name::Stream;

mod arrive;
mod copies;
mod file;
mod former;
mod leave;
mod look;
mod numbers;
mod order;
#[cfg(test)]
mod tests;

use copies::{Ignored, Twin, Undecided};
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
    /// When it was written to last, in nanoseconds since 1970.
    pub modified_ns: i128,
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
    /// See [`ReadTask::ending`](super::task::ReadTask::ending).
    pub ending: Ending,
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
    /// Files that may be such, or others.
    undecided: HashMap<FileKey, Undecided>,
    /// Files that can't be read, or not yet.
    ignored: HashMap<FileKey, Ignored>,
    /// Files that were there before anything was read of which they could be copies, and when they were seen.
    strangers: HashMap<FileKey, u64>,
    /// See [`note_names`](Self::note_names).
    names: HashSet<String>,
    /// Files beyond the most that are followed.
    refused: HashSet<FileKey>,
    queue: VecDeque<FileId>,
    /// How many tasks there were.
    tasks: u64,
    /// How many archives are being read.
    archives: usize,
    next_id: FileId,
    scans: u64,
    /// How often everything was looked at: once or more for each scan.
    looks: u64,
    /// Files that were found to be no copies of what is gone, since they grow: by this scan, or since the last one.
    no_copies: HashSet<FileKey>,
    entries: Vec<Entry>,
    numbers: TrackerNumbers,
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
    /// Goes on from what a journal said. `from` is of the files that the first scan finds.
    pub fn new(from: From, is_once: bool, replayed: &Replayed) -> Self {
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
            undecided: HashMap::new(),
            ignored: HashMap::new(),
            strangers: HashMap::new(),
            names: HashSet::new(),
            refused: HashSet::new(),
            queue: VecDeque::new(),
            tasks: 0,
            archives: 0,
            scans: 0,
            looks: 0,
            no_copies: HashSet::new(),
            entries: Vec::new(),
            numbers: TrackerNumbers::default(),
        }
    }

    /// What is to be written to the journal before anything else is read.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
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
    pub fn next_job(&mut self) -> Option<Job> {
        let is_busy = self.archives == WATCH_ARCHIVES_MAX;
        let may_begin = |id: &FileId| self.may_begin(*id) && !(is_busy && self.files[id].encoding == Encoding::Gzip);
        let at = self.queue.iter().position(may_begin)?;
        let id = self.queue.remove(at).expect("just found");
        self.tasks += 1;
        let is_once = self.is_once;
        let file = self.files.get_mut(&id).expect("queued");
        file.turn.begin(self.tasks);
        file.phase = Phase::Reading;
        file.is_due = false;
        self.archives += usize::from(file.encoding == Encoding::Gzip);
        Some(Job {
            id,
            path: file.path.clone(),
            key: file.record.key,
            encoding: file.encoding,
            offset: file.offset,
            stored: file.stored,
            head: file.record.head,
            ending: file.ending(is_once),
        })
    }

    /// A task has ended.
    pub fn done(&mut self, report: &ReadReport, now_ms: u64) {
        let id = report.id;
        let Some(file) = self.files.get_mut(&id) else { return };
        file.phase = Phase::Idle;
        self.archives -= usize::from(file.encoding == Encoding::Gzip);
        file.offset = file.offset.max(Offset { bytes: report.offset, is_mid_line: report.is_mid_line });
        if report.head != file.record.head {
            file.record.head = report.head;
            self.entries.push(Entry::File(file.record.clone()));
        }
        let end = if let ReadOutcome::AtEnd = report.outcome { Some(report.end) } else { None };
        file.turn.done(end, if file.ending(self.is_once) == Ending::Line { report.end } else { report.offset });
        match &report.outcome {
            ReadOutcome::AtEnd => {
                file.is_at_end = !file.is_due;
                file.size = if file.encoding == Encoding::Plain { file.size.max(report.end) } else { file.size };
                if file.is_due {
                    self.enqueue(id);
                }
            }
            ReadOutcome::More => self.enqueue(id),
            ReadOutcome::Rewritten => self.rewritten(id),
            ReadOutcome::Failed(error) => {
                // What is no archive, or half of one, stays so until it is written to.
                let is_damaged = file.encoding == Encoding::Gzip && error.raw_os_error().is_none();
                file.failed_ms = Some(if is_damaged { u64::MAX } else { now_ms });
                if file.is_due {
                    file.failed_ms = None;
                    self.enqueue(id);
                }
                self.numbers.failures += 1;
            }
            ReadOutcome::Stopped => {}
        }
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
            self.archives -= usize::from(file.encoding == Encoding::Gzip);
        }
    }
}
