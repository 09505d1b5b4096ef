//! `logboom search` as users run it: the real binary on directories that the real daemon wrote.
#![allow(unreachable_pub, reason = "the harness is shared by several test binaries")]
#![allow(dead_code, reason = "and not all of it is used here")]

#[path = "daemon/harness.rs"]
mod harness;
#[path = "search/many.rs"]
mod many;
#[path = "daemon/relp_client.rs"]
mod relp_client;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{TestDaemon, lines, lines_by_file, logboom, run, temp_dir};

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

fn search(dir: &Path, args: &[&str]) -> Answer {
    let output = run(Command::new(logboom()).args(["search", "--data-dir"]).arg(dir).args(args));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn log_line(n: usize) -> String {
    let level = ["INFO", "INFO", "WARN", "ERROR"][n % 4];
    let service = ["auth", "payment", "api"][n % 3];
    let (minute, second) = (n / 60 % 60, n % 60);
    format!(
        "{{\"timestamp\":\"2026-11-24T15:{minute:02}:{second:02}Z\",\"level\":\"{level}\",\"service\":\"{service}\",\"message\":\"request r{n}x done\",\"n\":{n}}}\n"
    )
}

/// A daemon with archived, sealed and open segments of 3,000 lines.
fn filled(dir: &Path, flags: &[&str]) -> TestDaemon {
    let daemon = TestDaemon::start(dir, &[&["--rotate-size", "50kB"], flags].concat());
    let text: String = (0..3_000).map(log_line).collect();
    daemon.send(text.as_bytes());
    daemon
}

fn sorted(out: &str) -> Vec<String> {
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_found_is_what_a_naive_scan_finds_with_and_without_a_daemon() {
    for (compression, index) in [("gzip", "on"), ("zstd", "on"), ("zstd", "off"), ("none", "on")] {
        let dir = temp_dir();
        let daemon = filled(dir.path(), &["--shards", "2", "--compression", compression, "--index", index]);
        let check = |while_running: bool| {
            for (query, wanted) in [
                ("done", &(|_: &str| true) as &dyn Fn(&str) -> bool),
                ("R1234X", &|line| line.contains("r1234x ")),
                ("level>=warn service:auth", &|line| (line.contains("WARN") || line.contains("ERROR")) && line.contains("\"auth\"")),
                ("n<10 OR /r299\\dx/", &|line| {
                    let n: usize = line.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
                    n < 10 || (2_990..3_000).contains(&n)
                }),
            ] {
                let answer = search(dir.path(), &[query]);
                let all = (0..3_000).map(|n| log_line(n).trim_end().to_owned());
                let mut expected: Vec<String> = all.filter(|line| wanted(line)).collect();
                let in_order = expected.clone();
                expected.sort();
                assert_eq!((answer.code, &answer.err[..]), (Some(0), ""), "{query}");
                assert_eq!(sorted(&answer.out), expected, "{query} ({compression}, index {index}, running: {while_running})");
                assert_eq!(answer.out.lines().collect::<Vec<_>>(), in_order, "oldest first");
                let count = search(dir.path(), &["--count", query]);
                assert_eq!(count.out, format!("{}\n", expected.len()));
            }
        };
        check(true);
        daemon.stop();
        check(false);
        assert!(lines_by_file(dir.path(), "logs").len() > 5, "several segments");
        if compression != "none" {
            let has_filter = |path: &Path| std::fs::read(path).unwrap().windows(4).any(|tag| tag == b"FLTR");
            let metas = harness::names(dir.path()).into_iter().filter(|name| name.ends_with(".meta"));
            // Segments as small as these may compress too well for a filter within its share of them.
            let with = metas.filter(|name| has_filter(&dir.path().join(name))).count();
            assert_eq!(with > 0, index == "on", "{compression}, index {index}: {with}");
        }
    }
}

#[test]
fn every_line_is_found_once_while_segments_are_sealed_and_archived() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--rotate-size", "20kB", "--compression", "zstd"]);
    let text: String = (0..40_000).map(log_line).collect();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| daemon.send(text.as_bytes()));
        let mut counted = Vec::new();
        while !sending.is_finished() {
            let answer = search(dir.path(), &["done"]);
            assert_eq!(answer.err, "");
            let mut numbers: Vec<&str> = answer.out.lines().map(|line| line.rsplit_once(':').expect("n").1).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "no line twice");
            counted.push(all);
        }
        assert!(counted.is_sorted(), "what was found once is found again: {counted:?}");
    });
    assert_eq!(search(dir.path(), &["--count", "done"]).out, "40000\n");
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs").len(), 40_000);
}

#[test]
fn limits_orders_ranges_and_groups() {
    let dir = temp_dir();
    let daemon = filled(dir.path(), &["--shards", "1"]);
    let n = |answer: &Answer| -> Vec<usize> {
        answer.out.lines().map(|line| line.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap()).collect()
    };
    assert_eq!(n(&search(dir.path(), &["--newest", "--limit", "3"])), [2_999, 2_998, 2_997]);
    assert_eq!(n(&search(dir.path(), &["--oldest", "--limit", "2", "level:warn"])), [2, 6]);
    let range = ["--since", "2026-11-24T15:10", "--until", "2026-11-24T15:10:02", "done"];
    assert_eq!(n(&search(dir.path(), &range)), [600, 601, 602]);
    let by = |what: &str, query: &str| search(dir.path(), &["--by", what, "--format", "csv", query]).out;
    assert_eq!(by("level", "*"), "level,count\r\nINFO,1500\r\nWARN,750\r\nERROR,750\r\n");
    assert_eq!(
        by("service", "n<5"),
        "service,count\r\napi,1\r\nauth,2\r\npayment,2\r\n".replace("api,1\r\nauth,2\r\npayment,2", "auth,2\r\npayment,2\r\napi,1")
    );
    assert_eq!(by("minute", "n<61"), "minute,count\r\n2026-11-24T15:00:00.000000Z,60\r\n2026-11-24T15:01:00.000000Z,1\r\n");
    assert_eq!(by("tag", "n<3"), "tag,count\r\n(none),3\r\n");
    assert_eq!(
        by("20s", "n<61"),
        "20s,count\r\n2026-11-24T15:00:00.000000Z,20\r\n2026-11-24T15:00:20.000000Z,20\r\n2026-11-24T15:00:40.000000Z,20\r\n2026-11-24T15:01:00.000000Z,1\r\n"
    );
    assert_eq!(by("n", "n<2"), "n,count\r\n0,1\r\n1,1\r\n", "any field");
    let many = by("message", "*");
    assert_eq!(many.lines().count(), 1 + 3_000);
    let refused = search(dir.path(), &["--by", "0s"]);
    assert!(refused.code == Some(2) && refused.err.contains("at least 1ms"), "{}", refused.err);
    daemon.stop();
}

#[test]
fn formats_and_streams() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &[]);
    daemon.send(b"{\"ts\":0,\"level\":\"warn\",\"service\":\"auth\",\"message\":\"a, \\\"b\\\"\\u001b[31m\"}\n{\"broken\nplain text\n");
    let format = |format: &str, query: &str| search(dir.path(), &["--format", format, query]).out;
    assert_eq!(
        format("raw", "service:auth"),
        "{\"ts\":0,\"level\":\"warn\",\"service\":\"auth\",\"message\":\"a, \\\"b\\\"\\u001b[31m\"}\n"
    );
    assert_eq!(
        format("csv", "service:auth"),
        "time,level,service,message\r\n1970-01-01T00:00:00.000000Z,WARN,auth,\"a, \"\"b\"\"\u{1b}[31m\"\r\n"
    );
    assert_eq!(format("table", "service:auth"), "1970-01-01T00:00:00.000000Z  WARN     auth          a, \"b\"␣[31m\n");
    let json: serde_json::Value = serde_json::from_str(&format("json", "service:auth")).unwrap();
    assert_eq!((&json["level"], &json["service"], &json["record"]["ts"]), (&"WARN".into(), &"auth".into(), &0.into()));
    let rejected = search(dir.path(), &["--stream", "rejected", "reason:invalid_json"]);
    assert!(rejected.code == Some(0) && rejected.out.contains("broken"), "{}", rejected.out);
    assert_eq!(search(dir.path(), &["--count", "plain"]).out, "1\n");
    daemon.stop();
}

#[test]
fn what_was_rejected_is_found_however_it_came() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &[&relp_client::RELP[..], &["--line-max", "2KiB"]].concat());
    let mut client = relp_client::Client::open(&daemon);
    client.send(&["{\"broken by\": relp", "{\"whole\": true}"]);
    client.answered_since(1);
    daemon.send(b"<34>1 2026-11-24T15:00:00Z host su - - - not \xff UTF-8\n");
    daemon.send(format!("too long {}\n", "x".repeat(3_000)).as_bytes());
    let found = |query: &str| search(dir.path(), &["--stream", "rejected", "--format", "json", query]).out;
    let reason = |query: &str| {
        let found = found(query);
        let record: serde_json::Value = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{query}: {error}: {found}"));
        record["record"]["reason"].as_str().expect("a reason").to_owned()
    };
    assert_eq!(reason("\"broken by\""), "invalid_json");
    assert_eq!(reason("line:relp"), "invalid_json");
    assert_eq!(reason("reason=invalid_utf8"), "invalid_utf8");
    assert_eq!(reason("\"too long\" bytes>=2048"), "line_too_long");
    assert_eq!(found("whole"), "");
    assert_eq!(search(dir.path(), &["--stream", "rejected", "--count"]).out, "3\n");
    let table = search(dir.path(), &["--stream", "rejected", "--format", "table", "relp"]).out;
    assert!(table.ends_with("{\"broken by\": relp\n") && table.lines().count() == 1, "{table}");
    drop(client);
    daemon.stop();

    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--format", "csv"]);
    daemon.send(b"timestamp,level,message\n2026-11-24T15:00:00Z,WARN,whole\nragged,line\n");
    let ragged = search(dir.path(), &["--stream", "rejected", "reason:csv_ragged line:ragged"]);
    assert!(ragged.code == Some(0) && ragged.out.contains("\"line\":\"ragged,line\""), "{}", ragged.out);
    assert_eq!(search(dir.path(), &["--count", "level:warn whole"]).out, "1\n");
    daemon.stop();
}

#[test]
fn text_lines_are_found_as_they_came_and_by_their_tags() {
    let dir = temp_dir();
    let rules = ["--tag", "payment=service:pay.*", "--tag", "slow=took=[0-9]{3}", "--exclude", "level=DEBUG", "--compression", "zstd"];
    let daemon = TestDaemon::start(dir.path(), &[&["--rotate-size", "20kB"], &rules[..]].concat());
    let filler: String = (0..300).map(|n| format!("2026-11-24 15:00:00,{n:03} INFO [auth] login of user{n} failed\n")).collect();
    let lines = "2026-11-24 15:00:01,250 WARNING [pay] card declined took=250ms\n\
                 2026-11-24 15:00:02,000 DEBUG [pay] unseen\n\
                 {\"service\":\"payments\",\"message\":\"took=9ms\",\"tags\":[\"own\"]}\n";
    daemon.send(filler.as_bytes());
    daemon.send(lines.as_bytes());
    let count = |query: &str| search(dir.path(), &["--count", "--", query]).out.trim().to_owned();
    for (query, expected) in [
        ("\"15:00:01,250 WARNING [pay] card\"", "1"),
        ("\"WARNING [pay]\"", "1"),
        ("level:warn service:pay", "1"),
        ("\"INFO [auth] login\"", "300"),
        ("\"INFO [auth] login of user17 failed\"", "1"),
        ("\"[auth] card\"", "0"),
        ("/^2026-11-24 15:00:0[12].* card/", "1"),
        ("-\"[auth] login\"", "2"),
        ("tag:payment", "2"),
        ("tag:slow", "1"),
        ("tag:own", "1"),
        ("tag:payment -tag:slow", "1"),
        ("unseen", "0"),
    ] {
        assert_eq!(count(query), expected, "{query}");
    }
    let raw = search(dir.path(), &["\"[pay] card declined\""]).out;
    assert!(raw.contains("\"layout\":\"{timestamp} WARNING [{service}] {message}\",\"tags\":[\"payment\",\"slow\"]"), "{raw}");
    assert_eq!(
        search(dir.path(), &["--format", "line", "tag:payment"]).out,
        "2026-11-24 15:00:01,250 WARNING [pay] card declined took=250ms\n\
         {\"service\":\"payments\",\"message\":\"took=9ms\",\"tags\":[\"own\",\"payment\"]}\n"
    );
    let tags = search(dir.path(), &["--by", "tag", "--format", "csv"]).out;
    assert!(["payment,2\r\n", "slow,1\r\n", "own,1\r\n", "(none),300\r\n"].iter().all(|row| tags.contains(row)), "{tags}");
    daemon.stop();
}

#[test]
fn exit_codes_are_those_of_grep_and_errors_point_at_the_column() {
    let dir = temp_dir();
    let daemon = filled(dir.path(), &[]);
    assert_eq!(search(dir.path(), &["r7x"]).code, Some(0));
    let none = search(dir.path(), &["nowhere"]);
    assert_eq!((none.code, &none.out[..], &none.err[..]), (Some(1), "", ""));
    assert_eq!(search(dir.path(), &["--count", "nowhere"]).code, Some(1));
    let wrong = search(dir.path(), &["done (level:loud"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("\n  done (level:loud\n              ^"), "{}", wrong.err);
    assert_eq!(search(dir.path(), &["--since", "yesterday", "x"]).code, Some(2));
    assert_eq!(search(dir.path(), &["--nonsense", "x"]).code, Some(2));
    assert_eq!(search(&dir.path().join("missing"), &["x"]).code, Some(2));
    assert_eq!(search(dir.path(), &["--", "-done"]).code, Some(1));
    daemon.stop();
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let dir = temp_dir();
    let daemon = filled(dir.path(), &[]);
    let mut child = Command::new(logboom())
        .args(["search", "--data-dir"])
        .arg(dir.path())
        .arg("done")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
    assert!(first.contains("r0x"));
    daemon.stop();
}

#[test]
fn over_http_lines_and_counts_are_those_of_the_shell() {
    let dir = temp_dir();
    let daemon = filled(dir.path(), &["--shards", "2", "--compression", "zstd"]);
    daemon.send(b"{broken\n");
    let ok = |parameters: &str| {
        let (status, body) = get_dechunked(&daemon, &format!("/api/search?{parameters}"));
        assert_eq!(status, 200, "{parameters}: {body}");
        body
    };
    assert_eq!(ok("query=level%3E%3Dwarn+service:auth&order=oldest"), search(dir.path(), &["level>=warn service:auth"]).out);
    assert_eq!(ok("query=done&limit=3"), search(dir.path(), &["--newest", "--limit", "3", "done"]).out);
    assert_eq!(ok("query=done").lines().count(), 1_000, "the limit that nobody set");
    assert_eq!(ok("limit=100000").lines().count(), 3_000);
    assert_eq!(ok("query=nowhere"), "");
    assert!(ok("stream=rejected&query=reason:invalid_json").contains("{broken"));
    let range = "since=2026-11-24T15:10&until=2026-11-24T15:10:29";
    let json = |parameters: &str| serde_json::from_str::<serde_json::Value>(&ok(parameters)).expect("JSON");
    assert_eq!(json(&format!("count=true&{range}"))["total"], 30);
    let by = json(&format!("by=10s&{range}"));
    let buckets: Vec<_> =
        by["groups"].as_array().unwrap().iter().map(|group| (group["value"].as_str().unwrap(), &group["count"])).collect();
    let ten = serde_json::json!(10);
    assert_eq!(
        buckets,
        ["00", "10", "20"].map(|s| format!("2026-11-24T15:10:{s}.000000Z")).iter().map(|value| (&value[..], &ten)).collect::<Vec<_>>()
    );
    let by = json("by=n&query=n%3C3");
    assert_eq!(by["groups"], serde_json::json!(["0", "1", "2"].map(|n| serde_json::json!({ "value": n, "count": 1 }))), "by any field");
    let levels = json("by=level");
    assert_eq!((&levels["total"], &levels["complete"], &levels["damaged"]), (&3_000.into(), &true.into(), &serde_json::json!([])));
    assert_eq!(levels["groups"][0], serde_json::json!({ "value": "INFO", "count": 1_500 }));

    for (parameters, column) in [
        ("query=done+(level:loud", Some(13)),
        ("limit=0", None),
        ("limit=many", None),
        ("since=yesterday", None),
        ("by=0s", None),
        ("q=x", None),
    ] {
        let (status, body) = get_dechunked(&daemon, &format!("/api/search?{parameters}"));
        let error: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{parameters}: {body}"));
        assert_eq!((status, error["column"].as_u64()), (400, column), "{parameters}: {body}");
        assert!(error["error"].is_string(), "{body}");
    }
    let ended = daemon.stats()["searches"].clone();
    assert_eq!((&ended["running"], &ended["ended"]["failed"], &ended["ended"]["cancelled"]), (&0.into(), &0.into(), &0.into()), "{ended}");
    daemon.stop();
}

#[test]
fn over_http_few_search_at_once_and_who_leaves_ends_the_work() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--compression", "zstd"]);
    let padding = "x".repeat(2_000);
    let text: String = (0..25_000).map(|n| format!("{{\"n\":{n},\"padding\":\"{padding}\"}}\n")).collect();
    daemon.send(text.as_bytes());
    let stats = || daemon.stats()["searches"].clone();
    // More than the sockets' buffers hold, and nobody reads. The kernel ends such connections after a while, so it may take a second try on a slow machine.
    let refused = (0..20).any(|_| {
        let greedy = ["/api/search?limit=100000", "/api/search?limit=100000&query=padding"].map(|path| {
            let mut stream = std::net::TcpStream::connect(daemon.http).expect("the kernel accepts");
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            stream
        });
        let both = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            stats()["running"] == 2
        });
        let (status, body) = daemon.get("/api/search?query=1");
        drop(greedy);
        both && status == 429 && body.contains("too many")
    });
    assert!(refused, "a third search runs: {}", stats());
    daemon.wait_for("searches to end that nobody reads", |_| stats()["running"] == 0);
    let ended = stats();
    assert!(ended["ended"]["cancelled"].as_u64() >= Some(2) && ended["ended"]["complete"].as_u64() <= Some(20), "{ended}");
    assert!(ended["refused"].as_u64() >= Some(1), "{ended}");
    assert_eq!(get_dechunked(&daemon, "/api/search?query=n:7").0, 200, "their places are free");
    daemon.stop();
}

#[test]
fn over_http_an_answer_that_is_cut_short_does_not_look_whole() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--compression", "zstd"]);
    let line = format!("{{\"padding\":\"{}\"}}\n", "x".repeat(20_000));
    for _ in 0..4 {
        daemon.send(line.repeat(1_000).as_bytes()); // 80 MB
    }
    let answer = raw(&daemon, "/api/search?limit=100000");
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..answer.len().min(300)]);
    assert!(!answer.ends_with("0\r\n\r\n") && answer.len() > 60_000_000, "{} bytes", answer.len());
    assert_eq!(daemon.stats()["searches"]["ended"]["bytes"], 1);
    daemon.stop();
}

/// The whole answer, as it comes.
fn raw(daemon: &TestDaemon, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(daemon.http).expect("HTTP accepts");
    stream.set_read_timeout(Some(harness::PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Status and body of an answer that may come in chunks (RFC 9112, section 7.1), and must be whole.
fn get_dechunked(daemon: &TestDaemon, path: &str) -> (u16, String) {
    let answer = raw(daemon, path);
    let (head, mut rest) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    if !head.contains("transfer-encoding: chunked") {
        return (status, rest.to_owned());
    }
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").expect("a whole answer");
        let size = usize::from_str_radix(size, 16).expect("a size");
        body += &after[..size];
        rest = after[size..].strip_prefix("\r\n").expect("a chunk's end");
        if size == 0 {
            return (status, body);
        }
    }
}
