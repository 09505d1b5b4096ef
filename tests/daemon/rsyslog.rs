//! rsyslog's omrelp, as it is: every message arrives, although the daemon is killed in between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Start, lines, temp_dir};

const MESSAGES: usize = 60_000;

struct Rsyslogd(Child);

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn omrelp_delivers_every_message_although_the_daemon_is_killed() {
    let dir = temp_dir();
    let (data, spool, input) = (dir.path().join("data"), dir.path().join("spool"), dir.path().join("input.log"));
    fs::create_dir(&spool).unwrap();
    let line = |n: usize| format!("{{\"n\":{n},\"level\":\"INFO\",\"message\":\"message number {n} through omrelp\"}}");
    let text = (0..MESSAGES).fold(String::new(), |mut text, n| {
        writeln!(text, "{}", line(n)).unwrap();
        text
    });
    fs::write(&input, text).unwrap();

    let start = |port: u16| {
        Start::in_dir(&data).args(&["--listen", &format!("relp://127.0.0.1:{port}"), "--shards", "2"]).expect_warning("torn").start()
    };
    // Below the ports that the kernel gives to clients: one of those could be taken by anybody while the daemon is down.
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let port = (first..32_000).find(is_free).expect("a free port");
    let mut daemon = start(port);
    let configuration = dir.path().join("rsyslog.conf");
    let text = format!(
        "global(workDirectory=\"{spool}\")\n\
         module(load=\"omrelp\")\n\
         module(load=\"imfile\" PollingInterval=\"1\")\n\
         template(name=\"raw\" type=\"string\" string=\"%msg%\")\n\
         input(type=\"imfile\" File=\"{input}\" Tag=\"t\" ruleset=\"out\")\n\
         ruleset(name=\"out\") {{ action(type=\"omrelp\" target=\"127.0.0.1\" port=\"{port}\" template=\"raw\"\n\
         action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\") }}\n",
        spool = spool.display(),
        input = input.display()
    );
    fs::write(&configuration, text).unwrap();
    let mut rsyslogd = Command::new("rsyslogd");
    rsyslogd.args(["-n", "-f"]).arg(&configuration).arg("-i").arg(dir.path().join("pid"));
    let rsyslogd = rsyslogd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _rsyslogd = Rsyslogd(rsyslogd.expect("rsyslogd starts (scripts/install-tools test installs it)"));

    for at_least in [1_000, 500] {
        daemon.wait_for("messages arrive", |daemon| daemon.stats()["ledger"]["written"].as_u64().unwrap() > at_least);
        daemon.kill();
        thread::sleep(Duration::from_millis(100));
        daemon = start(port);
    }
    let begun = Instant::now();
    let mut last = (0, Instant::now());
    // Complete when nothing new has come for a while; what then is missing is looked at below.
    while last.1.elapsed() < Duration::from_secs(6) {
        assert!(begun.elapsed() < PATIENCE * 2, "it never ends");
        let written = daemon.stats()["ledger"]["written"].as_u64().unwrap();
        if written != last.0 {
            last = (written, Instant::now());
        }
        thread::sleep(Duration::from_millis(200));
    }
    daemon.stop();

    let mut times: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for line in lines(&data, "logs") {
        *times.entry(line).or_default() += 1;
    }
    let missing: Vec<usize> = (0..MESSAGES).filter(|n| !times.contains_key(line(*n).trim_end().as_bytes())).collect();
    assert!(missing.is_empty(), "{} messages are missing, the first is {}", missing.len(), missing[0]);
    assert_eq!(times.len(), MESSAGES, "nothing was altered");
    // omrelp sends again what was not acknowledged when a connection broke: a window of 128 frames for each kill, and as
    // much again for a window that filled anew in between.
    let twice: usize = times.values().map(|times| times - 1).sum();
    println!("{twice} of {MESSAGES} messages stand twice after two kills");
    assert!(twice <= 2 * 2 * 128, "{twice} duplicates are more than what can have been unacknowledged");
}
