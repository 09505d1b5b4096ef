//! Lines of a file that is rotated by renaming are read in the order in which they were written, whatever happens meanwhile.

use proptest::prelude::*;

use super::world::{Names, Rotator, World};
use super::{found, scan};
use crate::limits::{MULTILINE_WAIT, WATCH_LAST_LINE_IDLE, WATCH_RETRY};
use crate::watch::content::Head;
use crate::watch::journal::Replayed;
use crate::watch::task::{Ending, ReadOutcome, ReadReport};
use crate::watch::tracker::{Found, From, Job, Tracker};

#[derive(Debug, Clone)]
enum Op {
    Append(u64),
    Rename(Rotator),
    Reopen,
    Scan,
    /// Files are renamed when so many were looked at, and so many lines are written after that.
    ScanWhileRenamed(usize, Rotator, u64),
    Work(usize, usize),
    Begin(usize),
    End,
    /// With so many entries of the journal lost.
    Crash(usize),
}

fn rotator() -> impl Strategy<Value = Rotator> {
    prop_oneof![2 => Just(Rotator::Writer), 1 => any::<bool>().prop_map(|creates| Rotator::Other { creates })]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..80u64).prop_map(Op::Append),
        3 => rotator().prop_map(Op::Rename),
        3 => Just(Op::Reopen),
        4 => Just(Op::Scan),
        2 => (0..4usize, rotator(), 0..5u64).prop_map(|(at, who, lines)| Op::ScanWhileRenamed(at, who, lines)),
        4 => (1..5usize, 100..3_000usize).prop_map(|(tasks, bytes)| Op::Work(tasks, bytes)),
        2 => (100..3_000usize).prop_map(Op::Begin),
        2 => Just(Op::End),
        2 => (0..4usize).prop_map(Op::Crash),
    ]
}

fn does(world: &mut World, names: Names, op: Op) {
    match op {
        Op::Append(lines) => world.append(lines),
        Op::Rename(who) => world.rename_by(who, names),
        Op::Reopen => world.held = None,
        Op::Scan => world.scan(),
        Op::ScanWhileRenamed(at, who, lines) => world.scan_while(at, |world| {
            world.rename_by(who, names);
            world.append(lines);
        }),
        Op::Work(tasks, bytes) => world.work(tasks, bytes),
        Op::Begin(bytes) => drop(world.begin(bytes)),
        Op::End => world.end(),
        Op::Crash(lost) => world.crash(lost),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Where only `app.log` is asked for, what was rotated is found as long as the process lives.
    #[test]
    fn lines_are_read_in_order(ops in prop::collection::vec(op(), 1..60), is_folder in any::<bool>(), is_shifted in any::<bool>()) {
        let mut world = World::new(is_folder);
        world.append(1);
        world.scan();
        let names = if is_shifted { Names::Shifted } else { Names::Up };
        ops.into_iter().filter(|op| is_folder || !matches!(op, Op::Crash(_))).for_each(|op| does(&mut world, names, op));
        world.end();
        world.settle();
        prop_assert_eq!(world.read, (0..world.written).collect::<Vec<_>>());
    }
}

/// A folder in which each file begins with its number.
struct Folder {
    tracker: Tracker,
    files: Vec<Found>,
    heads: Vec<String>,
    now_ms: u64,
}

impl Folder {
    /// Names, and when each was written to. All have 100 bytes.
    fn new(files: &[(&str, i128)]) -> Self {
        let tracker = Tracker::new(From::Beginning, false, &Replayed::default());
        let numbered = || files.iter().zip(1..);
        let found = |((name, modified_ns), ino): (&(&str, i128), u64)| Found { modified_ns: *modified_ns, ..found(name, ino, 100) };
        let head = |(_, ino): (_, u64)| format!("{ino} and more, so that none is like another\n");
        Self { tracker, files: numbered().map(found).collect(), heads: numbered().map(head).collect(), now_ms: 0 }
    }

    fn scan(&mut self) {
        let files: Vec<(Found, &[u8])> = self.files.iter().cloned().zip(self.heads.iter().map(String::as_bytes)).collect();
        scan(&mut self.tracker, &files, self.now_ms);
    }

    /// The only file whose turn it is.
    fn job(&mut self) -> Option<Job> {
        let job = self.tracker.next_job();
        assert!(job.is_none() || self.tracker.next_job().is_none());
        job
    }

    /// It is read up to `offset` of `end`.
    fn done(&mut self, job: &Job, offset: u64, end: u64) {
        self.report(job, offset, end, ReadOutcome::AtEnd);
    }

    fn report(&mut self, job: &Job, offset: u64, end: u64, outcome: ReadOutcome) {
        let head = Head::of(self.heads[job.key.ino as usize - 1].as_bytes());
        self.tracker.done(&ReadReport { id: job.id, offset, is_mid_line: false, end, head, outcome }, self.now_ms);
    }

    /// Reads everything; returns in which order.
    fn read(&mut self) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(job) = self.job() {
            read.push(job.path.to_str().expect("text").to_owned());
            self.done(&job, 100, 100);
        }
        read
    }
}

#[test]
fn the_order_follows_from_names_and_times() {
    for (files, expected) in [
        (vec![("a.log", 3), ("a.log.1", 1), ("a.log.2", 2)], "a.log.1 a.log.2 a.log"),
        // The one before is still written to.
        (vec![("a.log", 3), ("a.log.1", 4)], "a.log.1 a.log"),
        // Of the same time: most rotation shifts names.
        (vec![("a.log", 7), ("a.log.1", 7), ("a.log.2", 7), ("a.log.10", 7)], "a.log.10 a.log.2 a.log.1 a.log"),
        (vec![("a.log", 7), ("a.log.1", 1), ("a.log.3", 7), ("a.log.2", 7)], "a.log.1 a.log.2 a.log.3 a.log"),
        (vec![("a.log", 9), ("a.log.1", 7), ("a.log.3", 3), ("a.log.2", 7)], "a.log.3 a.log.2 a.log.1 a.log"),
        // Copied from elsewhere, at the same time or in any order.
        (vec![("a.log", 1), ("a.log-20261129", 1), ("a.log-20261128", 2)], "a.log-20261128 a.log-20261129 a.log"),
        (
            vec![("a-2026-11-29.log", 1), ("a-2026-12-01.log", 1), ("a-2026-11-30.log", 2)],
            "a-2026-11-29.log a-2026-11-30.log a-2026-12-01.log",
        ),
        (vec![("a.log-20261129.2", 5), ("a.log-20261129.1", 4), ("a.log", 6)], "a.log-20261129.1 a.log-20261129.2 a.log"),
    ] {
        let mut folder = Folder::new(&files);
        folder.scan();
        assert_eq!(folder.read().join(" "), expected);
    }
}

#[test]
fn files_of_their_own_wait_for_nothing() {
    let mut folder = Folder::new(&[("a.log", 1), ("b.log", 2), ("web-1.log", 3), ("web-2.log", 4), ("x/a.log.1", 5)]);
    folder.scan();
    assert_eq!(std::iter::from_fn(|| folder.tracker.next_job()).count(), 5);
}

#[test]
fn what_cannot_be_read_holds_up_nothing() {
    let mut folder = Folder::new(&[("a.log", 3), ("a.log.1", 2), ("a.log.2", 1)]);
    folder.scan();
    for expected in ["a.log.2", "a.log.1"] {
        let job = folder.job().expect("its turn");
        assert_eq!(job.path.to_str(), Some(expected));
        folder.report(&job, 0, 0, ReadOutcome::Failed(std::io::ErrorKind::PermissionDenied.into()));
    }
    assert_eq!(folder.read(), ["a.log"]);
    folder.now_ms += WATCH_RETRY.as_millis() as u64;
    folder.scan();
    assert_eq!(folder.read(), ["a.log.2", "a.log.1"]);
}

/// A program that is never told to reopen its file.
#[test]
fn what_is_written_on_and_on_holds_up_its_successor_for_what_it_held() {
    let mut folder = Folder::new(&[("a.log.1", 1)]);
    folder.scan();
    folder.read();
    let next = Folder::new(&[("a.log.1", 2), ("a.log", 2)]);
    (folder.files, folder.heads) = (next.files, next.heads);
    folder.files[0].size = 200;
    folder.scan();
    let job = folder.job().expect("its turn");
    assert_eq!((job.path.to_str(), job.offset.bytes), (Some("a.log.1"), 100));
    // Meanwhile it grows, and its last record may go on.
    folder.files[0].size = 300;
    folder.scan();
    folder.done(&job, 190, 200);
    let job = folder.job().expect("its turn");
    assert_eq!((job.path.to_str(), job.offset.bytes), (Some("a.log.1"), 190));
    folder.files[0].size = 400;
    folder.scan();
    folder.done(&job, 290, 300);
    let next: Vec<Job> = std::iter::from_fn(|| folder.tracker.next_job()).collect();
    assert_eq!(next.len(), 2, "both");
}

#[test]
fn a_last_record_or_line_is_taken_before_the_next_file() {
    for (wait, ending) in [(MULTILINE_WAIT, Ending::Record), (WATCH_LAST_LINE_IDLE, Ending::Line)] {
        let mut folder = Folder::new(&[("a.log", 2), ("a.log.1", 1)]);
        folder.scan();
        let job = folder.job().expect("its turn");
        folder.done(&job, 90, 100);
        let is_over = |job: &Job| job.ending == ending;
        for _ in 0..100 {
            folder.now_ms += 100;
            folder.scan();
            let Some(job) = folder.job() else { continue };
            assert_eq!(job.path.to_str(), Some("a.log.1"));
            folder.done(&job, if is_over(&job) { 100 } else { 90 }, 100);
            if is_over(&job) {
                break;
            }
        }
        assert_eq!(folder.now_ms, wait.as_millis() as u64);
        assert_eq!(folder.read(), ["a.log"]);
    }
}

/// It begins like the one before, and goes on growing.
#[test]
fn what_may_be_a_copy_is_waited_for_and_not_for_ever() {
    let mut folder = Folder::new(&[("a.log", 3), ("a.log.1", 2), ("a.log.2", 1)]);
    let (others, later) = (folder.files.split_off(2), folder.files.clone());
    folder.files = others;
    let own = folder.heads.clone();
    folder.heads = vec![own[2].clone()];
    let job = {
        folder.scan();
        folder.tracker.next_job().expect("its turn")
    };
    folder.heads = own.clone();
    folder.done(&job, 100, 100);
    folder.files = later.into_iter().chain(folder.files.clone()).collect();
    folder.heads = vec![own[0].clone(), own[2].clone(), own[2].clone()];
    folder.files[1].size = 150;
    while folder.now_ms < WATCH_LAST_LINE_IDLE.as_millis() as u64 {
        folder.scan();
        assert!(folder.job().is_none_or(|job| job.path.to_str() == Some("a.log.2")), "{} ms", folder.now_ms);
        folder.files[1].size += 1;
        folder.now_ms += 500;
    }
    folder.scan();
    assert_eq!(folder.read(), ["a.log.2", "a.log.1", "a.log"], "the first once more");
}

#[test]
fn empty_files_before_it_hold_up_none_for_long() {
    let names: Vec<String> = std::iter::once("a.log".to_owned()).chain((1..=10).map(|n| format!("a.log.{n}"))).collect();
    let files: Vec<(&str, i128)> = names.iter().enumerate().map(|(at, name)| (name.as_str(), 100 - at as i128)).collect();
    let mut folder = Folder::new(&files);
    let heads = std::mem::take(&mut folder.heads);
    folder.heads = heads.iter().map(|_| String::new()).collect();
    folder.files.iter_mut().for_each(|file| file.size = 0);
    let read_empty = |folder: &mut Folder| {
        while let Some(job) = folder.tracker.next_job() {
            if job.path.to_str() == Some("a.log") && folder.files[0].size > 0 && job.head.len > 0 {
                return true;
            }
            let size = if job.path.to_str() == Some("a.log") { folder.files[0].size } else { 0 };
            if job.head.len == 0 && size > 0 {
                folder.report(&job, 0, 0, ReadOutcome::More);
            } else {
                folder.done(&job, size, size);
            }
        }
        false
    };
    for _ in 0..3 {
        folder.now_ms += 1000;
        folder.scan();
        read_empty(&mut folder);
    }
    folder.heads[0] = heads[0].clone();
    folder.files[0].size = 100;
    folder.files[0].modified_ns += 1;
    let mut scans = 0;
    loop {
        folder.now_ms += 1000;
        folder.scan();
        scans += 1;
        if read_empty(&mut folder) {
            break;
        }
        assert!(scans < 100);
    }
    assert!(scans <= 2, "{scans} scans");
}

#[test]
fn what_is_renamed_to_a_date_while_it_is_looked_at_is_read_first() {
    let mut folder = Folder::new(&[("a.log", 3), ("a.log-20261128", 2)]);
    folder.scan();
    let job = folder.job().expect("turn");
    assert_eq!(job.path.to_str(), Some("a.log-20261128"));
    folder.done(&job, 100, 100);
    let job = folder.job().expect("turn");
    folder.report(&job, 50, 50, ReadOutcome::More); // a long backlog
    // A look meets the rotation.
    let (old, dated) = (folder.files[0].clone(), folder.files[1].clone());
    let live = Found { modified_ns: 9, ..found("a.log", 3, 100) };
    let renamed = Found { path: std::path::Path::new("a.log-20261129").into(), ..old.clone() };
    let other = found("other.log", 4, 100);
    let mut looks = 0;
    let new = folder.tracker.look(1000, |see| {
        looks += 1;
        let files = if looks == 1 {
            vec![old.clone(), dated.clone(), other.clone()]
        } else {
            vec![live.clone(), dated.clone(), renamed.clone(), other.clone()]
        };
        files.iter().for_each(&mut *see);
    });
    let news = new
        .into_iter()
        .map(|found: Found| {
            let head = if found.key.ino == 4 { b"other, of its own\n".to_vec() } else { b"live and other\n".to_vec() };
            (found, head)
        })
        .collect();
    folder.tracker.add(news, 1000, |_, _, _| false);
    folder.tracker.end_scan(1000, |_| None, &std::collections::HashSet::new());
    folder.heads.push("live and other\n".to_owned());
    folder.heads.push("other, of its own\n".to_owned());
    let mut order = Vec::new();
    while let Some(job) = folder.tracker.next_job() {
        order.push((job.path.to_str().unwrap().to_owned(), job.key.ino, job.offset.bytes));
        if job.key.ino == 1 && order.iter().filter(|(_, ino, _)| *ino == 1).count() < 5 {
            folder.report(&job, job.offset.bytes + 5, job.offset.bytes + 5, ReadOutcome::More);
        } else {
            folder.done(&job, 100, 100);
        }
    }
    let live_at = order.iter().position(|(_, ino, _)| *ino == 3).unwrap();
    let old_last = order.iter().rposition(|(_, ino, _)| *ino == 1).unwrap();
    assert!(old_last < live_at);
}

#[test]
fn one_that_is_written_to_late_hides_none_that_is_not_at_its_end() {
    // a.log.1 (ino 2) has a backlog; a.log.2 (ino 3) is still written to by a worker that reopens late.
    let mut folder = Folder::new(&[("a.log.1", 5), ("a.log.2", 4)]);
    folder.scan();
    let job = folder.job().expect("turn");
    assert_eq!(job.path.to_str(), Some("a.log.2"));
    folder.done(&job, 100, 100);
    let job = folder.job().expect("turn");
    assert_eq!(job.path.to_str(), Some("a.log.1"));
    folder.report(&job, 10, 10, ReadOutcome::More);
    // The stale worker writes one line more, and the live file comes.
    folder.files[1].size = 120;
    folder.files[1].modified_ns = 6;
    folder.files.push(Found { modified_ns: 7, ..found("a.log", 3, 100) });
    folder.heads.push("live and other, quite another\n".to_owned());
    folder.scan();
    let mut order = Vec::new();
    while let Some(job) = folder.tracker.next_job() {
        order.push((job.path.to_str().unwrap().to_owned(), job.offset.bytes));
        let times = order.iter().filter(|(name, _)| name == "a.log.1").count();
        if job.path.to_str() == Some("a.log.1") && times < 6 {
            folder.report(&job, job.offset.bytes + 10, job.offset.bytes + 10, ReadOutcome::More);
        } else {
            let size = folder.files.iter().find(|file| file.path == job.path).unwrap().size;
            folder.done(&job, size, size);
        }
    }
    let live = order.iter().position(|(name, _)| name == "a.log").unwrap();
    let old = order.iter().rposition(|(name, _)| name == "a.log.1").unwrap();
    assert!(old < live);
}

#[test]
fn the_first_file_is_read_if_it_is_renamed_before_anybody_knows_how_it_begins() {
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    scan(&mut tracker, &[(found("a.log", 1, 0), b"")], 0);
    let job = tracker.next_job().expect("the empty file");
    tracker.done(&ReadReport { id: job.id, offset: 0, is_mid_line: false, end: 0, head: Head::of(b""), outcome: ReadOutcome::AtEnd }, 0);
    let rotated = Found { is_matched: false, ..found("a.log.1", 1, 100) };
    let live = found("a.log", 2, 50);
    for now in 1..20u64 {
        scan(&mut tracker, &[(live.clone(), b"live and so on\n"), (rotated.clone(), b"rotated and so on\n")], now * 1000);
        while let Some(job) = tracker.next_job() {
            let head = if job.key.ino == 1 { Head::of(b"rotated and so on\n") } else { Head::of(b"live and so on\n") };
            if job.key.ino == 1 {
                return;
            }
            tracker
                .done(&ReadReport { id: job.id, offset: 50, is_mid_line: false, end: 50, head, outcome: ReadOutcome::AtEnd }, now * 1000);
        }
    }
    panic!("a.log.1 is never read");
}

#[test]
fn names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStrExt as _;
    let path = |bytes: &[u8]| std::sync::Arc::<std::path::Path>::from(std::path::Path::new(std::ffi::OsStr::from_bytes(bytes)));
    let mut folder = Folder::new(&[("a", 9), ("b", 8)]);
    folder.files[0].path = path(b"zug\xe4nge.log");
    folder.files[1].path = path(b"zug\xe4nge.log-20261128");
    folder.scan();
    let job = folder.tracker.next_job().expect("turn");
    assert_eq!(job.path, folder.files[1].path);
}
