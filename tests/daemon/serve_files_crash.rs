//! `serve` with files and connections into one store, killed with -9: nothing is missing, and what stands twice is bounded as docs/COLLECT.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::collector::{Writer, numbered, write_until};
use crate::harness::{Start, TestDaemon, names, stock, temp_dir};
use crate::relp_client::{Client, RELP};

/// One batch of a shard, as docs/COLLECT.md has it, and a line that was cut at its end.
const BATCH_BYTES: usize = 512 * 1024 + 200;
const SHARDS: usize = 2;
const ROUNDS: u64 = 6;
/// Lines that a client sends before it waits for their answers.
const WINDOW: u64 = 50;

/// What is said where a batch was not stored whole, and where it was cut within a line.
const WARNINGS: [&str; 2] = ["lines of files may be there twice", "torn"];

fn start(dir: &Path, args: &[&str]) -> TestDaemon {
    let (data, config) = (dir.join("data"), dir.join("logboom.toml"));
    fs::write(&config, format!("[[watch]]\npath = '{}'\n", dir.join("logs").display())).expect("written");
    let config = config.to_str().expect("UTF-8");
    let start = Start::in_dir(&data).args(&RELP).args(&["--config", config]).args(args);
    WARNINGS.into_iter().fold(start, Start::expect_warning).start()
}

/// How often each line is in a store whose daemon was killed: by file (`relp` is the connection), by number.
fn stored(data: &Path) -> BTreeMap<String, BTreeMap<u64, usize>> {
    let mut found: BTreeMap<String, BTreeMap<u64, usize>> = BTreeMap::new();
    let all: BTreeSet<String> = names(data).into_iter().filter(|name| name.starts_with("logs")).collect();
    for name in &all {
        let bytes = match name.rsplit_once('.') {
            Some((_, "jsonl")) if !all.contains(&format!("{name}.gz")) => fs::read(data.join(name)).expect("read"),
            Some((_, "gz")) => stock("gzip", &["-dc"], &data.join(name)),
            _ => continue,
        };
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1); // behind it is what the kill has torn
        for line in bytes[..end].split_inclusive(|byte| *byte == b'\n') {
            let record: Value = serde_json::from_slice(line).expect("JSON");
            let file = record["file"].as_str().expect("a file").to_owned();
            *found.entry(file).or_default().entry(record["n"].as_u64().expect("a number")).or_default() += 1;
        }
    }
    found
}

/// Bytes of lines of files that are in the store again.
fn repeated_bytes(stored: &BTreeMap<String, BTreeMap<u64, usize>>) -> usize {
    let of_file = |(name, times): (&String, &BTreeMap<u64, usize>)| -> usize {
        times.iter().map(|(n, times)| (times - 1) * (numbered(name, *n).len() + 1)).sum()
    };
    stored.iter().filter(|(name, _)| *name != "relp").map(of_file).sum()
}

fn assert_none_missing(stored: &BTreeMap<String, BTreeMap<u64, usize>>, name: &str, lines: u64) {
    let missing: Vec<u64> = (0..lines).filter(|n| !stored[name].contains_key(n)).take(20).collect();
    assert!(missing.is_empty(), "{name}: of {lines} lines {missing:?}… are missing");
}

fn wait_for_files(daemon: &TestDaemon, files: usize) {
    daemon.wait_for("all files are read", |daemon| {
        let of_files = &daemon.stats()["files"];
        files as u64 <= of_files["files"].as_u64().unwrap() && of_files["lag_bytes"] == 0
    });
}

fn killed_again_and_again(args: &[&str]) {
    let dir = temp_dir();
    let dir = dir.path();
    let data = dir.join("data");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = ["a.log", "b.log", "c.log"].map(|name| write_until(stop.clone(), dir.join("logs").join(name)));
    let (mut acknowledged, mut repeated) = (0, 0);
    for round in 0..ROUNDS {
        let daemon = start(dir, args);
        let mut client = Client::open(&daemon);
        let sending = thread::spawn(move || {
            let lines = |from| (from..from + WINDOW).map(|n| numbered("relp", n)).collect::<Vec<_>>();
            while client.deliver(&lines(acknowledged)) {
                acknowledged += WINDOW;
            }
            acknowledged
        });
        thread::sleep(Duration::from_millis(60 + 97 * round % 400));
        daemon.kill();
        acknowledged = sending.join().expect("sent");
        // What stands twice is of the kill before.
        let before = std::mem::replace(&mut repeated, repeated_bytes(&stored(&data)));
        assert!(repeated - before <= SHARDS * BATCH_BYTES, "{before}, then {repeated} bytes are there again");
    }
    stop.store(true, Ordering::Relaxed);
    let writers = writing.map(|writing| writing.join().expect("written"));
    let daemon = start(dir, args);
    wait_for_files(&daemon, names(&dir.join("logs")).len());
    daemon.stop();

    let stored = stored(&data);
    for writer in &writers {
        assert_none_missing(&stored, writer.path.file_name().unwrap().to_str().unwrap(), writer.next);
    }
    assert_none_missing(&stored, "relp", acknowledged);
    assert!(repeated_bytes(&stored) - repeated <= SHARDS * BATCH_BYTES);
    // A client sends again what was not acknowledged when its daemon died.
    assert!(stored["relp"].values().map(|times| times - 1).sum::<usize>() <= (ROUNDS * WINDOW) as usize);
    assert!(WINDOW <= acknowledged && 10_000 < writers.iter().map(|writer| writer.next).sum::<u64>());
}

#[test]
fn nothing_of_files_and_connections_is_missing_however_often_serve_is_killed() {
    killed_again_and_again(&[]);
}

/// Most kills come between a segment's steps.
#[test]
fn nothing_of_files_and_connections_is_missing_with_small_segments() {
    killed_again_and_again(&["--rotate-size", "100kB"]);
}

/// What a kill in the midst of a write leaves: half a batch. It stays, since others have sent lines too, and its files give it again.
#[test]
fn half_a_batch_stays_and_is_there_again_whole() {
    let dir = temp_dir();
    let dir = dir.path();
    let (data, one) = (dir.join("data"), ["--rotate-size", "100MB"]);
    let mut writer = Writer::new(dir.join("logs/app.log"));
    writer.write(1_000);
    let daemon = start(dir, &one);
    wait_for_files(&daemon, 1);
    assert!(Client::open(&daemon).deliver(&[numbered("relp", 0)]));
    writer.write(3_000);
    daemon.wait_for("all lines", |daemon| daemon.stats()["ledger"]["written"] == 4_001);
    daemon.kill();
    let segment = (0..SHARDS)
        .map(|shard| data.join(format!("logs.s0{shard}.jsonl")))
        .max_by_key(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    let segment = fs::OpenOptions::new().write(true).open(segment.expect("one has them")).expect("opened");
    segment.set_len(segment.metadata().unwrap().len() - 1_000).expect("cut");

    let daemon = start(dir, &one);
    wait_for_files(&daemon, 1);
    assert!(daemon.stderr().contains("lines of files may be there twice"), "{}", daemon.stderr());
    daemon.stop();
    let stored = stored(&data);
    assert_none_missing(&stored, "app.log", 4_000);
    assert_none_missing(&stored, "relp", 1);
    let repeated = repeated_bytes(&stored);
    assert!(0 < repeated && repeated <= BATCH_BYTES, "{repeated} bytes are there again");
    let first = stored["app.log"].iter().find(|(_, times)| 1 < **times).map(|(n, _)| *n);
    assert!(first.is_some_and(|n| 1_000 <= n), "none of a batch before: {first:?}");
}
