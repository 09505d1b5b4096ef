//! When the disk or the compression can't keep up, senders wait: all of them alike, in bounded memory, and a stop still takes in what they have sent.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Start, TestDaemon, close, lines, logboom, names, run, temp_dir};

/// A daemon whose compression is far slower than its senders.
const SLOW: [&str; 10] =
    ["--shards", "1", "--compression", "zstd", "--compression-level", "19", "--compress-threads", "1", "--raw-segments", "3"];

fn line(client: usize) -> Vec<u8> {
    format!("{{\"client\":{client},\"filler\":\"{}\"}}\n", "z".repeat(240)).into_bytes()
}

/// Writes whole lines for as long as `until` says, and returns how many bytes the kernel took; the last line may be cut.
fn blast(mut stream: TcpStream, client: usize, until: impl Fn() -> bool) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let lines = line(client).repeat(500);
    let (mut sent, mut at) = (0, 0);
    while until() {
        match stream.write(&lines[at..]) {
            Ok(n) => (sent, at) = (sent + n, (at + n) % lines.len()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // The daemon must not see the end of the stream before it stops.
    std::mem::forget(stream);
    sent
}

fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).next_back().unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[test]
fn memory_stays_under_the_printed_budget_and_raw_segments_under_their_limit() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    let bounds = ["--max-connections", "16", "--line-max", "16KiB", "--rotate-size", "2MB"];
    let daemon = Start::in_dir(&data).args(&SLOW).args(&bounds).start();
    let budget = run(Command::new(logboom())
        .args(["check", "--listen", "127.0.0.1:0", "--http", "off", "--data-dir"])
        .arg(dir.path().join("other"))
        .args(SLOW)
        .args(bounds));
    let budget_bytes = number_after(&String::from_utf8_lossy(&budget.stdout), "total");
    assert!(budget_bytes < 400_000_000, "{budget_bytes}: what is offered below must exceed it by far");
    let ends = Instant::now() + Duration::from_secs(3); // time enough for a gigabyte over loopback, if anybody took it
    let raw_peak = thread::scope(|scope| {
        for client in 0..8 {
            let stream = daemon.connect();
            scope.spawn(move || blast(stream, client, || Instant::now() < ends));
        }
        let mut peak = 0;
        while Instant::now() < ends {
            let raw = names(&data).into_iter().filter(|name| name.ends_with(".jsonl"));
            peak = peak.max(raw.filter_map(|name| std::fs::metadata(data.join(name)).ok()).map(|meta| meta.len()).sum());
            thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    assert!(raw_peak <= 3 * 2_000_000, "{raw_peak} raw bytes on disk");
    assert!(0 < daemon.stats()["pauses"]["raw_segments"]["count"].as_u64().unwrap(), "the permits made the shard wait");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak_kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak_kib.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib * 1024 <= budget_bytes, "{peak_kib} KiB of {budget_bytes} bytes");
    daemon.kill();
}

#[test]
fn a_stop_takes_in_what_was_sent_although_connections_wait_for_their_turn() {
    let dir = temp_dir();
    let mut daemon = Start::in_dir(dir.path()).args(&SLOW).args(&["--drain-timeout", "100s"]).start();
    let ends = Instant::now() + Duration::from_millis(1_500);
    let sent: Vec<usize> = thread::scope(|scope| {
        let senders: Vec<_> = (0..8).map(|client| (client, daemon.connect())).collect();
        let senders: Vec<_> =
            senders.into_iter().map(|(client, stream)| scope.spawn(move || blast(stream, client, || Instant::now() < ends))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.stderr());
    let stored = lines(dir.path(), "logs");
    for (client, sent) in sent.into_iter().enumerate() {
        let expected = line(client);
        let whole = stored.iter().filter(|stored| stored[..] == expected[..expected.len() - 1]).count();
        assert_eq!(whole, sent / expected.len(), "client {client}");
    }
}

#[test]
fn connections_take_turns_and_a_quiet_one_is_not_passed_by() {
    let dir = temp_dir();
    let daemon = Start::in_dir(dir.path()).args(&SLOW).start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..4 {
            let (stream, stop) = (daemon.connect(), &stop);
            scope.spawn(move || blast(stream, client, || !stop.load(Ordering::Relaxed)));
        }
        daemon.wait_for("senders wait", |daemon| 0 < daemon.stats()["pauses"]["raw_segments"]["count"].as_u64().unwrap());
        let mut quiet = daemon.connect();
        for _ in 0..20 {
            quiet.write_all(&line(4)).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
        close(quiet); // the daemon closes when all of it is written
        stop.store(true, Ordering::Relaxed);
    });
    daemon.kill();
    let start = Start::in_dir(dir.path()).args(&["--shards", "1"]).expect_warning("torn").start();
    start.stop();
    let mut by_client = [0; 5];
    for stored in lines(dir.path(), "logs") {
        let record: Value = serde_json::from_slice(&stored).unwrap();
        by_client[record["client"].as_u64().unwrap() as usize] += 1;
    }
    assert_eq!(by_client[4], 20);
    let (least, most) = (by_client[..4].iter().min().unwrap(), by_client[..4].iter().max().unwrap());
    assert!(most <= &(least * 4), "{by_client:?}");
}

#[test]
fn unfinished_long_lines_do_not_keep_others_from_finishing_theirs() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    // More than there are places for on one shard.
    let stuck: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = daemon.connect();
            stream.write_all(&[b'u'; 5_000]).unwrap();
            stream
        })
        .collect();
    daemon.wait_for("some wait", |daemon| 0 < daemon.stats()["pauses"]["long_lines"]["count"].as_u64().unwrap());
    drop(stuck.into_iter().rev().take(8).collect::<Vec<_>>()); // those that wait hold the reserve's line up as little as possible
    daemon.send(format!("{{\"message\":\"{}\"}}\n", "m".repeat(300_000)).as_bytes());
    daemon.stop();
    assert!(lines(dir.path(), "logs").iter().any(|line| line.len() > 300_000));
}

#[test]
fn a_stop_ends_although_connections_never_cease_to_come() {
    let dir = temp_dir();
    let mut daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let (address, stop) = (daemon.tcp, AtomicBool::new(false));
    let status = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"{\"short\":1}\n"));
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        daemon.signal("TERM");
        let status = daemon.wait_exit();
        stop.store(true, Ordering::Relaxed);
        status
    });
    assert_eq!(status.code(), Some(0), "{}", daemon.stderr());
}
