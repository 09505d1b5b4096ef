//! CSV and SQLite outputs hold exactly the store's records: after clean stops and crashes, with other shard counts, behind locks, and while retention deletes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Start, TestDaemon, lines_by_file, names, run, temp_dir};

/// A data directory, and a folder for outputs.
struct Place {
    data: TempDir,
    out: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { data: temp_dir(), out: temp_dir() }
    }

    fn csv(&self) -> PathBuf {
        self.out.path().join("logs.csv")
    }

    fn db(&self) -> PathBuf {
        self.out.path().join("logs.db")
    }

    fn start(&self, args: &[&str]) -> Start<'_> {
        let (csv, sqlite) = (format!("csv:{}", self.csv().display()), format!("sqlite:{}", self.db().display()));
        Start::in_dir(self.data.path()).args(&["--output", &csv, "--output", &sqlite]).args(args)
    }
}

/// One output's numbers.
fn output(daemon: &TestDaemon, kind: &str) -> Value {
    let stats = daemon.stats();
    let all = stats["outputs"].as_array().expect("a list");
    all.iter().find(|output| output["output"].as_str().unwrap().starts_with(kind)).expect("an output").clone()
}

fn wait_for_records(daemon: &TestDaemon, kind: &str, records: u64) {
    daemon.wait_for("the output has stored them", |daemon| output(daemon, kind)["records"] == records);
}

/// The rows of all CSV files of `folder`, in the order in which they were written: each an object by the header's names. Read by Python.
pub fn csv_rows(folder: &Path) -> Vec<Value> {
    let script = "import csv, json, sys
csv.field_size_limit(10**9)
for name in sys.argv[1:]:
    with open(name, newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file, strict=True):
            print(json.dumps(row))";
    let mut files: Vec<String> = names(folder).into_iter().filter(|name| name.ends_with(".csv")).collect();
    files.sort_by_key(|name| name.rsplit('_').next().map(str::to_owned)); // by number; the open one has none, and comes last
    let output = run(Command::new("python3").arg("-c").arg(script).args(files).current_dir(folder));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The rows of the database, in the order in which they were inserted.
fn sqlite_rows(path: &Path) -> Vec<Value> {
    let connection = Connection::open(path).expect("opened");
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(check, "ok");
    let mut query =
        connection.prepare("SELECT time_us, timestamp, level, service, message, tags, fields FROM logs ORDER BY id").expect("prepared");
    let rows = query.query_map([], |row| {
        let text = |at| row.get::<_, Option<String>>(at);
        Ok(json!({
            "time_us": row.get::<_, Option<i64>>(0)?, "timestamp": text(1)?, "level": text(2)?, "service": text(3)?, "message": text(4)?,
            "tags": text(5)?, "fields": text(6)?,
        }))
    });
    rows.expect("queried").map(|row| row.expect("a row")).collect()
}

fn by_level(rows: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row["level"].as_str().expect("a level").to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn every_kind_of_line_is_a_row_that_other_readers_understand() {
    let place = Place::new();
    let daemon = place.start(&["--shards", "1", "--tag", "slow=took", "--sync-interval", "50ms"]).start();
    let sent = [
        r#"{"timestamp":"2026-11-24T15:00:00Z","level":"warning","service":"api","message":"say \"hi\", now\nagain","user":7}"#,
        r#"{"ts":1795532400.5,"lvl":"ERROR","app":"api","msg":"it took 5 s","n":12345678901234567890,"n":1,"deep":{"a":[1,{"b":null}]}}"#,
        r#"{"message":"nul \u0000 and half \ud800","x":"\u00e9\ud83d\ude00","n":123456789012345678901234567890}"#,
        "2026-11-24 15:00:01,123 INFO [auth] hello user=7",
        "no shape, \"quotes\" and a , comma",
    ];
    daemon.send((sent.join("\n") + "\n").as_bytes());
    wait_for_records(&daemon, "csv", 5);
    wait_for_records(&daemon, "sqlite", 5);
    let stats = daemon.stats();
    daemon.stop();

    let rows = sqlite_rows(&place.db());
    let expected = json!([
        { "time_us": 1795532400000000i64, "timestamp": "2026-11-24T15:00:00Z", "level": "WARN", "service": "api", "message": "say \"hi\", now\nagain",
          "tags": null, "fields": r#"{"level":"warning","user":7}"# },
        { "time_us": 1795532400500000i64, "timestamp": "1795532400.5", "level": "ERROR", "service": "api", "message": "it took 5 s", "tags": r#"["slow"]"#,
          "fields": r#"{"ts":1795532400.5,"n":12345678901234567890,"n":1,"deep":{"a":[1,{"b":null}]}}"# },
        { "time_us": null, "timestamp": null, "level": "UNKNOWN", "service": null, "message": null, "tags": null,
          "fields": r#"{"message":"nul \u0000 and half \ud800","x":"\u00e9\ud83d\ude00","n":123456789012345678901234567890}"# },
        { "time_us": 1795532401123000i64, "timestamp": "2026-11-24 15:00:01,123", "level": "INFO", "service": "auth", "message": "hello user=7", "tags": null,
          "fields": r#"{"user":"7","layout":"{timestamp} {level} [{service}] {message}"}"# },
    ]);
    assert_eq!(Value::from(rows[..4].to_vec()), expected);
    assert_eq!(rows[4]["message"], sent[4]);

    let csv = csv_rows(place.out.path());
    let times: Vec<&str> = csv.iter().map(|row| row["time"].as_str().unwrap()).collect();
    assert_eq!(&times[..4], ["2026-11-24T15:00:00.000000Z", "2026-11-24T15:00:00.500000Z", "", "2026-11-24T15:00:01.123000Z"]);
    for (csv, sqlite) in csv.iter().zip(&rows) {
        for column in ["timestamp", "level", "service", "message", "tags", "fields"] {
            assert_eq!(csv[column].as_str().unwrap(), sqlite[column].as_str().unwrap_or_default(), "{column}");
        }
    }
    let counts = by_level(&rows);
    for (level, count) in stats["levels"].as_object().unwrap() {
        assert_eq!(counts.get(level).copied().unwrap_or(0), count.as_u64().unwrap(), "{level}");
    }
    assert_eq!(rows.iter().filter(|row| row["tags"] == r#"["slow"]"#).count() as u64, stats["tags"]["slow"].as_u64().unwrap());

    let script = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(\"select count(*), sum(level = 'ERROR'), max(json_extract(fields, '$.user')) from logs where json_valid(fields)\").fetchone())";
    let said = run(Command::new("python3").args(["-c", script]).arg(place.db())).stdout;
    assert_eq!(String::from_utf8_lossy(&said).trim(), "5 1 7");
    let script = "import duckdb, sys; print(*duckdb.sql(f\"select count(*), count(time), max(year(time)) from read_csv('{sys.argv[1]}')\").fetchall()[0])";
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python");
    let packages = std::env::var("PYTHONPATH").map_or(packages.to_owned(), |more| format!("{packages}:{more}"));
    let duckdb = run(Command::new("python3").env("PYTHONPATH", packages).args(["-c", script]).arg(place.csv()));
    assert_eq!(String::from_utf8_lossy(&duckdb.stdout).trim(), "5 4 2026", "{}", String::from_utf8_lossy(&duckdb.stderr));
}

/// What was sent as line `n` of `client`.
fn line(client: usize, n: usize) -> String {
    let level = ["debug", "INFO", "warn", "ERROR"][n % 4];
    format!(
        "{{\"time\":\"2026-11-24T15:00:00Z\",\"level\":\"{level}\",\"client\":{client},\"n\":{n},\"message\":\"{}\"}}\n",
        "m".repeat(n * 37 % 200)
    )
}

/// The key of a record or of a row's fields.
fn key(object: &Value) -> (u64, u64) {
    (object["client"].as_u64().expect("a client"), object["n"].as_u64().expect("a number"))
}

/// The store's records by shard, each in the shard's order.
fn stored(dir: &Path) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut by_shard = BTreeMap::<String, BTreeMap<(bool, String), Vec<(u64, u64)>>>::new();
    for (name, lines) in lines_by_file(dir, "logs") {
        let parts: Vec<&str> = name.split(['_', '.']).collect();
        // logs.jsonl, logs.s00.jsonl, logs_DATE_TIME_NUMBER.jsonl.gz, logs_DATE_TIME_s00_NUMBER.jsonl.gz
        let shard = parts.iter().find(|part| part.len() == 3 && part.starts_with('s')).unwrap_or(&"s00").to_string();
        let number = parts.iter().find(|part| part.len() == 6 && name.contains(&format!("_{part}.jsonl")));
        let order = (number.is_none(), number.map_or(String::new(), |number| (*number).to_owned()));
        let keys = lines.iter().map(|line| key(&serde_json::from_slice(line).expect("JSON"))).collect();
        assert!(by_shard.entry(shard).or_default().insert(order, keys).is_none());
    }
    by_shard.into_iter().map(|(shard, files)| (shard, files.into_values().flatten().collect())).collect()
}

/// That `rows` are the store's records, each once, each shard's in its order.
fn assert_holds(rows: &[Value], stored: &BTreeMap<String, Vec<(u64, u64)>>, what: &str) {
    let keys: Vec<(u64, u64)> =
        rows.iter().map(|row| key(&serde_json::from_str(row["fields"].as_str().expect("text")).expect("JSON"))).collect();
    let shard_of: BTreeMap<(u64, u64), &String> =
        stored.iter().flat_map(|(shard, keys)| keys.iter().map(move |key| (*key, shard))).collect();
    let mut found = BTreeMap::<String, Vec<(u64, u64)>>::new();
    for key in &keys {
        let shard = shard_of.get(key).unwrap_or_else(|| panic!("{what}: {key:?} is not in the store"));
        found.entry((*shard).clone()).or_default().push(*key);
    }
    for (shard, keys) in stored {
        let (count, expected) = (found.get(shard).map_or(0, Vec::len), keys.len());
        assert!(found.get(shard).map_or(&[][..], Vec::as_slice) == keys, "{what}, {shard}: {count} rows, {expected} records");
    }
}

fn killed_again_and_again(compression: &str) {
    let place = Place::new();
    let flags =
        |shards: &'static str| ["--shards", shards, "--rotate-size", "100kB", "--sync-interval", "50ms", "--compression", compression];
    let mut sent = 0;
    for (round, shards) in ["2", "2", "1", "3", "2"].into_iter().enumerate() {
        let daemon = place.start(&flags(shards)).start();
        let senders: Vec<_> = (0..3)
            .map(|client| {
                let (mut stream, first) = (daemon.connect(), sent);
                thread::spawn(move || {
                    let mut n = first;
                    while n < first + 5_000 && stream.write_all(line(client, n).as_bytes()).is_ok() {
                        n += 1;
                        if n % 100 == 0 {
                            thread::sleep(Duration::from_millis(2));
                        }
                    }
                })
            })
            .collect();
        sent += 5_000;
        daemon.wait_for("an output has begun", |daemon| 0 < output(daemon, "sqlite")["records"].as_u64().unwrap());
        thread::sleep(Duration::from_millis([310, 130, 570, 40, 220][round]));
        daemon.kill();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
    let daemon = place.start(&flags("2")).expect_warning("torn").start();
    daemon.send(line(9, 9).as_bytes());
    daemon.wait_for("everything is output", |daemon| ["csv", "sqlite"].iter().all(|kind| output(daemon, kind)["lag_bytes"] == 0));
    daemon.stop();
    let stored = stored(place.data.path());
    assert!(1_000 < stored.values().map(Vec::len).sum::<usize>());
    assert_holds(&sqlite_rows(&place.db()), &stored, "SQLite");
    assert_holds(&csv_rows(place.out.path()), &stored, "CSV");
}

#[test]
fn killed_again_and_again_outputs_hold_the_records_once_with_gzip() {
    killed_again_and_again("gzip");
}

#[test]
fn killed_again_and_again_outputs_hold_the_records_once_with_zstd() {
    killed_again_and_again("zstd");
}

#[test]
fn killed_again_and_again_outputs_hold_the_records_once_without_compression() {
    killed_again_and_again("none");
}

#[test]
fn a_clean_stop_outputs_what_is_left_and_csv_files_are_sealed_at_their_size() {
    let place = Place::new();
    let daemon = place.start(&["--shards", "2", "--rotate-size", "50kB"]).start();
    let text: String = (0..5_000).map(|n| line(0, n)).collect();
    daemon.send(text.as_bytes());
    daemon.stop(); // at once
    let stored = stored(place.data.path());
    assert_eq!(stored.values().map(Vec::len).sum::<usize>(), 5_000);
    assert_holds(&sqlite_rows(&place.db()), &stored, "SQLite");
    assert_holds(&csv_rows(place.out.path()), &stored, "CSV");
    let sealed: Vec<String> = names(place.out.path()).into_iter().filter(|name| name.starts_with("logs_")).collect();
    assert!(10 < sealed.len(), "{sealed:?}");
    for (at, name) in sealed.iter().enumerate() {
        assert!(name.ends_with(&format!("_{:06}.csv", at + 1)), "{sealed:?}");
        assert!(std::fs::metadata(place.out.path().join(name)).unwrap().len() <= 50_000, "{name}");
    }
}

#[test]
fn an_old_directory_is_output_from_its_beginning() {
    let place = Place::new();
    let daemon = TestDaemon::start(place.data.path(), &["--shards", "1", "--rotate-size", "50kB"]);
    daemon.send((0..2_000).map(|n| line(0, n)).collect::<String>().as_bytes());
    daemon.stop();
    std::fs::remove_file(place.data.path().join(names(place.data.path()).into_iter().find(|name| name.ends_with(".meta")).unwrap()))
        .unwrap();
    let daemon = place.start(&["--shards", "1"]).start();
    wait_for_records(&daemon, "csv", 2_000);
    wait_for_records(&daemon, "sqlite", 2_000);
    daemon.stop();
    assert_holds(&sqlite_rows(&place.db()), &stored(place.data.path()), "SQLite");
}

#[test]
fn broken_outputs_keep_nobody_waiting_warn_once_and_keep_their_place() {
    let place = Place::new();
    let daemon = place.start(&["--shards", "2", "--rotate-size", "100kB", "--sync-interval", "50ms"]);
    let daemon = daemon.expect_warning("tries again").start();
    daemon.send((0..100).map(|n| line(0, n)).collect::<String>().as_bytes());
    wait_for_records(&daemon, "csv", 100);
    wait_for_records(&daemon, "sqlite", 100);
    // Somebody locks the database, and puts a folder where the cursor file is to be.
    let lock = Connection::open(place.db()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let blocked = place.out.path().join("logs.csv.cursor.tmp");
    std::fs::create_dir(&blocked).unwrap();
    daemon.send((100..10_000).map(|n| line(0, n)).collect::<String>().as_bytes()); // returns when all is written
    for kind in ["csv", "sqlite"] {
        daemon.wait_for("its problem is shown", |daemon| output(daemon, kind)["problem"].is_string());
    }
    let metrics = daemon.get("/metrics").1;
    assert!(
        metrics.contains("logboom_output_up{output=\"sqlite:") && metrics.contains("logboom_output_lag_seconds{output=\"csv:"),
        "{metrics}"
    );
    assert!(output(&daemon, "sqlite")["problem"].as_str().unwrap().contains("locked"));
    daemon.wait_for("more than one try", |daemon| 1 < output(daemon, "sqlite")["failures"].as_u64().unwrap());
    assert!(
        0 < output(&daemon, "sqlite")["lag_bytes"].as_u64().unwrap() && 0.0 < output(&daemon, "sqlite")["lag_seconds"].as_f64().unwrap()
    );
    assert_eq!(daemon.stderr().matches("tries again").count(), 2, "each warns once");
    assert_eq!(daemon.get("/readyz").0, 200);
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    std::fs::remove_dir(&blocked).unwrap();
    wait_for_records(&daemon, "csv", 10_000);
    wait_for_records(&daemon, "sqlite", 10_000);
    daemon.stop();
    let stored = stored(place.data.path());
    assert_holds(&sqlite_rows(&place.db()), &stored, "SQLite");
    assert_holds(&csv_rows(place.out.path()), &stored, "CSV");
}

#[test]
fn what_is_not_an_outputs_own_is_left_alone() {
    let place = Place::new();
    std::fs::write(place.csv(), "mine\n").unwrap();
    let foreign = Connection::open(place.db()).unwrap();
    foreign.execute_batch("CREATE TABLE mine (x)").unwrap();
    let refused = run(&mut place.start(&["--shards", "1"]).command());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no cursor file") && said.contains("something else") && said.matches("move it away").count() == 2, "{said}");
    assert_eq!(std::fs::read_to_string(place.csv()).unwrap(), "mine\n");
    drop(foreign);
    std::fs::write(place.db(), "no database, but some text that is long enough for a header ".repeat(10)).unwrap();
    std::fs::remove_file(place.csv()).unwrap();
    let said = run(&mut place.start(&["--shards", "1"]).command()).stderr;
    assert!(String::from_utf8_lossy(&said).contains("is no database"), "{}", String::from_utf8_lossy(&said));
    std::fs::remove_file(place.db()).unwrap();

    let daemon = place.start(&["--shards", "1"]).start();
    daemon.send(line(0, 0).as_bytes());
    wait_for_records(&daemon, "csv", 1);
    daemon.stop();
    place.start(&["--shards", "1"]).start().stop(); // what is there now is its own
}

/// Bytes of the data directory's archives.
fn archived(daemon: &TestDaemon) -> u64 {
    daemon.stats()["store"]["disk_bytes"]["archived"].as_u64().unwrap()
}

#[test]
fn retention_waits_for_what_is_not_read_unless_told_not_to() {
    for (unread, keeps) in [("keep", true), ("delete", false)] {
        let place = Place::new();
        // Lines that do not compress, so that there are megabytes of archives.
        let noise = |n: u64| (0..40).map(|i| format!("{:x}", (n * 41 + i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect::<String>();
        let text: String = (0..8_000).map(|n| format!("{{\"client\":0,\"n\":{n},\"message\":\"{}\"}}\n", noise(n))).collect();
        let flags = ["--shards", "1", "--rotate-size", "300kB", "--retain-size", "1MB", "--retain-unread", unread];
        let daemon = place.start(&flags).expect_warning("tries again").expect_warning("have not read").expect_warning("not read them yet");
        let daemon = daemon.expect_warning("was deleted before").start();
        daemon.wait_for("the outputs are open", |_| place.db().exists() && place.out.path().join("logs.csv.cursor").exists());
        let lock = Connection::open(place.db()).unwrap();
        lock.busy_timeout(Duration::from_secs(10)).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        daemon.send(text.as_bytes());
        if keeps {
            daemon.wait_for("it holds deletions up", |daemon| 5 < daemon.stats()["store"]["retention"]["held_segments"].as_u64().unwrap());
            daemon.wait_for("there is more than the limit", |daemon| 1_500_000 < archived(daemon));
            assert!(daemon.stderr().contains("--retain-unread"));
        } else {
            daemon.wait_for("it deletes", |daemon| 5 < daemon.stats()["store"]["retention"]["deleted_segments"]["size"].as_u64().unwrap());
        }
        lock.execute_batch("ROLLBACK").unwrap();
        drop(lock);
        if keeps {
            wait_for_records(&daemon, "sqlite", 8_000);
            daemon.wait_for("they go", |daemon| archived(daemon) < 1_000_000);
            assert_eq!(output(&daemon, "sqlite")["lost_segments"], 0);
        } else {
            daemon.wait_for("it says what it missed", |daemon| 0 < output(daemon, "sqlite")["lost_segments"].as_u64().unwrap());
        }
        daemon.stop();
        let rows = sqlite_rows(&place.db()).len();
        assert!(if keeps { rows == 8_000 } else { rows < 8_000 }, "{rows} rows, {unread}");
    }
}
