//! Connections are spread evenly over the shards, bounded, and closed when idle.

use std::io::Read;
use std::net::TcpStream;

use crate::harness::{PATIENCE, Start, TestDaemon, temp_dir};

fn open_by_shard(daemon: &TestDaemon) -> Vec<u64> {
    let stats = daemon.stats();
    let shards = stats["shards"].as_array().expect("shards");
    shards.iter().map(|shard| shard["connections"]["open"].as_u64().expect("a count")).collect()
}

#[test]
fn two_clients_have_a_shard_each_every_time() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
    for _ in 0..10 {
        let _clients = [daemon.connect(), daemon.connect()];
        daemon.wait_for("one connection each", |daemon| open_by_shard(daemon) == [1, 1]);
        drop(_clients);
        daemon.wait_for("both gone", |daemon| open_by_shard(daemon) == [0, 0]);
    }
    daemon.stop();
}

#[test]
fn of_64_clients_no_shard_has_more_than_one_above_another() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "3"]);
    let mut clients = Vec::new();
    for total in 1..=64 {
        clients.push(daemon.connect());
        daemon.wait_for("accepted", |daemon| open_by_shard(daemon).iter().sum::<u64>() == total);
        let open = open_by_shard(&daemon);
        assert!(open.iter().max().unwrap() - open.iter().min().unwrap() <= 1, "{open:?}");
    }
    daemon.stop();
}

#[test]
fn connections_over_the_limit_are_refused_and_counted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--max-connections", "3"]);
    let _open: Vec<TcpStream> = (0..3).map(|_| daemon.connect()).collect();
    daemon.wait_for("three open", |daemon| open_by_shard(daemon).iter().sum::<u64>() == 3);
    let mut fourth = daemon.connect();
    fourth.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(fourth.read(&mut [0]), Ok(0) | Err(_)), "closed at once");
    daemon.wait_for("counted", |daemon| daemon.stats()["connections"]["refused"]["max_connections"] == 1);
    daemon.stop();
}

#[test]
fn an_idle_connection_is_closed_and_counted() {
    let dir = temp_dir();
    let daemon = Start::in_dir(dir.path()).args(&["--shards", "1", "--idle-timeout", "200ms"]).start();
    let mut idle = daemon.connect();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    daemon.wait_for("counted", |daemon| daemon.stats()["connections"]["closed"]["idle"] == 1);
    daemon.stop();
}

#[test]
fn ten_thousand_idle_connections_cost_under_200_mb() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS").to_owned();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
    };
    // As many as this process may open, ten thousand at most; the cost is judged per connection.
    let files = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let files = files
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(3))
        .and_then(|n| n.parse().ok());
    let count = files.unwrap_or(1024usize).saturating_sub(200).min(9_000);
    let before = resident();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = daemon.connect();
        std::io::Write::write_all(&mut client, b"half a line").unwrap();
        clients.push(client);
    }
    daemon.wait_for("all open", |daemon| open_by_shard(daemon).iter().sum::<u64>() == count as u64);
    let each = (resident() - before) / count as u64;
    assert!(each < 20_000, "{each} bytes per idle connection");
    drop(clients);
    daemon.stop();
}
