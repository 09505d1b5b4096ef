//! What `collect --output-type jsonl,csv,sqlite` leaves with a filter, an exclusion and tags, through kills: SQLite and CSV hold exactly the store's records, and their levels
//! and tags are those that `/api/stats` has counted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::collector::{Collector, append, once, out};
use crate::harness::{records, run, temp_dir};
use crate::outputs::csv_rows;

const LEVELS: [&str; 4] = ["DEBUG", "INFO", "WARN", "ERROR"];
const SERVICES: [&str; 3] = ["api", "database", "payment"];
/// The rules, and segments that fill.
const FLAGS: [&str; 14] = [
    "--output-type",
    "jsonl,csv,sqlite",
    "--rotate-size",
    "200kB",
    "--sync-interval",
    "50ms",
    "--filter",
    "level=INFO|WARN|ERROR",
    "--exclude",
    "is healthy",
    "--tag",
    "paid=service:payment",
    "--tag",
    "round=message:\\d0 ",
];

/// How many records there are, by level, and by tag.
type Counts = BTreeMap<String, u64>;

fn line(n: u64) -> String {
    let (level, service) = (LEVELS[n as usize % 4], SERVICES[n as usize % 3]);
    let what = if n.is_multiple_of(7) { "is healthy" } else { "says hello" };
    format!("{{\"level\":\"{level}\",\"service\":\"{service}\",\"message\":\"number {n} {what}\",\"n\":{n}}}\n")
}

/// What the rules make of lines.
fn expected(lines: Range<u64>) -> Counts {
    let kept = lines.filter(|n| n % 4 != 0 && n % 7 != 0);
    count(kept.map(|n| {
        let tags = [(n % 3 == 2, "paid"), (10 <= n && n % 10 == 0, "round")];
        (LEVELS[n as usize % 4].to_owned(), tags.into_iter().filter(|(is, _)| *is).map(|(_, tag)| tag.to_owned()).collect())
    }))
}

fn count(records: impl Iterator<Item = (String, Vec<String>)>) -> Counts {
    let mut counts = Counts::new();
    for (level, tags) in records {
        let names = ["records".to_owned(), format!("level {level}")].into_iter().chain(tags.iter().map(|tag| format!("tag {tag}")));
        names.for_each(|name| *counts.entry(name).or_default() += 1);
    }
    counts
}

fn tags(array: &Value) -> Vec<String> {
    array.as_array().into_iter().flatten().map(|tag| tag.as_str().expect("a tag").to_owned()).collect()
}

fn of_store(dir: &Path) -> Counts {
    let of = |record: &Value| (record["level"].as_str().expect("a level").to_owned(), tags(&record["tags"]));
    count(records(&out(dir), "collected").iter().map(of))
}

fn of_csv(dir: &Path) -> Counts {
    let text = |row: &Value, column: &str| row[column].as_str().expect("text").to_owned();
    let of = |row: &Value| (text(row, "level"), tags(&serde_json::from_str(&text(row, "tags")).unwrap_or_default()));
    count(csv_rows(&out(dir)).iter().map(of))
}

fn of_sqlite(dir: &Path) -> Counts {
    let query = "select 'records', count(*) from collected;
        select 'level ' || level, count(*) from collected group by level;
        select 'tag ' || value, count(*) from collected, json_each(tags) group by value;";
    let ran = run(Command::new("sqlite3").arg("-readonly").arg(out(dir).join("collected.sqlite")).arg(query));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let rows = String::from_utf8(ran.stdout).expect("UTF-8");
    let row =
        |line: &str| line.split_once('|').map(|(name, count)| (name.to_owned(), count.parse().expect("a number"))).expect("two columns");
    rows.lines().map(row).collect()
}

/// What a collector has counted since its start.
fn of_stats(collector: &Collector) -> Counts {
    let stats = collector.stats();
    let named = |kind: &str, object: &Value| -> Vec<(String, u64)> {
        let counts = object.as_object().expect("an object").iter();
        counts.map(|(name, count)| (format!("{kind} {name}"), count.as_u64().expect("a number"))).filter(|(_, count)| 0 < *count).collect()
    };
    let mut counts: Counts = named("level", &stats["levels"]).into_iter().chain(named("tag", &stats["tags"])).collect();
    counts.insert("records".to_owned(), stats["ledger"]["written"].as_u64().expect("a number"));
    counts
}

/// Waits until it has taken `lines`, and both outputs have what is stored of them. What it has counted since its start is what the rules make of them.
fn assert_counted(collector: &Collector, lines: Range<u64>) {
    collector.wait_for_lines(lines.end - lines.start);
    collector.wait_for("counts are published", |collector| of_stats(collector) == expected(lines.clone()));
    collector.wait_for("everything is output", |collector| {
        let stats = collector.stats();
        let outputs = stats["outputs"].as_array().expect("a list");
        outputs.len() == 2 && outputs.iter().all(|output| output["records"] == expected(lines.clone())["records"])
    });
    let filtered = collector.stats()["ledger"]["filtered"].as_u64().expect("a number");
    assert_eq!(filtered, lines.end - lines.start - expected(lines)["records"]);
}

/// The store, the CSV files and the database hold what the rules make of `lines`, and nothing else.
fn assert_held(dir: &Path, lines: Range<u64>) {
    let expected = expected(lines);
    assert_eq!(of_store(dir), expected, "the store");
    assert_eq!(of_csv(dir), expected, "CSV");
    assert_eq!(of_sqlite(dir), expected, "SQLite");
}

#[test]
fn outputs_hold_exactly_the_stores_records_after_kills_and_agree_with_the_counts() {
    let dir = temp_dir();
    let dir = dir.path();
    let start = || Collector::start(dir, "logs/app.log", &FLAGS);
    std::fs::create_dir_all(dir.join("logs")).expect("created");
    let path = dir.join("logs/app.log");
    let write = |lines: Range<u64>| append(&path).write_all(lines.map(line).collect::<String>().as_bytes()).expect("written");

    // Killed when everything is output: what it counted is what all three hold.
    write(0..20_000);
    let collector = start();
    assert_counted(&collector, 0..20_000);
    collector.kill();
    assert_held(dir, 0..20_000);

    // Killed while it reads, writes, archives and outputs.
    let is_stopped = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut next = 20_000;
            while !is_stopped.load(Ordering::Relaxed) {
                write(next..next + 100);
                next += 100;
                thread::sleep(Duration::from_millis(2));
            }
            next
        });
        for round in 0..8u64 {
            let collector = start();
            thread::sleep(Duration::from_millis(50 + 71 * round % 300));
            collector.kill();
        }
        is_stopped.store(true, Ordering::Relaxed);
        writing.join().expect("written")
    });
    once(dir, "logs/app.log", &FLAGS);
    assert_held(dir, 0..written);

    // One that goes on after all of that counts what it adds.
    let collector = start();
    write(written..written + 5_000);
    assert_counted(&collector, written..written + 5_000);
    collector.kill();
    assert_held(dir, 0..written + 5_000);
}
