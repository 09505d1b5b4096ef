//! Replays the fuzz targets' corpus: what a fuzzer once found stays found.

use std::fs;
use std::path::Path;

#[path = "../fuzz/bodies.rs"]
mod bodies;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("a file");
        println!("{}", path.display()); // shown when the body panics
        body(&data);
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn relp_framer() {
    replay("relp_framer", bodies::relp_framer);
}

#[test]
fn line_framer() {
    replay("line_framer", bodies::line_framer);
}

#[test]
fn json_line() {
    replay("json_line", bodies::json_line);
}

#[test]
fn recovery() {
    replay("recovery", bodies::recovery);
}

#[test]
fn syslog() {
    replay("syslog", bodies::syslog);
}

#[test]
fn csv() {
    replay("csv", bodies::csv);
}

#[test]
fn text_line() {
    replay("text_line", bodies::text_line);
}

#[test]
fn text_line_by_the_golden_file() {
    for line in include_str!("../src/record/text/tests/golden.txt").lines() {
        bodies::text_line(line.as_bytes());
    }
}

#[test]
fn multiline() {
    replay("multiline", bodies::multiline);
}

#[test]
fn journal() {
    replay("journal", bodies::journal);
}

#[test]
fn query() {
    replay("query", bodies::query);
}
