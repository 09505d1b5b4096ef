//! syslog and CSV as the daemon stores them, and how they come: framing, `--format`, rejects.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{TestDaemon, close, logboom, records, run, temp_dir};

fn members(records: &[Value], names: &[&str]) -> Vec<Value> {
    records.iter().map(|record| names.iter().map(|name| record[*name].clone()).collect()).collect()
}

#[test]
fn one_connection_may_mix_formats() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--timezone", "Europe/Berlin"]);
    daemon.send(
        b"{\"level\":\"WARN\",\"service\":\"json\",\"message\":\"a\"}\n<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - b\n<11>Nov 24 2026 15:00:00 host app[7]: c\nd\n",
    );
    daemon.wait_for("services are published", |daemon| daemon.stats()["services"]["app"] == 1);
    let stats = daemon.stats();
    daemon.stop();
    let found = members(&records(dir.path(), "logs"), &["timestamp", "level", "service", "message", "host", "severity"]);
    assert_eq!(found[0], json!([null, "WARN", "json", "a", null, null]));
    assert_eq!(found[1], json!(["2003-10-11T22:14:15.003Z", "FATAL", "su", "b", "mymachine", "crit"]));
    assert_eq!(found[2], json!(["2026-11-24T15:00:00+01:00", "ERROR", "app", "c", "host", "err"]));
    assert_eq!(found[3][3], "d");
    assert_eq!((&stats["levels"]["FATAL"], &stats["levels"]["ERROR"], &stats["services"]["su"]), (&json!(1), &json!(1), &json!(1)));
}

#[test]
fn counted_messages_arrive_in_any_pieces_and_a_wrong_count_costs_none() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let mut stream = daemon.connect();
    stream.set_nodelay(true).unwrap();
    for byte in b"12 <13>line one\n13 <13>line\ntwo!8 <13>four7 <13>six" {
        stream.write_all(std::slice::from_ref(byte)).unwrap();
    }
    close(stream);
    let stats = daemon.stats();
    daemon.stop();
    let found = members(&records(dir.path(), "logs"), &["message", "severity"]);
    assert_eq!(json!(found), json!([["line one", "notice"], ["line\ntwo!", "notice"], ["four", "notice"], ["six", "notice"]]));
    assert_eq!(stats["connections"]["octet_counts_wrong"], 0, "{stats}");

    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--format", "syslog"]);
    daemon.send(b"8 <13>fourX8 <13>five99 <13>nine\n7 <13>six");
    let stats = daemon.stats();
    daemon.stop();
    let messages = members(&records(dir.path(), "logs"), &["message"]);
    assert_eq!(json!(messages), json!([["four"], ["X"], ["five"], ["nine"], ["six"]]));
    assert_eq!(stats["connections"]["octet_counts_wrong"], 3, "{stats}");
}

#[test]
fn csv_lines_become_records_by_their_columns() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--format", "csv"]);
    let text = "ts,level,app,msg,user\r\n2026-11-24T15:00:00Z,warning,auth,\"a \"\"b\"\", c\r\nd\",u1\r\nragged,line\r\n,,,,\r\n";
    let mut stream = daemon.connect();
    let peer = stream.local_addr().unwrap().to_string();
    for piece in text.as_bytes().chunks(5) {
        stream.write_all(piece).unwrap();
    }
    close(stream);
    daemon.send(b"message\nanother connection has another header\n");
    let ledger = daemon.stats()["ledger"].clone();
    daemon.stop();
    let found = records(dir.path(), "logs");
    let first = json!({"timestamp":"2026-11-24T15:00:00Z","level":"WARN","service":"auth","message":"a \"b\", c\r\nd","user":"u1"});
    assert_eq!(found[0], first);
    assert_eq!(found[1]["message"], "");
    assert!(found[1]["timestamp"].as_str().unwrap().ends_with('Z'), "the time of receipt");
    assert_eq!(found[2]["message"], "another connection has another header");
    assert_eq!((&ledger["received"], &ledger["written"], &ledger["rejected"]["csv_ragged"]), (&json!(4), &json!(3), &json!(1)), "{ledger}");
    let rejected = records(dir.path(), "rejected");
    assert_eq!(members(&rejected, &["peer", "reason", "line"]), [json!([peer, "csv_ragged", "ragged,line"])]);
}

#[test]
fn configured_columns_make_every_line_a_record_and_an_open_quote_costs_no_line() {
    let dir = temp_dir();
    let args = ["--shards", "1", "--format", "csv", "--csv-columns", "a,message", "--line-max", "1KiB"];
    let daemon = TestDaemon::start(dir.path(), &args);
    let mut bytes = b"a,message\n1,\"open\n".to_vec();
    let lines: Vec<String> = (0..200).map(|n| format!("{n},line {n}")).collect();
    bytes.extend_from_slice((lines.join("\n") + "\n").as_bytes());
    daemon.send(&bytes);
    daemon.stop();
    let messages: Vec<Value> = records(dir.path(), "logs").into_iter().map(|record| record["message"].clone()).collect();
    let expected: Vec<Value> =
        ["message".to_owned(), "open".to_owned()].into_iter().chain((0..200).map(|n| format!("line {n}"))).map(Value::from).collect();
    assert_eq!(messages, expected);
}

#[test]
fn every_format_does_what_it_says() {
    // What one connection's three lines become: written, rejected.
    for (format, written, rejected) in [("auto", 3, 0), ("json", 1, 2), ("text", 3, 0), ("csv", 0, 2), ("syslog", 3, 0)] {
        let checked =
            run(std::process::Command::new(logboom()).args(["check", "--http", "off", "--listen", "127.0.0.1:0", "--format", format]));
        assert!(String::from_utf8_lossy(&checked.stdout).contains(format), "{format}");
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--format", format]);
        daemon.send(b"{\"a\":1}\n<13>Nov 24 15:00:00 h app: x, y\n1,2,3\n");
        let ledger = daemon.stats()["ledger"].clone();
        daemon.stop();
        assert_eq!((&ledger["written"], &ledger["rejected"]["total"]), (&json!(written), &json!(rejected)), "{format}: {ledger}");
        let stored = records(dir.path(), "logs");
        if format == "syslog" {
            assert_eq!(stored[0]["message"], "{\"a\":1}");
            assert_eq!(stored[1]["service"], "app");
        }
    }
}
