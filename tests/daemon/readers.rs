//! Stock tools read what is written: gzip, zcat, zstd, Python, DuckDB.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{TestDaemon, names, run, stock, temp_dir};

const LINES: usize = 20_000;

/// A data directory with archives of `compression`, and the archives.
fn archives(compression: &str, level: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = temp_dir();
    let flags = ["--shards", "1", "--rotate-size", "700kB", "--compression", compression, "--compression-level", level];
    let daemon = TestDaemon::start(dir.path(), &flags);
    let lines: String =
        (0..LINES).map(|n| format!("{{\"n\":{n},\"level\":\"INFO\",\"message\":\"line number {n} of a reader's test\"}}\n")).collect();
    daemon.send(lines.as_bytes());
    daemon.stop();
    let paths =
        names(dir.path()).into_iter().filter(|name| name.ends_with(".gz") || name.ends_with(".zst")).map(|name| dir.path().join(name));
    let paths: Vec<_> = paths.collect();
    assert!(!paths.is_empty());
    (dir, paths)
}

#[test]
fn gzip_zcat_and_python_read_gzip_archives() {
    for level in ["1", "6", "auto"] {
        let (_dir, paths) = archives("gzip", level);
        for path in &paths {
            stock("gzip", &["-t"], path);
            let by_zcat = stock("zcat", &[], path);
            let script = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
            let by_python = stock("python3", &["-c", script], path);
            assert!(by_zcat == by_python && by_zcat.ends_with(b"}\n"));
        }
    }
}

#[test]
fn zstd_reads_zstd_archives() {
    for level in ["1", "9", "auto"] {
        let (_dir, paths) = archives("zstd", level);
        for path in &paths {
            stock("zstd", &["-tq"], path);
        }
    }
}

#[test]
fn duckdb_reads_both() {
    for compression in ["gzip", "zstd"] {
        let (dir, _paths) = archives(compression, "auto");
        let script = "import duckdb, sys; print(*duckdb.sql(f\"select count(*), sum(n), count(distinct message) from read_json_auto('{sys.argv[1]}/logs*.jsonl*')\").fetchall()[0])";
        // scripts/install-tools puts DuckDB there.
        let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python");
        let output = run(Command::new("python3").env("PYTHONPATH", packages).args(["-c", script]).arg(dir.path()));
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let expected = format!("{LINES} {} {LINES}", LINES * (LINES - 1) / 2);
        assert_eq!(said, expected, "{compression}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
