//! syslog from programs as they are: util-linux's logger, rsyslog's omfwd and omrelp, syslog-ng's loggen, Python's SysLogHandler.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Start, TestDaemon, records, run, temp_dir};

fn logger(daemon: &TestDaemon, args: &[&str], message: &str) {
    let port = daemon.tcp.port().to_string();
    let mut command = Command::new("logger");
    command.args(["--tcp", "--server", "127.0.0.1", "--port", &port, "--id=77", "--tag", "tester", "--priority", "local3.warning"]);
    let output = run(command.args(args).arg("--").arg(message));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn written(daemon: &TestDaemon) -> u64 {
    daemon.stats()["ledger"]["written"].as_u64().unwrap()
}

#[test]
fn logger_in_both_framings_and_both_formats() {
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let message = "say \"hello\" [x=1]: é";
    for args in [&["--rfc5424"][..], &["--rfc5424", "--octet-count"], &["--rfc3164"], &["--rfc3164", "--octet-count"]] {
        let before = written(&daemon);
        logger(&daemon, args, message);
        daemon.wait_for("it arrives", |daemon| written(daemon) > before);
    }
    daemon.stop();
    let records = records(dir.path(), "logs");
    assert_eq!(records.len(), 4);
    for record in &records {
        let [level, service, text] = ["level", "service", "message"].map(|name| record[name].as_str().unwrap());
        assert_eq!((level, service, text), ("WARN", "tester", message), "{record}");
        let [facility, severity, procid] = ["facility", "severity", "procid"].map(|name| record[name].as_str().unwrap());
        assert_eq!((facility, severity, procid), ("local3", "warning", "77"), "{record}");
        assert!(record["host"].is_string(), "{record}");
    }
    assert!(records[1]["structured_data"]["timeQuality"].is_object(), "{}", records[1]);
}

#[test]
fn pythons_syslog_handler() {
    const SCRIPT: &str = "
import logging, logging.handlers, socket, sys
handler = logging.handlers.SysLogHandler(('127.0.0.1', int(sys.argv[1])), facility='local1', socktype=socket.SOCK_STREAM)
log = logging.getLogger()
log.addHandler(handler)
log.error('first')
log.warning('second\\nof two lines \\u00e9')
handler.setFormatter(logging.Formatter('app[%(process)d]: %(message)s'))
log.critical('third')
";
    let dir = temp_dir();
    let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
    let output = run(Command::new("python3").args(["-c", SCRIPT, &daemon.tcp.port().to_string()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    daemon.wait_for("all arrive", |daemon| written(daemon) == 3);
    daemon.stop();
    let records = records(dir.path(), "logs");
    let found: Vec<[&str; 3]> =
        records.iter().map(|record| ["level", "facility", "message"].map(|name| record[name].as_str().unwrap())).collect();
    assert_eq!(found, [["ERROR", "local1", "first"], ["WARN", "local1", "second\nof two lines é"], ["FATAL", "local1", "third"]]);
    assert_eq!(records[2]["service"], "app");
}

struct Rsyslogd(Child);

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// rsyslogd with one action, which reads `input` and sends each of its lines.
fn rsyslogd(dir: &Path, input: &Path, modules: &str, action: &str) -> Rsyslogd {
    let configuration = dir.join("rsyslog.conf");
    let text = format!(
        "global(workDirectory=\"{dir}\")\n{modules}\nmodule(load=\"imfile\" PollingInterval=\"1\")\n\
         input(type=\"imfile\" File=\"{input}\" Tag=\"shop:\" Severity=\"err\" Facility=\"local5\" ruleset=\"out\")\n\
         ruleset(name=\"out\") {{ action({action} action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\") }}\n",
        dir = dir.display(),
        input = input.display()
    );
    fs::write(&configuration, text).unwrap();
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-f"]).arg(&configuration).arg("-i").arg(dir.join("pid"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Rsyslogd(child.expect("rsyslogd starts (scripts/install-tools test installs it)"))
}

#[test]
fn rsyslog_by_omfwd_in_both_framings_and_by_omrelp() {
    const LINES: usize = 500;
    let line = |n: usize| format!("order {n}: \"paid\" {{\"sum\":{n}.50}} at 10:{:02}", n % 60);
    for (framing, template) in [
        ("traditional", "RSYSLOG_TraditionalForwardFormat"),
        ("octet-counted", "RSYSLOG_TraditionalForwardFormat"),
        ("octet-counted", "RSYSLOG_SyslogProtocol23Format"),
        ("relp", "RSYSLOG_ForwardFormat"),
    ] {
        let dir = temp_dir();
        let (data, input) = (dir.path().join("data"), dir.path().join("input.log"));
        let text: String = (0..LINES).map(|n| line(n) + "\n").collect();
        fs::write(&input, text).unwrap();
        let daemon = Start::in_dir(&data).args(&["--listen", "relp://127.0.0.1:0", "--shards", "1"]).start();
        let relp = daemon.relp.expect("a RELP address").port();
        let (modules, action) = if framing == "relp" {
            ("module(load=\"omrelp\")", format!("type=\"omrelp\" target=\"127.0.0.1\" port=\"{relp}\" template=\"{template}\""))
        } else {
            let port = daemon.tcp.port();
            let to = format!("type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\"");
            ("", format!("{to} TCP_Framing=\"{framing}\" template=\"{template}\""))
        };
        let sender = rsyslogd(dir.path(), &input, modules, &action);
        daemon.wait_for("all arrive", |daemon| written(daemon) >= LINES as u64);
        drop(sender);
        assert_eq!(daemon.stats()["connections"]["octet_counts_wrong"], 0);
        daemon.stop();
        let records = records(&data, "logs");
        assert_eq!(records.len(), LINES, "{framing}, {template}");
        for (n, record) in records.iter().enumerate() {
            let text = |name: &str| record[name].as_str().map(str::to_owned);
            assert_eq!(text("message"), Some(line(n)), "{framing}, {template}: {record}");
            assert_eq!(text("level").as_deref(), Some("ERROR"), "{record}");
            assert_eq!(text("service").as_deref(), Some("shop"), "{record}");
            assert_eq!(text("facility").as_deref(), Some("local5"), "{record}");
            assert!(record["host"].is_string() && record["timestamp"] != Value::Null, "{record}");
        }
    }
}

/// syslog-ng's generator, which `scripts/install-tools test` unpacks.
fn loggen(daemon: &TestDaemon, args: &[&str]) {
    let prefix = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng/usr");
    let program = prefix.join("bin/loggen");
    assert!(program.exists(), "{} is missing (scripts/install-tools test installs it)", program.display());
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", prefix.join("lib/syslog-ng")).env("SYSLOGNG_PREFIX", &prefix);
    command.args(["--inet", "--stream", "--rate", "1000000", "--size", "200", "--quiet"]).args(args);
    let output = run(command.arg("127.0.0.1").arg(daemon.tcp.port().to_string()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn syslog_ngs_loggen_in_both_formats_and_framings() {
    const CONNECTIONS: usize = 2;
    const MESSAGES: usize = 10_000;
    let (connections, messages) = (CONNECTIONS.to_string(), MESSAGES.to_string());
    let structured = "[origin@1 software=\"log\\\"gen\"]";
    for args in [&[][..], &["--syslog-proto"], &["--syslog-proto", "--no-framing", "--sdata", structured]] {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--shards", "2"]);
        loggen(&daemon, &[&["--active-connections", &connections, "--number", &messages], args].concat());
        daemon.wait_for("all arrive", |daemon| written(daemon) >= (CONNECTIONS * MESSAGES) as u64);
        assert_eq!(daemon.stats()["connections"]["octet_counts_wrong"], 0);
        daemon.stop();
        let mut found = vec![vec![0; MESSAGES]; CONNECTIONS];
        for record in records(dir.path(), "logs") {
            let [level, facility, service, procid, host, message] =
                ["level", "facility", "service", "procid", "host", "message"].map(|name| record[name].as_str().unwrap_or_default());
            assert_eq!([level, facility, service, procid, host], ["INFO", "auth", "prg00000", "1234", "localhost"], "{args:?}: {record}");
            assert_eq!(record["structured_data"].is_object(), args.contains(&structured), "{record}");
            let number = |name: &str| message.split(", ").find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
            let (Some(sequence), Some(thread)) = (number("seq: "), number("thread: ")) else { panic!("{args:?}: {record}") };
            let padding = message.rsplit(' ').next().expect("a last word");
            assert!(!padding.is_empty() && "PADD".repeat(50).starts_with(padding), "{record}");
            found[thread][sequence] += 1;
        }
        assert!(found.iter().flatten().all(|count| *count == 1), "{args:?}: each message of each connection is there once");
    }
}
