use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

mod gone;
mod order;
mod world;

use world::{LIVE, World};

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
            Op::Crash => world.crash(0),
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
            world.crash(0);
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
            let news = look(&mut tracker, files, 0);
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
    look(&mut tracker, &[], 0);
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
    tracker.done(&ReadReport { id, offset: 0, is_mid_line: false, end: 0, head, outcome }, 0);
    tracker.end_scan(1 << 40, |_| None, &HashSet::from(["".into()]));
    assert!(tracker.next_job().is_some_and(|job| job.id != id) && tracker.next_job().is_none());
    let mut tracker = Tracker::new(From::End, false, &Replayed::default());
    scan(&mut tracker, &files[..1], 0);
    assert_eq!(tracker.next_job().unwrap().offset.bytes, u64::MAX);
}

fn found(name: &str, ino: u64, size: u64) -> Found {
    Found { path: Path::new(name).into(), key: FileKey { dev: 1, ino }, size, modified_ns: 0, encoding: Encoding::Plain, is_matched: true }
}

fn look(tracker: &mut Tracker, files: &[(Found, &[u8])], now_ms: u64) -> Vec<(Found, Vec<u8>)> {
    let new = tracker.look(now_ms, |see| files.iter().for_each(|(found, _)| see(found)));
    let heads: HashMap<FileKey, &[u8]> = files.iter().map(|(found, head)| (found.key, *head)).collect();
    new.into_iter().map(|found| (found.clone(), heads[&found.key].to_vec())).collect()
}

fn scan(tracker: &mut Tracker, files: &[(Found, &[u8])], now_ms: u64) {
    let news = look(tracker, files, now_ms);
    tracker.add(news, now_ms, |_, _, _| false);
    tracker.end_scan(now_ms, |_| None, &HashSet::new());
}

/// Reads everything that is to be read; returns from where, by path.
fn read_all(tracker: &mut Tracker, size: u64, head: &[u8]) -> Vec<(String, u64, Ending)> {
    let mut begun = Vec::new();
    while let Some(job) = tracker.next_job() {
        begun.push((job.path.display().to_string(), job.offset.bytes, job.ending));
        let report =
            ReadReport { id: job.id, offset: size, is_mid_line: false, end: size, head: Head::of(head), outcome: ReadOutcome::AtEnd };
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
            let report = ReadReport { id: job.id, offset: 7, is_mid_line: false, end: 7, head: job.head, outcome: ReadOutcome::AtEnd };
            tracker.done(&report, 0);
        }
        scan(&mut tracker, &[], 0);
        gone += tracker.take_entries().iter().filter(|entry| matches!(entry, Entry::Gone(_))).count();
    }
    assert_eq!(gone, 10);
    assert_eq!((tracker.files.len(), tracker.numbers().files), (crate::limits::WATCH_FORMER_MAX, 0));
}
