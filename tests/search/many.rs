//! Directories with more files than a process may open, and with more blocks than a search keeps in mind.

use std::path::Path;
use std::process::Command;

use logboom::record::stored::StoredScanner;
use logboom::store::cut::scan_block;
use logboom::store::meta::Meta;
use logboom::store::name::{SegmentId, ShardTag, Stream};

use crate::harness::{TestDaemon, logboom, run, temp_dir};
use crate::{Answer, get_dechunked, search};

/// Writes the sealed raw segment number `seq`, and its table, as a daemon leaves it with `--compression none`. Each of `blocks` is whole lines.
fn finished(dir: &Path, seq: u64, blocks: &[String], with_table: bool) {
    let id = SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 1_795_532_400 + seq, seq };
    std::fs::write(id.sealed_name().in_dir(dir), blocks.concat()).unwrap();
    if with_table {
        let mut table = Meta::new(None);
        let mut scanner = StoredScanner::default();
        blocks.iter().for_each(|block| table.push(block.len() as u64, None, scan_block(block.as_bytes(), &mut scanner)));
        std::fs::write(id.meta_name().in_dir(dir), table.encode()).unwrap();
    }
}

fn search_with_descriptors(dir: &Path, most: usize, args: &[&str]) -> Answer {
    let limited = format!("ulimit -n {most}; exec \"$@\"");
    let output = run(Command::new("sh").args(["-c", &limited, "sh", logboom(), "search", "--data-dir"]).arg(dir).args(args));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn more_raw_segments_are_searched_than_files_may_be_open() {
    // Those without tables look as if they waited for their archives: 256 of them are held open.
    for (with_table, segments, descriptors) in [(true, 200, 30), (false, 400, 290)] {
        let dir = temp_dir();
        for seq in 1..=segments {
            let line = format!("{{\"ts\":{seq},\"level\":\"info\",\"message\":\"number{seq} done\"}}\n");
            finished(dir.path(), seq, &[line.clone(), line], with_table);
        }
        let found = search_with_descriptors(dir.path(), descriptors, &["done"]);
        assert_eq!((found.code, &found.err[..]), (Some(0), ""));
        assert_eq!(found.out.lines().count() as u64, 2 * segments);
        let counted = search_with_descriptors(dir.path(), descriptors, &["--count", "number7 OR number150"]);
        assert_eq!((counted.code, &counted.out[..], &counted.err[..]), (Some(0), "4\n", ""));
    }
}

#[test]
fn a_range_with_too_many_blocks_is_refused_and_not_a_failure() {
    let dir = temp_dir();
    let blocks: Vec<String> = (0..66_000).map(|n| format!("{{\"ts\":{n}}}\n")).collect();
    finished(dir.path(), 1, &blocks, true);
    let daemon = TestDaemon::start(dir.path(), &["--compression", "none"]);
    let (status, body) = get_dechunked(&daemon, "/api/search?query=7");
    assert!(status == 400 && body.contains("narrow the range of time"), "{status}: {body}");
    assert_eq!(get_dechunked(&daemon, "/api/search?query=7&until=1000").0, 200, "as it says");
    let ended = daemon.stats()["searches"]["ended"].clone();
    assert_eq!((&ended["too_much"], &ended["failed"]), (&1.into(), &0.into()), "{ended}");
    daemon.stop();
    assert_eq!(search(dir.path(), &["--count"]).out, "66000\n", "which needs no block");
}
