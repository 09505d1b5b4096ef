use std::sync::LazyLock;

use super::*;
use proptest::prelude::*;

const FORMATS: [Format; 3] = [Format::Json, Format::Csv, Format::Text];

static PAYLOADS: LazyLock<[Payload; 3]> = LazyLock::new(|| FORMATS.map(|format| Payload::new(11, format)));

fn payload(format: Format) -> &'static Payload {
    PAYLOADS.iter().find(|payload| payload.format() == format).expect("one of each format")
}

fn any_id() -> impl Strategy<Value = LineId> {
    (0..slots::CLIENTS_MAX, prop_oneof![0..100_000u64, 0..slots::LINES_MAX]).prop_map(|(client, seq)| LineId { client, seq })
}

fn stamp() -> Stamp {
    Stamp::at(1_795_532_400_123)
}

fn batch(payload: &Payload, client: u32, seq: u64, lines: usize) -> Vec<u8> {
    let mut out = Vec::new();
    payload.append(&mut out, client, seq, lines, &stamp());
    out
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for format in FORMATS {
        let (a, b, other) = (Payload::new(5, format), Payload::new(5, format), Payload::new(6, format));
        assert_eq!(batch(&a, 3, 990, 2020), batch(&b, 3, 990, 2020));
        assert_ne!(batch(&a, 3, 990, 20), batch(&other, 3, 990, 20));
    }
}

#[test]
fn a_line_never_changes() {
    // If this fails, manifests written by older builds can no longer be verified: change the manifest's version too.
    let line = Payload::new(5, Format::Json).line(LineId { client: 12, seq: 34_567 }, &stamp());
    assert_eq!(
        String::from_utf8(line).unwrap(),
        r#"{"timestamp":"2026-11-24T15:00:00.123557Z","level":"INFO","service":"search","message":"'lantern' found 10 items","user_id":"u-213","session_token":"0808dbab0bdc","request":"GET /search/26001","latency_ms":23.715,"event_id":"a389c35a-0012-000000034567"}"#
    );
}

#[test]
fn no_body_comes_back_within_a_cycle() {
    let payload = Payload::new(1, Format::Text);
    let lines = batch(&payload, 0, 0, BLOCKS * BLOCK_LINES);
    let bodies: std::collections::HashSet<&[u8]> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| &line[STAMP_BYTES + 4..line.len() - ID_BYTES])
        .collect();
    assert!(BLOCKS * BLOCK_LINES - 20 <= bodies.len(), "{} distinct bodies", bodies.len());
    assert!(2 << 20 <= lines.len());
}

#[test]
fn a_json_line_has_the_size_of_a_real_one() {
    let mean = Payload::new(1, Format::Json).line_bytes_mean();
    assert!((254.0..264.0).contains(&mean), "{mean}");
}

#[test]
fn every_json_line_is_an_object_with_its_fields() {
    let payload = Payload::new(9, Format::Json);
    for line in batch(&payload, 7, 0, BLOCKS * BLOCK_LINES).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let object: serde_json::Value = serde_json::from_slice(line).unwrap();
        for key in ["timestamp", "level", "service", "message", "user_id", "session_token", "request", "event_id"] {
            assert!(object[key].is_string(), "{key} in {object}");
        }
        assert!(object["latency_ms"].is_number());
        object["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
}

#[test]
fn every_csv_line_has_the_headers_columns() {
    let payload = Payload::new(9, Format::Csv);
    let mut text = Format::Csv.header().to_vec();
    payload.append(&mut text, 7, 0, BLOCKS * BLOCK_LINES, &stamp());
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_slice());
    let columns = reader.headers().unwrap().len();
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
    assert_eq!(records.len(), BLOCKS * BLOCK_LINES);
    assert!(records.iter().all(|record| record.len() == columns));
    assert!(records.iter().any(|record| record[3].contains(',')), "quoting is exercised");
}

#[test]
fn no_text_needs_escaping() {
    let lines = batch(&Payload::new(9, Format::Text), 0, 0, BLOCKS * BLOCK_LINES);
    let quotes = lines.iter().filter(|byte| **byte == b'"').count();
    assert_eq!(quotes, 2 * BLOCKS * BLOCK_LINES, "only those around the request");
    assert!(!lines.contains(&b'\\') && lines.is_ascii());
}

#[test]
fn stored_forms_are_recognised() {
    for format in FORMATS {
        let payload = Payload::new(5, format);
        let id = LineId { client: 12, seq: 34_567 };
        let line = payload.line(id, &stamp());
        let text = String::from_utf8(line.clone()).unwrap();
        let wrapped = serde_json::json!({"timestamp": "2026-11-24T15:00:00.000000Z", "message": text}).to_string();
        assert_eq!(payload.judge(wrapped.as_bytes()), Judgement::Intact(id));
        let (head, tail) = text.split_at(40);
        let laid_out = |tail: &str| serde_json::json!({"a": head, "b": tail, "n": 7, "layout": "{a}{b}"}).to_string();
        assert_eq!(payload.judge(laid_out(tail).as_bytes()), Judgement::Intact(id));
        assert_ne!(payload.judge(laid_out(&tail.replacen(' ', "  ", 1).replacen(',', ";", 1)).as_bytes()), Judgement::Intact(id));
        if format == Format::Json {
            let tagged = text.replace("\"}", "\",\"tags\":[\"auth\",\"slow\"]}");
            assert_eq!(payload.judge(tagged.as_bytes()), Judgement::Intact(id));
        }
        assert_eq!(payload.judge(&line[..line.len() - 10]), Judgement::Garbled);
        assert_eq!(payload.judge(&Payload::new(6, format).line(id, &stamp())), Judgement::Other);
        assert_eq!(payload.judge(b""), Judgement::Other);
        let moved = payload.line(LineId { client: 13, ..id }, &stamp());
        let swapped = [&line[..line.len() - ID_BYTES - format.after_id()], &moved[moved.len() - ID_BYTES - format.after_id()..]].concat();
        assert_eq!(payload.judge(&swapped), Judgement::Altered(LineId { client: 13, ..id }));
    }
    by_column();
    let header = Format::Csv.header();
    assert_eq!(Payload::new(5, Format::Csv).judge(&header[..header.len() - 1]), Judgement::Header);
}

/// CSV lines as objects of their columns, and what must not pass for one.
fn by_column() {
    let payload = Payload::new(5, Format::Csv);
    for seq in 0..200 {
        let id = LineId { client: 12, seq };
        let line = String::from_utf8(payload.line(id, &stamp())).unwrap();
        let text = [std::str::from_utf8(Format::Csv.header()).unwrap(), &line].concat();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let fields = reader.records().next().unwrap().unwrap();
        let member = |(name, field): (&str, &str)| (name.to_owned(), serde_json::Value::from(field));
        let mut object: serde_json::Map<_, _> = names.iter().zip(&fields).map(member).collect();
        let judge = |object: &serde_json::Map<_, _>| payload.judge(&serde_json::to_vec(object).unwrap());
        assert_eq!(judge(&object), Judgement::ByColumn(id));
        object.insert("tags".to_owned(), vec!["auth"].into());
        assert_eq!(judge(&object), Judgement::ByColumn(id));
        object.insert("user_id".to_owned(), "u-0x".into());
        assert_eq!(judge(&object), Judgement::Altered(id));
        object.insert("more".to_owned(), "x".into());
        assert_eq!(judge(&object), Judgement::Garbled);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_patched_batch_equals_its_lines_one_by_one(id in any_id(), lines in 1..3000usize, format in prop::sample::select(&FORMATS[..])) {
        let payload = payload(format);
        let id = LineId { seq: id.seq.min(slots::LINES_MAX - 3000), ..id };
        let sent = batch(payload, id.client, id.seq, lines);
        let split: Vec<&[u8]> = sent.split(|byte| *byte == b'\n').collect();
        prop_assert_eq!(split.len(), lines + 1);
        for (index, line) in split[..lines].iter().enumerate() {
            let id = LineId { seq: id.seq + index as u64, ..id };
            prop_assert_eq!(*line, payload.line(id, &stamp()));
            prop_assert_eq!(payload.judge(line), Judgement::Intact(id));
        }
    }

    #[test]
    fn any_changed_byte_is_noticed(id in any_id(), at in any::<prop::sample::Index>(), flip in 1..=255u8, format in prop::sample::select(&FORMATS[..])) {
        let payload = payload(format);
        let mut line = payload.line(id, &stamp());
        let at = at.index(line.len());
        line[at] ^= flip;
        let in_time = (format.before_stamp()..format.before_stamp() + STAMP_BYTES).contains(&at);
        if payload.judge(&line) == Judgement::Intact(id) {
            prop_assert!(in_time && line[at].is_ascii_digit(), "byte {} of {}", at, String::from_utf8_lossy(&line));
        }
    }
}
