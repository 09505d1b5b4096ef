//! `scripts/try-corpus` over the lines of the golden files, through the collector: every line is there, and one that is not is noticed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{logboom, run, temp_dir};

/// Files of text of every shape, traces of every language, JSON lines, and lines that must be rejected.
fn samples(dir: &Path) -> Vec<PathBuf> {
    let golden = include_str!("../../src/record/text/tests/golden.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("## "));
    let shapes: Vec<String> = golden.step_by(2).map(|line| line.replace('␤', "\n")).collect();
    let traces = include_str!("../../src/record/multiline/tests/traces.txt").lines();
    let traces = traces.filter_map(|line| line.strip_prefix("> ").or_else(|| line.strip_prefix("| ")));
    let traces: Vec<&str> = traces.filter(|line| !line.starts_with('<')).collect(); // of a syslog message only its parts are kept
    let json: Vec<String> = (0..20_000).map(|n| format!(r#"{{"n":{n},"message":"a line of JSON"}}"#)).collect();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    assert!(50 < shapes.len() && 150 < traces.len());
    vec![
        write("shapes.log", (shapes.join("\n") + "\n").as_bytes()),
        write("traces[1].log", traces.join("\n").as_bytes()), // as a pattern this matches another name
        write("lines.jsonl", (json.join("\r\n") + "\r\n").as_bytes()),
        write("bad.log", b"ERROR: a trace\n\tat \xff.java\n\nWARN: whole\n{\"n\":\n[1]\n"),
    ]
}

fn try_corpus(logboom: &Path, files: &[PathBuf]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/try-corpus");
    run(Command::new("python3").arg(script).arg("--collect").args(files).env("LOGBOOM", logboom).env("TZ", "UTC"))
}

#[test]
fn every_line_of_the_golden_files_is_in_a_record() {
    let dir = temp_dir();
    let ran = try_corpus(Path::new(logboom()), &samples(dir.path()));
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("\nevery line is there, once, unaltered\n"), "{said}");
    let row = |name: &str| -> Vec<String> {
        let table = said.split_once("text records of").expect("a table").1;
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {said}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let joined = |name: &str| row(name)[2].parse::<usize>().expect("a number");
    assert!(100 < joined("traces[1].log"), "{said}");
    assert_eq!(row("shapes.log")[6], "86.4%", "of the records have a message of their own\n{said}");
}

/// A collector that loses, alters, or adds one line is found out.
#[test]
fn a_line_that_differs_is_noticed() {
    let dir = temp_dir();
    let files = samples(dir.path());
    for (edit, expected) in [
        ("/shop.PaymentClient.pay/d", "text     missing 13, altered or added 0"), // a record with all its lines
        (r"s/at org.example.shop.Pool.close/&d/", "text     missing 1, altered or added 1"), // one that was joined
        ("/\"n\":19999,/d", "JSON     missing 1, altered or added 0"),
        ("/\"n\":19999,/p", "JSON     missing 0, altered or added 1"),
    ] {
        let wrapper = dir.path().join("logboom");
        let script = format!("#!/bin/sh\n{} \"$@\" && gunzip -q \"$4\"/*.gz && sed -i '{edit}' \"$4\"/collected*.jsonl\n", logboom());
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = try_corpus(&wrapper, &files);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{edit}: {said}{}", String::from_utf8_lossy(&ran.stderr));
        assert!(said.contains(expected) && said.contains("lines differ"), "{edit}: {said}");
    }
}
