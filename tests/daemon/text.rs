//! Text lines of known shapes through the real daemon: what is stored, what is counted, and that loadgen's own text is all there.

use crate::harness::{TestDaemon, loadgen, records, run, temp_dir, verify};

#[test]
fn lines_of_known_shapes_become_records_with_their_members() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    daemon.send(b"2026-11-24 15:00:00,123 WARNING [auth] bad password user=7\n127.0.0.1 - - [24/Nov/2026:15:00:00 +0000] \"GET /a HTTP/1.1\" 404 12\n");
    daemon.wait_for("services are published", |daemon| daemon.stats()["services"]["auth"] == 1);
    assert_eq!(daemon.stats()["levels"]["WARN"], 1);
    daemon.stop();
    let records = records(dir.path(), "logs");
    let expected = r#"{"timestamp":"2026-11-24 15:00:00,123","level":"WARN","service":"auth","message":"bad password user=7","user":"7","layout":"{timestamp} WARNING [{service}] {message}"}"#;
    assert_eq!(records[0], serde_json::from_str::<serde_json::Value>(expected).unwrap());
    assert_eq!((&records[1]["status"], &records[1]["path"]), (&404.into(), &"/a".into()));
}

#[test]
fn own_patterns_of_the_configuration_are_used() {
    let dir = temp_dir();
    let config = dir.path().join("logboom.toml");
    let toml = "[[pattern]]\nname = 'pump'\nregex = '^(?<unit>pump-\\d+) (?<lvl>\\w+) (?<msg>.*)$'\n";
    std::fs::write(&config, toml).unwrap();
    let data = dir.path().join("data");
    let daemon = TestDaemon::start(&data, &["--shards", "1", "--config", config.to_str().unwrap()]);
    daemon.send(b"pump-3 crit pressure is low\n");
    daemon.stop();
    let record = &records(&data, "logs")[0];
    assert_eq!((&record["unit"], &record["level"], &record["message"]), (&"pump-3".into(), &"FATAL".into(), &"pressure is low".into()));
    assert_eq!(record["layout"], "{unit} crit {message}");
}

#[test]
fn every_line_of_generated_text_can_be_rebuilt() {
    let dir = temp_dir();
    let daemon =
        TestDaemon::start(&dir.path().join("data"), &["--shards", "2", "--tag", "paid=service:payment", "--tag", "slow=latency_ms:\\d{3}"]);
    let manifest = dir.path().join("manifest.json");
    let target = format!("tcp://{}", daemon.tcp);
    let ran = run(std::process::Command::new(loadgen())
        .args(["run", "--target", &target, "--format", "text", "--clients", "4", "--interval", "0", "--count", "20000", "--manifest"])
        .arg(&manifest));
    assert!(ran.status.success(), "{ran:?}");
    daemon.wait_for("tags are published", |daemon| daemon.stats()["tags"]["paid"].as_u64().unwrap() > 0);
    daemon.stop();
    let (good, said) = verify(&dir.path().join("data"), &manifest);
    assert!(good, "{said}");
}
