//! What a line costs on its way through a shard, step by step: cut, scanned, appended; and all of it together.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use logboom::record::detect::{Format, Reading};
use logboom::record::framer::{Chunk, Framer, PADDING};
use logboom::record::json::JsonScanner;
use logboom::record::syslog::SyslogReader;
use logboom::record::text::pattern::Patterns;
use logboom::record::{Level, Timestamp};
use logboom::rules::syntax::{Matcher, TagRule};
use logboom::rules::{RuleTexts, Rules};
use logboom::shard::batch::Batch;
use logboom::shard::core::{Progress, ShardCore, Source};
use logboom::shard::lane::{Arrival, Lane};
use logboom::store::policy::RotationPolicy;

mod lines;

/// What a receive brings, small enough that it stays in L2 with its copies: what is measured is the code and not the memory.
const LINES: usize = 400;

fn main() {
    divan::main();
}

/// The bytes of a receive, with room for the padding behind them.
fn received() -> (Vec<u8>, usize) {
    padded(lines::json)
}

fn padded(lines: fn(usize) -> Vec<u8>) -> (Vec<u8>, usize) {
    let mut bytes = lines(LINES);
    let len = bytes.len();
    bytes.resize(len + PADDING, 0);
    (bytes, len)
}

#[divan::bench]
fn framer(bencher: Bencher) {
    let (mut bytes, len) = received();
    let mut framer = Framer::new(1 << 20);
    bencher.counter(BytesCount::new(len)).counter(ItemsCount::new(LINES)).bench_local(|| {
        let mut chunk = Chunk::new(&mut bytes, len);
        let mut lines = 0;
        while let Some(frame) = framer.next(&mut chunk) {
            lines += black_box(frame.line_len()).min(1);
        }
        assert_eq!(lines, LINES);
    });
}

#[divan::bench]
fn json_scan(bencher: Bencher) {
    let (bytes, len) = received();
    let mut scanner = JsonScanner::default();
    // The scan rewrites its input, so each round has a copy; its cost, about 0.05 ns per byte, is part of the figure.
    let mut copy = bytes.clone();
    bencher.counter(BytesCount::new(len)).counter(ItemsCount::new(LINES)).bench_local(|| {
        copy.copy_from_slice(&bytes);
        let mut at = 0;
        while at < len {
            let line_len = memchr::memchr(b'\n', &bytes[at..len]).expect("a newline");
            let scanned = scanner.scan(&mut copy[at..], line_len, &bytes[at..at + line_len], |meta| meta.level);
            black_box(scanned).expect("valid");
            at += line_len + 1;
        }
    });
}

#[divan::bench]
fn batch_append(bencher: Bencher) {
    let (bytes, len) = received();
    let mut batch = Batch::default();
    bencher.counter(BytesCount::new(len)).counter(ItemsCount::new(LINES)).bench_local(|| {
        batch.clear();
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &bytes[..len]) {
            batch.buffer().extend_from_slice(&bytes[at..=end]);
            batch.count(Level::Info, None, 1);
            at = end + 1;
        }
        black_box(batch.bytes());
    });
}

fn shard_core(bencher: Bencher, format: Format, lines: fn(usize) -> Vec<u8>) {
    shard_core_with(bencher, format, lines, &RuleTexts::default());
}

fn shard_core_with(bencher: Bencher, format: Format, lines: fn(usize) -> Vec<u8>, rules: &RuleTexts) {
    let rules = Rules::compile(rules).expect("valid");
    let (bytes, len) = padded(lines);
    let policy = RotationPolicy { bytes_max: 5_000_000, age_ms_max: 3_600_000 };
    let reading = Reading::from(format);
    let mut core = ShardCore::new(&reading, Lane::new(policy, 0, 0), Lane::new(policy, 0, 0)).with_rules(rules, Patterns::default());
    let mut framer = Framer::for_format(format, 1 << 20);
    let mut source = Source::new("peer".to_owned(), &reading);
    let mut spare = Batch::default();
    let mut copy = bytes.clone();
    bencher.counter(BytesCount::new(len)).counter(ItemsCount::new(LINES)).bench_local(|| {
        copy.copy_from_slice(&bytes);
        let mut chunk = Chunk::new(&mut copy, len);
        let arrival = Arrival { received_ns: 1, wall: Timestamp(1_795_532_400_000_000) };
        while core.take(&mut framer, &mut chunk, arrival, &mut source) == Progress::Full {
            let lane = core.lane_mut(logboom::store::name::Stream::Logs);
            let mut filled = lane.swap(std::mem::take(&mut spare));
            filled.clear();
            spare = filled;
        }
    });
}

#[divan::bench]
fn shard_core_json(bencher: Bencher) {
    shard_core(bencher, Format::Json, lines::json);
}

#[divan::bench]
fn shard_core_text(bencher: Bencher) {
    shard_core(bencher, Format::Text, lines::json);
}

#[divan::bench]
fn shard_core_text_of_a_shape(bencher: Bencher) {
    shard_core(bencher, Format::Auto, lines::log4j);
}

fn ten_tags() -> RuleTexts {
    let regexes = [
        "payment",
        "timeout",
        "user [0-9]+5\\b",
        "retry",
        "(?i)upstream",
        "denied|refused",
        "level=ERROR",
        "service=auth",
        "status=5..",
        "items/1",
    ];
    let tags = regexes.iter().enumerate().map(|(n, regex)| TagRule::parse(&format!("t{n}={regex}")).expect("valid")).collect();
    RuleTexts { tags, ..RuleTexts::default() }
}

#[divan::bench]
fn shard_core_json_one_filter(bencher: Bencher) {
    let filters = vec![Matcher::parse("level=INFO|WARN|ERROR").expect("valid")];
    shard_core_with(bencher, Format::Auto, lines::json, &RuleTexts { filters, ..RuleTexts::default() });
}

#[divan::bench]
fn shard_core_json_ten_tags(bencher: Bencher) {
    shard_core_with(bencher, Format::Auto, lines::json, &ten_tags());
}

#[divan::bench]
fn shard_core_text_ten_tags(bencher: Bencher) {
    shard_core_with(bencher, Format::Auto, lines::log4j, &ten_tags());
}

#[divan::bench]
fn shard_core_auto_json(bencher: Bencher) {
    shard_core(bencher, Format::Auto, lines::json);
}

#[divan::bench]
fn shard_core_rfc5424(bencher: Bencher) {
    shard_core(bencher, Format::Auto, lines::rfc5424);
}

#[divan::bench]
fn shard_core_rfc3164(bencher: Bencher) {
    shard_core(bencher, Format::Auto, lines::rfc3164);
}

#[divan::bench]
fn shard_core_octet_counted(bencher: Bencher) {
    shard_core(bencher, Format::Auto, lines::octet_counted);
}

#[divan::bench]
fn shard_core_csv(bencher: Bencher) {
    shard_core(bencher, Format::Csv, lines::csv);
}

fn syslog_parse(bencher: Bencher, lines: fn(usize) -> Vec<u8>) {
    let bytes = lines(LINES);
    let split: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut reader = SyslogReader::new(Reading::from(Format::Syslog).zone);
    let mut out = Vec::with_capacity(4 * bytes.len());
    bencher.counter(BytesCount::new(bytes.len())).counter(ItemsCount::new(LINES)).bench_local(|| {
        out.clear();
        for line in &split {
            reader.write_record(&mut out, line, Timestamp(1_795_532_400_000_000)).expect("accepted");
        }
        black_box(&out);
    });
}

#[divan::bench]
fn syslog_rfc5424(bencher: Bencher) {
    syslog_parse(bencher, lines::rfc5424);
}

#[divan::bench]
fn syslog_rfc3164(bencher: Bencher) {
    syslog_parse(bencher, lines::rfc3164);
}
