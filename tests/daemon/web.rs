//! What the dashboard is made of and asks for, over plain HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{PATIENCE, TestDaemon, lines_by_file, temp_dir};

/// As many dashboards as are told every second, and one more.
const DASHBOARDS: usize = 33;

/// Status, head and body of a GET with more headers.
fn get(daemon: &TestDaemon, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = open(daemon, path, headers);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head is text").to_ascii_lowercase();
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), head, answer[end + 4..].to_vec())
}

fn open(daemon: &TestDaemon, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.http).expect("HTTP accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").expect("sent");
    stream
}

fn json(daemon: &TestDaemon, path: &str) -> Value {
    let (status, body) = daemon.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn the_page_is_for_browsers_and_kept_by_them() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for (path, headers) in [("/", ""), ("/", browser), ("/metrics", browser)] {
        let (status, head, body) = get(&daemon, path, headers);
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/html") && body.starts_with(b"<!doctype html>"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'") && !head.contains("unsafe"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    assert!(get(&daemon, "/metrics", "Accept: text/plain\r\n").2.starts_with(b"# HELP"));
    let (_, head, plain) = get(&daemon, "/web/app.js", "");
    assert!(head.contains("content-type: text/javascript") && !plain.is_empty(), "{head}");
    let (_, _, small) = get(&daemon, "/web/app.js", "Accept-Encoding: gzip\r\n");
    assert!(small.len() < plain.len() && small.starts_with(b"\x1f\x8b"));
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_ascii_uppercase();
    // Hexadecimal digits are small in it; only the mark of weakness is not.
    let etag = etag.replace("W/", "").to_ascii_lowercase();
    assert_eq!(get(&daemon, "/web/app.js", &format!("If-None-Match: W/{etag}\r\n")).0, 304);
    for path in ["/web/", "/web/none.js", "/web/..%2fassets.rs", "/web/../../Cargo.toml"] {
        assert_eq!(get(&daemon, path, "").0, 404, "{path}");
    }
    daemon.stop();
}

#[test]
fn numbers_come_every_second_to_a_bounded_number_of_listeners() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
    daemon.send("{\"level\":\"WARN\",\"service\":\"auth\"}\n".repeat(100).as_bytes());
    let mut events = BufReader::new(open(&daemon, "/api/live", "")).lines().map_while(Result::ok);
    let mut next = |name: &str| -> Value {
        events.by_ref().find(|line| *line == format!("event: {name}")).expect("the event");
        let data = events.next().expect("its data");
        serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON")
    };
    let history = next("history");
    let names = history["names"].as_array().expect("names").clone();
    assert!(names.iter().any(|name| name == "received") && history["stats"]["ledger"]["received"] == 100, "{history}");
    daemon.send("{\"level\":\"WARN\"}\n".repeat(50).as_bytes());
    let received = names.iter().position(|name| name == "received").expect("a place");
    let mut sum = 0.0;
    for _ in 0..30 {
        let live = next("live");
        let sample = live["sample"].as_array().expect("a sample");
        assert_eq!(sample.len(), names.len());
        sum += sample[received].as_f64().expect("a number");
        if live["stats"]["ledger"]["received"] == 150 && sum > 0.0 {
            break;
        }
    }
    assert!(sum > 0.0, "a second's lines are in its sample");

    let others: Vec<TcpStream> = (1..DASHBOARDS - 1).map(|_| open(&daemon, "/api/live", "")).collect();
    for mut other in &others {
        other.read_exact(&mut [0; 12]).expect("it listens");
    }
    assert_eq!(get(&daemon, "/api/live", "").0, 429, "one too many");
    drop(others);
    daemon.wait_for("a place is free again", |daemon| {
        let mut begun = [0; 12];
        open(daemon, "/api/live", "").read_exact(&mut begun).is_ok() && begun.ends_with(b"200")
    });
    daemon.stop();
}

#[test]
fn segments_are_listed_and_sent_as_they_are() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--rotate-size", "50kB", "--compression", "zstd"]);
    let line = |n: usize| format!("{{\"timestamp\":\"2026-11-24T15:00:{:02}Z\",\"level\":\"INFO\",\"n\":{n}}}\n", n % 60);
    daemon.send((0..3_000).map(line).collect::<String>().as_bytes());
    daemon.send(b"{broken\n");
    daemon.wait_for("archives", |daemon| {
        daemon.stats()["store"]["archived_segments"].as_u64() > Some(2) && daemon.stats()["store"]["compress_queue"] == 0
    });
    let listed = json(&daemon, "/api/segments");
    let rows = listed["segments"].as_array().expect("rows");
    let lines = lines_by_file(dir.path(), "logs");
    let mut total = 0;
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        let (status, head, body) = get(&daemon, &format!("/api/segments/{name}"), "");
        assert_eq!(status, 200);
        assert!(head.contains("attachment; filename=") && body == std::fs::read(dir.path().join(name)).expect("read"), "{head}");
        if row["stream"] == "logs" {
            assert_eq!(row["lines"], lines[name].len(), "{row}");
            assert!(
                row["first"].as_str() >= Some("2026-11-24T15:00:00") && row["last"].as_str() <= Some("2026-11-24T15:00:59.000000Z"),
                "{row}"
            );
            total += row["lines"].as_u64().expect("a number");
        }
        let is_archive = name.ends_with(".zst");
        assert_eq!(row["state"] == "archived", is_archive);
        assert!(!is_archive || row["stored_bytes"].as_u64() < row["raw_bytes"].as_u64());
    }
    assert_eq!(total, 3_000);
    assert!(rows.iter().any(|row| row["stream"] == "rejected"));
    assert_eq!(json(&daemon, "/api/segments?stream=rejected&limit=1")["segments"].as_array().map(Vec::len), Some(1));
    daemon.stop();
}

#[test]
fn no_other_file_can_be_had() {
    let outside = temp_dir();
    std::fs::write(outside.path().join("secret.jsonl"), "secret\n").unwrap();
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    daemon.send(b"{\"a\":1}\n");
    // A name of ours that is a link to elsewhere is not in the listing.
    std::os::unix::fs::symlink(outside.path().join("secret.jsonl"), dir.path().join("logs_20261124_150000_000099.jsonl")).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "private\n").unwrap();
    let traversal = format!("..%2f{}%2fsecret.jsonl", outside.path().file_name().unwrap().to_str().unwrap());
    for name in [
        "logboom.lock",
        "logboom.format",
        "notes.txt",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        &traversal,
        "logs_20261124_150000_000099.jsonl",
        "logs.jsonl%00",
        ".",
    ] {
        let (status, _, body) = get(&daemon, &format!("/api/segments/{name}"), "");
        assert!(matches!(status, 400 | 404) && !body.windows(6).any(|six| six == b"secret"), "{name}: {status}");
    }
    for query in ["limit=0", "limit=1001", "stream=other", "before=x", "what=1"] {
        assert_eq!(daemon.get(&format!("/api/segments?{query}")).0, 400, "{query}");
    }
    daemon.stop();
}

#[test]
fn the_configuration_says_where_each_value_came_from() {
    let dir = temp_dir();
    let file = dir.path().join("logboom.toml");
    std::fs::write(&file, "[store]\nrotate_size = '7MB'\n").unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let daemon = TestDaemon::start(&data, &["--config", file.to_str().unwrap(), "--shards", "1"]);
    let config = json(&daemon, "/api/config");
    let settings = config["settings"].as_array().expect("settings");
    let setting = |key: &str| {
        settings.iter().find(|setting| setting["key"] == key).map(|setting| (setting["value"].clone(), setting["source"].clone()))
    };
    let is = |key: &str, value: &str, source: &str| assert_eq!(setting(key), Some((value.into(), source.into())));
    is("store.rotate_size", "7MB", "file");
    is("server.shards", "1", "flag");
    is("store.rotate_age", "1h", "default");
    let listening = config["listening"].as_array().expect("addresses");
    assert!(listening.iter().any(|one| one["protocol"] == "tcp" && one["address"] == daemon.tcp.to_string()), "{listening:?}");
    for endpoint in config["endpoints"].as_array().expect("endpoints") {
        let path = endpoint["path"].as_str().expect("a path");
        if !path.contains("NAME") {
            let mut status = [0; 12];
            open(&daemon, path, "").read_exact(&mut status).expect("an answer");
            assert!(!status.ends_with(b"404"), "{path}");
        }
    }
    daemon.stop();
}

#[test]
fn found_lines_come_as_json_and_csv_and_are_counted_by_time_and_level() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    daemon.send(b"{\"ts\":\"2026-11-24T15:00:01Z\",\"level\":\"warning\",\"app\":\"auth\",\"msg\":\"a, b\"}\n{\"ts\":\"2026-11-24T15:00:09Z\",\"level\":\"INFO\"}\n");
    let (_, rows) = daemon.get("/api/search?format=json&order=oldest");
    let first: Value = serde_json::from_str(body_line(&rows, "{")).expect("JSON");
    assert_eq!(
        (&first["time"], &first["level"], &first["service"]),
        (&"2026-11-24T15:00:01.000000Z".into(), &"WARN".into(), &"auth".into())
    );
    assert_eq!(first["record"]["msg"], "a, b");
    let (_, csv) = daemon.get("/api/search?format=csv&query=auth");
    assert!(csv.contains("time,level,service,message\r\n") && csv.contains("2026-11-24T15:00:01.000000Z,WARN,auth,\"a, b\"\r\n"), "{csv}");
    let counts = json(&daemon, "/api/search?by=10s&split=level");
    assert_eq!(
        counts["groups"],
        serde_json::json!([{ "value": "2026-11-24T15:00:00.000000Z", "count": 2, "levels": { "WARN": 1, "INFO": 1 } }])
    );
    assert_eq!(daemon.get("/api/search?by=service&split=level").0, 400);
    daemon.stop();
}

/// The first line that begins so: chunked encoding stands between.
fn body_line<'a>(body: &'a str, begin: &str) -> &'a str {
    body.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{body}"))
}
