//! The real binary against a small collector of our own: what it sends is found, and what is broken on purpose is told for what it is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn loadgen(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args);
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("loadgen runs")
}

/// A directory as the daemon would leave it, and the manifest of a run into it.
struct Stored {
    dir: TempDir,
}

impl Stored {
    /// Runs loadgen with `args` against a collector that keeps all lines of a connection together, the connections one after another.
    fn run(args: &[&str]) -> Self {
        let stored = Self { dir: tempfile::tempdir().expect("a directory") };
        fs::create_dir(stored.data()).expect("created");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let target = format!("tcp://{}", listener.local_addr().expect("an address"));
        let collector = thread::spawn(move || collect(&listener));
        let manifest = stored.manifest();
        let run = output(loadgen(&["run", "--target", &target, "--manifest", manifest.to_str().expect("UTF-8")]).args(args));
        assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        stored.write_lines(&collector.join().expect("collected"));
        stored
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn manifest(&self) -> PathBuf {
        self.dir.path().join("manifest.json")
    }

    /// The first half, but not more than 5000 lines, becomes an archive of two members, half of the rest a sealed segment, the rest of it the open one.
    fn write_lines(&self, lines: &[Vec<u8>]) {
        let data = self.data();
        let (archived, rest) = lines.split_at((lines.len() / 2).min(5000));
        let (sealed, open) = rest.split_at(rest.len() / 2);
        let mut archive = File::create(data.join("logs_20261124_150000_s00_000001.jsonl.gz")).expect("created");
        for member in archived.chunks(archived.len() / 2 + 1) {
            let mut encoder = GzEncoder::new(&mut archive, Compression::fast());
            encoder.write_all(&member.concat()).expect("compressed");
            encoder.finish().expect("compressed");
        }
        fs::write(data.join("logs_20261124_150000_s00_000002.jsonl"), sealed.concat()).expect("written");
        fs::write(data.join("logs.s00.jsonl"), open.concat()).expect("written");
        fs::write(data.join("logs_20261124_150000_s00_000001.meta"), "not for us").expect("written");
    }

    fn open_lines(&self) -> Vec<Vec<u8>> {
        let bytes = fs::read(self.data().join("logs.s00.jsonl")).expect("read");
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn set_open_lines(&self, lines: &[Vec<u8>]) {
        fs::write(self.data().join("logs.s00.jsonl"), lines.concat()).expect("written");
    }

    fn verify(&self, args: &[&str]) -> (Option<i32>, Value) {
        let command = &mut loadgen(&["verify", "--report", "json", "--data-dir"]);
        let done = output(command.arg(self.data()).arg("--manifest").arg(self.manifest()).args(args));
        let text = String::from_utf8_lossy(&done.stdout);
        let verdict =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&done.stderr)));
        (done.status.code(), verdict)
    }

    /// Exactly these differences, and no other.
    fn assert_differs(&self, what: &str, expected: &[(&str, u64)]) {
        let (code, verdict) = self.verify(&[]);
        for kind in ["missing", "duplicate", "altered", "reordered", "unexpected"] {
            let count = expected.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
            assert_eq!(verdict[kind].as_u64(), Some(count), "{what}: {kind} in {verdict:#}");
        }
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{what}");
    }
}

/// Every line of the connections that come until the last one closes.
fn collect(listener: &TcpListener) -> Vec<Vec<u8>> {
    collect_and_tell(listener, &Arc::default())
}

/// The same; `arrived` is set with the first bytes.
fn collect_and_tell(listener: &TcpListener, arrived: &Arc<AtomicBool>) -> Vec<Vec<u8>> {
    listener.set_nonblocking(true).expect("without blocking");
    let begun = Instant::now();
    let mut readers: Vec<thread::JoinHandle<Vec<u8>>> = Vec::new();
    while readers.is_empty() || !readers.iter().all(thread::JoinHandle::is_finished) {
        assert!(begun.elapsed() < PATIENCE, "the connections end");
        match listener.accept() {
            Ok((mut stream, _)) => {
                let arrived = arrived.clone();
                readers.push(thread::spawn(move || {
                    stream.set_nonblocking(false).expect("blocking");
                    let mut bytes = vec![0];
                    let first = stream.read(&mut bytes).expect("read");
                    bytes.truncate(first);
                    arrived.fetch_or(0 < first, Ordering::Relaxed);
                    stream.read_to_end(&mut bytes).expect("read");
                    bytes
                }));
            }
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
    let bytes = readers.into_iter().flat_map(|reader| reader.join().expect("read"));
    bytes.collect::<Vec<u8>>().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn what_was_sent_is_found_in_every_format() {
    for format in ["json", "csv", "text"] {
        let stored = Stored::run(&["--interval", "0", "--clients", "3", "--count", "5001", "--format", format]);
        let (code, verdict) = stored.verify(&[]);
        assert_eq!((code, &verdict["found"], &verdict["other"]), (Some(0), &5001.into(), &0.into()), "{format}: {verdict:#}");
        assert_eq!(verdict["headers"], if format == "csv" { 3 } else { 0 });
    }
}

#[test]
fn what_became_a_message_is_found() {
    for format in ["csv", "text"] {
        let stored = Stored::run(&["--interval", "0", "--clients", "2", "--count", "3000", "--format", format]);
        let wrapped = |line: &Vec<u8>| {
            let text = std::str::from_utf8(line).expect("UTF-8").trim_end();
            format!("{}\n", serde_json::json!({"timestamp": "2026-11-24T15:00:00.000000Z", "message": text})).into_bytes()
        };
        stored.set_open_lines(&stored.open_lines().iter().map(wrapped).collect::<Vec<_>>());
        stored.assert_differs(format, &[]);
    }
}

#[test]
fn each_difference_is_told_for_what_it_is() {
    let stored = Stored::run(&["--interval", "0", "--count", "4000", "--seed", "77"]);
    let good = stored.open_lines();
    let differ = |what: &str, change: &dyn Fn(&mut Vec<Vec<u8>>), expected: &[(&str, u64)]| {
        let mut lines = good.clone();
        change(&mut lines);
        stored.set_open_lines(&lines);
        stored.assert_differs(what, expected);
    };
    differ("as it was", &|_| (), &[]);
    differ("a line dropped", &|lines| drop(lines.remove(100)), &[("missing", 1)]);
    differ("the last line dropped", &|lines| drop(lines.pop()), &[("missing", 1)]);
    differ("a line twice", &|lines| lines.insert(200, lines[100].clone()), &[("duplicate", 1)]);
    differ("a byte altered", &|lines| lines[100][90] ^= 1, &[("altered", 1)]);
    differ("a byte added", &|lines| lines[100].insert(90, b' '), &[("altered", 1)]);
    differ("two lines swapped", &|lines| lines.swap(100, 101), &[("reordered", 1)]);
    differ("a line cut short", &|lines| lines[100].truncate(90), &[("missing", 1), ("altered", 1)]);
    differ("a line of nobody", &|lines| lines.insert(5, b"{\"message\":\"hello\"}\n".to_vec()), &[]);
    differ("a torn tail that is still being written", &|lines| lines.push(b"{\"time".to_vec()), &[]);
}

#[test]
fn a_damaged_archive_is_named() {
    let stored = Stored::run(&["--interval", "0", "--count", "4000"]);
    let path = stored.data().join("logs_20261124_150000_s00_000001.jsonl.gz");
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() - 3000]).expect("cut");
    let (code, verdict) = stored.verify(&[]);
    assert_eq!(code, Some(1));
    assert!(verdict["damaged"][0].as_str().expect("a file").starts_with("logs_20261124_150000_s00_000001.jsonl.gz: "), "{verdict:#}");
    assert!(0 < verdict["missing"].as_u64().expect("a count"));
}

#[test]
fn an_archive_beside_its_raw_file_counts_once() {
    let stored = Stored::run(&["--interval", "0", "--count", "4000"]);
    let raw = stored.data().join("logs_20261124_150000_s00_000002.jsonl");
    let mut encoder = GzEncoder::new(File::create(raw.with_extension("jsonl.gz")).expect("created"), Compression::fast());
    encoder.write_all(&fs::read(&raw).expect("read")).expect("compressed");
    encoder.finish().expect("compressed");
    stored.assert_differs("both forms", &[]);
    fs::remove_file(&raw).expect("removed");
    stored.assert_differs("the archive alone", &[]);
}

#[test]
fn nothing_is_missed_while_segments_are_sealed_and_archived() {
    let stored = Stored::run(&["--interval", "0", "--count", "6000"]);
    let data = stored.data();
    let open = |shard: usize| data.join(format!("logs.s{shard:02}.jsonl"));
    for (index, lines) in stored.open_lines().chunks(50).enumerate() {
        fs::write(open(1 + index), lines.concat()).expect("written"); // 1 to 30
    }
    stored.set_open_lines(&[]);
    // What the daemon does in each shard: the open segment is sealed, another run's lines go into the next one, and the sealed one is archived.
    let step = |shard: usize| {
        let raw = data.join(format!("logs_20261124_150000_s{shard:02}_000001.jsonl"));
        fs::rename(open(shard), &raw).expect("sealed");
        fs::write(open(shard), "{\"message\":\"of another\"}\n".repeat(50)).expect("written");
        let (archive, temporary) = (raw.with_extension("jsonl.gz"), raw.with_extension("jsonl.gz.tmp"));
        let mut encoder = GzEncoder::new(File::create(&temporary).expect("created"), Compression::fast());
        encoder.write_all(&fs::read(&raw).expect("read")).expect("compressed");
        encoder.finish().expect("compressed");
        fs::rename(temporary, archive).expect("archived");
        fs::remove_file(raw).expect("removed");
        thread::sleep(Duration::from_millis(15));
    };
    thread::scope(|scope| {
        let daemon = scope.spawn(|| (1..31).for_each(step));
        while !daemon.is_finished() {
            stored.assert_differs("while it goes on", &[]);
        }
    });
    stored.assert_differs("afterwards", &[]);
}

#[test]
fn lines_of_another_run_are_no_difference() {
    let stored = Stored::run(&["--interval", "0", "--count", "2000"]);
    let other = Stored::run(&["--interval", "0", "--count", "2000"]);
    stored.set_open_lines(&[stored.open_lines(), other.open_lines()].concat());
    stored.assert_differs("two runs", &[]);
    assert_eq!(stored.verify(&[]).1["other"], 500);
}

#[test]
fn files_are_appended_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("logs.jsonl");
    let run = |seed: &str, clients: &str| {
        let manifest = dir.path().join(seed);
        let target = format!("file:{}", path.display());
        let args =
            ["run", "--target", &target, "--interval", "0", "--count", "1000", "--format", "csv", "--seed", seed, "--clients", clients];
        assert!(output(loadgen(&args).arg("--manifest").arg(&manifest)).status.success());
        manifest
    };
    for manifest in [run("1", "2"), run("2", "1")] {
        let done = output(loadgen(&["verify"]).arg("--data-dir").arg(dir.path()).arg("--manifest").arg(manifest));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
    let headers = fs::read_to_string(&path).expect("UTF-8").lines().filter(|line| line.starts_with("timestamp,")).count();
    assert_eq!(headers, 1, "only an empty file gets a header");
}

/// What is left of a rotated file's lines, the oldest file first, and what verify says about them.
fn rotated(how: &str) -> (usize, Value, Value) {
    let stored = Stored { dir: tempfile::tempdir().expect("a directory") };
    fs::create_dir(stored.data()).expect("created");
    let (path, manifest) = (stored.dir.path().join("app.log"), stored.manifest());
    let target = format!("file:{}", path.display());
    let args = ["run", "--target", &target, "--rate", "20000", "--clients", "2", "--duration", "1s", "--report", "json", "--manifest"];
    let rotation = ["--rotate", how, "--rotate-every", "20ms", "--rotate-keep", "1000"];
    let run = output(loadgen(&args).arg(&manifest).args(rotation));
    let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let older = (1..).map(|number| path.with_extension(format!("log.{number}"))).take_while(|path| path.exists());
    let mut files: Vec<PathBuf> = older.collect();
    files.insert(0, path);
    let mut text = Vec::new();
    for file in files.iter().rev() {
        text.extend(fs::read(file).expect("read"));
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n'); // copied up to the middle of a line
        }
    }
    fs::write(stored.data().join("logs.jsonl"), text).expect("written");
    (files.len(), report, stored.verify(&[]).1)
}

#[test]
fn a_file_is_rotated_meanwhile_and_renaming_loses_nothing() {
    let (files, report, verdict) = rotated("rename");
    let rotations = report["rotations"].as_u64().expect("a count");
    assert!(10 <= rotations && files as u64 == rotations + 1, "{files} files: {report:#}");
    for (what, count) in [("missing", 0), ("altered", 0), ("duplicate", 0), ("unexpected", 0), ("reordered", 0)] {
        assert_eq!(verdict[what], count, "{verdict:#}");
    }
    assert_eq!((&verdict["found"], &report["confirmed"]), (&report["lines"], &report["lines"]));
}

#[test]
fn copying_and_truncating_loses_what_logrotate_loses() {
    let (files, report, verdict) = rotated("copytruncate");
    let count = |of: &Value| of.as_u64().expect("a count");
    assert_eq!(files as u64, count(&report["rotations"]) + 1, "{report:#}");
    assert_eq!(count(&verdict["found"]) + count(&verdict["missing"]), count(&report["lines"]), "{verdict:#}");
    assert!(count(&verdict["found"]) * 2 > count(&report["lines"]), "{verdict:#}");
    assert_eq!((&verdict["duplicate"], &verdict["unexpected"]), (&0.into(), &0.into()), "{verdict:#}");
}

#[test]
fn a_seed_makes_the_same_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    let bodies = |name: &str| {
        let target = format!("file:{}", dir.path().join(name).display());
        assert!(output(&mut loadgen(&["run", "--target", &target, "--interval", "0", "--count", "2500", "--seed", "5"])).status.success());
        let text = fs::read_to_string(dir.path().join(name)).expect("UTF-8");
        text.lines().map(|line| line[40..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bodies("a"), bodies("b"));
}

#[test]
fn ctrl_c_ends_a_run_with_a_manifest_of_what_arrived() {
    for pace in [&["--interval", "0", "--batch", "1"][..], &["--rate", "20000"], &["--batch", "10", "--interval", "3600000"]] {
        let stored = Stored { dir: tempfile::tempdir().expect("a directory") };
        fs::create_dir(stored.data()).expect("created");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let target = format!("tcp://{}", listener.local_addr().expect("an address"));
        let arrived = Arc::new(AtomicBool::new(false));
        let collector = thread::spawn({
            let arrived = arrived.clone();
            move || collect_and_tell(&listener, &arrived)
        });
        let manifest = stored.manifest();
        let args = ["run", "--target", &target, "--clients", "2", "--manifest", manifest.to_str().expect("UTF-8")];
        let mut run = loadgen(&args).args(pace).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        let begun = Instant::now();
        while !arrived.load(Ordering::Relaxed) {
            assert!(begun.elapsed() < PATIENCE, "nothing arrives");
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis(50)); // well under way
        assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs").success());
        assert!(run.wait().expect("waited for").code().is_some_and(|code| code == 0 || code == 3), "{pace:?}");
        let lines = collector.join().expect("collected");
        stored.write_lines(&lines);
        let (code, verdict) = stored.verify(&["--require", "confirmed"]);
        assert_eq!((code, &verdict["found"], &verdict["required"]), (Some(0), &lines.len().into(), &lines.len().into()), "{verdict:#}");
        assert!(!lines.is_empty());
    }
}

#[test]
fn a_target_that_breaks_off_is_an_error_of_its_own() {
    let stored = Stored { dir: tempfile::tempdir().expect("a directory") };
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let target = format!("tcp://{}", listener.local_addr().expect("an address"));
    let breaker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        stream.read_exact(&mut [0; 1000]).expect("read"); // closing with unread bytes resets the connection
    });
    let manifest = stored.manifest();
    let args = ["run", "--target", &target, "--interval", "0", "--duration", "50s", "--manifest", manifest.to_str().expect("UTF-8")];
    let run = output(&mut loadgen(&args));
    breaker.join().expect("broken off");
    assert_eq!(run.status.code(), Some(2), "{}", String::from_utf8_lossy(&run.stderr));
    let manifest: Value = serde_json::from_slice(&fs::read(stored.manifest()).expect("read")).expect("JSON");
    let part = &manifest["clients"][0];
    assert!(part["error"].is_string() && part["confirmed"] == 0 && part["sent"].as_u64() <= part["attempted"].as_u64(), "{part}");
}

#[test]
fn wrong_usage_exits_with_1() {
    let missing = Path::new("no-such-place/m.json").display().to_string();
    for args in [
        &["run", "--nonsense"][..],
        &["run", "--target", "relp://h"],
        &["run", "--window", "5"],
        &["run", "--rate", "5", "--interval", "0"],
        &["run", "--clients", "0"],
        &["run", "--pattern", "poisson"],
        &["run", "--burst", "10x/5s", "--rate", "5"],
        &["run", "--duration", "5"],
        &["run", "--rotate", "rename"],
        &["run", "--target", "file:x", "--rotate-every", "5s"],
        &["verify"],
        &["verify", "--data-dir", ".", "--manifest", &missing],
        &[],
    ] {
        let done = output(&mut loadgen(args));
        assert_eq!(done.status.code(), Some(1), "{args:?}");
        assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(output(&mut loadgen(&["run", "--target", "tcp://127.0.0.1:1"])).status.code(), Some(2), "refused");
    assert!(output(&mut loadgen(&["run", "--help"])).status.success());
}

#[test]
fn a_sink_takes_a_run_and_ends() {
    let mut sink = loadgen(&["sink", "--listen", "tcp://127.0.0.1:0", "--once"]).stdout(Stdio::piped()).spawn().expect("started");
    let mut stdout = BufReader::new(sink.stdout.take().expect("piped"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("a line");
    let address = ready.trim_end().strip_prefix("ready tcp=").unwrap_or_else(|| panic!("{ready}"));
    let args = ["run", "--target", address, "--interval", "0", "--clients", "4", "--count", "10000", "--report", "json"];
    let run = output(&mut loadgen(&args));
    let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!((&report["lines"], &report["confirmed"], &report["valid"]), (&10_000.into(), &10_000.into(), &true.into()), "{report:#}");
    assert!(sink.wait().expect("waited for").success());
    let mut totals = String::new();
    stdout.read_to_string(&mut totals).expect("read");
    assert!(totals.starts_with("10000 lines, "), "{totals}");
}
