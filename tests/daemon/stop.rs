//! SIGTERM and Ctrl-C lose nothing that peers have sent; a second signal ends at once; the next start finds a good directory.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::harness::{Start, TestDaemon, lines, names, temp_dir};

#[test]
fn what_peers_have_sent_before_the_signal_is_kept() {
    for signal in ["TERM", "INT"] {
        let dir = temp_dir();
        let mut daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
        let mut expected = 0;
        let mut open = Vec::new();
        for client in 0..20 {
            let mut stream = daemon.connect();
            for line in 0..500 {
                writeln!(stream, "{{\"client\":{client},\"line\":{line}}}").unwrap();
                expected += 1;
            }
            open.push(stream); // never closed by the peer
        }
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.stderr());
        assert_eq!(lines(dir.path(), "logs").len(), expected, "{signal}");
    }
}

#[test]
fn a_clean_stop_leaves_only_archives_and_open_segments() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--rotate-size", "100kB"]);
    let line = format!("{{\"message\":\"{}\"}}\n", "z".repeat(300));
    daemon.send(line.repeat(5_000).as_bytes());
    daemon.stop();
    let sealed_raw: Vec<String> =
        names(dir.path()).into_iter().filter(|name| name.starts_with("logs_") && name.ends_with(".jsonl")).collect();
    assert!(sealed_raw.is_empty(), "{sealed_raw:?}");
    assert!(names(dir.path()).iter().filter(|name| name.ends_with(".jsonl.gz")).count() >= 15);
    assert!(!names(dir.path()).iter().any(|name| name.ends_with(".tmp")));
    assert_eq!(lines(dir.path(), "logs").len(), 5_000);
}

#[test]
fn a_second_signal_ends_at_once_and_recovery_makes_the_directory_good() {
    let dir = temp_dir();
    let mut daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--drain-timeout", "30s"]);
    let stop_sending = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let sender = {
        let (mut stream, stop) = (daemon.connect(), stop_sending.clone());
        // A peer that never stops keeps the first signal's intake busy.
        thread::spawn(
            move || while !stop.load(std::sync::atomic::Ordering::Relaxed) && writeln!(stream, "{{\"never\":\"ending\"}}").is_ok() {},
        )
    };
    thread::sleep(Duration::from_millis(300));
    daemon.signal("TERM");
    thread::sleep(Duration::from_millis(200));
    daemon.signal("TERM");
    let begun = std::time::Instant::now();
    let status = daemon.wait_exit();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!status.success());
    stop_sending.store(true, std::sync::atomic::Ordering::Relaxed);
    sender.join().unwrap();
    let again = Start::in_dir(dir.path()).args(&["--shards", "1"]).expect_warning("torn").start();
    again.stop();
    assert!(lines(dir.path(), "logs").iter().all(|line| line == b"{\"never\":\"ending\"}"));
}

#[test]
fn connections_still_in_the_accept_queue_are_served() {
    let dir = temp_dir();
    let mut daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
    daemon.signal("STOP"); // nobody accepts
    let mut open = Vec::new();
    for client in 0..50 {
        let mut stream = daemon.connect();
        writeln!(stream, "{{\"queued\":{client}}}").unwrap();
        open.push(stream);
    }
    daemon.signal("TERM");
    daemon.signal("CONT");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.stderr());
    assert_eq!(lines(dir.path(), "logs").len(), 50);
}

#[test]
fn a_peer_that_sends_a_little_all_the_time_does_not_make_a_stop_unclean() {
    let dir = temp_dir();
    let mut daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--drain-timeout", "30s"]);
    let mut stream = daemon.connect();
    let sender = thread::spawn(move || {
        let mut sent = 0;
        while writeln!(stream, "{{\"n\":{sent}}}").is_ok() {
            sent += 1;
            thread::sleep(Duration::from_millis(20));
        }
    });
    daemon.wait_for("lines arrive", |daemon| daemon.stats()["ledger"]["written"].as_u64().unwrap() > 3);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.stderr());
    sender.join().unwrap();
}
