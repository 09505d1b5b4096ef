//! Starts the real collector, and reads back what it stored.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{self, PATIENCE, get, logboom, run};

/// A running collector. Killed on drop.
pub struct Collector {
    child: Child,
    pub http: SocketAddr,
    stderr: Arc<Mutex<Vec<String>>>,
}

/// `collect` in `dir`, of what is below `dir/logs`, to `dir/out`.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(logboom());
    command.arg("collect").arg("--output-dir").arg(out(dir)).args(args);
    command
}

/// Where it stores.
pub fn out(dir: &Path) -> PathBuf {
    dir.join("out")
}

/// Reads everything once.
pub fn once(dir: &Path, watch: &str, args: &[&str]) -> Output {
    let output = run(command(dir, args).arg("--once").arg("--watch").arg(dir.join(watch)));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

impl Collector {
    pub fn start(dir: &Path, watch: &str, args: &[&str]) -> Self {
        let mut command = command(dir, args);
        command.args(["--http", "127.0.0.1:0", "--watch"]).arg(dir.join(watch));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = harness::collect(child.stderr.take().expect("piped"));
        let mut ready = String::new();
        let read = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready);
        let http = ready.trim_end().strip_prefix("ready http=").and_then(|http| http.parse().ok());
        let Some(http) = http.filter(|_| read.is_ok()) else {
            thread::sleep(Duration::from_millis(50));
            panic!("not ready: {ready:?}\n{}", stderr.lock().unwrap().join("\n"));
        };
        Self { child, http, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stats(&self) -> Value {
        serde_json::from_str(&get(self.http, "/api/stats").1).expect("JSON")
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// Polls until `condition` holds.
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "never happened: {what}\n{}\n{:#}", self.stderr(), self.stats()["files"]);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until so many lines were taken since its start.
    pub fn wait_for_lines(&self, lines: u64) {
        self.wait_for(&format!("{lines} lines"), |collector| lines <= collector.stats()["ledger"]["received"].as_u64().unwrap());
    }

    /// Stops it cleanly; nothing serious may have been logged but what `expected` says.
    pub fn stop(mut self, expected: &[&str]) {
        assert!(Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs").success());
        let begun = Instant::now();
        while self.child.try_wait().expect("waited for").is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end\n{}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(20)); // its last lines
        for line in self.stderr().lines() {
            let is_serious = line.contains("WARN") || line.contains("ERROR") || line.contains("panicked");
            assert!(!is_serious || expected.iter().any(|text| line.contains(text)), "unexpected: {line}");
        }
    }

    /// Pulls the plug.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the collector's stderr\n{}", self.stderr());
        }
    }
}

/// Writes numbered lines to a file.
pub struct Writer {
    pub path: PathBuf,
    file: File,
    pub next: u64,
}

impl Writer {
    pub fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        Self { file: append(&path), path, next: 0 }
    }

    /// So many lines, flushed at once.
    pub fn write(&mut self, lines: u64) {
        let name = self.path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let text: String = (self.next..self.next + lines).map(|n| numbered(&name, n) + "\n").collect();
        self.file.write_all(text.as_bytes()).expect("written");
        self.next += lines;
    }

    /// As programs do that are told to reopen their log.
    pub fn reopen(&mut self) {
        self.file = append(&self.path);
    }

    /// Gives the file another name, and begins a new one.
    pub fn rotate_to(&mut self, name: &str) {
        std::fs::rename(&self.path, self.path.with_file_name(name)).expect("renamed");
        self.reopen();
    }

    /// Copies the file and empties it. Nothing is written meanwhile.
    pub fn copytruncate_to(&mut self, name: &str) {
        std::fs::copy(&self.path, self.path.with_file_name(name)).expect("copied");
        self.file.set_len(0).expect("emptied");
    }
}

/// Writes lines to `path` until told to stop, 30 a millisecond, rotating by rename now and then.
pub fn write_until(stop: Arc<AtomicBool>, path: PathBuf) -> thread::JoinHandle<Writer> {
    thread::spawn(move || {
        let mut writer = Writer::new(path);
        let name = writer.path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        for round in 1.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            writer.write(30);
            thread::sleep(Duration::from_millis(1));
            if u32::is_multiple_of(round, 100) {
                writer.rotate_to(&format!("{name}.{}", round / 100));
            }
        }
        writer
    })
}

pub fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("opened")
}

/// One line of JSON, which is stored as it is.
pub fn numbered(name: &str, n: u64) -> String {
    format!(r#"{{"file":"{name}","n":{n},"message":"something happened that is worth a line of usual length"}}"#)
}

/// Every line of `name` is stored once, in order: 0 to `lines`.
pub fn assert_whole(dir: &Path, name: &str, lines: u64) {
    let found = numbers(dir).remove(name).unwrap_or_default();
    let expected: Vec<u64> = (0..lines).collect();
    if found != expected {
        let mut sorted = found.clone();
        sorted.sort_unstable();
        let missing: Vec<u64> = expected.iter().copied().filter(|n| sorted.binary_search(n).is_err()).take(20).collect();
        let twice: Vec<u64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).take(20).collect();
        let turn: Vec<_> = found.windows(2).filter(|pair| pair[0] + 1 != pair[1]).take(5).collect();
        panic!("{name}: {} of {lines} lines; missing {missing:?}…, twice {twice:?}…, out of order {turn:?}…", found.len());
    }
}

/// The numbers stored of each file, in order.
pub fn numbers(dir: &Path) -> BTreeMap<String, Vec<u64>> {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut by_file: Vec<_> = harness::lines_by_file(&out(dir), "collected").into_iter().collect();
    by_file.sort_by_key(|(name, _)| !name.contains('_')); // the open segment holds the last lines
    for line in by_file.into_iter().flat_map(|(_, lines)| lines) {
        let record: Value = serde_json::from_slice(&line).expect("JSON");
        let name = record["file"].as_str().expect("a file").to_owned();
        numbers.entry(name).or_default().push(record["n"].as_u64().expect("a number"));
    }
    numbers
}
