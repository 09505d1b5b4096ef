//! kill -9, torn tails, changed shard counts, damaged and half-finished files: the next start makes the directory good and loses no complete line.

use std::fs;
use std::io::Write;

use crate::harness::{Start, TestDaemon, lines, names, records, temp_dir};

fn written(daemon: &TestDaemon) -> u64 {
    daemon.stats()["ledger"]["written"].as_u64().expect("a count")
}

#[test]
fn killed_in_mid_load_ten_times_no_line_counted_as_written_is_missing() {
    let dir = temp_dir();
    let start = || Start::in_dir(dir.path()).args(&["--shards", "2", "--rotate-size", "200kB"]).expect_warning("torn").start();
    let mut on_disk = 0;
    for round in 0..10u32 {
        let daemon = start();
        let senders: Vec<_> = (0..4)
            .map(|client| {
                let mut stream = daemon.connect();
                std::thread::spawn(move || {
                    let line = format!("{{\"round\":{round},\"client\":{client},\"filler\":\"{}\"}}\n", "f".repeat(180)).repeat(50);
                    while stream.write_all(line.as_bytes()).is_ok() {}
                })
            })
            .collect();
        daemon.wait_for("some lines are written", |daemon| 3_000 * u64::from(1 + round % 4) < written(daemon));
        let counted = on_disk + written(&daemon);
        daemon.kill();
        for sender in senders {
            sender.join().unwrap();
        }
        start().stop(); // recovers, and archives what was left
        on_disk = lines(dir.path(), "logs").len() as u64;
        assert!(counted <= on_disk, "round {round}: {on_disk} lines on disk, {counted} had been counted as written");
    }
    assert!(records(dir.path(), "logs").iter().all(|record| record["filler"].as_str().is_some_and(|filler| filler.len() == 180)));
    assert!(!names(dir.path()).iter().any(|name| name.ends_with(".tmp") || (name.starts_with("logs_") && name.ends_with(".jsonl"))));
}

#[test]
fn a_torn_tail_is_cut_counted_and_said() {
    let dir = temp_dir();
    TestDaemon::start(dir.path(), &["--shards", "1"]).stop();
    fs::write(dir.path().join("logs.jsonl"), b"{\"whole\":1}\n{\"torn\":").unwrap();
    let daemon = Start::in_dir(dir.path()).args(&["--shards", "1"]).expect_warning("torn").start();
    assert!(daemon.stderr().contains("torn"), "{}", daemon.stderr());
    assert_eq!(daemon.stats()["store"]["torn_bytes"], 8);
    daemon.send(b"{\"whole\":2}\n");
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs"), [b"{\"whole\":1}", b"{\"whole\":2}"]);
}

#[test]
fn a_sealed_segment_left_raw_is_archived_and_temporary_files_go() {
    let dir = temp_dir();
    TestDaemon::start(dir.path(), &["--shards", "1"]).stop();
    fs::write(dir.path().join("logs_20261124_150000_000042.jsonl"), b"{\"level\":\"ERROR\"}\n").unwrap();
    fs::write(dir.path().join("logs_20261124_150000_000041.jsonl.gz.tmp"), b"half an archive").unwrap();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--rotate-size", "4KiB"]);
    daemon.send(format!("{{\"next\":\"{}\"}}\n", "n".repeat(3_000)).repeat(2).as_bytes());
    daemon.stop();
    let names = names(dir.path());
    assert!(names.contains(&"logs_20261124_150000_000042.jsonl.gz".to_owned()), "{names:?}");
    assert!(names.contains(&"logs_20261124_150000_000042.meta".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with(".tmp") || name.ends_with("000042.jsonl")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("_000043.jsonl.gz")), "numbers go on: {names:?}");
}

#[test]
fn segments_of_shards_that_are_gone_are_sealed_and_archived() {
    let dir = temp_dir();
    for (shards, line) in [("3", "three"), ("1", "one"), ("2", "two")] {
        let daemon = TestDaemon::start(dir.path(), &["--shards", shards]);
        for _ in 0..3 {
            daemon.send(format!("{{\"with\":\"{line}\"}}\n").as_bytes());
        }
        daemon.stop();
    }
    assert_eq!(lines(dir.path(), "logs").len(), 9);
    let names = names(dir.path());
    assert!(!names.contains(&"logs.jsonl".to_owned()) && !names.contains(&"logs.s02.jsonl".to_owned()), "{names:?}");
}

#[test]
fn a_damaged_archive_is_kept_and_said() {
    let dir = temp_dir();
    TestDaemon::start(dir.path(), &["--shards", "1"]).stop();
    let archive = dir.path().join("logs_20261124_150000_000007.jsonl.gz");
    fs::write(&archive, b"\x1f\x8b\x08\x00 this is no archive").unwrap();
    let daemon = Start::in_dir(dir.path()).args(&["--shards", "1"]).expect_warning("000007").start();
    assert!(daemon.stderr().contains("000007"), "{}", daemon.stderr());
    daemon.stop();
    assert!(archive.exists());
}
