//! RELP over a real socket: what is acknowledged is on disk, in whatever pieces it comes and whatever happens after.

use std::io::Write;
use std::net::Shutdown;

use crate::harness::{Start, TestDaemon, lines, records, temp_dir};
use crate::relp_client::{Client, RELP};

#[test]
fn a_session_from_open_to_close() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    let mut client = Client::open(&daemon);
    for line in ["{\"level\":\"INFO\",\"n\":1}", "<14>Nov 24 15:00:00 host app: text", "{broken", "{\n \"n\": 2\n}\n"] {
        let frame = client.frame("syslog", line);
        client.write(&frame);
        assert_eq!(client.answer(), format!("{} rsp 6 200 OK", client.txnr), "{line}");
    }
    let frame = client.frame("eventlog", "x");
    client.write(&frame);
    assert!(client.answer().contains("500 unknown command"));
    let frame = client.frame("close", "");
    client.write(&frame);
    assert_eq!(client.answer(), format!("{} rsp 6 200 OK", client.txnr));
    assert_eq!(client.answer(), "0 serverclose 0");
    assert_eq!(client.answer(), "", "closed");
    let stats = daemon.stats();
    assert_eq!(stats["connections"]["relp_errors"]["unknown_command"], 1, "{stats}");
    assert_eq!(stats["ledger"]["received"], 4);
    daemon.stop();
    let stored = lines(dir.path(), "logs");
    assert_eq!(stored[0], b"{\"level\":\"INFO\",\"n\":1}");
    let syslog = &records(dir.path(), "logs")[1];
    assert_eq!([&syslog["service"], &syslog["message"]], ["app", "text"]);
    assert_eq!(records(dir.path(), "logs")[2]["n"], 2);
    assert_eq!(records(dir.path(), "rejected")[0]["reason"], "invalid_json");
}

#[test]
fn what_a_rule_leaves_out_is_acknowledged_in_its_turn() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &[&RELP[..], &["--exclude", "n=[02468]$"]].concat());
    let mut client = Client::open(&daemon);
    let frames: Vec<Vec<u8>> = (0..200).map(|n| client.frame("syslog", &format!("{{\"n\":\"{n}\"}}"))).collect();
    client.write(&frames.concat());
    for txnr in 2..202 {
        assert_eq!(client.answer(), format!("{txnr} rsp 6 200 OK"));
    }
    let ledger = &daemon.stats()["ledger"];
    assert_eq!((&ledger["received"], &ledger["written"], &ledger["filtered"]), (&200.into(), &100.into(), &100.into()));
    daemon.stop();
}

#[test]
fn frames_may_come_in_any_pieces_and_answers_come_in_order() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    let mut client = Client::open(&daemon);
    client.stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    for n in 0..300 {
        let line = if n % 3 == 0 { format!("{{broken {n}") } else { format!("{{\"n\":{n}}}") };
        bytes.extend(client.frame("syslog", &line));
    }
    for piece in bytes.chunks(7) {
        client.write(piece);
    }
    for txnr in 2..=301 {
        assert_eq!(client.answer(), format!("{txnr} rsp 6 200 OK"));
    }
    daemon.stop();
    assert_eq!((lines(dir.path(), "logs").len(), lines(dir.path(), "rejected").len()), (200, 100));
}

#[test]
fn what_is_acknowledged_survives_the_process() {
    let dir = temp_dir();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let daemon = Start::in_dir(dir.path()).args(&RELP).args(&["--rotate-size", "20kB"]).expect_warning("torn").start();
        let mut client = Client::open(&daemon);
        let mut bytes = Vec::new();
        for n in 0..1_000 {
            bytes.extend(client.frame("syslog", &format!("{{\"round\":{round},\"n\":{n},\"filler\":\"{}\"}}", "f".repeat(100))));
        }
        client.write(&bytes);
        for n in 0..(100 + 180 * round) {
            assert!(client.answer().ends_with("200 OK"));
            acknowledged.push((round, n));
        }
        daemon.kill();
    }
    let daemon = Start::in_dir(dir.path()).args(&RELP).expect_warning("torn").start();
    daemon.stop();
    let stored: std::collections::HashSet<(u64, u64)> =
        records(dir.path(), "logs").iter().map(|record| (record["round"].as_u64().unwrap(), record["n"].as_u64().unwrap())).collect();
    let missing: Vec<_> = acknowledged.iter().filter(|line| !stored.contains(line)).collect();
    assert!(missing.is_empty(), "{} of {} acknowledged lines are missing", missing.len(), acknowledged.len());
}

#[test]
fn peers_that_break_the_protocol_are_closed_and_counted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &RELP);
    let table: [(&[u8], &str); 6] = [
        (b"no frame at all\n", "malformed_txnr"),
        (b"1 syslog 5 hello\n", "not_open"),
        (b"1 open 17 commands=eventlog\n", "syslog_not_offered"),
        (b"1 open 15 commands=syslog\n3 syslog 1 x\n", "txnr_out_of_order"),
        (b"1 open 999999999 x", "truncated"),
        (b"1 open 15 commands=syslogX", "malformed_trailer"),
    ];
    for (bytes, reason) in table {
        let mut client = Client::connect(&daemon);
        client.write(bytes);
        client.stream.shutdown(Shutdown::Write).unwrap();
        while !client.answer().is_empty() {}
        assert_eq!(daemon.stats()["connections"]["relp_errors"][reason], 1, "{reason}");
    }
    // Others are unharmed.
    let mut client = Client::open(&daemon);
    let frame = client.frame("syslog", "fine");
    client.write(&frame);
    assert_eq!(client.answer(), "2 rsp 6 200 OK");
    daemon.stop();
}

#[test]
fn a_client_that_does_not_read_its_answers_stops_itself_and_nobody_else() {
    let dir = temp_dir();
    let daemon = Start::in_dir(dir.path()).args(&["--listen", "relp://127.0.0.1:0", "--shards", "1", "--drain-timeout", "4s"]).start();
    let mut deaf = Client::open(&daemon);
    deaf.stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    // Answers are as long as these frames: once they fill the kernel's buffers, the daemon must stop reading.
    while sent < 100_000_000 {
        let frames: Vec<u8> = (0..1_000).flat_map(|_| deaf.frame("syslog", "x")).collect();
        if deaf.stream.write_all(&frames).is_err() {
            break;
        }
        sent += frames.len();
    }
    assert!(sent < 100_000_000, "it was never stopped");
    let mut client = Client::open(&daemon);
    let frame = client.frame("syslog", "fine");
    client.write(&frame);
    assert_eq!(client.answer(), "2 rsp 6 200 OK");
    daemon.stop(); // although it is still there
    drop(deaf);
}

#[test]
fn a_stop_answers_what_was_taken_in() {
    let dir = temp_dir();
    let mut daemon = TestDaemon::start(dir.path(), &RELP);
    let mut client = Client::open(&daemon);
    let frames: Vec<u8> = (0..500).flat_map(|n| client.frame("syslog", &format!("{{\"n\":{n}}}"))).collect();
    client.write(&frames);
    daemon.signal("TERM");
    for txnr in 2..=501 {
        assert_eq!(client.answer(), format!("{txnr} rsp 6 200 OK"));
    }
    assert_eq!(client.answer(), "0 serverclose 0");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.stderr());
    assert_eq!(lines(dir.path(), "logs").len(), 500);
}
