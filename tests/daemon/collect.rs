//! The collector over files that are rotated, emptied, deleted, linked, compressed, and missing.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::collector::{self, Collector, Writer, append, assert_whole, command, numbered, once, out};
use crate::harness::{self, TestDaemon, lines, records, run, temp_dir};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn once_reads_everything_and_goes_on_where_it_was() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writers: Vec<Writer> = (0..5).map(|n| Writer::new(dir.join(format!("logs/{n}.log")))).collect();
    writers.iter_mut().for_each(|writer| writer.write(10_000));
    write(&dir.join("logs/other.txt"), "none of ours\n");
    let said = once(dir, "logs/*.log", &[]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.starts_with("collected files 5, lines 50000, stored 50000, filtered 0, rejected 0, lag 0 bytes, errors 0, "), "{said}");
    once(dir, "logs/*.log", &[]);
    writers.iter_mut().for_each(|writer| writer.write(7));
    writers[0].rotate_to("0.log.1");
    writers[0].write(5);
    once(dir, "logs/*.log", &[]);
    for writer in &writers {
        assert_whole(dir, writer.path.file_name().unwrap().to_str().unwrap(), writer.next);
    }
    assert_eq!(lines(&out(dir), "rejected"), Vec::<Vec<u8>>::new());
}

#[test]
fn renamed_files_are_read_to_their_end_under_load() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    let collector = Collector::start(dir, "logs/*.log", &["--rotate-size", "200kB"]);
    for round in 0..20 {
        for _ in 0..10 {
            writer.write(100);
            thread::sleep(Duration::from_millis(2));
        }
        fs::rename(&writer.path, writer.path.with_file_name(format!("app.log.{round}"))).unwrap();
        writer.write(50); // to the old file, as programs do until they reopen
        writer.reopen();
    }
    writer.write(10);
    collector.wait_for_lines(writer.next);
    collector.stop(&[]);
    assert_whole(dir, "app.log", writer.next);
}

#[test]
fn what_was_copied_before_it_was_emptied_is_read_from_the_copy() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    for watch in ["logs/*.log", "logs"] {
        let collector = Collector::start(dir, watch, &[]);
        collector.wait_for("the file", |collector| 0 < collector.stats()["files"]["files"].as_u64().unwrap());
        let before = writer.next;
        for round in 0..10 {
            for _ in 0..5 {
                writer.write(200);
                thread::sleep(Duration::from_millis(3));
            }
            writer.copytruncate_to(&format!("app.log.{round}")); // over the one of the round before
        }
        writer.write(10);
        collector.wait_for_lines(writer.next - before);
        collector.stop(&[]);
        let mut found = collector::numbers(dir).remove("app.log").unwrap();
        found.sort_unstable();
        assert_eq!(found, (0..writer.next).collect::<Vec<_>>(), "with {watch}");
    }
}

#[test]
fn an_emptied_file_is_read_from_its_start() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    let collector = Collector::start(dir, "logs/app.log", &[]);
    writer.write(1_000);
    collector.wait_for_lines(1_000);
    fs::OpenOptions::new().write(true).open(&writer.path).unwrap().set_len(0).unwrap();
    writer.write(10);
    collector.wait_for_lines(1_010);
    // Written anew, and at once longer than it was.
    fs::OpenOptions::new().write(true).open(&writer.path).unwrap().set_len(0).unwrap();
    writer.write(2_000);
    collector.wait_for_lines(3_010);
    collector.wait_for("it is counted", |collector| collector.stats()["files"]["truncated"] == 2);
    collector.stop(&[]);
    assert_whole(dir, "app.log", 3_010);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_its_name_and_inode_may_come_again() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    let collector = Collector::start(dir, "logs", &[]);
    writer.write(100);
    collector.wait_for_lines(100);
    for round in 1..=5 {
        fs::remove_file(&writer.path).unwrap();
        writer.write(100); // to what nobody can find any more
        collector.wait_for_lines(round * 200);
        writer.reopen();
        writer.write(100);
        collector.wait_for_lines(round * 200 + 100);
    }
    collector.stop(&[]);
    assert_whole(dir, "app.log", writer.next);
}

#[test]
fn a_file_of_two_names_is_read_once() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("real/app.log"));
    writer.write(100);
    fs::create_dir_all(dir.join("logs")).unwrap();
    std::os::unix::fs::symlink("../real/app.log", dir.join("logs/link.log")).unwrap();
    fs::hard_link(dir.join("real/app.log"), dir.join("logs/hard.log")).unwrap();
    let collector = Collector::start(dir, "*/*.log", &[]);
    collector.wait_for_lines(100);
    writer.write(50);
    collector.wait_for_lines(150);
    assert_eq!(collector.stats()["files"]["files"], 1);
    collector.stop(&[]);
    assert_whole(dir, "app.log", 150);
}

#[test]
fn a_folder_and_its_files_may_come_later() {
    let dir = temp_dir();
    let dir = dir.path();
    let collector = Collector::start(dir, "later/still/*.log", &[]);
    let mut writer = Writer::new(dir.join("later/still/app.log"));
    writer.write(100);
    collector.wait_for_lines(100);
    let mut other = Writer::new(dir.join("later/still/other.log"));
    other.write(10);
    collector.wait_for_lines(110);
    collector.stop(&[]);
    assert_whole(dir, "app.log", 100);
    assert_whole(dir, "other.log", 10);
}

#[test]
fn a_last_line_without_its_newline_waits_until_it_is_over() {
    let dir = temp_dir();
    let dir = dir.path();
    let path = dir.join("logs/app.log");
    write(&path, &(numbered("app.log", 0) + "\n" + &numbered("app.log", 1)[..20]));
    let collector = Collector::start(dir, "logs/app.log", &[]);
    collector.wait_for_lines(1);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(collector.stats()["ledger"]["received"], 1, "it is not over");
    append(&path).write_all(&numbered("app.log", 1).as_bytes()[20..]).unwrap();
    collector.wait_for_lines(2); // nothing comes any more
    collector.stop(&[]);
    assert_whole(dir, "app.log", 2);
    write(&dir.join("logs/last.log"), &numbered("last.log", 0));
    once(dir, "logs/last.log", &[]);
    assert_whole(dir, "last.log", 1);
}

#[test]
fn archives_are_read_once_and_only_if_asked_for() {
    let dir = temp_dir();
    let dir = dir.path();
    let mut writer = Writer::new(dir.join("logs/app.log"));
    writer.write(5_000);
    let old = dir.join("logs/old.log");
    write(&old, &(0..3_000).map(|n| numbered("old.log", n) + "\n").collect::<String>());
    assert!(run(Command::new("gzip").arg(&old)).status.success());
    once(dir, "logs", &[]);
    assert_eq!(collector::numbers(dir).get("old.log"), None);
    // Rotated and compressed after it was read, but for its last lines.
    writer.write(20);
    writer.rotate_to("app.log.1");
    writer.write(5);
    assert!(run(Command::new("gzip").arg(dir.join("logs/app.log.1"))).status.success());
    once(dir, "logs", &["--read-gzip", "on"]);
    once(dir, "logs", &["--read-gzip", "on"]);
    assert_whole(dir, "old.log", 3_000);
    let mut found = collector::numbers(dir).remove("app.log").unwrap();
    found.sort_unstable();
    assert_eq!(found, (0..writer.next).collect::<Vec<_>>());
}

#[test]
fn thousands_of_files_need_few_descriptors() {
    const FILES: u64 = 2_000;
    let dir = temp_dir();
    let dir = dir.path();
    let name = |n: u64| format!("{n:04}.log");
    (0..FILES)
        .for_each(|n| write(&dir.join("logs").join(name(n)), &(0..20).map(|line| numbered(&name(n), line) + "\n").collect::<String>()));
    let collector = Collector::start(dir, "logs", &[]);
    let most = std::cell::Cell::new(0);
    let count = |collector: &Collector| {
        let open = fs::read_dir(format!("/proc/{}/fd", collector.pid())).unwrap().flatten();
        let of_logs = open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(dir.join("logs")))).count();
        most.set(most.get().max(of_logs));
    };
    let wait = |lines: u64| {
        collector.wait_for("all lines", |collector| {
            count(collector);
            lines <= collector.stats()["ledger"]["received"].as_u64().unwrap()
        });
    };
    wait(FILES * 20);
    (0..FILES).step_by(7).for_each(|n| writeln!(append(&dir.join("logs").join(name(n))), "{}", numbered(&name(n), 20)).unwrap());
    wait(FILES * 20 + FILES.div_ceil(7));
    assert_eq!(collector.stats()["files"]["files"], FILES);
    // Those that are held, and those that a shard has just done with.
    assert!((1..=96).contains(&most.get()), "{} descriptors", most.get());
    collector.stop(&[]);
    let numbers = collector::numbers(dir);
    for n in 0..FILES {
        let lines = if n % 7 == 0 { 21 } else { 20 };
        assert_eq!(numbers[&name(n)], (0..lines).collect::<Vec<_>>(), "{n}");
    }
}

#[test]
fn files_begin_at_their_end_if_asked_and_later_ones_at_their_beginning() {
    let dir = temp_dir();
    let dir = dir.path();
    write(&dir.join("logs/app.log"), "old line\nhalf a line");
    let collector = Collector::start(dir, "logs", &["--from", "end"]);
    collector.wait_for("the file", |collector| collector.stats()["files"]["files"] == 1);
    thread::sleep(Duration::from_millis(200));
    append(&dir.join("logs/app.log")).write_all(b" that was begun before\n{\"n\":1}\n").unwrap();
    write(&dir.join("logs/new.log"), "{\"n\":2}\n");
    collector.wait_for_lines(2);
    collector.stop(&[]);
    let mut found = lines(&out(dir), "collected");
    found.sort();
    assert_eq!(found, [b"{\"n\":1}".to_vec(), b"{\"n\":2}".to_vec()]);
}

#[test]
fn what_cannot_be_read_is_counted_and_the_others_go_on() {
    let dir = temp_dir();
    let dir = dir.path();
    write(&dir.join("logs/good.log"), "{\"n\":1}\n{\"n\":2}\n{broken\n");
    write(&dir.join("logs/binary.log"), "\u{7f}ELF\0\0\0text\n");
    fs::create_dir_all(dir.join("logs/folder.log")).unwrap();
    let collector = Collector::start(dir, "logs/*.log", &["--filter", "n=1"]);
    collector.wait_for_lines(3);
    collector.wait_for("an error", |collector| collector.stats()["files"]["errors"] == 1);
    let stats = collector.stats();
    assert_eq!(
        (&stats["ledger"]["written"], &stats["ledger"]["filtered"], &stats["ledger"]["rejected"]["total"]),
        (&1.into(), &1.into(), &1.into())
    );
    let good = dir.join("logs/good.log").to_str().unwrap().to_owned();
    let source: String = good.chars().rev().take(64).collect::<Vec<_>>().into_iter().rev().collect();
    collector.wait_for("a source", |collector| collector.stats()["sources"][&source] == 3);
    assert!(harness::get(collector.http, "/metrics").1.contains("logboom_files_errors_total 1"));
    collector.stop(&["binary.log: it is no text"]);
    let rejected = records(&out(dir), "rejected");
    assert_eq!((&rejected[0]["file"], &rejected[0]["offset"]), (&good.into(), &16.into()));
}

#[test]
fn a_rejected_line_says_where_it_begins_whatever_is_before_it() {
    let dir = temp_dir();
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(2_000));
    let mut text = format!("\n\r\n{{broken 1\n{{\"n\":1}}\n\n\n{{broken 2\n{long}\nERROR: failed\n\n\tat ").into_bytes();
    text.extend(b"\xff\n\n{broken 3");
    let at = |what: &str| text.windows(what.len()).position(|text| text == what.as_bytes()).expect("it is there") as u64;
    for (multiline, bad) in [("on", "ERROR: failed"), ("off", "\tat")] {
        let dir = dir.path().join(multiline);
        fs::create_dir_all(dir.join("logs")).unwrap();
        fs::write(dir.join("logs/app.log"), &text).unwrap();
        once(&dir, "logs/app.log", &["--multiline", multiline, "--line-max", "1KiB"]);
        let offsets: Vec<u64> = records(&out(&dir), "rejected").iter().map(|record| record["offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, ["{broken 1", "{broken 2", &long, bad, "{broken 3"].map(at), "multiline {multiline}");
    }
}

#[test]
fn a_stack_trace_is_one_record_however_it_comes() {
    let dir = temp_dir();
    let dir = dir.path();
    let trace =
        "2026-11-24 15:00:00,123 ERROR [http-3] org.example.Orders: order 4711 failed\njava.lang.IllegalStateException: no connection\n";
    write(&dir.join("logs/app.log"), trace);
    let collector = Collector::start(dir, "logs", &["--line-max", "1KiB"]);
    collector.wait_for("the file", |collector| collector.stats()["files"]["files"] == 1);
    let more = "\tat org.example.Pay.pay(Pay.java:88)\n2026-11-24 15:00:01,000 INFO [main] next\n\n  indented\n\n";
    append(&dir.join("logs/app.log")).write_all(more.as_bytes()).unwrap();
    collector.wait_for_lines(2);
    collector.wait_for("nothing is left, not even the empty line", |collector| collector.stats()["files"]["lag_bytes"] == 0);
    let long = format!("2026-11-24 15:00:02,000 INFO [main] long\n{}", "\tmore\n".repeat(200));
    append(&dir.join("logs/app.log")).write_all(long.as_bytes()).unwrap();
    collector.wait_for_lines(4);
    assert_eq!(collector.stats()["files"]["records_split"], 1);
    collector.stop(&[]);
    let messages: Vec<String> =
        records(&out(dir), "collected").iter().map(|record| record["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        messages[..2],
        ["order 4711 failed\njava.lang.IllegalStateException: no connection\n\tat org.example.Pay.pay(Pay.java:88)", "next\n\n  indented"]
    );
    assert_eq!([&messages[2], &messages[3]].map(|message| message.matches("more").count()).iter().sum::<usize>(), 200);
}

/// Which may go on, so that it is taken when nothing came for a while.
#[test]
fn the_last_record_or_line_of_a_renamed_file_comes_before_the_next_file() {
    let dir = temp_dir();
    let dir = dir.path();
    let log = dir.join("logs/app.log");
    let line = |message: &str| format!("2026-11-24 15:00:00,123 INFO [main] {message}");
    write(&log, &format!("{}\n  indented\n", line("first")));
    let collector = Collector::start(dir, "logs", &[]);
    collector.wait_for("the file", |collector| collector.stats()["files"]["files"] == 1);
    fs::rename(&log, dir.join("logs/app.log.1")).unwrap();
    write(&log, &format!("{}\n{}", line("second"), line("not finished")));
    collector.wait_for("both files", |collector| collector.stats()["files"]["files"] == 2);
    fs::rename(&log, dir.join("logs/app.log.2")).unwrap();
    write(&log, &format!("{}\n", line("last")));
    collector.wait_for_lines(4);
    collector.stop(&[]);
    let records = records(&out(dir), "collected");
    let messages: Vec<&str> = records.iter().map(|record| record["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["first\n  indented", "second", "not finished", "last"]);
}

#[test]
fn outputs_beside_hold_every_record() {
    let dir = temp_dir();
    let dir = dir.path();
    Writer::new(dir.join("logs/app.log")).write(20_000);
    once(dir, "logs/app.log", &["--output-type", "jsonl,csv,sqlite"]);
    assert_whole(dir, "app.log", 20_000);
    let csv = fs::read_to_string(out(dir).join("collected.csv")).unwrap();
    assert_eq!(csv.lines().count(), 20_001, "and the header");
    let count = run(Command::new("sqlite3").arg(out(dir).join("collected.sqlite")).arg("select count(*) from collected"));
    assert_eq!(String::from_utf8_lossy(&count.stdout).trim(), "20000", "{}", String::from_utf8_lossy(&count.stderr));
}

#[test]
fn the_daemon_follows_files_beside_its_connections() {
    let dir = temp_dir();
    let (data, logs) = (dir.path().join("data"), dir.path().join("logs"));
    let config = dir.path().join("logboom.toml");
    write(&config, &format!("[[watch]]\npath = '{}/*.log'\n", logs.display()));
    let mut writer = Writer::new(logs.join("app.log"));
    writer.write(1_000);
    let args = ["--config", config.to_str().unwrap()];
    let daemon = TestDaemon::start(&data, &args);
    daemon.send(b"{\"over\":\"tcp\"}\n");
    daemon.wait_for("all lines", |daemon| daemon.stats()["ledger"]["received"] == 1_001);
    daemon.stop();
    writer.write(10);
    let daemon = TestDaemon::start(&data, &args);
    daemon.wait_for("what came meanwhile", |daemon| daemon.stats()["ledger"]["received"] == 10);
    daemon.stop();
    let found = lines(&data, "logs");
    assert_eq!(found.len(), 1_011);
    assert_eq!(found.iter().filter(|line| line.starts_with(b"{\"over\"")).count(), 1);
}

#[test]
fn once_says_what_it_could_not_read() {
    let dir = temp_dir();
    let dir = dir.path();
    write(&dir.join("logs/good.log"), "{\"n\":1}\n");
    write(&dir.join("logs/binary"), "\u{7f}ELF\0\0\0text\n");
    write(&dir.join("logs/bad.gz"), "this is no archive\n");
    let args = ["--once", "--read-gzip", "on", "--watch"];
    let mut command = command(dir, &args);
    let said = run(command.arg(dir.join("logs")).arg("--watch").arg(dir.join("none/*.log")).arg("--watch").arg(dir.join("none.log")));
    assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    let (out, err) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(out.contains(" lines 1, stored 1,") && out.ends_with("; 3 files or folders could not be read: see above\n"), "{out}");
    for text in ["bad.gz: ", "none/*.log: there is no such file", "none.log: there is no such file"] {
        assert!(err.contains(text), "{text}: {err}");
    }
}

#[test]
fn a_line_may_be_longer_than_a_turn() {
    let dir = temp_dir();
    let dir = dir.path();
    let line = format!("{{\"n\":0,\"message\":\"{}\"}}", "x".repeat(20 << 20));
    write(&dir.join("logs/app.log"), &format!("{line}\n{{\"n\":1}}\n"));
    once(dir, "logs/app.log", &["--line-max", "32MiB"]);
    let mut lengths: Vec<usize> = lines(&out(dir), "collected").iter().map(Vec::len).collect();
    lengths.sort_unstable(); // they may lie in two segments
    assert_eq!(lengths, [7, line.len()]);
}

#[test]
fn what_is_written_anew_with_as_many_bytes_is_read_again() {
    let dir = temp_dir();
    let dir = dir.path();
    write(&dir.join("logs/status.log"), "{\"n\":10}\n");
    let collector = Collector::start(dir, "logs", &[]);
    for n in 11..15 {
        collector.wait_for_lines(n - 10);
        write(&dir.join("logs/status.log"), &format!("{{\"n\":{n}}}\n"));
    }
    collector.wait_for_lines(5);
    collector.stop(&[]);
    assert_eq!(lines(&out(dir), "collected").len(), 5);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = temp_dir();
    for (args, expected) in [
        (&[][..], "--watch"),
        (&["--watch", "logs/[a"], "at character"),
        (&["--watch", "x", "--listen", "tcp://127.0.0.1:0"], "from files alone"),
        (&["--watch", "x", "--output-type", "parquet"], "jsonl, csv or sqlite"),
        (&["--watch", "x", "--from", "middle"], "beginning or end"),
        (&["--watch", dir.path().join("out/*.log").to_str().unwrap()], "where lines are stored"),
        (&["--watch", "x", "--filter", "a(b"], "unclosed group"),
    ] {
        let refused = run(&mut command(dir.path(), args));
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
