//! The HTTP endpoints of a running daemon, and its metrics on stdout.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Start, TestDaemon, temp_dir};

/// More than the daemon serves at once.
const CONNECTIONS: usize = 300;

#[test]
fn health_readiness_metrics_and_stats_answer() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
    daemon.send(b"{\"level\":\"INFO\"}\nplain\n{broken\n");
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/no/such/page").0, 404);
    let (status, text) = daemon.get("/metrics");
    assert_eq!(status, 200);
    let sum = |name: &str| -> f64 {
        let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!(sum("logboom_records_received_total"), 3.0, "{text}");
    assert_eq!(sum("logboom_records_written_total"), 2.0);
    assert_eq!(sum("logboom_records_rejected_total"), 1.0);
    let stats = daemon.stats();
    for shard in stats["shards"].as_array().unwrap() {
        let ledger = &shard["ledger"];
        let number = |name: &str| ledger[name].as_u64().unwrap();
        assert_eq!(number("received"), number("written") + number("filtered") + ledger["rejected"]["total"].as_u64().unwrap());
    }
    daemon.stop();
}

#[test]
fn a_shard_that_stands_still_makes_the_daemon_unready_until_it_runs_again() {
    let dir = temp_dir();
    let (data, hold) = (dir.path().join("data"), dir.path().join("hold"));
    let start = Start::in_dir(&data).args(&["--shards", "2"]).held_by(dir.path(), "HOLD_RECEIVE", &hold);
    let daemon = start.expect_warning("has not run for").start();
    std::fs::write(&hold, "").unwrap();
    let mut client = daemon.connect();
    client.write_all(b"{\"a\":1}\n").unwrap();
    daemon.wait_for("one is stuck", |daemon| daemon.get("/readyz").0 == 503);
    let (_, reason) = daemon.get("/readyz");
    assert!(reason.starts_with("stuck: shard ") && reason.contains(" has not run for "), "{reason}");
    assert_eq!(daemon.get("/healthz").0, 200);
    std::fs::remove_file(&hold).unwrap();
    daemon.wait_for("it runs again", |daemon| daemon.get("/readyz").0 == 200);
    crate::harness::close(client);
    assert_eq!(daemon.stats()["ledger"]["written"], 1);
    daemon.stop();
}

#[test]
fn stdout_has_the_rate_and_the_latency_to_the_letter() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--metrics-interval", "100ms"]);
    daemon.send("{\"a\":1}\n".repeat(1_000).as_bytes());
    let rate = |line: &str| line.strip_prefix("[METRIC] Logs processed: ")?.strip_suffix(" logs/sec")?.parse::<u64>().ok();
    daemon.wait_for("a rate above zero", |daemon| daemon.stdout().iter().filter_map(|line| rate(line)).any(|rate| 0 < rate));
    daemon.wait_for("a few intervals", |daemon| 6 < daemon.stdout().len());
    for kind in ["written", "synced"] {
        let begin = format!("[METRIC] Latency received->{kind}: ");
        daemon.wait_for(kind, |daemon| daemon.stdout().iter().any(|line| line.starts_with(&begin)));
    }
    for line in daemon.stdout().iter().skip(1) {
        if rate(line).is_some() {
            continue;
        }
        let values = line.strip_prefix("[METRIC] Latency received->written: ");
        let values = values.or_else(|| line.strip_prefix("[METRIC] Latency received->synced: ")).unwrap_or_else(|| panic!("{line:?}"));
        let names: Vec<&str> = values.split(", ").map(|value| value.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["p50", "p99", "p99.9", "max"], "{line:?}");
        assert!(values.split(", ").all(|value| value.ends_with(" ms")), "{line:?}");
    }
    daemon.stop();
}

#[test]
fn silent_and_idle_connections_do_not_keep_others_out() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let connect = || TcpStream::connect(daemon.http).expect("the kernel accepts");
    let silent: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
    assert_eq!(daemon.get("/healthz").0, 200, "behind those that say nothing");

    // It says nothing after its first answer; the next one never ends its head, however it drips.
    let mut idle = connect();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).expect("closed in time");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let mut dripping = connect();
    let begun = Instant::now();
    while dripping.write_all(b"G").is_ok() {
        assert!(begun.elapsed() < PATIENCE, "a head without an end is read for ever");
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(silent);
    daemon.stop();
}

#[test]
fn a_connection_that_does_not_read_its_answers_is_closed() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let mut greedy = TcpStream::connect(daemon.http).unwrap();
    greedy.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let begun = Instant::now();
    let error = loop {
        match greedy.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => break error,
        }
        assert!(begun.elapsed() < PATIENCE, "answers wait for ever");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    daemon.stop();
}
