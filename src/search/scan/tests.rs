mod counts;

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::stored::StoredScanner;
use crate::record::{Level, Timestamp};
use crate::search::query::{self, Field};
use crate::store::codec::Compressor;
use crate::store::cut::scan_block;
use crate::store::filter::{FilterBuilder, Index};
use crate::store::meta::Meta;
use crate::store::name::{Codec, FileName, SegmentId, ShardTag};

/// What one segment of a made directory is.
#[derive(Debug, Clone, Copy)]
enum State {
    Raw,
    Archived(Codec, Table),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Table {
    Missing,
    Plain,
    Indexed,
}

/// Writes segments of lines, the last one open and ending within a line; two blocks each.
fn store(segments: &[(State, Vec<String>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (at, (state, lines)) in segments.iter().enumerate() {
        let id = SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 1_795_532_400, seq: at as u64 + 1 };
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        let write = |name: FileName, bytes: &[u8]| std::fs::write(name.in_dir(dir.path()), bytes).unwrap();
        match *state {
            State::Raw if at + 1 == segments.len() => {
                write(FileName::Open(Stream::Logs, ShardTag::SINGLE), (text.concat() + "{\"unfinished").as_bytes());
            }
            State::Raw => write(id.sealed_name(), text.concat().as_bytes()),
            State::Archived(codec, table) => {
                let mut meta = Meta::new(Some(codec));
                let mut archive = Vec::new();
                let (first, second) = text.split_at(text.len() / 2);
                for block in [first.concat(), second.concat()] {
                    let mut out = Vec::new();
                    let crc = Compressor::new(codec).unwrap().compress(block.as_bytes(), 1, &mut out).unwrap();
                    meta.push(out.len() as u64, Some(crc), scan_block(block.as_bytes(), &mut StoredScanner::default()));
                    if table == Table::Indexed {
                        meta.set_filter(FilterBuilder::default().build(block.as_bytes(), 10_000));
                    }
                    archive.extend_from_slice(&out);
                }
                let _ = Index::On;
                write(id.archive_name(Some(codec)), &archive);
                if table != Table::Missing {
                    write(id.meta_name(), &meta.encode());
                }
            }
        }
    }
    dir
}

/// A second opinion on a query, from serde_json's values and plain string searches; for lines that were made here.
fn naive(expr: &Expr, line: &str) -> bool {
    use crate::search::query::{Field, Literal, Term, Test};
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    // Resolved escapes, by the only means that serde_json gives: each string decoded in its place.
    let text = {
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find('"') {
            let mut end = start + 1;
            while rest.as_bytes()[end] != b'"' {
                end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
            }
            out += &rest[..start];
            out += &format!("\"{}\"", serde_json::from_str::<String>(&rest[start..=end]).unwrap());
            rest = &rest[end + 1..];
        }
        out + rest
    };
    let holds = |text: &str, literal: &Literal| {
        let (text, wanted): (Vec<char>, Vec<char>) = (text.to_lowercase().chars().collect(), literal.text.to_lowercase().chars().collect());
        (0..text.len()).any(|at| {
            let end = at + wanted.len();
            let starts = literal.open_start || at == 0 || !is_word(text[at - 1]) || !is_word(wanted[0]);
            let ends = literal.open_end || text.get(end).is_none_or(|&c| !is_word(c)) || !is_word(wanted[wanted.len() - 1]);
            text[at..].starts_with(&wanted) && starts && ends
        })
    };
    let is = |text: &str, literal: &Literal| {
        let (text, wanted) = (text.to_lowercase(), literal.text.to_lowercase());
        match (literal.open_start, literal.open_end) {
            (false, false) => text == wanted,
            (true, false) => text.ends_with(&wanted),
            (false, true) => text.starts_with(&wanted),
            (true, true) => text.contains(&wanted),
        }
    };
    let record: Value = serde_json::from_str(line).unwrap();
    let words = |value: &Value| match value {
        Value::Array(elements) => elements.clone(),
        value => vec![value.clone()],
    };
    match expr {
        Expr::All => true,
        Expr::And(parts) => parts.iter().all(|part| naive(part, line)),
        Expr::Or(parts) => parts.iter().any(|part| naive(part, line)),
        Expr::Not(inner) => !naive(inner, line),
        Expr::Term(Term::Text(literal)) => holds(&text, literal) || made_of(&record).is_some_and(|line| holds(&line, literal)),
        Expr::Term(Term::Regex(regex)) => {
            let regex = regex::Regex::new(regex).unwrap();
            regex.is_match(&text) || made_of(&record).is_some_and(|line| regex.is_match(&line))
        }
        Expr::Term(Term::Levels(set)) => {
            set.contains(record["level"].as_str().map_or(Level::Unknown, |name| Level::parse(name.as_bytes())))
        }
        Expr::Term(Term::Field(field, test)) => {
            let key = match field {
                Field::Service => "service",
                Field::Tag => "tags",
                Field::Message => "message",
                Field::Named(name) => name,
            };
            record.get(key).is_some_and(|value| {
                words(value).iter().any(|value| match (test, value) {
                    (Test::Has(literal), Value::String(string)) => holds(string, literal),
                    (Test::Is(literal), Value::String(string)) => is(string, literal),
                    (Test::Has(literal) | Test::Is(literal), value) => is(&value.to_string(), literal),
                    (Test::Regex(regex), Value::String(string)) => regex::Regex::new(regex).unwrap().is_match(string),
                    (Test::Regex(_), _) => false,
                    (Test::Compare(compare, number), value) => value.as_f64().is_some_and(|value| compare.holds(value, *number)),
                })
            })
        }
    }
}

/// The line that a record with a layout was made of, by the rule of docs/FORMAT.md.
fn made_of(record: &Value) -> Option<String> {
    let place = regex::Regex::new(r"\{\{|\{([^{}]*)\}").unwrap();
    let line = place.replace_all(record.get("layout")?.as_str()?, |place: &regex::Captures<'_>| match place.get(1) {
        None => "{".to_owned(),
        Some(name) => record[name.as_str()].as_str().map_or_else(|| record[name.as_str()].to_string(), str::to_owned),
    });
    Some(line.into_owned())
}

/// Few words, so that queries meet lines; some of them parts of others, with escapes, or in another script.
const WORDS: [&str; 10] = ["time", "timeout", "TimeOut", "out", "user_7", "say \"hi\"", "two\nlines", "Zoë", "a-b", "back\\slash"];

prop_compose! {
    fn any_line()(
        second in prop::option::weighted(0.9, 0..100i64),
        level in prop::sample::select(vec!["info", "WARN", "error", "", "odd"]),
        service in prop::sample::select(vec!["auth", "auth-api", "payment"]),
        message in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..4),
        tags in prop::collection::vec(prop::sample::select(vec!["slow", "auth"]), 0..2),
        ms in 0..50u32,
        ascii in any::<bool>(),
    ) -> String {
        let time = second.map_or(String::new(), |second| format!("\"ts\":{second},"));
        let message = serde_json::to_string(&message.join(" ")).unwrap();
        let message = if ascii { message.replace('ë', "\\u00eb") } else { message };
        format!("{{{time}\"level\":\"{level}\",\"service\":\"{service}\",\"message\":{message},\"tags\":{},\"ms\":{ms}}}", serde_json::json!(tags))
    }
}

/// Lines of some shapes as they came, and what they become.
fn any_text_line() -> impl Strategy<Value = (String, String)> {
    let shapes = vec![
        "2026-11-24 15:00:0#,123 LEVEL [auth] MESSAGE",
        "2026-11-24 15:00:0# LEVEL [main] payment: MESSAGE",
        "2026-11-24T15:00:0#Z LEVEL auth{7}MESSAGE",
        "ts=2026-11-24T15:00:0#Z level=LEVEL msg=\"MESSAGE\" user_7=out",
        "Nov 24 15:00:0# host auth[#]: MESSAGE",
        "LEVEL:auth-api:MESSAGE",
        "E1124 15:00:00.12345# 1 time.go:138] MESSAGE",
        "MESSAGE",
    ];
    let message = prop::collection::vec(prop::sample::select(WORDS.iter().map(|word| word.replace('\n', " ")).collect::<Vec<_>>()), 1..4);
    (prop::sample::select(shapes), 0..10u32, prop::sample::select(vec!["INFO", "WARNING", "error", "W"]), message).prop_map(
        |(shape, second, level, message)| {
            let line = shape.replace('#', &second.to_string()).replace("LEVEL", level).replace("MESSAGE", &message.join(" "));
            let mut record = Vec::new();
            let mut reader = crate::record::text::TextReader::default();
            reader.write_record(&mut record, line.as_bytes(), Timestamp(1_795_532_430_000_000), |_, _| ()).unwrap();
            (line, String::from_utf8(record).unwrap())
        },
    )
}

fn any_query() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "time",
        "timeout",
        "tim*",
        "*out",
        "*meo*",
        "user_7",
        "zoë",
        "ZOË",
        "zo",
        "lines",
        "hi",
        "\"say \\\"hi\\\"\"",
        "a-b",
        "\"time timeout\"",
        "slash",
        "auth",
        "missing",
        "/time/",
        "/(?i)OUT zo/",
        "/two.lines/",
        "level:warn",
        "level>=warn",
        "level<error",
        "level:unknown",
        "service:auth",
        "service:auth*",
        "tag:slow",
        "message:time",
        "message=timeout",
        "message:/^time/",
        "ms:7",
        "ms>=25",
        "ms<10",
        "level",
        "*",
        "\"INFO [auth] time\"",
        "\"[auth] tim\"*",
        "\": \"",
        "\"WARNING auth{7}out\"",
        "/^2026.* INFO .auth. /",
        "/msg=.t/",
        "\"error:auth-api:timeout\"",
        "-\"15:00:03 host\"",
        "\"two\nlines\"",
        // Across the ends of lines, where nothing is.
        "\"}\n{\"",
        "*\"}\n{\\\"\"*",
        "\"host\\\"}\n{\"",
        "/\\}\\s\\{/",
    ]);
    word.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| parts.join(" ")),
            2 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| format!("({})", parts.join(" OR "))),
            1 => inner.prop_map(|inner| format!("-({inner})")),
        ]
    })
}

fn any_segments() -> impl Strategy<Value = Vec<(State, Vec<String>)>> {
    let table = prop::sample::select(vec![Table::Missing, Table::Plain, Table::Indexed, Table::Indexed]);
    let archived = (prop::sample::select(Codec::ALL.to_vec()), table).prop_map(|(codec, table)| State::Archived(codec, table));
    let state = prop_oneof![1 => Just(State::Raw), 3 => archived];
    let line = prop_oneof![3 => any_line(), 1 => any_text_line().prop_map(|(_, record)| record)];
    prop::collection::vec((state, prop::collection::vec(line, 1..12)), 1..5)
}

fn request<'a>(dir: &'a Path, expr: &'a Expr, range: TimeRange, stop: &'a AtomicBool) -> Request<'a> {
    Request { disk: Disk::new(), dir, stream: Stream::Logs, expr, range, threads: 2, blocks_max: 1_000, waiting_bytes_max: 1 << 20, stop }
}

fn found(request: &Request<'_>, order: Order, limit: Option<usize>) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let stats = lines(request, order, limit, |hit| {
        found.push((hit.time_us, String::from_utf8(hit.line.to_vec()).unwrap()));
        if limit.is_some_and(|limit| limit <= found.len()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stats.unwrap().damaged, Vec::<String>::new());
    found
}

const EVERYTHING: TimeRange = TimeRange { min_us: i64::MIN, max_us: i64::MAX };

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_naive_scan_finds(
        segments in any_segments(),
        text in any_query(),
        range in prop::option::of((0..100i64, 0..100i64)),
        limit in 1..20usize,
    ) {
        let dir = store(&segments);
        let expr = query::parse(&text).unwrap();
        let range = range.map_or(EVERYTHING, |(a, b)| TimeRange { min_us: a.min(b) * 1_000_000, max_us: a.max(b) * 1_000_000 });
        let stop = AtomicBool::new(false);
        let request = request(dir.path(), &expr, range, &stop);

        // A line without a time counts with its block, whose bounds a scan of lines does not know: those are compared only without a range.
        let own_time = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            let time = |text: &str| crate::record::timestamp::TimeReader::default().parse(text).unwrap().0;
            record["timestamp"].as_str().map(time).or_else(|| record["ts"].as_i64().map(|second| second * 1_000_000))
        };
        let is_compared = |line: &str| range == EVERYTHING || own_time(line).is_some();
        let is_within = |line: &str| own_time(line).is_none_or(|time| (range.min_us..=range.max_us).contains(&time));
        let mut expected: Vec<String> = segments.iter().flat_map(|(_, lines)| lines)
            .filter(|line| naive(&expr, line) && is_compared(line) && is_within(line)).cloned().collect();
        expected.sort();

        for order in [Order::OldestFirst, Order::NewestFirst] {
            let all = found(&request, order, None);
            prop_assert!(all.is_sorted_by_key(|(time, _)| order.key(*time)), "{:?}", all);
            prop_assert!(all.iter().all(|(time, line)| own_time(line).is_none_or(|own| own == *time)));
            let mut lines: Vec<String> = all.iter().map(|(_, line)| line.clone()).filter(|line| is_compared(line)).collect();
            lines.sort();
            prop_assert_eq!(&lines, &expected, "{}", expr);
            let first: Vec<i64> = found(&request, order, Some(limit)).iter().map(|(time, _)| *time).collect();
            prop_assert_eq!(first, all.iter().take(limit).map(|(time, _)| *time).collect::<Vec<_>>(), "the first of all");
        }

        // Counts are those of the lines, whoever counts them.
        let all = found(&request, Order::OldestFirst, None);
        let by_hand = |key: &dyn Fn(&(i64, String)) -> Vec<String>| {
            let mut groups = BTreeMap::<String, u64>::new();
            all.iter().flat_map(key).for_each(|group| *groups.entry(group).or_default() += 1);
            groups
        };
        let field = |line: &str, name: &str| serde_json::from_str::<Value>(line).unwrap()[name].clone();
        let minute = |time_us: i64| Timestamp(time_us - time_us.rem_euclid(60_000_000)).to_rfc3339();
        for (by, expected) in [
            (By::Level, by_hand(&|(_, line)| vec![Level::parse(field(line, "level").as_str().unwrap_or_default().as_bytes()).name().to_owned()])),
            (By::Field(Field::Service), by_hand(&|(_, line)| vec![field(line, "service").as_str().unwrap_or("(none)").to_owned()])),
            (By::parse("ms").unwrap(), by_hand(&|(_, line)| vec![match field(line, "ms") {
                Value::Null => "(none)".to_owned(),
                ms => ms.to_string(),
            }])),
            (By::Field(Field::Tag), by_hand(&|(_, line)| {
                let tags = field(line, "tags").as_array().cloned().unwrap_or_default();
                let tags: Vec<String> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
                if tags.is_empty() { vec!["(none)".to_owned()] } else { tags }
            })),
            (By::Time(60_000_000), by_hand(&|(time, _)| vec![minute(*time)])),
            (By::TimeAndLevel(60_000_000), by_hand(&|(time, line)| {
                vec![format!("{} {}", minute(*time), Level::parse(field(line, "level").as_str().unwrap_or_default().as_bytes()).name())]
            })),
        ] {
            let (counts, _) = count(&request, Some(&by)).unwrap();
            prop_assert_eq!(counts.total, all.len() as u64);
            prop_assert_eq!(counts.groups(usize::MAX).into_iter().collect::<BTreeMap<_, _>>(), expected, "{:?}", by);
        }
        prop_assert_eq!(count(&request, None).unwrap().0.total, all.len() as u64);
    }
}

proptest! {
    /// Every phrase of a text line as it came is found in what it became, and no filter says that it is not there.
    #[test]
    fn phrases_of_a_text_line_are_found_across_its_parts((line, record) in any_text_line(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let ends: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
        let (a, b) = (ends[from.index(ends.len())], ends[to.index(ends.len())]);
        let (start, end) = (a.min(b), a.max(b));
        prop_assume!(start < end);
        let phrase = line[start..end].replace('\\', "\\\\").replace('"', "\\\"");
        let expr = query::parse(&format!("*\"{phrase}\"*")).unwrap();
        let block = format!("{{\"n\":1}}\n{record}\n");
        let mut found = false;
        Matcher::new(&expr).unwrap().each_match(block.as_bytes(), |hit| found |= hit == record.as_bytes());
        prop_assert!(found, "{} in {}", expr, record);
        let filter = FilterBuilder::default().build(block.as_bytes(), 10_000);
        let is_word = |at: usize| line.as_bytes().get(at).is_some_and(|&byte| crate::record::words::is_word_byte(byte));
        let is_within_word = |at: usize| at > 0 && is_word(at - 1) && is_word(at);
        if !is_within_word(start) && !is_within_word(end) {
            let expr = query::parse(&format!("\"{phrase}\"")).unwrap();
            prop_assert!(Matcher::new(&expr).unwrap().matches(record.as_bytes()), "{} in {}", expr, record);
            let stats = scan_block(block.as_bytes(), &mut StoredScanner::default());
            let verdict = Pruner::new(&expr, EVERYTHING).verdict(&stats, EVERYTHING, filter.as_ref());
            prop_assert!(filter.is_some() && verdict == super::super::prune::Verdict::Some, "{}", expr);
        }
    }
}

fn lines_of(count: usize, word: &str) -> Vec<String> {
    (0..count).map(|n| format!("{{\"ts\":{n},\"level\":\"info\",\"message\":\"{word} number{n}\"}}")).collect()
}

#[test]
fn blocks_that_can_hold_nothing_are_not_read() {
    let archived = |table| State::Archived(Codec::Zstd, table);
    let dir = store(&[
        (archived(Table::Indexed), lines_of(100, "alpha")),
        (archived(Table::Indexed), lines_of(100, "bravo")),
        (archived(Table::Plain), lines_of(100, "gamma")),
    ]);
    let read = |query: &str, range| {
        let (expr, stop) = (query::parse(query).unwrap(), AtomicBool::new(false));
        let (counts, stats) = count(&request(dir.path(), &expr, range, &stop), None).unwrap();
        (counts.total, stats.blocks_read)
    };
    assert_eq!(read("bravo", EVERYTHING), (100, 4), "two blocks of bravo, two without filters");
    assert_eq!(read("missing", EVERYTHING), (0, 2));
    assert_eq!(read("level>=warn", EVERYTHING), (0, 0), "by level counts");
    assert_eq!(read("level:info", EVERYTHING), (300, 0), "counted from the tables");
    assert_eq!(read("*", TimeRange { min_us: 0, max_us: 49_999_999 }), (150, 0));
    assert_eq!(read("*", TimeRange { min_us: 10_000_000, max_us: 30_000_000 }), (63, 3));
    assert_eq!(read("*", TimeRange { min_us: 200_000_000, max_us: i64::MAX }), (0, 0));
}

#[test]
fn damage_is_named_and_the_rest_found() {
    let archived = State::Archived(Codec::Gzip, Table::Plain);
    let dir = store(&[(archived, lines_of(100, "alpha")), (archived, lines_of(100, "beta"))]);
    let path: PathBuf = dir.path().join("logs_20261124_150000_000001.jsonl.gz");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 0x55;
    std::fs::write(&path, bytes).unwrap();
    let (expr, stop) = (query::parse("number1*").unwrap(), AtomicBool::new(false));
    let (counts, stats) = count(&request(dir.path(), &expr, EVERYTHING, &stop), None).unwrap();
    assert!(counts.total >= 11, "the other segment: {}", counts.total);
    assert!(stats.damaged.len() == 1 && stats.damaged[0].contains("000001.jsonl.gz"), "{stats:?}");
}

#[test]
fn archives_that_go_meanwhile_are_no_damage_and_a_stop_ends_it() {
    let dir = store(&[(State::Archived(Codec::Gzip, Table::Plain), lines_of(100, "alpha")), (State::Raw, lines_of(10, "beta"))]);
    let (expr, stop) = (query::parse("alpha OR beta").unwrap(), AtomicBool::new(false));
    let request = request(dir.path(), &expr, EVERYTHING, &stop);
    let search = Search::prepare(&request).unwrap();
    let mut found = 0;
    let plan = plan(&search, None).unwrap();
    std::fs::remove_file(dir.path().join("logs_20261124_150000_000001.jsonl.gz")).unwrap();
    std::fs::remove_file(dir.path().join("logs.jsonl")).unwrap(); // sealed, archived, gone: what is held open stays
    let work = |scanner: &mut Scanner<'_>, unit: &Unit| {
        let counts = Mutex::<Counts>::default();
        let mut part = Part::of(&counts);
        scanner.count(unit, None, &mut part)?;
        part.hand_over();
        Ok(counts.lock().unwrap().total)
    };
    let take = |counted: Result<u64, StorageError>| {
        found += counted.unwrap();
        ControlFlow::Continue(())
    };
    search.read(&plan.units, work, take);
    assert_eq!(found, 10);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(count(&request, None).unwrap().0.total, 0);
}
