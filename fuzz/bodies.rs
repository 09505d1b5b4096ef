//! What each fuzz target does with its input: panics if something is wrong.
//!
//! Shared by the targets in `fuzz_targets/` and by `tests/fuzz_corpus.rs`, which replays the corpus with plain `cargo test`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logboom::record::csv::{Columns, CsvReader, Header};
use logboom::record::detect::{Format, Reading};
use logboom::record::framer::{Chunk, FrameKind, Framer, PADDING};
use logboom::record::json::{JsonScanner, put_on_one_line};
use logboom::record::multiline::{Continuations, Joiner, Pushed};
use logboom::record::relp::{Answer, Answers, Command, Due, RelpError, RelpFramer, Session, Step};
use logboom::record::stored::StoredScanner;
use logboom::record::syslog::SyslogReader;
use logboom::record::tags::add_tags;
use logboom::record::text::TextReader;
use logboom::record::{RejectReason, Timestamp};
use logboom::search::{Matcher, query};
use logboom::store::disk::Disk;
use logboom::store::filter::Index;
use logboom::store::name::Stream;
use logboom::store::permits::RawPermits;
use logboom::store::recover::{RecoveryConfig, recover};
use logboom::watch::journal::{Entry, Held, Journal, Offset, replay};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The first two bytes say how the rest is framed: the longest line, and a seed for the sizes of the pieces in which it comes.
fn split(data: &[u8]) -> Option<(usize, u8, &[u8])> {
    let (&[line_max, seed], bytes) = data.split_first_chunk()?;
    Some((4 + usize::from(line_max), seed, bytes))
}

/// `bytes` in pieces of 1 to 32 bytes, or whole where `seed` is 0.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = if seed == 0 { rest.len() } else { 1 + (state >> 27) as usize };
        let (piece, after) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// `piece` with padding behind it, as in a receive buffer.
fn padded(piece: &[u8]) -> Vec<u8> {
    let mut bytes = piece.to_vec();
    bytes.resize(piece.len() + PADDING, b'#');
    bytes
}

/// RELP: the pieces in which bytes come make no difference, memory is bounded, and every frame that a session takes is answered once and in order.
pub(crate) fn relp_framer(data: &[u8]) {
    let Some((line_max, seed, bytes)) = split(data) else { return };
    assert_eq!(relp(line_max, &pieces(bytes, seed)), relp(line_max, &[bytes]));
}

/// What one connection came to.
#[derive(Debug, PartialEq)]
struct Relp {
    frames: Vec<(u32, Command, Vec<u8>, FrameKind)>,
    steps: Vec<Step>,
    answers: String,
    end: Result<(), RelpError>,
}

fn relp(line_max: usize, pieces: &[&[u8]]) -> Relp {
    let mut framer = RelpFramer::new(line_max);
    let (mut session, mut answers) = (Session::default(), Answers::default());
    let (mut frames, mut steps, mut out, mut end) = (Vec::new(), Vec::new(), Vec::new(), Ok(()));
    let mut answered = Vec::new();
    let mut records = [0; 2];
    for piece in pieces {
        let mut bytes = padded(piece);
        let mut chunk = Chunk::new(&mut bytes, piece.len());
        loop {
            if answers.is_full() {
                assert!(answers.release(&mut out, |_| true) > 0);
            }
            let Some(frame) = framer.next(&mut chunk) else { break };
            assert_eq!(end, Ok(()), "nothing follows an error");
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    end = Err(error);
                    continue;
                }
            };
            assert!(frame.payload.line_len() <= line_max);
            let step = session.on_frame(&frame);
            match step {
                Step::Record => {
                    assert!(frame.command == Command::Syslog && frame.payload.line_len() > 0);
                    let stream = usize::from(frame.payload.kind == FrameKind::TooLong);
                    records[stream] += 1;
                    answers.push_record(frame.txnr, Due { stream: stream as u8, record: records[stream] });
                }
                Step::Answer(answer) | Step::AnswerAndClose(answer) => answers.push(frame.txnr, answer),
                Step::Close(_) | Step::Ignore => {}
            }
            if matches!(step, Step::Record | Step::Answer(_) | Step::AnswerAndClose(_)) {
                answered.push(frame.txnr);
            }
            steps.push(step);
            frames.push((frame.txnr, frame.command, frame.payload.line().to_vec(), frame.payload.kind));
        }
        assert!(framer.partial_len() <= line_max + 3);
        assert!(framer.partial_capacity() <= 2 * line_max + 4 * PADDING);
        // What is safe lags behind what was taken in.
        let _ = answers.release(&mut out, |due| due.record < records[usize::from(due.stream)]);
        out.shrink_to_fit();
    }
    let mut text = String::from_utf8(out).expect("ASCII");
    while !answers.is_empty() {
        let mut out = Vec::new();
        assert!(answers.release(&mut out, |_| true) > 0);
        text.push_str(std::str::from_utf8(&out).expect("ASCII"));
    }
    let numbers: Vec<u32> = text
        .lines()
        .filter(|line| line.contains(" rsp "))
        .map(|line| line.split(' ').next().expect("one").parse().expect("a number"))
        .collect();
    assert_eq!(numbers, answered, "each once, in order");
    assert!(!steps.contains(&Step::Answer(Answer::Refused(RelpError::NotOpen))), "that one closes");
    Relp { frames, steps, answers: text, end: end.and(framer.finish()) }
}

/// Lines: the pieces in which bytes come make no difference, memory is bounded, and without NULs the lines are those of a plain split.
pub(crate) fn line_framer(data: &[u8]) {
    let Some((line_max, seed, bytes)) = split(data) else { return };
    let whole = lines(line_max, &[bytes]);
    assert_eq!(lines(line_max, &pieces(bytes, seed)), whole);
    if bytes.contains(&0) {
        return;
    }
    let ends = bytes.ends_with(b"\n");
    let count = bytes.split(|&byte| byte == b'\n').count();
    let plain: Vec<&[u8]> = bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(at, line)| if ends || at + 1 < count { line.strip_suffix(b"\r").unwrap_or(line) } else { line })
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(whole.len(), plain.len());
    for ((line, kind), plain) in whole.iter().zip(plain) {
        assert_eq!(line, &plain[..plain.len().min(line_max)]);
        assert_eq!(*kind, if plain.len() <= line_max { FrameKind::Whole } else { FrameKind::TooLong });
    }
}

fn lines(line_max: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, FrameKind)> {
    lines_as(Format::Text, line_max, pieces)
}

fn lines_as(format: Format, line_max: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, FrameKind)> {
    let mut framer = Framer::for_format(format, line_max);
    let mut lines = Vec::new();
    for piece in pieces {
        let mut bytes = padded(piece);
        let mut chunk = Chunk::new(&mut bytes, piece.len());
        while let Some(frame) = framer.next(&mut chunk) {
            lines.push((frame.line().to_vec(), frame.kind));
        }
        assert!(framer.partial_len() <= line_max + 2);
        assert!(framer.partial_capacity() <= 2 * line_max + 4 * PADDING);
    }
    while let Some(frame) = framer.finish() {
        lines.push((frame.line().to_vec(), frame.kind));
    }
    lines
}

/// JSON lines: the verdict is serde_json's, and a record put on one line has the same value.
pub(crate) fn json_line(data: &[u8]) {
    let mut bytes = padded(data);
    let verdict = JsonScanner::default().scan(&mut bytes, data.len(), data, |_| ());
    let text = std::str::from_utf8(data);
    let is_json = text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let is_object = data.trim_ascii_start().first() == Some(&b'{');
    assert_eq!(verdict.is_ok(), is_json && is_object, "{verdict:?}");
    match verdict {
        Ok(()) => {
            let mut line = data.to_vec();
            put_on_one_line(&mut line);
            assert!(!line.contains(&b'\n'));
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
                assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).expect("still JSON"), value);
            }
        }
        Err(RejectReason::InvalidUtf8) => assert!(text.is_err()),
        Err(RejectReason::NotAnObject) => assert!(is_json),
        Err(_) => assert!(!is_json),
    }
}

/// What a data directory may hold; the rest of each file's bytes come from the fuzzer.
const NAMES: [&str; 16] = [
    "logs.jsonl",
    "logs.s00.jsonl",
    "logs.s01.jsonl",
    "logs.s07.jsonl",
    "rejected.jsonl",
    "logs_20261124_150000_000001.jsonl",
    "logs_20261124_150000_000001.jsonl.gz",
    "logs_20261124_150000_000001.jsonl.zst",
    "logs_20261124_150000_000001.meta",
    "logs_20261124_150000_s00_000002.jsonl",
    "logs_20261124_150000_s00_000002.jsonl.gz",
    "logs_20261124_150000_s00_000002.meta",
    "logs_20261124_150000_000003.jsonl.gz.tmp",
    "logs_20261124_150000_000003.meta",
    "logboom.format",
    "notes.txt",
];

/// A directory that goes with the value.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let name = format!("logboom-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        fs::create_dir(&path).expect("a new directory");
        TempDir(path)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.0).expect("a directory").map(|entry| entry.expect("an entry"));
        entries.map(|entry| (entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("readable"))).collect()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The whole lines of all raw segments, and how often each is there.
fn raw_lines(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&[u8], usize> {
    let mut lines = BTreeMap::new();
    for bytes in files.iter().filter(|(name, _)| name.ends_with(".jsonl")).map(|(_, bytes)| bytes) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            *lines.entry(line).or_default() += 1;
        }
    }
    lines
}

/// Recovery, of a directory with any bytes under the names that matter: nothing panics; no whole line of a raw segment is lost, unless an archive was there to hold
/// it; archives and foreign files stay byte for byte; a second recovery changes nothing.
///
/// The first byte is the number of shards. Then files: one byte for the name, two for the length (little-endian), the bytes.
pub(crate) fn recovery(data: &[u8]) {
    let Some((shards, mut rest)) = data.split_first() else { return };
    let shards = 1 + usize::from(shards % 3);
    let dir = TempDir::new();
    while let Some((&[name, low, high], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(after.len());
        let (bytes, after) = after.split_at(len);
        fs::write(dir.0.join(NAMES[usize::from(name) % NAMES.len()]), bytes).expect("written");
        rest = after;
    }
    let before = dir.files();
    let once = || {
        recover(&RecoveryConfig {
            disk: Disk::new(),
            dir: &dir.0,
            shards,
            accepted: Stream::Logs,
            index: Index::On,
            numbers: Default::default(),
            permits: &RawPermits::new(4),
        })
    };
    if once().is_err() {
        assert!(before.contains_key("logboom.format"), "only an unknown format is refused");
        assert_eq!(dir.files(), before, "and left untouched");
        return;
    }
    let after = dir.files();
    for (name, bytes) in before.iter().filter(|(name, _)| name.ends_with(".gz") || name.ends_with(".zst") || name.ends_with(".txt")) {
        assert_eq!(after.get(name), Some(bytes), "{name}");
    }
    let there = raw_lines(&after);
    let may_be_archived = before.keys().any(|name| name.ends_with(".gz") || name.ends_with(".zst"));
    for (line, times) in raw_lines(&before) {
        assert!(may_be_archived || there.get(line) == Some(&times), "{:?}", String::from_utf8_lossy(line));
    }
    assert!(!after.keys().any(|name| name.ends_with(".tmp")));
    once().expect("what was recovered can be recovered");
    assert_eq!(dir.files(), after, "twice is once");
}

/// 2026-11-24T15:00:00Z.
const NOW: Timestamp = Timestamp(1_795_532_400_000_000);

/// syslog: the pieces in which a stream comes make no difference, with counts or without; a record is JSON, says to who reads it again what was counted, and its
/// message is the line's end.
pub(crate) fn syslog(data: &[u8]) {
    let Some((line_max, seed, bytes)) = split(data) else { return };
    let whole = lines_as(Format::Syslog, line_max, &[bytes]);
    assert_eq!(lines_as(Format::Syslog, line_max, &pieces(bytes, seed)), whole);
    let mut reader = SyslogReader::new(Reading::from(Format::Syslog).zone);
    for (line, _) in &whole {
        let mut out = Vec::new();
        let Ok(text) = std::str::from_utf8(line) else {
            assert_eq!(reader.write_record(&mut out, line, NOW), Err(RejectReason::InvalidUtf8));
            continue;
        };
        let meta = reader.write_record(&mut out, line, NOW).expect("no shape is rejected");
        let record: Value = serde_json::from_slice(&out).expect("JSON");
        assert!(!out.contains(&b'\n'));
        assert_eq!(record["service"].as_str(), meta.service);
        assert!(text.ends_with(record["message"].as_str().expect("a message")));
        assert_eq!(StoredScanner::default().scan(&out), (meta.level, meta.time));
    }
}

/// CSV: the pieces in which a stream comes make no difference; a record is JSON with as many values as there are columns, or a reason of CSV's tells why not.
pub(crate) fn csv(data: &[u8]) {
    let Some((line_max, seed, bytes)) = split(data) else { return };
    let whole = lines_as(Format::Csv, line_max, &[bytes]);
    assert_eq!(lines_as(Format::Csv, line_max, &pieces(bytes, seed)), whole);
    let columns = Arc::new(Columns::new(["a", "b"].into_iter()).expect("two columns"));
    for mut header in [Header::Awaited, Header::new(Some(&columns))] {
        let mut reader = CsvReader::default();
        for (line, _) in &whole {
            let mut out = Vec::new();
            match reader.write_record(&mut out, line, &mut header, NOW) {
                Ok(Some(_)) => {
                    let Header::Known(columns) = &header else { panic!("a record without columns") };
                    let record: Value = serde_json::from_slice(&out).expect("JSON");
                    let empty = columns.names().filter(|name| record[*name].is_null()).count();
                    assert!(empty <= 4, "only a time, level, service and message may go by another name");
                }
                Ok(None) => assert!(out.is_empty()),
                Err(reason) => {
                    assert!(out.is_empty());
                    assert!(matches!(reason, RejectReason::InvalidUtf8 | RejectReason::CsvRagged | RejectReason::CsvHeader));
                }
            }
        }
    }
}

/// Lines of a file as records of several: in order, each once, none lost; no record beyond its bounds, and each from where its first line begins to where its last one ends.
pub(crate) fn multiline(data: &[u8]) {
    let Some((line_max, seed, bytes)) = split(data) else { return };
    let format = Format::ALL[usize::from(seed) % Format::ALL.len()];
    let continuations = Continuations::new(format);
    let (mut joiner, mut framer) = (Joiner::new(line_max), Framer::new(line_max));
    let (mut lines, mut records, mut end, mut now_ms) = (Vec::new(), Vec::new(), 0, 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut bytes = padded(&[line, b"\n"].concat());
        let mut chunk = Chunk::new(&mut bytes, line.len() + 1);
        let place = end..end + line.len() as u64 + 1;
        end = place.end;
        let Some(frame) = framer.next(&mut chunk) else { continue };
        lines.push((frame.line().to_vec(), place.clone()));
        match joiner.push(&continuations, &frame, place.clone(), now_ms) {
            Pushed::Alone => records.push((frame.line().to_vec(), place)),
            Pushed::Kept => drain(&mut joiner, &mut records),
        }
        now_ms += u64::from(line.len() as u8) * 10;
        joiner.expire(now_ms);
        drain(&mut joiner, &mut records);
    }
    joiner.flush();
    drain(&mut joiner, &mut records);
    let mut lines = lines.iter();
    for (record, place) in &records {
        assert!(record.len() <= line_max);
        let mut places = Vec::new();
        for line in record.split(|byte| *byte == b'\n') {
            let (pushed, of_line) = lines.next().expect("no more lines than were pushed");
            assert_eq!(line, pushed);
            places.push(of_line);
        }
        assert_eq!((places[0].start, places[places.len() - 1].end), (place.start, place.end));
    }
    assert!(lines.next().is_none());
}

fn drain(joiner: &mut Joiner, records: &mut Vec<(Vec<u8>, Range<u64>)>) {
    while let Some(joined) = joiner.take() {
        records.push((joined.frame.line().to_vec(), joined.place));
    }
}

/// The journal of checkpoints: each line is read by itself, or is damage; what was read is read again as it was written, and where one byte of that is changed nothing is
/// read that was not there. How far a file is stored is something that an entry said of it, whatever the store has.
pub(crate) fn journal(data: &[u8]) {
    let Some((&[seed, has_no_sums], bytes)) = data.split_first_chunk() else { return };
    let bytes = if has_no_sums == 0 { bytes.to_vec() } else { with_sums(bytes) };
    let journal = Journal::parse(&bytes);
    let lines: Vec<Journal> = bytes.split_inclusive(|byte| *byte == b'\n').map(Journal::parse).collect();
    assert_eq!(journal.entries, lines.iter().flat_map(|line| line.entries.clone()).collect::<Vec<_>>());
    let before_last = &lines[..lines.len().saturating_sub(1)];
    assert_eq!(journal.is_damaged, before_last.iter().any(|line| line.entries.is_empty()));

    let mut written = Vec::new();
    journal.entries.iter().for_each(|entry| entry.write(&mut written));
    assert_eq!(Journal::parse(&written), Journal { entries: journal.entries.clone(), is_damaged: false });
    if !written.is_empty() {
        let at = usize::from(seed) * 31 % written.len();
        written[at] ^= 1 << (seed % 8);
        assert!(Journal::parse(&written).entries.iter().all(|entry| journal.entries.contains(entry)));
    }

    let mut state = u32::from(seed);
    let look = |_: &_| -> Result<Held, Infallible> {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Ok([Held::Whole, Held::Whole, Held::Gone, Held::Otherwise][(state >> 30) as usize])
    };
    let (named, numbers) = (named_offsets(&journal.entries), journal.numbers());
    let replayed = replay(journal.entries, look).unwrap_or_else(|never| match never {});
    for (id, (record, offsets)) in &replayed.files {
        assert!(record.id == *id && offsets.iter().all(|offset| *offset == Offset::default() || named.contains(&(*id, *offset))));
    }
    for ((stream, shard), largest) in numbers {
        assert!(replayed.ends.get(&(shard, stream)).is_some_and(|(seq, _)| largest <= *seq), "a number could be given twice");
    }
}

/// Each line as one that is whole.
fn with_sums(bytes: &[u8]) -> Vec<u8> {
    let sum = |line: &[u8]| [format!("{:08x} ", crc32fast::hash(line)).as_bytes(), line, b"\n"].concat();
    bytes.split(|byte| *byte == b'\n').flat_map(sum).collect()
}

/// Every offset that an entry has for a file.
fn named_offsets(entries: &[Entry]) -> BTreeSet<(u64, Offset)> {
    let of = |entry: &Entry| match entry {
        Entry::Read(id, offsets) => offsets.iter().map(|offset| (*id, *offset)).collect(),
        Entry::Batch { files, .. } | Entry::Idle(_, files) => files.clone(),
        _ => Vec::new(),
    };
    entries.iter().flat_map(of).collect()
}

/// Text lines: the record is JSON with each name once, gives its line back, has the same level and time when it is read again, and takes a tag.
pub(crate) fn text_line(data: &[u8]) {
    let mut out = Vec::new();
    let received = Timestamp(1_795_532_400_000_000);
    let read = TextReader::default().write_record(&mut out, data, received, |meta, _| (meta.level, meta.time));
    let Ok(counted) = read else { return assert!(std::str::from_utf8(data).is_err() && out.is_empty()) };
    assert_eq!(StoredScanner::default().scan(&out), counted);
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&out).expect("JSON");
    let text = String::from_utf8(out.clone()).expect("UTF-8");
    for name in record.keys() {
        // A value may hold what looks like a name, but only with its quotes escaped.
        assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name} in {text}");
    }
    assert_eq!(rebuilt(&record).as_bytes(), data, "{text}");
    add_tags(&mut out, 0, ["fuzzed"].into_iter());
    let tagged: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(tagged.len(), record.len() + 1);
}

fn rebuilt(record: &serde_json::Map<String, serde_json::Value>) -> String {
    let text = |name: &str| record[name].as_str().map_or_else(|| record[name].to_string(), str::to_owned);
    if !record.contains_key("layout") {
        return text("message");
    }
    let (layout, mut line) = (text("layout"), String::new());
    let mut rest = layout.as_str();
    while let Some((literal, after)) = rest.split_once('{') {
        line += literal;
        rest = if let Some(after) = after.strip_prefix('{') {
            line.push('{');
            after
        } else {
            let (name, after) = after.split_once('}').expect("closed");
            line += &text(name);
            after
        };
    }
    line + rest
}

/// Queries: any text is read, or an error points into it; what was read can be written and reads as the same again, and is asked of lines.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expr = match query::parse(text) {
        Ok(expr) => expr,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
            assert!(error.pointed_at(text).contains(&error.message));
            return;
        }
    };
    let written = expr.to_string();
    match query::parse(&written) {
        Ok(again) => assert_eq!(again.to_string(), written),
        Err(error) => assert!(error.message.contains("at most"), "{written}: {error}"), // it may be longer than what was typed
    }
    if let Ok(mut matcher) = Matcher::new(&expr) {
        let lines = [&br#"{"level":"warn","service":"auth","message":"a \"b\" timeout","n":42}"#[..], b"", text.as_bytes()];
        let block = lines.map(|line| [line, b"\n"].concat()).concat();
        let mut found = Vec::new();
        matcher.each_match(&block, |line| found.push(line.to_vec()));
        let lines = block[..block.len() - 1].split(|&byte| byte == b'\n');
        let expected: Vec<Vec<u8>> = lines.filter(|line| matcher.matches(line)).map(<[u8]>::to_vec).collect();
        assert_eq!(found, expected, "{written}");
    }
}
