//! The HTTP endpoints of a running daemon, and its metrics on stdout.

use crate::harness::{TestDaemon, temp_dir};

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
fn stdout_has_the_rate_and_the_latency_to_the_letter() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--metrics-interval", "100ms"]);
    daemon.send("{\"a\":1}\n".repeat(1_000).as_bytes());
    let rate = |line: &str| line.strip_prefix("[METRIC] Logs processed: ")?.strip_suffix(" logs/sec")?.parse::<u64>().ok();
    daemon.wait_for("a rate above zero", |daemon| daemon.stdout().iter().filter_map(|line| rate(line)).any(|rate| 0 < rate));
    daemon.wait_for("a few intervals", |daemon| 6 < daemon.stdout().len());
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
