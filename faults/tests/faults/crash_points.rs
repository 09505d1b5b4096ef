//! Crash points: the daemon aborts right after its n-th file operation, for every n that a short load reaches, in writing as in recovering; then everything that was
//! acknowledged is there, once, for stock tools.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use logboom::store::disk::Disk;
use logboom::store::name::Codec;
use logboom_faults::oracle::{Known, Leave, compare, lines, make_good};

use crate::daemon::{Daemon, copy, in_parallel, send_relp, send_tcp};

const SIGABRT: i32 = 6;
const THREADS: usize = 4;
/// So many operations are tried at once, until one of them is beyond the last.
const ROUND: usize = 16;

/// The load: segments of a few lines, some of which somebody waits for; the last stay open.
fn load(daemon: &Daemon, known: &mut Known) {
    send_relp(daemon.relp(), known, 6, 1, 700, |_| {});
    send_tcp(daemon.tcp(), known, 8, 700);
    send_relp(daemon.relp(), known, 12, 4, 700, |_| {});
}

/// Runs the load until the daemon aborts. Returns what happened, in the daemon's own words, if anything did.
fn run(data: &Path, script: &str, flags: &[&str], known: &mut Known) -> Option<String> {
    let mut daemon = Daemon::start(data, script, None, flags);
    if daemon.ready.is_some() {
        load(&daemon, known);
    }
    let status = daemon.stop();
    let said = daemon.stderr();
    let happened = said.lines().find_map(|line| line.strip_prefix("faults: ")).map(str::to_owned);
    let expected = if happened.is_some() { status.signal() == Some(SIGABRT) } else { status.code() == Some(0) };
    assert!(expected, "{script}: {status}\n{said}");
    happened
}

fn check(data: &Path, codec: Option<Codec>, known: &Known, leave: Leave, what: &str) {
    let kept_twice = make_good(Disk::new(), data, 1, codec).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(kept_twice.is_empty(), "{what}: {kept_twice:?}");
    lines(data).and_then(|found| compare(&found, known, leave)).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// Stops after every operation, and after half of every write. Returns the operations, in words.
fn stop_everywhere(flags: &[&str], codec: Option<Codec>) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut first = 1;
    loop {
        let points: Vec<usize> = (first..first + ROUND).collect();
        first += ROUND;
        let stopped = in_parallel(&points, THREADS, |point| {
            ["abort", "tear"].map(|fault| {
                let dir = tempfile::tempdir().expect("a directory");
                let mut known = Known::default();
                let data = dir.path().join("data");
                let happened = run(&data, &format!("any * {point} {fault}"), flags, &mut known)?;
                check(&data, codec, &known, Leave::default(), &format!("{happened}, operation {point}"));
                Some(happened)
            })
        });
        let stopped: Vec<_> = stopped.into_iter().flatten().collect();
        let is_end = stopped.iter().any(Option::is_none);
        // Without the digits of dates and numbers.
        words.extend(stopped.into_iter().flatten().map(|text| text.replace(|c: char| c.is_ascii_digit(), "")));
        if is_end {
            return words;
        }
    }
}

fn assert_seen(seen: &BTreeSet<String>, wanted: &[&str]) {
    for what in wanted {
        assert!(seen.iter().any(|text| text.ends_with(what)), "no abort at {what}: {seen:#?}");
    }
}

#[test]
fn after_every_operation_of_a_gzip_daemon() {
    let flags = ["--rotate-size", "4KiB", "--sync-interval", "1h"];
    let seen = stop_everywhere(&flags, Some(Codec::Gzip));
    assert_seen(
        &seen,
        &[
            "create logboom.format.tmp",
            "rename logboom.format.tmp",
            "create logs.jsonl",
            "tear happens at write logs.jsonl",
            "abort happens at write logs.jsonl",
            "fdatasync logs.jsonl",
            "rename logs.jsonl",
            "create logs___.jsonl.gz.tmp",
            "tear happens at write logs___.jsonl.gz.tmp",
            "fdatasync logs___.jsonl.gz.tmp",
            "rename logs___.jsonl.gz.tmp",
            "create logs___.meta.tmp",
            "write logs___.meta.tmp",
            "rename logs___.meta.tmp",
            "remove logs___.jsonl",
            "fsync directory data",
        ],
    );
}

#[test]
fn after_every_operation_of_a_zstd_daemon() {
    let flags = ["--rotate-size", "4KiB", "--compression", "zstd", "--sync-interval", "10ms"];
    let seen = stop_everywhere(&flags, Some(Codec::Zstd));
    assert_seen(&seen, &["rename logs___.jsonl.zst.tmp", "remove logs___.jsonl"]);
}

#[test]
fn after_every_operation_of_a_daemon_that_does_not_compress() {
    let flags = ["--rotate-size", "4KiB", "--compression", "none"];
    let seen = stop_everywhere(&flags, None);
    assert_seen(&seen, &["rename logs.jsonl"]);
}

/// Retention deletes archives; an abort between the archive and its table, or before either, costs nothing else.
#[test]
fn after_every_deletion() {
    let flags = ["--rotate-size", "4KiB", "--retain-age", "1s", "--retain-size", "1MB"];
    let dir = tempfile::tempdir().expect("a directory");
    let mut known = Known::default();
    assert_eq!(run(dir.path(), "", &["--rotate-size", "4KiB"], &mut known), None);
    std::thread::sleep(std::time::Duration::from_millis(2_100)); // now all archives are old
    let points: Vec<usize> = (1..=6).collect();
    let seen = in_parallel(&points, THREADS, |point| {
        let copied = tempfile::tempdir().expect("a directory");
        copy(dir.path(), copied.path());
        let mut daemon = Daemon::start(copied.path(), &format!("remove logs_ {point} abort"), None, &flags);
        let status = loop {
            if let Some(status) = daemon.has_ended() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let said = daemon.stderr();
        assert_eq!(status.signal(), Some(SIGABRT), "{said}");
        let happened = said.lines().find(|line| line.starts_with("faults: ")).expect("it happened").to_owned();
        let leave = Leave { oldest_gone: true, ..Leave::default() };
        check(copied.path(), Some(Codec::Gzip), &known, leave, &happened);
        happened.replace(|c: char| c.is_ascii_digit(), "")
    });
    assert_seen(&seen.into_iter().collect(), &["remove logs___.jsonl.gz", "remove logs___.meta"]);
}

/// Everything that a recovery has to do, in one directory.
pub fn broken_directory(data: &Path) -> Known {
    let mut known = Known::default();
    let happened = run(data, "", &["--rotate-size", "4KiB", "--sync-interval", "1h"], &mut known);
    assert_eq!(happened, None);
    let mut archives: Vec<_> = fs::read_dir(data).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    archives.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    archives.sort();
    assert!(4 <= archives.len(), "{archives:?}");
    let gunzip = |flags: &str, at: usize| assert!(Command::new("gzip").arg(flags).arg(&archives[at]).status().expect("gzip").success());
    gunzip("-dk", 0); // a raw file beside its archive
    gunzip("-d", 1); // a sealed raw segment
    let meta = |at: usize| Path::new(&archives[at].to_str().expect("UTF-8").replace(".jsonl.gz", ".meta")).to_owned();
    fs::remove_file(meta(2)).expect("removed");
    fs::write(meta(3), b"garbage").expect("written");
    let open = data.join("logs.jsonl");
    let whole = fs::read(&open).expect("an open segment");
    fs::write(&open, [&whole[..], b"{\"n\":"].concat()).expect("written");
    fs::write(data.join("logs.s07.jsonl.tmp"), b"x").expect("written");
    fs::write(data.join("rejected.s03.jsonl"), b"{\"reason\":1}\n{").expect("written");
    fs::write(data.join("logs_20010101_000000_000001.meta"), b"of nothing").expect("written");
    known
}

#[test]
fn after_every_operation_of_a_recovery() {
    let dir = tempfile::tempdir().expect("a directory");
    let known = broken_directory(dir.path());
    let points: Vec<usize> = (1..=30).collect();
    let seen = in_parallel(&points, THREADS, |point| {
        let copied = tempfile::tempdir().expect("a directory");
        copy(dir.path(), copied.path());
        let mut daemon = Daemon::start(copied.path(), &format!("any * {point} abort"), None, &["--rotate-size", "4KiB"]);
        let in_recovery = daemon.ready.is_none();
        let status = daemon.stop();
        let said = daemon.stderr();
        let happened = said.lines().find(|line| line.starts_with("faults: ")).map(str::to_owned);
        assert!(happened.is_none() || status.signal() == Some(SIGABRT), "{status}: {said}");
        // Stopped once more, where the second recovery is in the middle of its work.
        let again = Daemon::start(copied.path(), "any * 3 abort", None, &["--rotate-size", "4KiB"]).stop();
        assert!(again.code() == Some(0) || again.signal() == Some(SIGABRT), "{again}");
        check(copied.path(), Some(Codec::Gzip), &known, Leave::default(), &format!("{happened:?}, operation {point}"));
        (in_recovery, happened.unwrap_or_default().replace(|c: char| c.is_ascii_digit(), ""))
    });
    let in_recovery = seen.iter().filter(|(in_recovery, _)| *in_recovery).count();
    assert!(8 <= in_recovery && in_recovery < points.len(), "{in_recovery}: {seen:?}");
    let seen = seen.into_iter().map(|(_, happened)| happened).collect();
    let wanted =
        ["remove logs.s.jsonl.tmp", "truncate logs.jsonl", "fdatasync logs.jsonl", "rename rejected.s.jsonl", "rename logs___.meta.tmp"];
    assert_seen(&seen, &wanted);
}
