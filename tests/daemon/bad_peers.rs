//! Peers that break off, dawdle, or send what they should not: memory stays bounded, the counters are right, and others don't notice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Start, TestDaemon, close, lines, logboom, run, temp_dir};
use crate::relp_client::{Client, RELP, reset};

fn number(stats: &Value, pointer: &str) -> u64 {
    stats.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {stats}"))
}

fn closed(daemon: &TestDaemon, reason: &str) -> u64 {
    number(&daemon.stats(), &format!("/connections/closed/{reason}"))
}

/// Waits until nobody is connected, and checks the ledger.
fn all_gone(daemon: &TestDaemon) -> Value {
    daemon.wait_for("everybody is gone", |daemon| number(&daemon.stats(), "/connections/open") == 0);
    let stats = daemon.stats();
    let sum = ["written", "filtered", "rejected/total"].map(|part| number(&stats, &format!("/ledger/{part}"))).iter().sum::<u64>();
    assert_eq!(number(&stats, "/ledger/received"), sum);
    stats
}

/// A field of the daemon's memory, such as `VmHWM`, in bytes.
fn memory(daemon: &TestDaemon, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel tells");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().expect("a number") * 1024
}

fn relp(daemon: &TestDaemon) -> SocketAddr {
    daemon.relp.expect("listens")
}

/// What comes of a generator of bytes that nobody would send.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn peers_that_end_or_break_off_in_mid_line_lose_nothing_that_arrived() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    daemon.send(b"whole\nhalf-closed");
    let mut stream = daemon.connect();
    stream.write_all(b"before the reset\nin mid-li").unwrap();
    daemon.wait_for("it arrived", |daemon| {
        number(&daemon.stats(), "/shards/0/received_bytes") + number(&daemon.stats(), "/shards/1/received_bytes") == 43
    });
    reset(stream);
    daemon.wait_for("the reset is seen", |daemon| closed(daemon, "reset") == 1);

    let mut client = Client::open(&daemon);
    client.send(&["in a frame"]);
    client.answered_since(1);
    client.write(b"3 syslog 100 in mid-fr");
    client.reset();
    daemon.wait_for("the reset is seen", |daemon| closed(daemon, "reset") == 2);
    let mut client = Client::open(&daemon);
    client.write(b"2 syslog 100 in mid-fr");
    client.stream.shutdown(Shutdown::Write).unwrap();
    while !client.answer().is_empty() {}

    let stats = all_gone(&daemon);
    assert_eq!(number(&stats, "/connections/relp_errors/truncated"), 1);
    assert_eq!(number(&stats, "/ledger/rejected/total"), 0);
    daemon.stop();
    let stored = crate::harness::records(dir.path(), "logs");
    let mut messages: Vec<&str> = stored.iter().map(|record| record["message"].as_str().unwrap()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["before the reset", "half-closed", "in a frame", "in mid-li", "whole"]);
}

#[test]
fn a_peer_that_sends_byte_by_byte_is_not_idle_until_it_stops() {
    let dir = temp_dir();
    let daemon = Start::in_dir(dir.path()).args(&RELP).args(&["--idle-timeout", "2s"]).start();
    let drip = |mut stream: TcpStream, bytes: &'static [u8]| {
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            stream.write_all(std::slice::from_ref(byte)).unwrap();
            thread::sleep(Duration::from_millis(100));
        }
        stream
    };
    let plain = daemon.connect();
    let framed = Client::connect(&daemon).stream;
    thread::scope(|scope| {
        // Longer in all than the timeout, and never as long between two bytes.
        let plain = scope.spawn(|| drip(plain, b"slow and steady wins\nunfinished"));
        let framed = scope.spawn(|| drip(framed, b"1 open 15 commands=syslog\n2 sys"));
        daemon.send(b"in between\n");
        let (mut plain, mut framed) = (plain.join().unwrap(), framed.join().unwrap());
        assert_eq!(closed(&daemon, "idle"), 0);
        let mut rest = Vec::new();
        plain.read_to_end(&mut rest).unwrap();
        framed.read_to_end(&mut rest).unwrap();
        assert!(rest.starts_with(b"1 rsp "), "it was answered before: {}", String::from_utf8_lossy(&rest));
    });
    let stats = all_gone(&daemon);
    assert_eq!(number(&stats, "/connections/closed/idle"), 2);
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs").len(), 3);
}

#[test]
fn a_gigabyte_in_one_line_or_frame_costs_no_more_than_the_printed_budget() {
    const GIGABYTE: usize = 999_999_999;
    let dir = temp_dir();
    let bounds = ["--max-connections", "32", "--line-max", "64KiB", "--compress-threads", "1"];
    let daemon = Start::in_dir(&dir.path().join("data")).args(&RELP).args(&bounds).start();
    let budget = run(Command::new(logboom())
        .args(["check", "--listen", "127.0.0.1:0", "--http", "off", "--data-dir"])
        .arg(dir.path().join("other"))
        .args(RELP)
        .args(bounds));
    let budget = String::from_utf8_lossy(&budget.stdout).into_owned();
    let total = budget.lines().find(|line| line.trim_start().starts_with("total")).expect("a total");
    let budget_bytes: u64 = total.split_whitespace().filter_map(|word| word.parse().ok()).next_back().expect("a number");
    assert!(budget_bytes < GIGABYTE as u64 / 2, "{budget}");
    let flood = |stream: &mut TcpStream| {
        let piece = vec![b'x'; 1 << 20];
        let mut left = GIGABYTE;
        while left > 0 {
            let len = left.min(piece.len());
            stream.write_all(&piece[..len]).expect("it is taken in");
            left -= len;
        }
    };
    thread::scope(|scope| {
        let plain = scope.spawn(|| {
            let mut stream = daemon.connect();
            flood(&mut stream);
            stream.write_all(b"\nbehind it\n").unwrap();
            close(stream);
        });
        let framed = scope.spawn(|| {
            let mut client = Client::open(&daemon);
            client.write(format!("2 syslog {GIGABYTE} ").as_bytes());
            flood(&mut client.stream);
            client.write(b"\n3 syslog 9 behind it\n");
            client.txnr = 3;
            client.answered_since(1);
        });
        let announced = scope.spawn(|| {
            let mut client = Client::open(&daemon);
            client.write(format!("2 syslog {GIGABYTE} and no more").as_bytes());
            client
        });
        // Others are served meanwhile.
        let mut others = 0;
        while !(plain.is_finished() && framed.is_finished()) || others == 0 {
            daemon.send(b"another\n");
            others += 1;
            thread::sleep(Duration::from_millis(5));
        }
        announced.join().unwrap().reset();
        let stats = all_gone(&daemon);
        assert_eq!(number(&stats, "/ledger/rejected/line_too_long"), 2);
        assert_eq!(number(&stats, "/ledger/rejected/total"), 2);
        assert_eq!(number(&stats, "/ledger/written"), 2 + others);
    });
    let peak = memory(&daemon, "VmHWM");
    assert!(peak <= budget_bytes, "{peak} bytes; {budget}");
    daemon.stop();
}

#[test]
fn random_bytes_are_stored_or_refused_and_always_counted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    thread::scope(|scope| {
        for seed in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                for seed in (seed..64).step_by(8) {
                    daemon.send(&random(seed, 100_000));
                    let mut client = Client::connect(daemon);
                    // The daemon may have closed it before all is sent.
                    let _ = client.stream.write_all(&random(seed, 10_000));
                    let _ = client.stream.shutdown(Shutdown::Write);
                    let _ = client.stream.read_to_end(&mut Vec::new());
                }
            });
        }
    });
    daemon.send(b"{\"fine\":1}\n");
    let mut client = Client::open(&daemon);
    client.send(&["{\"fine\":2}"]);
    client.answered_since(1);
    drop(client);
    let stats = all_gone(&daemon);
    let errors: u64 = stats["connections"]["relp_errors"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(errors, 64, "{stats}");
    assert!(0 < number(&stats, "/ledger/rejected/invalid_utf8"));
    daemon.stop();
    let fine = lines(dir.path(), "logs").iter().filter(|line| line.starts_with(b"{\"fine\"")).count();
    assert_eq!(fine, 2);
}

#[test]
fn five_thousand_connects_and_disconnects_leave_nothing_behind() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    daemon.send(b"first\n");
    all_gone(&daemon);
    let (descriptors_before, memory_before) = (descriptors(), memory(&daemon, "VmRSS"));
    thread::scope(|scope| {
        for worker in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                for n in (worker..5_000).step_by(8) {
                    let address = if n % 2 == 0 { daemon.tcp } else { relp(daemon) };
                    let mut stream = TcpStream::connect(address).expect("accepted");
                    match n % 6 {
                        0 | 1 => {} // connects and goes
                        2 => stream.write_all(b"a line\n").expect("sent"),
                        3 => stream.write_all(b"1 open 15 commands=sys").expect("sent"),
                        _ => reset(stream),
                    }
                }
            });
        }
        for _ in 0..50 {
            daemon.send(b"in between\n");
        }
    });
    let stats = all_gone(&daemon);
    assert_eq!(number(&stats, "/connections/opened"), 1 + 5_000 + 50);
    assert_eq!(number(&stats, "/connections/refused/max_connections"), 0);
    daemon.wait_for("descriptors are closed", |_| descriptors() <= descriptors_before + 8);
    let grown = memory(&daemon, "VmRSS").saturating_sub(memory_before);
    assert!(grown < 32 << 20, "{grown} bytes more than before");
    daemon.stop();
    let stored = lines(dir.path(), "logs");
    let times = |text: &str| stored.iter().filter(|line| String::from_utf8_lossy(line).contains(text)).count();
    assert_eq!((times("in between"), times("a line")), (50, (0..5_000).filter(|n| n % 6 == 2).count()));
}
