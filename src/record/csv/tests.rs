use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(0);

/// What the lines of one connection become: records, `null` for a header, or the reason as text.
fn read(header: Header, lines: &[&str]) -> Vec<Value> {
    let mut reader = CsvReader::default();
    let mut header = header;
    let read = |line: &&str| {
        let mut out = b"before".to_vec();
        match reader.write_record(&mut out, line.as_bytes(), &mut header, NOW) {
            Ok(Some(_)) => serde_json::from_slice(&out[6..]).expect("a JSON record"),
            outcome => {
                assert_eq!(out, b"before");
                outcome.map_or_else(|reason| json!(reason.name()), |_| Value::Null)
            }
        }
    };
    lines.iter().map(read).collect()
}

#[test]
fn columns_become_members() {
    let lines = [
        "\u{feff}ts,msg,level,app,user id,note",
        "2026-11-24T15:00:00Z,hello,warning,auth,7,",
        "2026-11-24T15:00:00Z,\"a \"\"quoted\"\", text\nof two lines\",odd,,\"x\"y,\" \"",
        ",,,,,",
        "too,few",
        "1,2,3,4,5,6,7",
        "1,2,3,4,5,\"6\",7",
        "1,2,3,4,5,\"6\"\n1,2,3,4,5,6",
    ];
    let epoch = "1970-01-01T00:00:00.000000Z";
    let expected = json!([
        null,
        {"timestamp":"2026-11-24T15:00:00Z","level":"WARN","service":"auth","message":"hello","user id":"7","note":""},
        {"timestamp":"2026-11-24T15:00:00Z","level":"odd","message":"a \"quoted\", text\nof two lines","user id":"xy","note":" "},
        {"timestamp":epoch,"message":"","user id":"","note":""},
        "csv_ragged",
        "csv_ragged",
        "csv_ragged",
        "csv_ragged",
    ]);
    assert_eq!(json!(read(Header::Awaited, &lines)), expected);
}

#[test]
fn members_stand_in_their_order_and_are_counted() {
    let columns = Arc::new(Columns::new(["x", "message", "service", "level", "time"].into_iter()).unwrap());
    let mut out = Vec::new();
    let mut reader = CsvReader::default();
    let line = b"1,m,s,e,1970-01-01T00:00:01Z";
    let meta = reader.write_record(&mut out, line, &mut Header::new(Some(&columns)), NOW).unwrap().unwrap();
    assert_eq!(meta, RecordMeta { level: Level::Error, time: Some(Timestamp(1_000_000)), service: Some("s") });
    let expected = r#"{"timestamp":"1970-01-01T00:00:01Z","level":"ERROR","service":"s","message":"m","x":"1"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn without_a_header_nobody_knows_what_lines_mean() {
    let long = "x".repeat(5_000);
    assert_eq!(read(Header::Awaited, &[&long, "a,b"]), [json!("csv_header"), json!("csv_header")]);
    let many = ["x"; CSV_COLUMNS_MAX + 1].join(",");
    assert_eq!(read(Header::Awaited, &[&many]), [json!("csv_header")]);
    let mut header = Header::Awaited;
    let mut reader = CsvReader::default();
    assert_eq!(reader.write_record(&mut Vec::new(), b"\xff", &mut header, NOW), Err(RejectReason::InvalidUtf8));
    assert_eq!(reader.write_record(&mut Vec::new(), b"a,b", &mut header, NOW), Err(RejectReason::CsvHeader));
}

/// The fields by the csv crate's own way of ending a record, one copy of the line and a newline.
fn reference(line: &str) -> Option<Vec<String>> {
    let mut csv = csv_core::Reader::new();
    let (mut output, mut ends) = (vec![0; line.len() + 2], vec![0; line.len() + 2]);
    let bytes = [line.as_bytes(), b"\n"].concat();
    let (result, read, _, count) = csv.read_record(&bytes, &mut output, &mut ends);
    let is_whole = matches!(result, csv_core::ReadRecordResult::Record) && read + 1 >= bytes.len();
    let field = |at: usize| String::from_utf8(output[if at == 0 { 0 } else { ends[at - 1] }..ends[at]].to_vec()).unwrap();
    is_whole.then(|| (0..count).map(field).collect())
}

proptest! {
    #[test]
    fn fields_are_the_csv_crates(line in "[ab\", \u{e9}]{1,40}") {
        let mut splitter = Splitter::default();
        let ours = splitter.split(&line, 100).map(|fields| fields.iter().map(str::to_owned).collect::<Vec<_>>());
        let theirs = reference(&line);
        prop_assume!(theirs.is_some()); // an open quote would go on in the next line
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn fields_go_round(fields in prop::collection::vec("(?s).{0,20}", 3)) {
        let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        let records = read(Header::new(Some(&Arc::new(Columns::new(["a", "message", "c"].into_iter()).unwrap()))), &[&quoted.join(",")]);
        prop_assert_eq!([&records[0]["a"], &records[0]["message"], &records[0]["c"]].map(|value| value.as_str().unwrap()), [0, 1, 2].map(|at| fields[at].as_str()));
    }

    #[test]
    fn nothing_panics(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5)) {
        let (mut reader, mut header) = (CsvReader::default(), Header::Awaited);
        for line in &lines {
            let mut out = Vec::new();
            if let Ok(Some(_)) = reader.write_record(&mut out, line, &mut header, NOW) {
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
    }
}
