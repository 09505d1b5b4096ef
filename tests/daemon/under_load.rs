//! The generator drives the daemon, and its oracle finds every line once, unaltered, in order.

use std::process::Command;

use crate::harness::{TestDaemon, lines_by_file, loadgen, names, run, stock, temp_dir, verify};

fn drive(daemon: &TestDaemon, args: &[&str], manifest: &std::path::Path) {
    let target = format!("tcp://{}", daemon.tcp);
    let output =
        run(Command::new(loadgen()).args(["run", "--target", &target, "--interval", "0"]).args(args).arg("--manifest").arg(manifest));
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_line_of_2_and_of_64_connections_is_there() {
    for (clients, compression, format) in [("2", "gzip", "json"), ("64", "zstd", "json"), ("7", "none", "text"), ("3", "gzip", "csv")] {
        let dir = temp_dir();
        let data = dir.path().join("data");
        let manifest = dir.path().join("manifest.json");
        let daemon = TestDaemon::start(&data, &["--shards", "2", "--compression", compression]);
        drive(&daemon, &["--clients", clients, "--count", "200000", "--format", format], &manifest);
        let (good, report) = verify(&data, &manifest);
        assert!(good, "while it runs, {clients} clients, {compression}, {format}:\n{report}");
        daemon.stop();
        let (good, report) = verify(&data, &manifest);
        assert!(good, "after the stop, {clients} clients, {compression}, {format}:\n{report}");
        for name in names(&data).iter().filter(|name| name.ends_with(".gz")) {
            stock("gzip", &["-t"], &data.join(name));
        }
    }
}

#[test]
fn no_segment_exceeds_its_limit_and_each_ends_at_a_line() {
    let dir = temp_dir();
    let data = dir.path().join("data");
    let daemon = TestDaemon::start(&data, &["--shards", "2", "--rotate-size", "1MB"]);
    drive(&daemon, &["--clients", "4", "--count", "50000"], &dir.path().join("manifest.json"));
    daemon.stop();
    let mut full = 0;
    for (name, lines) in lines_by_file(&data, "logs") {
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(bytes <= 1_000_000, "{name}: {bytes}");
        full += usize::from(bytes > 990_000);
    }
    assert!(full >= 8, "segments are filled before they end: {full}");
}

#[test]
fn memory_stays_bounded_while_the_disk_does_not_keep_up() {
    // The pool is stalled by stopping its permits: with two raw segments allowed and the slowest compression, senders must wait.
    let dir = temp_dir();
    let data = dir.path().join("data");
    let flags = [
        "--shards",
        "2",
        "--compression",
        "zstd",
        "--compression-level",
        "19",
        "--compress-threads",
        "1",
        "--rotate-size",
        "2MB",
        "--raw-segments",
        "6",
    ];
    let daemon = TestDaemon::start(&data, &flags);
    let manifest = dir.path().join("manifest.json");
    let sampled = std::thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&daemon, &["--clients", "8", "--count", "60000"], &manifest));
        let mut peak = 0;
        while !driving.is_finished() {
            let raw: u64 = names(&data)
                .iter()
                .filter(|name| name.starts_with("logs") && name.ends_with(".jsonl"))
                .filter_map(|name| std::fs::metadata(data.join(name)).ok())
                .map(|meta| meta.len())
                .sum();
            peak = raw.max(peak);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        peak
    });
    assert!(sampled <= 6 * 2_000_000, "{sampled} raw bytes on disk");
    let waited = daemon.stats()["pauses"]["raw_segments"]["count"].as_u64().expect("a count");
    assert!(0 < waited, "the permits made a shard wait");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("a process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a size");
    let check = run(Command::new(crate::harness::logboom())
        .args(["check", "--listen", "127.0.0.1:0", "--http", "off"])
        .args(flags)
        .arg("--data-dir")
        .arg(dir.path().join("other")));
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    let budget = text.lines().find(|line| line.trim_start().starts_with("total")).unwrap_or_else(|| panic!("no total in\n{text}"));
    let digits: String = budget.chars().filter(char::is_ascii_digit).collect();
    let budget_bytes: u64 = digits.parse().unwrap_or_else(|_| panic!("no number in {budget:?}"));
    assert!(peak_kib * 1024 <= budget_bytes, "{peak_kib} KiB, budget {budget:?}");
    let (good, report) = verify(&data, &manifest);
    assert!(good, "{report}");
    daemon.stop();
}
