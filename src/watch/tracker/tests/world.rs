//! A folder of files, and a reader that obeys the tracker.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::limits::WATCH_HEAD_BYTES;
use crate::watch::content::{FileKey, Head};
use crate::watch::journal::{Entry, Offset, Replayed};
use crate::watch::task::{Encoding, ReadOutcome, ReadReport};
use crate::watch::tracker::{Found, From, Job, Tracker};

/// A folder of files, and a reader that obeys the tracker: what a watcher and its shards are in little.
pub(super) struct World {
    pub(super) tracker: Tracker,
    /// By inode.
    pub(super) data: BTreeMap<u64, Vec<u8>>,
    pub(super) paths: BTreeMap<String, u64>,
    /// Whether everything is asked for, or `app.log` alone.
    pub(super) is_folder: bool,
    pub(super) now_ms: u64,
    /// When each inode was written to.
    pub(super) modified: BTreeMap<u64, i128>,
    pub(super) written: u64,
    /// What a program holds open that was not told yet to reopen its file.
    pub(super) held: Option<u64>,
    /// The file system's clock.
    writes: i128,
    pub(super) rotations: u64,
    pub(super) read: Vec<u64>,
    /// Of tasks that have read, and have not reported.
    under_way: Vec<ReadReport>,
    /// What a next process would know: how far lines are stored, too. With how many lines were read by then.
    journal: Vec<(Entry, usize)>,
    /// How much of it is sure to be there.
    synced: usize,
}

/// Who rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotator {
    /// The program that writes: the new file is there when it writes to it.
    Writer,
    /// Something else, which may create the new file. The program goes on in the old one until it is told to reopen it.
    Other { creates: bool },
}

/// How names of rotated files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The newest one has the largest number.
    Up,
    /// The newest one is number 1: all others are renamed first.
    Shifted,
}

pub(super) const LIVE: &str = "app.log";

impl World {
    pub(super) fn new(is_folder: bool) -> Self {
        let tracker = Tracker::new(From::Beginning, false, &Replayed::default());
        let (data, paths, modified, held) = Default::default();
        let (read, under_way, journal) = Default::default();
        let (now_ms, written, writes, rotations, synced) = Default::default();
        Self { tracker, data, paths, is_folder, now_ms, modified, written, held, writes, rotations, read, under_way, journal, synced }
    }

    pub(super) fn create(&mut self, name: &str) -> u64 {
        let ino = (1..).find(|ino| !self.data.contains_key(ino)).expect("a number"); // the lowest, as file systems do
        self.data.insert(ino, Vec::new());
        self.paths.insert(name.to_owned(), ino);
        ino
    }

    pub(super) fn append(&mut self, lines: u64) {
        let ino = self.held.or_else(|| self.paths.get(LIVE).copied()).unwrap_or_else(|| self.create(LIVE));
        let data = self.data.get_mut(&ino).expect("a file");
        (self.written..self.written + lines).for_each(|n| data.extend_from_slice(format!("{n} and some words\n").as_bytes()));
        self.written += lines;
        self.wrote(ino);
    }

    pub(super) fn wrote(&mut self, ino: u64) {
        self.writes += 1;
        self.modified.insert(ino, self.writes);
    }

    pub(super) fn rotated_name(&mut self) -> String {
        self.rotations += 1;
        format!("{LIVE}.{}", self.rotations)
    }

    pub(super) fn rename(&mut self) {
        let Some(ino) = self.paths.remove(LIVE) else { return };
        let name = self.rotated_name();
        self.paths.insert(name, ino);
    }

    /// The same, as the program or something else does it.
    pub(super) fn rename_by(&mut self, who: Rotator, names: Names) {
        if let Rotator::Other { .. } = who {
            self.held = self.held.or_else(|| self.paths.get(LIVE).copied());
        }
        if names == Names::Up || !self.paths.contains_key(LIVE) {
            self.rename();
        } else {
            self.rotations += 1;
            for number in (0..self.rotations).rev() {
                let name = if number == 0 { LIVE.to_owned() } else { format!("{LIVE}.{number}") };
                let moved = self.paths.remove(&name).map(|ino| self.paths.insert(format!("{LIVE}.{}", number + 1), ino));
                assert!(moved.is_none_or(|replaced| replaced.is_none()));
            }
        }
        if who == (Rotator::Other { creates: true }) && !self.paths.contains_key(LIVE) {
            let ino = self.create(LIVE);
            self.wrote(ino);
        }
    }

    pub(super) fn copytruncate(&mut self) {
        self.copy();
        self.truncate();
    }

    pub(super) fn copy(&mut self) {
        let Some(ino) = self.paths.get(LIVE).copied() else { return };
        let name = self.rotated_name();
        let copy = self.create(&name);
        self.data.insert(copy, self.data[&ino].clone());
        self.wrote(copy);
    }

    pub(super) fn truncate(&mut self) {
        let Some(ino) = self.paths.get(LIVE).copied() else { return };
        self.data.insert(ino, Vec::new());
        self.wrote(ino);
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.paths.remove(name).map(|ino| self.data.remove(&ino));
    }

    pub(super) fn scan(&mut self) {
        self.scan_while(0, |_| {});
    }

    /// `meanwhile` something happens: after the names were listed, and so many of them were looked at.
    pub(super) fn scan_while(&mut self, looked_at: usize, meanwhile: impl FnOnce(&mut Self)) {
        self.now_ms += 100;
        let mut meanwhile = Some(meanwhile);
        // The tracker looks at the rest of the world.
        let mut tracker = std::mem::replace(&mut self.tracker, Tracker::new(From::Beginning, false, &Replayed::default()));
        let new = tracker.look(self.now_ms, |see| self.see(looked_at, &mut meanwhile, see));
        self.tracker = tracker;
        let news = new.into_iter().map(|found| (found.clone(), self.head(found.key.ino))).collect();
        self.tracker.add(news, self.now_ms, |_, _, _| false);
        self.tracker.end_scan(self.now_ms, |_| None, &HashSet::new());
    }

    fn see(&mut self, looked_at: usize, meanwhile: &mut Option<impl FnOnce(&mut Self)>, see: &mut dyn FnMut(&Found)) {
        let mut names: Vec<String> = self.paths.keys().cloned().collect();
        names.sort_by_key(|name| !self.is_matched(name));
        for (at, name) in names.into_iter().enumerate() {
            if looked_at <= at
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile(self);
            }
            self.paths.get(&name).iter().for_each(|ino| see(&self.found(&name, **ino)));
        }
    }

    /// Another process goes on. Of what the journal was told last, `lost` entries are not there, nor what was stored after them.
    pub(super) fn crash(&mut self, lost: usize) {
        self.under_way.clear();
        self.journal.truncate(self.synced.max(self.journal.len().saturating_sub(lost)));
        self.read.truncate(self.journal.last().map_or(0, |(_, read)| *read));
        let entries = std::mem::take(&mut self.journal).into_iter().map(|(entry, _)| entry).collect();
        let replayed = crate::watch::journal::replay::<()>(entries, |_| Err(())).expect("no batch is looked up");
        for (id, (record, offsets)) in &replayed.files {
            self.journal.extend([Entry::File(record.clone()), Entry::Read(*id, *offsets)].map(|entry| (entry, self.read.len())));
        }
        self.synced = self.journal.len();
        self.tracker = Tracker::new(From::Beginning, false, &replayed);
    }

    fn is_matched(&self, name: &str) -> bool {
        self.is_folder || name == LIVE
    }

    pub(super) fn found(&self, name: &str, ino: u64) -> Found {
        Found {
            path: Path::new(name).into(),
            key: FileKey { dev: 1, ino },
            size: self.data[&ino].len() as u64,
            modified_ns: self.modified.get(&ino).copied().unwrap_or_default(),
            encoding: Encoding::Plain,
            is_matched: self.is_matched(name),
        }
    }

    pub(super) fn head(&self, ino: u64) -> Vec<u8> {
        let data = &self.data[&ino];
        data[..data.len().min(WATCH_HEAD_BYTES)].to_vec()
    }

    /// Does so many tasks, of so many bytes each at most.
    pub(super) fn work(&mut self, tasks: usize, bytes_max: usize) {
        for _ in 0..tasks {
            if !self.begin(bytes_max) {
                return;
            }
            let report = self.under_way.pop();
            report.iter().for_each(|report| self.tracker.done(report, self.now_ms));
        }
    }

    /// A task reads, and reports later. Whether there was one to do.
    pub(super) fn begin(&mut self, bytes_max: usize) -> bool {
        let entries = self.tracker.take_entries();
        self.journal.extend(entries.into_iter().map(|entry| (entry, self.read.len())));
        let Some(job) = self.tracker.next_job() else { return false };
        let here = self.paths.get(job.path.to_str().expect("text")).copied();
        if here == Some(job.key.ino) {
            let report = self.read(&job, bytes_max);
            self.under_way.push(report);
        } else {
            self.tracker.missed(job.id);
        }
        true
    }

    /// The tasks that were begun report.
    pub(super) fn end(&mut self) {
        std::mem::take(&mut self.under_way).iter().for_each(|report| self.tracker.done(report, self.now_ms));
    }

    pub(super) fn read(&mut self, job: &Job, bytes_max: usize) -> ReadReport {
        let data = &self.data[&job.key.ino];
        let report = |offset: u64, end, head, outcome| ReadReport { id: job.id, offset, is_mid_line: false, end, head, outcome };
        let offset = job.offset.bytes as usize;
        if !job.head.is_of(&self.head(job.key.ino)) || data.len() < offset {
            return report(job.offset.bytes, job.offset.bytes, job.head, ReadOutcome::Rewritten);
        }
        if job.head.len == 0 && !data.is_empty() {
            return report(0, 0, Head::of(data), ReadOutcome::More);
        }
        let piece = &data[offset..data.len().min(offset + bytes_max)];
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let text = std::str::from_utf8(&piece[..whole]).expect("text");
        self.read.extend(text.lines().map(|line| line.split(' ').next().expect("a word").parse::<u64>().expect("a number")));
        let is_at_end = offset + piece.len() == data.len();
        let outcome = if is_at_end { ReadOutcome::AtEnd } else { ReadOutcome::More };
        let moved = vec![(job.id, Offset { bytes: (offset + whole) as u64, is_mid_line: false })];
        self.journal.push((Entry::Idle(0, moved), self.read.len()));
        report((offset + whole) as u64, (offset + piece.len()) as u64, Head::of(data), outcome)
    }

    /// Time passes, and everything is read.
    pub(super) fn settle(&mut self) {
        for _ in 0..60 {
            self.now_ms += 1_000;
            self.scan();
            self.work(1_000, 1 << 20);
        }
        assert!(self.tracker.is_complete(), "{:#?}", self.tracker);
    }
}
