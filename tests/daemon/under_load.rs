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
    for (clients, compression, format, read_as) in [
        ("2", "gzip", "json", "auto"),
        ("64", "zstd", "json", "auto"),
        ("7", "none", "text", "auto"),
        ("3", "gzip", "csv", "auto"),
        ("5", "gzip", "csv", "csv"),
    ] {
        let dir = temp_dir();
        let data = dir.path().join("data");
        let manifest = dir.path().join("manifest.json");
        let daemon = TestDaemon::start(&data, &["--shards", "2", "--compression", compression, "--format", read_as]);
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
