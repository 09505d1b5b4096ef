//! The collector is killed again and again, and stores every line once all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::collector::{Collector, Writer, assert_whole, numbers, once, out};
use crate::harness::{lines, names, records, temp_dir};

/// Writes until told to stop, rotating by rename now and then. Every tenth line is none that can be accepted.
fn written_under_load(dir: &std::path::Path, name: &'static str, stop: &Arc<AtomicBool>) -> thread::JoinHandle<Writer> {
    let (path, stop) = (dir.join("logs").join(name), stop.clone());
    thread::spawn(move || {
        let mut writer = Writer::new(path);
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            writer.write(200);
            thread::sleep(Duration::from_millis(1));
            round += 1;
            if u64::is_multiple_of(round, 100) {
                writer.rotate_to(&format!("{name}.{}", round / 100));
            }
        }
        writer
    })
}

fn killed_again_and_again(args: &[&str]) {
    let dir = temp_dir();
    let dir = dir.path();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = ["a.log", "b.log", "c.log"].map(|name| written_under_load(dir, name, &stop));
    for round in 0..10u64 {
        let collector = Collector::start(dir, "logs", args);
        thread::sleep(Duration::from_millis(40 + 53 * round % 300));
        collector.kill();
    }
    stop.store(true, Ordering::Relaxed);
    let writers = writing.map(|writing| writing.join().expect("written"));
    once(dir, "logs", args);
    for writer in &writers {
        assert_whole(dir, writer.path.file_name().unwrap().to_str().unwrap(), writer.next);
    }
    assert!(10_000 < writers.iter().map(|writer| writer.next).sum::<u64>());
}

#[test]
fn every_line_is_stored_once_however_often_it_is_killed() {
    killed_again_and_again(&[]);
}

/// Segments fill and are archived all the time, so that most kills come between a segment's steps.
#[test]
fn every_line_is_stored_once_with_small_segments() {
    killed_again_and_again(&["--rotate-size", "50kB"]);
}

#[test]
fn every_line_is_stored_once_on_more_than_one_shard() {
    let dir = temp_dir();
    let dir = dir.path();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = ["a.log", "b.log", "c.log"].map(|name| written_under_load(dir, name, &stop));
    for (round, shards) in ["2", "1", "3", "2", "2", "1"].into_iter().enumerate() {
        let collector = Collector::start(dir, "logs", &["--shards", shards, "--rotate-size", "200kB"]);
        thread::sleep(Duration::from_millis(100 + 37 * round as u64));
        collector.kill();
    }
    stop.store(true, Ordering::Relaxed);
    let writers = writing.map(|writing| writing.join().expect("written"));
    once(dir, "logs", &["--shards", "2"]);
    let found = numbers(dir);
    for writer in &writers {
        let mut numbers = found[writer.path.file_name().unwrap().to_str().unwrap()].clone();
        numbers.sort_unstable();
        assert_eq!(numbers.len() as u64, writer.next);
        assert_eq!(numbers, (0..writer.next).collect::<Vec<_>>());
    }
}

/// Accepted and rejected lines go to two streams, whose checkpoints differ.
#[test]
fn rejected_lines_are_stored_once_as_well() {
    let dir = temp_dir();
    let dir = dir.path();
    let path = dir.join("logs/mixed.log");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let stop = stop.clone();
        std::fs::create_dir_all(dir.join("logs")).unwrap();
        thread::spawn(move || {
            let mut file = crate::collector::append(&path);
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let line = |n: u64| if n.is_multiple_of(3) { format!("{{broken {n}\n") } else { format!("{{\"n\":{n}}}\n") };
                let text: String = (n..n + 300).map(line).collect();
                std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
                n += 300;
                thread::sleep(Duration::from_millis(1));
            }
            n
        })
    };
    for round in 0..10u64 {
        let collector = Collector::start(dir, "logs/*.log", &["--rotate-size", "40kB"]);
        thread::sleep(Duration::from_millis(30 + 41 * round % 200));
        collector.kill();
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.join().unwrap();
    once(dir, "logs/*.log", &["--rotate-size", "40kB"]);
    let mut accepted: Vec<u64> = records(&out(dir), "collected").iter().map(|record| record["n"].as_u64().unwrap()).collect();
    accepted.sort_unstable();
    assert_eq!(accepted, (0..written).filter(|n| !n.is_multiple_of(3)).collect::<Vec<_>>());
    let number = |record: &serde_json::Value| record["line"].as_str().unwrap().strip_prefix("{broken ").unwrap().parse::<u64>().unwrap();
    let mut rejected: Vec<u64> = records(&out(dir), "rejected").iter().map(number).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, (0..written).step_by(3).collect::<Vec<_>>());
    assert_eq!((accepted.len() + rejected.len()) as u64, written);
    assert!(lines(&out(dir), "logs").is_empty());
}

/// Retention may delete every archive: the checkpoints stay true, and no number is used twice.
#[test]
fn what_was_deleted_is_not_read_again() {
    let dir = temp_dir();
    let dir = dir.path();
    let small = ["--rotate-size", "50kB"];
    let archives = || names(&out(dir)).into_iter().filter(|name| name.starts_with("collected_") && name.ends_with(".gz")).collect();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    writer.write(5_000);
    once(dir, "logs/*.log", &small);
    let first: Vec<String> = archives();
    assert!(5 < first.len(), "{first:?}");
    let number = |name: &str| name.rsplit('_').next().unwrap()[..6].parse::<u64>().unwrap();
    let largest = first.iter().map(|name| number(name)).max().unwrap();
    let archived = names(&out(dir)).into_iter().filter(|name| name.starts_with("collected_"));
    archived.for_each(|name| std::fs::remove_file(out(dir).join(name)).unwrap());
    let mut left = numbers(dir).remove("app.log").unwrap_or_default(); // in the open segment
    assert!(left.len() < 1_000, "{}", left.len());
    for _ in 0..2 {
        once(dir, "logs/*.log", &small);
        assert_eq!(numbers(dir).remove("app.log").unwrap_or_default(), left);
    }
    writer.write(2_000);
    once(dir, "logs/*.log", &small);
    left.extend(5_000..7_000);
    assert_eq!(numbers(dir)["app.log"], left);
    let second: Vec<String> = archives();
    assert!(!second.is_empty() && second.iter().all(|name| largest < number(name)), "{first:?}, {second:?}");
}

/// A flipped bit in the checkpoints, and archives that they do not describe any more.
#[test]
fn no_archive_is_removed_by_a_damaged_journal() {
    let dir = temp_dir();
    let dir = dir.path();
    let small = ["--rotate-size", "50kB"];
    let mut writer = Writer::new(dir.join("logs/app.log"));
    writer.write(5_000);
    once(dir, "logs/*.log", &small);
    let journal = out(dir).join("logboom.checkpoints");
    let mut bytes = std::fs::read(&journal).unwrap();
    let batch = bytes.windows(7).position(|text| text == b" batch ").expect("a batch");
    bytes[batch + 3] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    writer.write(10);
    let said = once(dir, "logs/*.log", &small);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("logboom.checkpoints: a line of them is damaged; everything is kept"), "{said}");
    assert_whole(dir, "app.log", writer.next);
}
