//! Injected faults: each file operation of the daemon, each fault, and what happens. The table is in `docs/DURABILITY.md`; this test makes it again and compares.
//!
//! Whatever happens, the next start makes the directory good, and everything acknowledged is there, once. `LOGBOOM_WRITE_TABLE=1` writes the table anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use logboom_faults::oracle::{Known, Leave, compare, lines};

use crate::crash_points::broken_directory;
use crate::daemon::{Daemon, PATIENCE, copy, in_parallel, send_relp, send_tcp};

/// What the daemon does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Lines that somebody waits for, in one segment.
    OneSegment,
    /// Lines that somebody waits for, in several segments.
    Segments,
    /// Two lines that somebody waits for, then segments for which nobody does: only the pool syncs.
    Unwaited,
    /// It finds archives that are too old.
    Retention,
    /// It finds everything that recovery has to do.
    Recovery,
}

/// An operation: what it is for, the rule that finds it, and when it happens.
struct Row(&'static str, &'static str, Load);

const ROWS: [Row; 34] = [
    Row("shard: create the open segment", "create logs.jsonl 1", Load::OneSegment),
    Row("shard: write lines", "write logs.jsonl 3", Load::OneSegment),
    Row("shard: fdatasync the open segment", "fdatasync logs.jsonl 3", Load::OneSegment),
    Row("shard: fsync the directory", "fsync-directory * 2", Load::OneSegment),
    Row("shard: rename (seal)", "rename logs.jsonl 2", Load::Segments),
    Row("pool: open the sealed segment", "open logs_ 1", Load::Segments),
    Row("pool: read it", "read logs_ 1", Load::Segments),
    Row("pool: create the archive", "create .gz.tmp 1", Load::Segments),
    Row("pool: write the archive", "write .gz.tmp 1", Load::Segments),
    Row("pool: fdatasync the archive", "fdatasync .gz.tmp 1", Load::Segments),
    Row("pool: rename the archive", "rename .gz.tmp 1", Load::Segments),
    Row("pool: fsync the directory", "fsync-directory * 3", Load::Unwaited),
    Row("pool: create the block table", "create .meta.tmp 1", Load::Segments),
    Row("pool: write the block table", "write .meta.tmp 1", Load::Segments),
    Row("pool: rename the block table", "rename .meta.tmp 1", Load::Segments),
    Row("pool: remove the raw file", "remove .jsonl 1", Load::Segments),
    Row("retention: list the directory", "list * 2", Load::Retention),
    Row("retention: remove an archive", "remove .gz 1", Load::Retention),
    Row("retention: remove its block table", "remove .meta 1", Load::Retention),
    Row("start: create `logboom.format`", "create logboom.format 1", Load::OneSegment),
    Row("start: write `logboom.format`", "write logboom.format 1", Load::OneSegment),
    Row("start: fdatasync `logboom.format`", "fdatasync logboom.format 1", Load::OneSegment),
    Row("start: rename `logboom.format`", "rename logboom.format 1", Load::OneSegment),
    Row("recovery: list the directory", "list * 1", Load::Recovery),
    Row("recovery: read the open segment", "read logs.jsonl 1", Load::Recovery),
    Row("recovery: cut its torn tail", "truncate logs.jsonl 1", Load::Recovery),
    Row("recovery: fdatasync it", "fdatasync logs.jsonl 1", Load::Recovery),
    Row("recovery: rename (seal)", "rename rejected.s03 1", Load::Recovery),
    Row("recovery: remove a temporary file", "remove .tmp 1", Load::Recovery),
    Row("recovery: fsync the directory", "fsync-directory * 1", Load::Recovery),
    Row("recovery: remove an archived raw file", "remove 000001.jsonl 1", Load::Recovery),
    Row("recovery: create a block table", "create .meta.tmp 1", Load::Recovery),
    Row("recovery: write a block table", "write .meta.tmp 1", Load::Recovery),
    Row("recovery: rename a block table", "rename .meta.tmp 1", Load::Recovery),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Eio,
    Enospc,
    Edquot,
    Short,
    Slow,
}

const COLUMNS: [Column; 5] = [Column::Eio, Column::Enospc, Column::Edquot, Column::Short, Column::Slow];

impl Column {
    fn title(self) -> &'static str {
        ["EIO", "ENOSPC", "EDQUOT", "short write", "200 ms slow"][self as usize]
    }

    fn applies(self, rule: &str) -> bool {
        match self {
            Column::Eio | Column::Slow => true,
            Column::Enospc | Column::Edquot => !["open", "read", "list"].iter().any(|op| rule.starts_with(op)),
            Column::Short => rule.starts_with("write"),
        }
    }

    /// The fault; a full disk stays full as long as `full` exists.
    fn fault(self, full: &Path) -> String {
        match self {
            Column::Eio => "error 5".to_owned(),
            Column::Enospc => format!("error 28 while {}", full.display()),
            Column::Edquot => format!("error 122 while {}", full.display()),
            Column::Short => "short".to_owned(),
            Column::Slow => "slow 200".to_owned(),
        }
    }
}

/// A data directory with archives and an open segment, all of it good, and one that is not.
struct Templates {
    good: (PathBuf, Known),
    broken: (PathBuf, Known),
}

fn flags(load: Load) -> Vec<&'static str> {
    match load {
        Load::OneSegment => vec!["--compression-level", "1"],
        Load::Segments | Load::Recovery => vec!["--rotate-size", "4KiB"],
        Load::Unwaited => vec!["--rotate-size", "4KiB", "--sync-interval", "1h"],
        Load::Retention => vec!["--retain-age", "1s"],
    }
}

fn work(load: Load, daemon: &Daemon, known: &mut Known) {
    match load {
        Load::Unwaited => {
            send_relp(daemon.relp(), known, 2, 1, 700, |_| {});
            send_tcp(daemon.tcp(), known, 12, 700);
        }
        Load::OneSegment | Load::Segments => send_relp(daemon.relp(), known, 16, 1, 700, |_| {}),
        Load::Retention | Load::Recovery => send_relp(daemon.relp(), known, 2, 1, 700, |_| {}),
    }
}

/// What is said on stderr, line by line, that contains `text`.
fn said(daemon: &Daemon, text: &str) -> usize {
    daemon.stderr().lines().filter(|line| line.contains(text)).count()
}

/// Whether there is nothing left to do: no raw segment but the open one.
fn is_idle(daemon: &Daemon, load: Load) -> bool {
    let Some((200, stats)) = daemon.get("/api/stats") else { return false };
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    stats["store"]["raw_segments"].as_u64().expect("a count") <= 1 && (load != Load::Retention || 0 < said(daemon, "retention: "))
}

/// One cell.
fn inject(row: &Row, column: Column, templates: &Templates) -> String {
    let Row(what, rule, load) = row;
    let what = format!("{what}, {}", column.title());
    let dir = tempfile::tempdir().expect("a directory");
    let (data, full) = (dir.path().join("data"), dir.path().join("full"));
    fs::write(&full, b"").expect("written");
    let mut known = Known::default();
    for (loads, (template, knows)) in [(Load::Retention, &templates.good), (Load::Recovery, &templates.broken)] {
        if loads == *load {
            copy(template, &data);
            known = knows.clone();
        }
    }
    let mut daemon = Daemon::start(&data, &format!("{rule} {}", column.fault(&full)), None, &flags(*load));
    let mut paused = false;
    if daemon.ready.is_some() {
        paused = observe(*load, &mut daemon, &mut known, &full, &what);
    }
    let status = daemon.stop();
    assert_eq!(said(&daemon, "faults: "), 1, "{what}: it happens:\n{}", daemon.stderr());
    let cell = outcome(&daemon, status.code(), paused, &what);
    println!("{what}: {cell}"); // shown when the test fails
    let mut again = Daemon::start(&data, "", None, &["--rotate-size", "4KiB"]);
    assert!(again.ready.is_some(), "{what}: the next start:\n{}", again.stderr());
    assert_eq!(again.stop().code(), Some(0), "{what}: the next start:\n{}", again.stderr());
    lines(&data).and_then(|found| compare(&found, &known, Leave::default())).unwrap_or_else(|error| panic!("{what}: {error}"));
    cell
}

/// Sends, and makes room when intake pauses. Returns whether it did; ends when there is nothing left to do, or the daemon has ended.
fn observe(load: Load, daemon: &mut Daemon, known: &mut Known, full: &Path, what: &str) -> bool {
    let mut paused = false;
    let begun = Instant::now();
    thread::scope(|scope| {
        let shared = &*daemon;
        let sending = scope.spawn(move || work(load, shared, known));
        while !(sending.is_finished() && (is_idle(shared, load) || shared.get("/healthz").is_none())) {
            if let Some((503, reason)) = shared.get("/readyz")
                && full.exists()
            {
                assert!(reason.starts_with("paused: ") && (reason.contains("full") || reason.contains("can't write")), "{what}: {reason}");
                paused = true;
                fs::remove_file(full).expect("removed");
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: it does not end:\n{}", shared.stderr());
            thread::sleep(Duration::from_millis(20));
        }
    });
    while paused && daemon.has_ended().is_none() && !matches!(daemon.get("/readyz"), Some((200, _))) {
        assert!(begun.elapsed() < PATIENCE, "{what}: intake does not resume:\n{}", daemon.stderr());
        thread::sleep(Duration::from_millis(50));
    }
    paused
}

fn outcome(daemon: &Daemon, code: Option<i32>, paused: bool, what: &str) -> String {
    let stderr = daemon.stderr();
    match code {
        Some(0) if paused => {
            assert_eq!(said(daemon, "intake pauses: the disk is full"), 1, "{what}: one warning:\n{stderr}");
            assert_eq!(said(daemon, "intake resumes after"), 1, "{what}:\n{stderr}");
            "pauses, resumes".to_owned()
        }
        Some(0) if 0 < said(daemon, "os error") => {
            assert_eq!(said(daemon, "os error"), 1, "{what}: one warning:\n{stderr}");
            "warns, goes on".to_owned()
        }
        Some(0) => "goes on".to_owned(),
        Some(code @ (1 | 2)) => {
            let fatal = if code == 2 { "logboom: fatal: " } else { "logboom: " };
            let messages: Vec<&str> = stderr.lines().filter(|line| line.contains("os error")).collect();
            assert!(messages.len() == 1 && messages[0].starts_with(fatal), "{what}: one clear message:\n{stderr}");
            format!("exit {code}")
        }
        code => panic!("{what}: {code:?}\n{stderr}"),
    }
}

#[test]
fn the_table_of_injected_faults_is_the_one_in_the_docs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (good, broken) = (dir.path().join("good"), dir.path().join("broken"));
    let known_broken = broken_directory(&broken);
    let mut known = Known::default();
    let mut daemon = Daemon::start(&good, "", None, &["--rotate-size", "4KiB"]);
    work(Load::Segments, &daemon, &mut known);
    assert_eq!(daemon.stop().code(), Some(0));
    thread::sleep(Duration::from_secs(2)); // its archives are to be old, and may go
    let open = fs::read_to_string(good.join("logs.jsonl")).expect("an open segment");
    known.acknowledged.retain(|number| open.contains(&known.sent[number]));
    let templates = Templates { good: (good, known), broken: (broken, known_broken) };

    let cells: Vec<(usize, Column)> = (0..ROWS.len()).flat_map(|row| COLUMNS.map(|column| (row, column))).collect();
    let outcomes = in_parallel(&cells, 8, |(row, column)| {
        let row = &ROWS[*row];
        if column.applies(row.1) { inject(row, *column, &templates) } else { "–".to_owned() }
    });
    let mut table = format!("| operation | {} |\n|{}\n", COLUMNS.map(Column::title).join(" | "), " --- |".repeat(1 + COLUMNS.len()));
    for (row, outcomes) in ROWS.iter().zip(outcomes.chunks(COLUMNS.len())) {
        table += &format!("| {} | {} |\n", row.0, outcomes.join(" | "));
    }
    const BEGIN: &str = "<!-- injected faults: begin -->\n";
    const END: &str = "<!-- injected faults: end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/DURABILITY.md");
    let text = fs::read_to_string(&path).expect("the docs");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (documented, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("LOGBOOM_WRITE_TABLE").is_some_and(|set| set == "1") {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
        return;
    }
    assert!(documented == table, "docs/DURABILITY.md says\n{documented}\nand what happens is\n{table}");
}
