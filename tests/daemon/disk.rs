//! A disk that ends: retention deletes the oldest archives and nothing else; intake pauses, says why, loses nothing, and resumes by itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Start, TestDaemon, lines, lines_by_file, loadgen, names, run, stock, temp_dir, verify};

/// Bytes of all files in `dir`.
fn bytes(dir: &Path) -> u64 {
    names(dir).iter().filter_map(|name| fs::metadata(dir.join(name)).ok()).map(|meta| meta.len()).sum()
}

fn deleted(daemon: &TestDaemon, reason: &str) -> u64 {
    daemon.stats()["store"]["retention"]["deleted_segments"][reason].as_u64().expect("a count")
}

fn said(daemon: &TestDaemon, text: &str) -> usize {
    daemon.stderr().lines().filter(|line| line.contains(text)).count()
}

/// loadgen towards the daemon; it waits where the daemon does.
fn drive(daemon: &TestDaemon, args: &[&str], manifest: &Path) -> Child {
    let mut command = Command::new(loadgen());
    command.args(["run", "--target", &format!("tcp://{}", daemon.tcp)]).args(args).arg("--manifest").arg(manifest);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("loadgen starts")
}

/// Waits for loadgen. That it lagged itself (3) says nothing about the daemon.
fn ended(daemon: &TestDaemon, load: Child) {
    let output = load.wait_with_output().expect("loadgen ends");
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{}: {}\n{:#}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        daemon.stats()
    );
}

/// The numbers of the archives that are there, by what stands before the time in their names, and the shard.
fn numbers(dir: &Path) -> BTreeMap<(String, String), Vec<u64>> {
    let mut numbers = BTreeMap::<_, Vec<u64>>::new();
    for name in names(dir).iter().filter_map(|name| name.strip_suffix(".jsonl.gz")) {
        let parts: Vec<&str> = name.split('_').collect();
        let [stream, _, _, shard, number] = parts[..] else { panic!("{name}") };
        numbers.entry((stream.to_owned(), shard.to_owned())).or_default().push(number.parse().expect("a number"));
    }
    numbers
}

#[test]
fn retain_size_holds_under_load_and_what_survives_is_the_newest_and_whole() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    let flags = ["--shards", "2", "--rotate-size", "50kB", "--raw-segments", "6", "--retain-size", "1MB"];
    let daemon = TestDaemon::start(&data, &flags);
    ended(&daemon, drive(&daemon, &["--clients", "4", "--interval", "0", "--count", "60000"], &dir.path().join("manifest.json")));
    daemon.wait_for("everything is archived", |daemon| daemon.stats()["store"]["raw_segments"].as_u64().expect("a count") <= 2);
    daemon.wait_for("the limit holds", |_| bytes(&data) <= 1_000_000);
    assert!(650_000 < bytes(&data), "and no more goes than has to: {}", bytes(&data));

    let survivors = || numbers(&data).values().map(Vec::len).sum::<usize>() as u64;
    let sealed = |daemon: &TestDaemon| {
        let stats = daemon.stats();
        let shards = stats["shards"].as_array().expect("shards");
        shards.iter().map(|shard| shard["segments_sealed"].as_u64().expect("a count")).sum::<u64>()
    };
    daemon.wait_for("every segment is an archive, or was deleted and counted", |daemon| {
        deleted(daemon, "size") + survivors() == sealed(daemon)
    });
    let (gone, survivors) = (deleted(&daemon, "size"), survivors());
    assert!(0 < gone);
    daemon.wait_for("what was deleted is logged", |daemon| said(daemon, "retention: deleted logs_") as u64 == gone);
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains(&format!("logboom_retention_deleted_segments_total{{reason=\"size\"}} {gone}\n")), "{metrics}");
    assert!(metrics.contains("logboom_disk_free_bytes ") && metrics.contains("logboom_disk_min_free_bytes 268435456\n"), "{metrics}");
    assert_eq!((deleted(&daemon, "age"), deleted(&daemon, "min_free")), (0, 0));
    daemon.stop();

    for (of, numbers) in numbers(&data) {
        let first = numbers[0];
        assert_eq!(numbers, (first..first + numbers.len() as u64).collect::<Vec<_>>(), "{of:?}: the oldest went first");
    }
    let names = names(&data);
    for archive in names.iter().filter(|name| name.ends_with(".gz")) {
        stock("gzip", &["-t"], &data.join(archive));
        assert!(names.contains(&archive.replace(".jsonl.gz", ".meta")), "{archive} has its table");
    }
    assert_eq!(names.iter().filter(|name| name.ends_with(".meta")).count() as u64, survivors, "no table without its archive");
    assert!(lines(&data, "logs").iter().all(|line| serde_json::from_slice::<Value>(line).is_ok()));
}

#[test]
fn retain_age_deletes_what_is_older_and_not_what_is_open() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--rotate-age", "1s", "--retain-age", "2s"]);
    daemon.send(b"{\"n\":1}\n");
    let archives = |name: &&String| name.starts_with("logs_") && name.ends_with(".gz");
    daemon.wait_for("an archive", |_| names(dir.path()).iter().any(|name| archives(&name)));
    daemon.wait_for("it is deleted", |daemon| deleted(daemon, "age") == 1);
    assert!(!names(dir.path()).iter().any(|name| name.starts_with("logs_")), "{:?}", names(dir.path()));
    daemon.stop();

    // What is open goes on and is kept, however old.
    fs::write(dir.path().join("logs.jsonl"), b"{\"n\":2}\n").unwrap();
    let old = dir.path().join("rejected_20011124_150000_000001.jsonl");
    fs::write(&old, b"{\"n\":0}\n").unwrap();
    assert!(run(Command::new("gzip").arg(&old)).status.success());
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--retain-age", "1s", "--retain-size", "1MB"]);
    daemon.wait_for("the old archive is deleted", |daemon| deleted(daemon, "age") == 1);
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs"), [b"{\"n\":2}"]);
}

#[test]
fn below_min_free_intake_waits_and_without_a_limit_nothing_is_deleted() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--rotate-size", "4KiB", "--compression", "zstd"]);
    daemon.send("{\"before\":1}\n".repeat(1_000).as_bytes());
    daemon.stop();
    let before = names(dir.path());

    let flags = ["--shards", "2", "--rotate-size", "4KiB", "--compression", "zstd", "--min-free", "100TB", "--drain-timeout", "2s"];
    let mut daemon = Start::in_dir(dir.path()).args(&flags).start();
    let (status, reason) = daemon.get("/readyz");
    assert_eq!(status, 503);
    for words in ["paused: ", " free on the file system of ", "--min-free is 90.9 TiB", "in all: lower --min-free"] {
        assert!(reason.contains(words), "{words} in {reason}");
    }
    assert_eq!(daemon.get("/healthz").0, 200);
    let mut senders: Vec<_> = (0..4).map(|_| daemon.connect()).collect();
    for sender in &mut senders {
        sender.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let blocked = loop {
            if let Err(error) = sender.write(&[b'\n'; 64 * 1024]) {
                break error.kind();
            }
        };
        assert!(matches!(blocked, ErrorKind::WouldBlock | ErrorKind::TimedOut), "plain senders just block: {blocked:?}");
    }
    daemon.wait_for("the wait is counted", |daemon| daemon.stats()["pauses"]["disk_guard"]["now"] == 2);
    let stats = daemon.stats();
    assert_eq!(stats["shards"][0]["received_bytes"].as_u64().unwrap() + stats["shards"][1]["received_bytes"].as_u64().unwrap(), 0);
    assert!(stats["unready"].as_str().unwrap().contains("--min-free"), "{stats}");
    daemon.wait_for("it is said", |daemon| 0 < said(daemon, "intake pauses"));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().code(), Some(3), "a paused intake stops, and says that it left lines behind:\n{}", daemon.stderr());
    assert_eq!(said(&daemon, "intake pauses"), 1, "one warning for all shards:\n{}", daemon.stderr());
    assert_eq!(names(dir.path()), before, "nothing was deleted");
    drop(senders);

    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--min-free", "off"]);
    assert_eq!(daemon.get("/readyz").0, 200);
    daemon.send(b"{\"after\":1}\n");
    daemon.stop();
    assert_eq!(lines(dir.path(), "logs").len(), 1_001);
}

/// A file system of its own in memory; unmounted on drop.
struct SmallFileSystem {
    path: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallFileSystem {
    /// 64 MiB; none where the environment says that nothing may be mounted.
    fn mount(test: &str) -> Option<Self> {
        if std::env::var_os("LOGBOOM_NO_MOUNT").is_some_and(|set| set == "1") {
            // Past the test harness, which shows what a test prints only if it fails.
            writeln!(std::io::stderr(), "\nNOT RUN: {test}: LOGBOOM_NO_MOUNT=1").expect("stderr");
            return None;
        }
        let parent = temp_dir();
        let path = parent.path().to_owned();
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&path));
        assert!(
            mounted.status.success(),
            "cannot mount a small file system ({}); run this test as root, or say LOGBOOM_NO_MOUNT=1 to leave it out",
            String::from_utf8_lossy(&mounted.stderr).trim()
        );
        Some(Self { path, _parent: parent })
    }

    /// A file of so many bytes, so that less is free.
    fn ballast(&self, bytes: usize) -> PathBuf {
        let path = self.path.join("ballast");
        fs::write(&path, vec![b'x'; bytes]).expect("room for the ballast");
        path
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there, nothing stays mounted.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// Fills the small file system until intake pauses for a reason with `words` in it, makes room, and finds every line.
fn pauses_and_resumes(test: &str, ballast_bytes: usize, flags: &[&str], load: &[&str], words: &str) {
    let Some(small) = SmallFileSystem::mount(test) else { return };
    let ballast = small.ballast(ballast_bytes);
    let manifest_dir = temp_dir();
    let manifest = manifest_dir.path().join("manifest.json");
    let data = small.data();
    let daemon = Start::in_dir(&data).args(flags).expect_warning("intake pauses").start();
    assert_eq!(daemon.get("/readyz").0, 200);
    let mut load = drive(&daemon, load, &manifest);
    daemon.wait_for("intake pauses", |daemon| {
        let (status, reason) = daemon.get("/readyz");
        assert!(status == 200 || reason.starts_with("paused: "), "{status} {reason}");
        status == 503 && reason.contains(words)
    });
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.wait_for("the shards have noticed", |daemon| daemon.stats()["pauses"]["disk_guard"]["now"] == 2);
    assert!(load.try_wait().expect("loadgen").is_none(), "senders block");
    assert_eq!(said(&daemon, "intake resumes after"), 0);

    fs::remove_file(ballast).expect("room");
    daemon.wait_for("intake resumes by itself", |daemon| daemon.get("/readyz").0 == 200);
    ended(&daemon, load);
    daemon.wait_for("it is said", |daemon| said(daemon, "intake resumes after") == 1);
    assert_eq!(said(&daemon, "intake pauses"), 1, "one warning for all shards:\n{}", daemon.stderr());
    let (good, report) = verify(&data, &manifest);
    assert!(good, "while it runs:\n{report}");
    daemon.stop();
    let (good, report) = verify(&data, &manifest);
    assert!(good, "after the stop:\n{report}");
}

#[test]
fn on_a_small_file_system_intake_pauses_below_min_free_and_resumes() {
    let flags = ["--shards", "2", "--compression", "none", "--min-free", "16MB"];
    // 10 MB per second towards 21 MB above the mark.
    let load = ["--clients", "4", "--rate", "40000", "--count", "160000"];
    pauses_and_resumes("min_free", 30_000_000, &flags, &load, "--min-free is 15.3 MiB; intake resumes by itself at 16.8 MiB");
}

#[test]
fn on_a_small_file_system_intake_pauses_when_it_is_full_and_resumes() {
    let flags = ["--shards", "2", "--compression", "none", "--rotate-size", "1MB", "--min-free", "off"];
    let load = ["--clients", "4", "--interval", "0", "--count", "120000"];
    pauses_and_resumes("full", 50_000_000, &flags, &load, "the disk is full: ");
}

#[test]
fn on_a_small_file_system_archives_go_before_intake_pauses() {
    let Some(small) = SmallFileSystem::mount("min_free with retention") else { return };
    small.ballast(44_000_000);
    let data = small.data();
    let mut flags = vec!["--shards", "2", "--rotate-size", "100kB", "--raw-segments", "6", "--compression-level", "1"];
    flags.extend(["--min-free", "20MB", "--retain-size", "1GB"]);
    let daemon = Start::in_dir(&data).args(&flags).start();
    let manifest_dir = temp_dir();
    // About 4 MB of archives, where there is room for one above the mark, and slowly, so that the disk thread is never late.
    ended(&daemon, drive(&daemon, &["--clients", "4", "--rate", "30000", "--count", "90000"], &manifest_dir.path().join("manifest.json")));
    daemon.wait_for("everything is archived", |daemon| daemon.stats()["store"]["raw_segments"].as_u64().expect("a count") <= 2);
    assert!(0 < deleted(&daemon, "min_free"), "{}", daemon.stderr());
    assert_eq!(deleted(&daemon, "size"), 0);
    assert_eq!(daemon.get("/readyz").0, 200);
    for (of, numbers) in numbers(&data) {
        let first = numbers[0];
        assert_eq!(numbers, (first..first + numbers.len() as u64).collect::<Vec<_>>(), "{of:?}: the oldest went first");
    }
    daemon.stop(); // intake has never paused: a warning would fail this
}

#[test]
fn on_a_small_file_system_a_stop_that_cannot_write_ends_at_its_deadline() {
    let Some(small) = SmallFileSystem::mount("stop while full") else { return };
    let ballast = small.ballast(60_000_000);
    let data = small.data();
    let flags = ["--shards", "1", "--compression", "none", "--min-free", "off", "--drain-timeout", "1s"];
    let mut daemon = Start::in_dir(&data).args(&flags).start();
    let mut sender = daemon.connect();
    sender.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let line = format!("{{\"filler\":\"{}\"}}\n", "f".repeat(1_000));
    daemon.wait_for("the disk is full", |daemon| {
        let _ = sender.write(line.repeat(1_000).as_bytes());
        daemon.get("/readyz").1.contains("the disk is full: ")
    });
    let written = daemon.stats()["ledger"]["written"].as_u64().expect("a count");
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().code(), Some(3), "{}", daemon.stderr());
    fs::remove_file(ballast).expect("room");
    let again = Start::in_dir(&data).args(&flags).expect_warning("torn").start();
    again.stop();
    let found: usize = lines_by_file(&data, "logs").values().map(Vec::len).sum();
    assert!(written <= found as u64, "{written} had been counted as written, {found} are there");
}
