use super::*;
use crate::record::stored::StoredScanner;
use proptest::prelude::*;
use serde_json::Value;

/// 2026-11-24T15:00:00Z.
const NOW: Timestamp = Timestamp(1_795_532_400_000_000);

fn written(line: &str) -> String {
    let mut out = Vec::new();
    let meta = SyslogReader::new(TimeZone::UTC).write_record(&mut out, line.as_bytes(), NOW).expect("accepted");
    let value: Value = serde_json::from_slice(&out).expect("a JSON record");
    assert_eq!(meta.service, value["service"].as_str(), "{line}");
    // Who reads the record again finds the level and the time that were counted.
    assert_eq!(StoredScanner::default().scan(&out), (meta.level, meta.time), "{line}");
    String::from_utf8(out).expect("UTF-8")
}

/// Lines and their records, from the RFCs, real programs' senders and devices' manuals. `NOW` stands for the time of receipt.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn golden() {
    let mut lines = GOLDEN.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut count = 0;
    while let (Some(line), Some(record)) = (lines.next(), lines.next()) {
        let line = line.replace("BOM", "\u{feff}");
        assert_eq!(written(&line), record.replace("NOW", "2026-11-24T15:00:00.000000Z"), "{line}");
        count += 1;
    }
    assert!(count > 50 && lines.next().is_none(), "{count}");
}

#[test]
fn only_what_is_not_utf8_is_rejected() {
    let mut out = Vec::new();
    let mut reader = SyslogReader::new(TimeZone::UTC);
    assert_eq!(reader.write_record(&mut out, b"<13>\xff", NOW), Err(RejectReason::InvalidUtf8));
    assert!(out.is_empty());
}

#[test]
fn too_many_parameters_are_text() {
    let data = format!("[a{}]", " x=\"\"".repeat(crate::limits::SYSLOG_PARAMS_MAX + 1));
    let record: Value = serde_json::from_str(&written(&format!("<13>1 - h a p m {data} text"))).unwrap();
    assert_eq!(record["message"], format!("{data} text"));
    assert_eq!(record["host"], "h");
}

/// A value with its three characters escaped (RFC 5424, section 6.3.3).
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

proptest! {
    #[test]
    fn every_part_of_an_rfc_5424_message_goes_round(
        priority in 0..192u8,
        words in prop::collection::vec("[!-~]{1,20}", 4),
        values in prop::collection::vec("(?s).{0,20}", 3),
        message in "(?s).{0,100}",
    ) {
        let params: String = ["a", "b", "b"].iter().zip(&values).map(|(name, value)| format!(" {name}=\"{}\"", escaped(value))).collect();
        let line = format!("<{priority}>1 2026-11-24T15:00:00+01:00 {} [id@1{params}][empty] {message}", words.join(" "));
        let record: Value = serde_json::from_str(&written(&line)).unwrap();
        for (name, word) in ["host", "service", "procid", "msgid"].iter().zip(&words) {
            prop_assert_eq!(record[*name].as_str(), Some(word.as_str()).filter(|word| *word != "-"));
        }
        let data = &record["structured_data"]["id@1"];
        prop_assert_eq!([&data["a"], &data["b"][0], &data["b"][1]].map(|value| value.as_str().unwrap()), [0, 1, 2].map(|at| values[at].as_str()));
        prop_assert_eq!(record["structured_data"]["empty"].as_object().unwrap().len(), 0);
        prop_assert_eq!(record["message"].as_str().unwrap(), message.strip_prefix('\u{feff}').unwrap_or(&message));
        prop_assert_eq!(record["timestamp"].as_str(), Some("2026-11-24T15:00:00+01:00"));
    }

    #[test]
    fn the_text_of_an_rfc_3164_message_goes_round(message in "(?s).{0,100}") {
        let record: Value = serde_json::from_str(&written(&format!("<13>Nov 24 15:00:00 host app[1]: {message}"))).unwrap();
        prop_assert_eq!(record["message"].as_str().unwrap(), message);
    }

    #[test]
    fn whatever_follows_the_priority_is_kept(line in "<13>(1 |Nov 24 |15:00:00 |2026-11-24T15:00:00Z |[ %:*\\[\\]\\-\"=\\\\a1é]|\u{feff}){0,12}") {
        let record: Value = serde_json::from_str(&written(&line)).unwrap();
        prop_assert!(line.ends_with(record["message"].as_str().unwrap()), "the message is the line's end");
    }

    #[test]
    fn nothing_panics(line in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut out = Vec::new();
        if SyslogReader::new(TimeZone::UTC).write_record(&mut out, &line, NOW).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
        }
    }
}
