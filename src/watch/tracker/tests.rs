use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::limits::WATCH_HEAD_BYTES;

/// A folder of files, and a reader that obeys the tracker: what a watcher and its shards are in little.
struct World {
    tracker: Tracker,
    /// By inode.
    data: BTreeMap<u64, Vec<u8>>,
    paths: BTreeMap<String, u64>,
    /// Whether everything is asked for, or `app.log` alone.
    is_folder: bool,
    now_ms: u64,
    /// When each inode was written to.
    modified: BTreeMap<u64, i128>,
    written: u64,
    /// The file system's clock.
    writes: i128,
    rotations: u64,
    read: Vec<u64>,
    /// Of tasks that have read, and have not reported.
    under_way: Vec<ReadReport>,
    /// What a next process would know: how far lines are stored, too.
    journal: Vec<Entry>,
}

const LIVE: &str = "app.log";

impl World {
    fn new(is_folder: bool) -> Self {
        let tracker = Tracker::new(From::Beginning, false, &Replayed::default());
        let (data, paths, modified) = Default::default();
        let (read, under_way, journal) = Default::default();
        Self { tracker, data, paths, is_folder, now_ms: 0, modified, written: 0, writes: 0, rotations: 0, read, under_way, journal }
    }

    fn create(&mut self, name: &str) -> u64 {
        let ino = (1..).find(|ino| !self.data.contains_key(ino)).expect("a number"); // the lowest, as file systems do
        self.data.insert(ino, Vec::new());
        self.paths.insert(name.to_owned(), ino);
        ino
    }

    fn append(&mut self, lines: u64) {
        let ino = self.paths.get(LIVE).copied().unwrap_or_else(|| self.create(LIVE));
        let data = self.data.get_mut(&ino).expect("a file");
        (self.written..self.written + lines).for_each(|n| data.extend_from_slice(format!("{n} and some words\n").as_bytes()));
        self.written += lines;
        self.wrote(ino);
    }

    fn wrote(&mut self, ino: u64) {
        self.writes += 1;
        self.modified.insert(ino, self.writes);
    }

    fn rotated_name(&mut self) -> String {
        self.rotations += 1;
        format!("{LIVE}.{}", self.rotations)
    }

    fn rename(&mut self) {
        let Some(ino) = self.paths.remove(LIVE) else { return };
        let name = self.rotated_name();
        self.paths.insert(name, ino);
    }

    fn copytruncate(&mut self) {
        self.copy();
        self.truncate();
    }

    fn copy(&mut self) {
        let Some(ino) = self.paths.get(LIVE).copied() else { return };
        let name = self.rotated_name();
        let copy = self.create(&name);
        self.data.insert(copy, self.data[&ino].clone());
        self.wrote(copy);
    }

    fn truncate(&mut self) {
        let Some(ino) = self.paths.get(LIVE).copied() else { return };
        self.data.insert(ino, Vec::new());
        self.wrote(ino);
    }

    fn delete(&mut self, name: &str) {
        self.paths.remove(name).map(|ino| self.data.remove(&ino));
    }

    fn scan(&mut self) {
        self.now_ms += 100;
        self.tracker.begin_scan();
        let mut all: Vec<Found> = self.paths.iter().map(|(name, ino)| self.found(name, *ino)).collect();
        all.sort_by_key(|found| !found.is_matched);
        let mut news = Vec::new();
        for found in all {
            if self.tracker.saw(&found, self.now_ms) {
                let head = self.head(found.key.ino);
                news.push((found, head));
            }
        }
        self.tracker.add(news, self.now_ms, |_, _, _| false);
        self.tracker.end_scan(self.now_ms, |_| None, &HashSet::new());
    }

    /// Another process goes on.
    fn crash(&mut self) {
        self.under_way.clear();
        let entries = std::mem::take(&mut self.journal);
        let replayed = crate::watch::journal::replay::<()>(entries, |_| Err(())).expect("no batch is looked up");
        for (id, (record, offsets)) in &replayed.files {
            self.journal.extend([Entry::File(record.clone()), Entry::Read(*id, *offsets)]);
        }
        self.tracker = Tracker::new(From::Beginning, false, &replayed);
    }

    fn found(&self, name: &str, ino: u64) -> Found {
        Found {
            path: Path::new(name).into(),
            key: FileKey { dev: 1, ino },
            size: self.data[&ino].len() as u64,
            modified_ns: self.modified.get(&ino).copied().unwrap_or_default(),
            encoding: Encoding::Plain,
            is_matched: self.is_folder || name == LIVE,
        }
    }

    fn head(&self, ino: u64) -> Vec<u8> {
        let data = &self.data[&ino];
        data[..data.len().min(WATCH_HEAD_BYTES)].to_vec()
    }

    /// Does so many tasks, of so many bytes each at most.
    fn work(&mut self, tasks: usize, bytes_max: usize) {
        for _ in 0..tasks {
            if !self.begin(bytes_max) {
                return;
            }
            let report = self.under_way.pop();
            report.iter().for_each(|report| self.tracker.done(report, self.now_ms));
        }
    }

    /// A task reads, and reports later. Whether there was one to do.
    fn begin(&mut self, bytes_max: usize) -> bool {
        self.journal.extend(self.tracker.take_entries());
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
    fn end(&mut self) {
        std::mem::take(&mut self.under_way).iter().for_each(|report| self.tracker.done(report, self.now_ms));
    }

    fn read(&mut self, job: &Job, bytes_max: usize) -> ReadReport {
        let data = &self.data[&job.key.ino];
        let report = |offset: u64, head, outcome| ReadReport { id: job.id, offset, is_mid_line: false, head, outcome };
        let offset = job.offset.bytes as usize;
        if !job.head.is_of(&self.head(job.key.ino)) || data.len() < offset {
            return report(job.offset.bytes, job.head, ReadOutcome::Rewritten);
        }
        if job.head.len == 0 && !data.is_empty() {
            return report(0, Head::of(data), ReadOutcome::More);
        }
        let piece = &data[offset..data.len().min(offset + bytes_max)];
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let text = std::str::from_utf8(&piece[..whole]).expect("text");
        self.read.extend(text.lines().map(|line| line.split(' ').next().expect("a word").parse::<u64>().expect("a number")));
        let is_at_end = offset + piece.len() == data.len();
        let outcome = if is_at_end { ReadOutcome::AtEnd } else { ReadOutcome::More };
        self.journal.push(Entry::Idle(0, vec![(job.id, Offset { bytes: (offset + whole) as u64, is_mid_line: false })]));
        report((offset + whole) as u64, Head::of(data), outcome)
    }

    /// Time passes, and everything is read.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.now_ms += 1_000;
            self.scan();
            self.work(1_000, 1 << 20);
        }
        assert!(self.tracker.is_complete(), "{:?}", self.tracker);
    }
}

#[derive(Debug, Clone)]
enum Op {
    Append(u64),
    Rename,
    CopyTruncate,
    Truncate,
    Delete,
    DeleteRotated(usize),
    Scan,
    Work(usize, usize),
    Begin(usize),
    End,
    Crash,
}

fn lossless() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..80u64).prop_map(Op::Append),
        1 => Just(Op::Rename),
        1 => Just(Op::CopyTruncate),
        4 => Just(Op::Scan),
        4 => (1..5usize, 100..3_000usize).prop_map(|(tasks, bytes)| Op::Work(tasks, bytes)),
        2 => (100..3_000usize).prop_map(Op::Begin),
        2 => Just(Op::End),
        1 => Just(Op::Crash),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![8 => lossless(), 1 => Just(Op::Truncate), 1 => Just(Op::Delete), 1 => (0..9usize).prop_map(Op::DeleteRotated)]
}

fn run(world: &mut World, ops: Vec<Op>) {
    for op in ops {
        match op {
            Op::Append(lines) => world.append(lines),
            Op::Rename => world.rename(),
            Op::CopyTruncate => world.copytruncate(),
            Op::Truncate => world.truncate(),
            Op::Delete => world.delete(LIVE),
            Op::DeleteRotated(at) => {
                let name = world.paths.keys().filter(|name| *name != LIVE).nth(at).cloned();
                name.iter().for_each(|name| world.delete(name));
            }
            Op::Scan => world.scan(),
            Op::Work(tasks, bytes) => world.work(tasks, bytes),
            Op::Begin(bytes) => drop(world.begin(bytes)),
            Op::End => world.end(),
            Op::Crash => world.crash(),
        }
        // With a glob, what nobody ever read under its name is none of ours.
        if !world.is_folder {
            world.scan();
            world.work(5, 500);
            world.scan();
            world.work(5, 500);
        }
    }
    world.end();
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rotation_loses_nothing_and_repeats_nothing(ops in prop::collection::vec(lossless(), 1..60), is_folder in any::<bool>()) {
        let mut world = World::new(is_folder);
        run(&mut world, ops);
        world.read.sort_unstable();
        prop_assert_eq!(world.read, (0..world.written).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_happens_no_line_is_read_twice(ops in prop::collection::vec(any_op(), 1..80), is_folder in any::<bool>()) {
        let mut world = World::new(is_folder);
        run(&mut world, ops);
        let once: BTreeSet<u64> = world.read.iter().copied().collect();
        prop_assert_eq!(once.len(), world.read.len());
    }

    #[test]
    fn a_renamed_file_is_read_before_what_takes_its_name(rounds in prop::collection::vec((1..80u64, any::<bool>(), 100..3_000usize), 1..20)) {
        let mut world = World::new(true);
        for (lines, is_seen, bytes) in rounds {
            world.append(lines);
            if is_seen {
                world.scan();
                world.work(2, bytes);
            }
            world.rename();
        }
        world.append(5);
        world.settle();
        prop_assert_eq!(world.read, (0..world.written).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_written_anew_with_as_many_bytes_is_read() {
    let mut world = World::new(true);
    world.settle();
    world.append(5);
    world.scan();
    world.work(1, 1 << 20);
    world.copytruncate();
    world.append(5);
    world.settle();
    assert_eq!(world.read, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_copy_that_ends_before_what_was_read_is_not_read_again() {
    for is_killed in [false, true] {
        let mut world = World::new(true);
        world.append(100);
        world.settle();
        world.copy();
        world.append(5);
        world.settle();
        world.truncate();
        if is_killed {
            world.crash();
        }
        world.append(3);
        world.settle();
        world.copytruncate();
        world.append(3);
        world.settle();
        assert_eq!(world.read, (0..111).collect::<Vec<_>>(), "killed: {is_killed}");
    }
}

#[test]
fn a_copy_that_is_found_with_its_original_is_one() {
    let mut world = World::new(true);
    world.append(100);
    world.copy();
    world.append(5);
    world.settle();
    assert_eq!(world.read, (0..105).collect::<Vec<_>>());
}

#[test]
fn what_begins_as_another_file_and_goes_on_otherwise_is_no_copy() {
    let head = [b'x'; 2_000];
    let files = [(found("app.log", 1, 3_000), &head[..]), (found("app-1.log", 2, 2_500), &head[..])];
    for (is_other, expected) in [(true, 2), (false, 1)] {
        let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
        for files in [&files[..1], &files] {
            tracker.begin_scan();
            let news =
                files.iter().filter(|(found, _)| tracker.saw(found, 0)).map(|(found, head)| (found.clone(), head.to_vec())).collect();
            tracker.add(news, 0, |_, _, _| is_other);
            tracker.end_scan(0, |_| None, &HashSet::new());
            read_all(&mut tracker, 3_000, &head);
        }
        assert_eq!(tracker.numbers().files, expected, "{is_other}");
    }
}

#[test]
fn what_could_not_be_looked_for_is_not_gone() {
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    scan(&mut tracker, &[(found("/a/1.log", 1, 4), b"abc\n"), (found("/b/1.log", 2, 4), b"def\n")], 0);
    read_all(&mut tracker, 4, b"abc\n");
    tracker.begin_scan();
    tracker.end_scan(0, |_| None, &HashSet::from(["/a".into()]));
    assert_eq!((tracker.numbers().files, tracker.former.len()), (1, 1));
    assert_eq!(tracker.files.values().find(|file| file.phase != Phase::Gone).unwrap().path.to_str(), Some("/a/1.log"));
}

#[test]
fn archives_leave_room_and_begin_behind_their_end_if_asked() {
    let archive = |ino: u64| Found { encoding: Encoding::Gzip, ..found(&format!("{ino}.gz"), ino, 100) };
    let heads: Vec<String> = (0..99).map(|ino| format!("archive {ino}\n")).collect();
    let files: Vec<(Found, &[u8])> = (0..99).map(|ino| (archive(ino), heads[ino as usize].as_bytes())).collect();
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    scan(&mut tracker, &files, 0);
    scan(&mut tracker, &[&files[..], &[(found("plain", 999, 5), b"line\n")]].concat(), 0);
    let jobs: Vec<Job> = std::iter::from_fn(|| tracker.next_job()).collect();
    assert_eq!(jobs.len(), crate::limits::WATCH_ARCHIVES_MAX + 1);
    assert_eq!(jobs.last().unwrap().path.to_str(), Some("plain"));
    // A damaged one is tried again when it was written to.
    let Job { id, head, .. } = jobs[0];
    let outcome = ReadOutcome::Failed(std::io::ErrorKind::InvalidInput.into());
    tracker.done(&ReadReport { id, offset: 0, is_mid_line: false, head, outcome }, 0);
    tracker.end_scan(1 << 40, |_| None, &HashSet::from(["".into()]));
    assert!(tracker.next_job().is_some_and(|job| job.id != id) && tracker.next_job().is_none());
    let mut tracker = Tracker::new(From::End, false, &Replayed::default());
    scan(&mut tracker, &files[..1], 0);
    assert_eq!(tracker.next_job().unwrap().offset.bytes, u64::MAX);
}

fn found(name: &str, ino: u64, size: u64) -> Found {
    Found { path: Path::new(name).into(), key: FileKey { dev: 1, ino }, size, modified_ns: 0, encoding: Encoding::Plain, is_matched: true }
}

fn scan(tracker: &mut Tracker, files: &[(Found, &[u8])], now_ms: u64) {
    tracker.begin_scan();
    let news = files.iter().filter(|(found, _)| tracker.saw(found, now_ms)).map(|(found, head)| (found.clone(), head.to_vec())).collect();
    tracker.add(news, now_ms, |_, _, _| false);
    tracker.end_scan(now_ms, |_| None, &HashSet::new());
}

/// Reads everything that is to be read; returns from where, by path.
fn read_all(tracker: &mut Tracker, size: u64, head: &[u8]) -> Vec<(String, u64, Ending)> {
    let mut begun = Vec::new();
    while let Some(job) = tracker.next_job() {
        begun.push((job.path.display().to_string(), job.offset.bytes, job.ending));
        let report = ReadReport { id: job.id, offset: size, is_mid_line: false, head: Head::of(head), outcome: ReadOutcome::AtEnd };
        tracker.done(&report, 0);
    }
    begun
}

fn replayed(tracker: &mut Tracker, offset: u64) -> Replayed {
    let entries = tracker.take_entries();
    let ids: Vec<FileId> =
        entries.iter().filter_map(|entry| if let Entry::File(record) = entry { Some(record.id) } else { None }).collect();
    let moved = ids.into_iter().map(|id| (id, Offset { bytes: offset, is_mid_line: false })).collect();
    let replayed = crate::watch::journal::replay::<()>(entries.into_iter().chain([Entry::Idle(0, moved)]).collect(), |_| Err(()));
    replayed.expect("no batch is looked up")
}

#[test]
fn after_a_restart_files_go_on_wherever_they_are() {
    let head = [b'x'; 2_000];
    let mut before = Tracker::new(From::Beginning, false, &Replayed::default());
    scan(&mut before, &[(found("logs/app.log", 7, 2_000), &head)], 0);
    read_all(&mut before, 2_000, &head);
    let replayed = replayed(&mut before, 2_000);
    let moved_device = Found { key: FileKey { dev: 9, ino: 7 }, ..found("logs/app.log", 7, 2_500) };
    for (what, now, expected) in [
        ("the same", found("logs/app.log", 7, 2_500), 2_000),
        ("renamed", found("logs/app.log.1", 7, 2_500), 2_000),
        ("another device number", moved_device, 2_000),
        ("a copy", found("logs/app.log.1", 8, 2_500), 2_000),
        ("another file with this beginning", found("logs/other.log", 8, 2_500), 0),
        ("emptied and written anew", found("logs/app.log", 7, 10), 0),
    ] {
        let mut tracker = Tracker::new(From::Beginning, false, &replayed);
        let head = if now.size == 10 { &b"0123456789"[..] } else { &head };
        scan(&mut tracker, &[(now.clone(), head)], 0);
        assert_eq!(read_all(&mut tracker, now.size, head), [(now.path.display().to_string(), expected, Ending::Open)], "{what}");
    }
}

#[test]
fn a_last_line_ends_when_nobody_writes_for_a_while() {
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    let file = found("app.log", 1, 10);
    let scan = |tracker: &mut Tracker, now_ms| scan(tracker, &[(file.clone(), b"half a lin")], now_ms);
    scan(&mut tracker, 0);
    assert_eq!(read_all(&mut tracker, 4, b"half a lin"), [("app.log".to_owned(), 0, Ending::Open)]);
    let (record_ms, line_ms) = (crate::limits::MULTILINE_WAIT.as_millis() as u64, crate::limits::WATCH_LAST_LINE_IDLE.as_millis() as u64);
    for (now_ms, size, expected) in [
        (record_ms - 1, 4, None),
        (record_ms, 4, Some(Ending::Record)),
        (line_ms - 1, 4, None),
        (line_ms, 10, Some(Ending::Line)),
        (9 * line_ms, 10, None),
    ] {
        scan(&mut tracker, now_ms);
        let read = read_all(&mut tracker, size, b"half a lin");
        assert_eq!(read, expected.map(|ending| ("app.log".to_owned(), 4, ending)).into_iter().collect::<Vec<_>>(), "after {now_ms} ms");
    }
}

#[test]
fn what_is_forgotten_is_told_to_the_journal_and_memory_is_bounded() {
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    let (count, most) = (crate::limits::WATCH_FORMER_MAX as u64 + 10, crate::limits::WATCH_FILES_MAX as u64);
    let mut gone = 0;
    for numbers in [0..most, most..count] {
        let heads: Vec<String> = numbers.clone().map(|n| format!("{n:06}\n")).collect();
        let files: Vec<(Found, &[u8])> = numbers.zip(&heads).map(|(n, head)| (found(&format!("{n}.log"), n, 7), head.as_bytes())).collect();
        scan(&mut tracker, &files, 0);
        while let Some(job) = tracker.next_job() {
            let report = ReadReport { id: job.id, offset: 7, is_mid_line: false, head: job.head, outcome: ReadOutcome::AtEnd };
            tracker.done(&report, 0);
        }
        scan(&mut tracker, &[], 0);
        gone += tracker.take_entries().iter().filter(|entry| matches!(entry, Entry::Gone(_))).count();
    }
    assert_eq!(gone, 10);
    assert_eq!((tracker.files.len(), tracker.numbers().files), (crate::limits::WATCH_FORMER_MAX, 0));
}
