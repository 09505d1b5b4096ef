//! What arrives is what is stored: formats, framing, rejects, and the ledger.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{TestDaemon, close, lines, records, temp_dir};

fn ledger(daemon: &TestDaemon) -> Value {
    daemon.stats()["ledger"].clone()
}

#[test]
fn json_lines_are_stored_byte_for_byte() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let sent = [
        r#"{"timestamp":"2026-11-24T15:00:00Z","level":"WARN","service":"auth","message":"plain"}"#,
        r#"  { "spaces" : [ 1 , 2.50 , -0 , 1e400 , 123456789012345678901234567890 ] }  "#,
        r#"{"escapes":"\"\\\/\b\f\n\r\té 😀","raw":"é 😀"}"#,
        r#"{"dup":1,"dup":2,"nested":{"level":"not mine","deep":[[[[{}]]]]}}"#,
        r#"{}"#,
    ];
    daemon.send((sent.join("\n") + "\n").as_bytes());
    daemon.stop();
    let stored: Vec<String> = lines(dir.path(), "logs").into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    assert_eq!(stored, sent);
}

#[test]
fn text_lines_become_records_with_the_whole_line_as_message() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let sent = [
        "no shape at all",
        "tabs\tand \"quotes\" and \\back\\slashes",
        "  leading and trailing  ",
        "\u{1b}[31mred\u{1b}[0m é 😀",
        "[not json",
        "42",
    ];
    daemon.send((sent.join("\n") + "\n").as_bytes());
    daemon.stop();
    let records = records(dir.path(), "logs");
    let messages: Vec<&str> = records.iter().map(|record| record["message"].as_str().unwrap()).collect();
    assert_eq!(messages, sent);
    for record in &records {
        let time = record["timestamp"].as_str().expect("a time");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn lf_crlf_and_nul_end_lines_and_empty_lines_are_none() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    daemon.send(b"unix\n\nwindows\r\n\r\nlast without newline");
    daemon.send(b"<14>python one\0<14>python two\nwith a second line\0");
    daemon.send(b"{\"message\":\"json one\"}\0{\n\t\"message\":\r\n\"json two\"}\0");
    daemon.stop();
    let messages: Vec<String> = records(dir.path(), "logs").iter().map(|record| record["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        messages,
        ["unix", "windows", "last without newline", "python one", "python two\nwith a second line", "json one", "json two"]
    );
}

#[test]
fn a_line_may_arrive_in_any_pieces() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let mut stream = daemon.connect();
    stream.set_nodelay(true).unwrap();
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(200));
    for byte in line.as_bytes() {
        stream.write_all(std::slice::from_ref(byte)).unwrap();
    }
    close(stream);
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs"), [line.trim_end().as_bytes()]);
}

#[test]
fn what_cannot_be_accepted_is_kept_with_its_reason_and_counted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--line-max", "1KiB"]);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"{\"good\":1}\n{\"bad\":}\n{\"cut\":\"\n");
    bytes.extend_from_slice(b"\xff\xfe not utf-8\n");
    bytes.extend_from_slice(&b"L".repeat(5_000));
    bytes.extend_from_slice(b"\n{\"good\":2}\n");
    let mut stream = daemon.connect();
    let peer = stream.local_addr().unwrap().to_string();
    stream.write_all(&bytes).unwrap();
    close(stream);
    let ledger = ledger(&daemon);
    daemon.stop();

    assert_eq!(lines(dir.path(), "logs"), [b"{\"good\":1}", b"{\"good\":2}"]);
    let rejected = records(dir.path(), "rejected");
    let reasons: Vec<&str> = rejected.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["invalid_json", "invalid_json", "invalid_utf8", "line_too_long"]);
    assert_eq!(rejected[0]["line"], "{\"bad\":}");
    assert_eq!(rejected[2]["line_base64"], "//4gbm90IHV0Zi04");
    assert_eq!(rejected[3]["line"], "L".repeat(1024));
    for record in &rejected {
        assert_eq!(record["peer"], peer.as_str());
        assert!(record["time"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(ledger["received"], 6);
    assert_eq!(ledger["written"], 2);
    assert_eq!(ledger["rejected"]["total"], 4);
    assert_eq!(ledger["rejected"]["invalid_json"], 2);
}

#[test]
fn a_pickle_sender_is_refused_safely() {
    // Python's SocketHandler: a 4-byte length, then a pickle. No line end anywhere, until the peer closes.
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let mut bytes = vec![0, 0, 0, 40, 0x80, 0x04, 0x95, 0xff, 0xfe];
    bytes.extend_from_slice(b"}q\x00(X\x04\x00\x00\x00nameq\x01X\x04\x00\x00\x00rootq\x02u.");
    daemon.send(&bytes);
    let ledger = ledger(&daemon);
    daemon.stop();
    let sum = ledger["written"].as_u64().unwrap() + ledger["rejected"]["total"].as_u64().unwrap();
    assert_eq!(ledger["received"].as_u64().unwrap(), sum);
    assert!(0 < ledger["rejected"]["invalid_utf8"].as_u64().unwrap(), "{ledger}");
}

#[test]
fn the_formats_json_and_text_take_every_line_as_such() {
    for (format, written, rejected) in [("json", 1, 1), ("text", 2, 0)] {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--format", format]);
        daemon.send(b"{\"a\":1}\nplain\n");
        let ledger = ledger(&daemon);
        daemon.stop();
        assert_eq!((&ledger["written"], &ledger["rejected"]["total"]), (&json!(written), &json!(rejected)), "{format}");
    }
}

#[test]
fn levels_and_services_are_counted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    daemon.send(
        b"{\"level\":\"warning\",\"service\":\"auth\"}\n{\"lvl\":\"ERR\",\"app\":\"auth\"}\n{\"severity\":4,\"logger\":\"pay\"}\nplain\n",
    );
    daemon.wait_for("services are published", |daemon| daemon.stats()["services"]["auth"] == 2);
    let stats = daemon.stats();
    daemon.stop();
    assert_eq!(stats["levels"]["WARN"], 2, "{stats}");
    assert_eq!(stats["levels"]["ERROR"], 1);
    assert_eq!(stats["levels"]["UNKNOWN"], 1);
    assert_eq!(stats["services"]["pay"], 1);
}

#[test]
fn long_lines_on_many_connections_all_arrive() {
    // More unfinished long lines than the shard has places for: they take turns, nobody starves, nothing is lost.
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--line-max", "8MiB"]);
    let line = format!("{{\"message\":\"{}\"}}\n", "y".repeat(3_000_000));
    let senders: Vec<_> = (0..12)
        .map(|_| {
            let (mut stream, line) = (daemon.connect(), line.clone());
            std::thread::spawn(move || {
                stream.write_all(line.as_bytes()).unwrap();
                close(stream);
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    daemon.stop();
    let stored = lines(dir.path(), "logs");
    assert_eq!(stored.len(), 12);
    assert!(stored.iter().all(|stored| stored == line.trim_end().as_bytes()));
}
