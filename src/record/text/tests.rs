//! Real and realistic lines of every shape against the records they must become, and the properties that hold for any line.

use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::TextReader;
use super::pattern::Patterns;
use crate::record::{Level, RejectReason, Timestamp};

/// When the lines of these tests were received: 2026-11-24T15:00:30Z.
const RECEIVED: Timestamp = Timestamp(1_795_532_430_000_000);

fn read_with(reader: &mut TextReader, line: &str) -> (Map<String, Value>, Level, Option<Timestamp>) {
    let mut out = Vec::new();
    let (level, time) = reader.write_record(&mut out, line.as_bytes(), RECEIVED, |meta, _| (meta.level, meta.time)).expect("UTF-8");
    let record = serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)));
    (record, level, time)
}

fn read(line: &str) -> Map<String, Value> {
    read_with(&mut TextReader::default(), line).0
}

/// The line again, by the rule of docs/FORMAT.md.
fn rebuild(record: &Map<String, Value>) -> String {
    let Some(layout) = record.get("layout") else { return record["message"].as_str().unwrap().to_owned() };
    let (mut rest, mut line) = (layout.as_str().unwrap(), String::new());
    while let Some(at) = rest.find('{') {
        line += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            line.push('{');
            rest = after;
            continue;
        }
        let (name, after) = rest.split_once('}').expect("closed");
        match &record[name] {
            Value::String(text) => line += text,
            other => line += &other.to_string(),
        }
        rest = after;
    }
    line + rest
}

/// The pairs of a golden file: a line, or several with `␤` between them, and the record it becomes.
fn golden() -> impl Iterator<Item = (String, &'static str)> {
    let mut lines = include_str!("tests/golden.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("## "));
    std::iter::from_fn(move || Some((lines.next()?.replace('␤', "\n"), lines.next().expect("a record behind each line"))))
}

#[test]
fn every_shape_becomes_its_record() {
    let mut wrong = 0;
    for (line, expected) in golden() {
        let mut out = Vec::new();
        TextReader::default().write_record(&mut out, line.as_bytes(), RECEIVED, |_, _| ()).unwrap();
        let found = String::from_utf8(out).unwrap();
        if found != expected {
            println!("{line}\n{found}\n  expected\n{expected}\n");
            wrong += 1;
        }
        assert_eq!(rebuild(&serde_json::from_str(&found).unwrap()), line);
    }
    assert_eq!(wrong, 0);
}

#[test]
fn golden_records_are_counted_as_they_are_read_again() {
    let (mut reader, mut scanner) = (TextReader::default(), crate::record::stored::StoredScanner::default());
    for (line, record) in golden() {
        let (_, level, time) = read_with(&mut reader, &line);
        assert_eq!(scanner.scan(record.as_bytes()), (level, time), "after a crash its level and time are the same: {line}");
    }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

#[test]
fn times_without_a_zone_are_of_the_configured_one() {
    // (zone, line, timestamp, layout), received at 15:00:30 UTC: 16:00:30 in Berlin, 04:00:30 of the next day in Auckland.
    for (name, line, timestamp, layout) in [
        ("Europe/Berlin", "2026-11-24 16:00:00,123 INFO x", "2026-11-24T15:00:00.123000Z", "2026-11-24 16:00:00,123 {level} {message}"),
        ("Europe/Berlin", "2026-07-24 16:00:00 INFO x", "2026-07-24T14:00:00.000000Z", "2026-07-24 16:00:00 {level} {message}"),
        ("Europe/Berlin", "2026-11-24 16:00:00 +0200 INFO x", "2026-11-24 16:00:00 +0200", "{timestamp} {level} {message}"),
        ("Europe/Berlin", "2026-11-24T16:00:00Z INFO x", "2026-11-24T16:00:00Z", "{timestamp} {level} {message}"),
        ("Europe/Berlin", "1795532400.5 x", "1795532400.5", "{timestamp} {message}"),
        ("Europe/London", "2026-11-24 15:00:00 INFO x", "2026-11-24 15:00:00", "{timestamp} {level} {message}"),
        ("Europe/London", "2026-07-24 15:00:00 INFO x", "2026-07-24T14:00:00.000000Z", "2026-07-24 15:00:00 {level} {message}"),
        ("Europe/Berlin", "Nov 24 16:00:00 web-1 cron: x", "2026-11-24T15:00:00.000000Z", "Nov 24 16:00:00 {host} {service}: {message}"),
        (
            "Europe/Berlin",
            "time=2026-11-24T16:00:00 level=info msg=x",
            "2026-11-24T15:00:00.000000Z",
            "time=2026-11-24T16:00:00 level=info msg={message}",
        ),
        (
            "Pacific/Auckland",
            "04:00:00.5 [main] INFO a.B - x",
            "2026-11-24T15:00:00.500000Z",
            "04:00:00.5 [{thread}] {level} {service} - {message}",
        ),
        ("Pacific/Auckland", "23:00:00 INFO x", "2026-11-24T10:00:00.000000Z", "23:00:00 {level} {message}"),
        ("Pacific/Auckland", "took 7 at 2026-11-25T04:00:00", "2026-11-24T15:00:00.000000Z", "took 7 at 2026-11-25T04:00:00"),
    ] {
        let mut patterns = Patterns::default();
        patterns.add(r"^took \d+ at (?<ts>\S+)$").unwrap();
        let mut reader = TextReader::new(zone(name)).with_patterns(patterns);
        let (record, _, time) = read_with(&mut reader, line);
        assert_eq!(record["timestamp"], timestamp, "{name}: {line}");
        assert_eq!(time, Timestamp::parse(timestamp), "{name}: {line}");
        assert_eq!(record.get("layout").unwrap_or(&record["message"]), layout, "{name}: {line}");
        assert_eq!(rebuild(&record), line);
    }
}

#[test]
fn what_is_not_utf_8_is_rejected() {
    let mut out = b"before\n".to_vec();
    assert_eq!(TextReader::default().write_record(&mut out, b"\xff", RECEIVED, |_, _| ()), Err(RejectReason::InvalidUtf8));
    assert_eq!(out, b"before\n");
}

#[test]
fn own_patterns_go_before_the_shapes() {
    let mut patterns = Patterns::default();
    patterns.add(r"^(?<ts>\S+) \((?<lvl>\w+)\) (?<unit>[a-z]+)\|(?<msg>.*)$").unwrap();
    patterns.add(r"^took (?<took>\d+)$").unwrap();
    let mut reader = TextReader::default().with_patterns(patterns);
    let (record, level, time) = read_with(&mut reader, "2026-11-24T15:00:00Z (wrn) pump|{pressure} \"low\"");
    assert_eq!((level, time), (Level::Warn, Some(Timestamp(1_795_532_400_000_000))));
    assert_eq!(
        serde_json::to_value(record).unwrap(),
        serde_json::json!({"timestamp": "2026-11-24T15:00:00Z", "level": "WARN", "message": "{pressure} \"low\"", "unit": "pump", "layout": "{timestamp} (wrn) {unit}|{message}"})
    );
    let record = read_with(&mut reader, "2026-11-24T15:00:00Z (wrn) pump|low\n  at 7").0;
    assert_eq!((&record["level"], &record["message"], &record["unit"]), (&"WARN".into(), &"low\n  at 7".into(), &"pump".into()));
    let record = read_with(&mut reader, "took 12\nand more").0;
    assert_eq!((&record["message"], &record["took"], record.get("layout")), (&"took 12\nand more".into(), &"12".into(), None));
    let record = read_with(&mut reader, "took 12").0;
    assert_eq!((&record["message"], &record["took"], record.get("layout")), (&"took 12".into(), &"12".into(), None));
    let record = read_with(&mut reader, "yesterday (info) pump|x").0;
    assert_eq!(
        (&record["timestamp"], &record["layout"]),
        (&"2026-11-24T15:00:30.000000Z".into(), &"yesterday (info) {unit}|{message}".into())
    );
    assert_eq!(read_with(&mut reader, "ERROR: other").0["level"], "ERROR", "what no pattern fits has its usual shape");
}

#[test]
fn patterns_that_can_not_be_are_refused() {
    for (pattern, words) in
        [("(?<message>.*", "character 1"), ("(.*)", "named groups"), ("(?<ts>.)(?<time>.)", "means"), ("(?<layout>.)", "another name")]
    {
        let said = Patterns::default().add(pattern).unwrap_err();
        assert!(said.contains(words), "{pattern}: {said}");
    }
}

#[test]
fn a_line_has_no_two_members_of_one_name() {
    for line in [
        "2026-11-24 15:00:00 INFO [7] x pid=8 pid=9 level=ERROR layout=no tags=no time=3",
        "level=info msg=a msg=b level=warn k=1 k=2 ts=2026-11-24T15:00:00Z time=2026-11-24T16:00:00Z",
        "192.0.2.1 - - [24/Nov/2026:15:00:00 +0000] \"GET / HTTP/1.1\" 200 5",
    ] {
        let mut out = Vec::new();
        TextReader::default().write_record(&mut out, line.as_bytes(), RECEIVED, |_, _| ()).unwrap();
        let text = String::from_utf8(out).unwrap();
        for name in read(line).keys() {
            assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name} in {text}");
        }
        assert_eq!(rebuild(&read(line)), line);
    }
}

proptest! {
    #[test]
    fn any_line_can_be_rebuilt(line in "(.|\n|\u{0}){0,100}") {
        prop_assert_eq!(rebuild(&read(&line)), line);
    }

    #[test]
    fn a_damaged_line_of_a_shape_can_be_rebuilt(which in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), with in "[\\[\\]{}\"=:, \\\\a-z0-9-]{0,4}", drop in 0..3usize) {
        let lines: Vec<String> = golden().map(|(line, _)| line).collect();
        let line = &lines[which.index(lines.len())];
        let mut at = cut.index(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        let rest: String = line[at..].chars().skip(drop).collect();
        let line = format!("{}{with}{rest}", &line[..at]);
        let record = read(&line);
        prop_assert_eq!(rebuild(&record), line);
    }

    #[test]
    fn in_any_zone_a_line_can_be_rebuilt_and_has_the_time_that_is_read_again(
        which in any::<prop::sample::Index>(),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland", "America/New_York"]),
    ) {
        let lines: Vec<String> = golden().map(|(line, _)| line).collect();
        let line = &lines[which.index(lines.len())];
        let mut out = Vec::new();
        let counted = TextReader::new(zone(name)).write_record(&mut out, line.as_bytes(), RECEIVED, |meta, _| (meta.level, meta.time)).unwrap();
        prop_assert_eq!(counted, crate::record::stored::StoredScanner::default().scan(&out));
        prop_assert_eq!(&rebuild(&serde_json::from_slice(&out).unwrap()), line);
    }

    #[test]
    fn words_of_all_shapes_in_any_order_can_be_rebuilt(words in prop::collection::vec(prop::sample::select(vec![
        "2026-11-24 15:00:00,123", "15:00:00.5", "[24/Nov/2026:15:00:00 +0000]", "Nov 24 15:00:00", "I1124 15:00:00.1", "INFO", "error:", "[main]", "[a:b@3]", "[",
        "-", "---", "|", ":", "123", "12#3:", "a.b.C:", "k=v", "k=\"a b\"", "k=\"a\\\"{\"", "k=", "msg=\"{x}\"", "level=info", "\"GET / HTTP/1.1\"", "200", "{x}", "{{", "é",
    ]), 0..9), glue in prop::sample::select(vec![" ", "", "  ", "\t", "\n"])) {
        let line = words.join(glue);
        prop_assert_eq!(rebuild(&read(&line)), line);
    }
}
