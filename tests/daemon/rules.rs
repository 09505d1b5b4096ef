//! Filters, exclusions and tags of a running daemon: what is stored, what is counted, what is refused; and lines by source.

use std::process::Command;

use serde_json::json;

use crate::harness::{TestDaemon, lines, logboom, temp_dir};

#[test]
fn any_filter_no_exclusion_and_the_ledger_is_balanced() {
    let dir = temp_dir();
    let args =
        ["--shards", "1", "--filter", "level=ERROR|FATAL", "--filter", "payment", "--exclude", "service=probe", "--exclude", "line=user=0"];
    let daemon = TestDaemon::start(dir.path(), &args);
    let kept = [r#"{"level":"err","n":1}"#, r#"{"severity":1,"n":2}"#, r#"{"message":"payment","n":3}"#];
    let left_out = [
        r#"{"level":"INFO","n":4}"#,
        r#"{"level":"ERROR","app":"probe"}"#,
        r#"{"level":"ERROR","text":"user=0"}"#,
        "2026-11-24 15:00:00 INFO [auth] fine",
    ];
    let text = "2026-11-24 15:00:00 ERROR [auth] not fine";
    daemon.send((kept.join("\n") + "\n" + &left_out.join("\n") + "\n{broken\n" + text + "\n").as_bytes());
    daemon.wait_for("rules are published", |daemon| daemon.stats()["filtered"]["unmatched"] == 2);
    let stats = daemon.stats();
    let (_, metrics) = daemon.get("/metrics");
    daemon.stop();
    let ledger = &stats["ledger"];
    assert_eq!(
        (&ledger["received"], &ledger["written"], &ledger["filtered"], &ledger["rejected"]["total"]),
        (&9.into(), &4.into(), &4.into(), &1.into())
    );
    assert_eq!(stats["filtered"]["excluded"], json!({"service=probe": 1, "line=user=0": 1}));
    assert_eq!(stats["shards"][0]["in_flight"], 0);
    assert!(metrics.contains("logboom_records_filtered_total{shard=\"0\"} 4\n"), "{metrics}");
    assert!(metrics.contains("logboom_lines_excluded_total{rule=\"service=probe\"} 1\n"));
    assert!(metrics.contains("logboom_lines_unmatched_total 2\n"));
    let stored = lines(dir.path(), "logs");
    assert_eq!(stored[..3], kept.map(|line| line.as_bytes().to_vec()), "what is kept stands as it came");
    assert_eq!(stored.len(), 4);
}

/// simd-json refuses numbers beyond a double and lone surrogates, which are legal: rules must see their members all the same, and so must the counters.
#[test]
fn legal_lines_that_the_fast_parser_refuses_are_judged_and_counted_like_others() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1", "--filter", "level=ERROR", "--exclude", "a.b=secret"]);
    let kept = [r#"{"level":"ERROR","n":1e999}"#, r#"{"text":"\ud800","severity":3}"#];
    let left_out = [r#"{"level":"INFO","n":1e999}"#, r#"{"level":"ERROR","n":1e999,"a":{"b":"secret"}}"#];
    daemon.send((kept.join("\n") + "\n" + &left_out.join("\n") + "\n").as_bytes());
    daemon.wait_for("all are taken", |daemon| daemon.stats()["ledger"]["received"] == 4);
    let stats = daemon.stats();
    daemon.stop();
    assert_eq!((&stats["ledger"]["written"], &stats["ledger"]["filtered"]), (&2.into(), &2.into()));
    assert_eq!(stats["levels"]["ERROR"], 2, "{}", stats["levels"]);
    assert_eq!(lines(dir.path(), "logs"), kept.map(|line| line.as_bytes().to_vec()));
}

#[test]
fn tags_go_into_records_and_no_other_byte_changes() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(
        dir.path(),
        &["--shards", "1", "--tag", "payment=service:pay.*", "--tag", "slow=took=[0-9]{3}", "--tag", "user=user.id:7"],
    );
    let table = [
        (r#"{"service":"payment" , "took":1234} "#, r#"{"service":"payment" , "took":1234,"tags":["payment","slow"]} "#),
        (r#"{"service":"auth","tags":["x"]}"#, r#"{"service":"auth","tags":["x"]}"#),
        (r#"{"logger":"pay","tags":["x"],"n":1.0e1}"#, r#"{"logger":"pay","tags":["x","payment"],"n":1.0e1}"#),
        (r#"{"user":{"id":7}}"#, r#"{"user":{"id":7},"tags":["user"]}"#),
        (
            "2026-11-24T15:00:00Z INFO [pay] done took=250ms",
            r#"{"timestamp":"2026-11-24T15:00:00Z","level":"INFO","service":"pay","message":"done took=250ms","took":"250ms","layout":"{timestamp} {level} [{service}] {message}","tags":["payment","slow"]}"#,
        ),
    ];
    let sent: String = table.iter().map(|(line, _)| format!("{line}\n")).collect();
    daemon.send(sent.as_bytes());
    daemon.wait_for("tags are published", |daemon| daemon.stats()["tags"] == json!({"payment": 3, "slow": 2, "user": 1}));
    assert!(daemon.get("/metrics").1.contains("logboom_records_by_tag_total{tag=\"payment\"} 3\n"));
    daemon.stop();
    let stored: Vec<String> = lines(dir.path(), "logs").into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    assert_eq!(stored, table.map(|(_, stored)| stored.to_owned()));
}

#[test]
fn rules_judge_syslog_and_csv_by_the_fields_of_their_records() {
    let dir = temp_dir();
    let args = ["--shards", "1", "--exclude", "level=INFO", "--tag", "sshd=service:^sshd$", "--tag", "auth=facility:auth"];
    let daemon = TestDaemon::start(dir.path(), &args);
    daemon.send(b"<34>Nov 24 15:00:00 web-1 sshd[7]: bad password\n<14>Nov 24 15:00:00 web-1 cron: fine\n");
    daemon.stop();
    let stored = crate::harness::records(dir.path(), "logs");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["tags"], json!(["sshd", "auth"]), "{}", stored[0]);

    let dir = temp_dir();
    let daemon =
        TestDaemon::start(dir.path(), &["--shards", "1", "--format", "csv", "--filter", "level=WARN", "--tag", "slow=took:[0-9]{3}"]);
    daemon.send(b"level,message,took\nwarning,a,250\ninfo,b,250\n");
    let ledger = daemon.stats()["ledger"].clone();
    daemon.stop();
    assert_eq!((&ledger["received"], &ledger["written"], &ledger["filtered"]), (&2.into(), &1.into(), &1.into()));
    let stored = crate::harness::records(dir.path(), "logs");
    assert_eq!((&stored[0]["message"], &stored[0]["tags"]), (&json!("a"), &json!(["slow"])));
}

#[test]
fn a_bad_rule_ends_the_start_with_its_position() {
    let table: [(&[&str], &[&str]); 4] = [
        (&["--filter", "level=a(b"], &["--filter", "unclosed group", "at character 8"]),
        (&["--exclude", "[z-a]"], &["--exclude", "at character 2"]),
        (&["--tag", "x=service:*"], &["--tag", "at character 11"]),
        (&["--tag", "nothing"], &["--tag", "NAME="]),
    ];
    for (args, words) in table {
        let dir = temp_dir();
        let said = Command::new(logboom()).args(["serve", "--data-dir"]).arg(dir.path()).args(args).output().unwrap();
        let stderr = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn lines_are_counted_by_the_host_that_sent_them() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "2", "--exclude", "b"]);
    for _ in 0..3 {
        daemon.send(b"a\nb\n{broken\n");
    }
    let expected = json!({"127.0.0.1": 9});
    daemon.wait_for("sources are published", |daemon| daemon.stats()["sources"] == expected);
    assert!(daemon.get("/metrics").1.contains("logboom_lines_by_source_total{source=\"127.0.0.1\"} 9\n"));
    daemon.stop();
}
