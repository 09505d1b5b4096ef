//! Lines that a RELP client sends again after a broken session stand once where that can be known, and none is ever lost.

use std::collections::BTreeMap;
use std::fs;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{Start, TestDaemon, records, temp_dir};
use crate::relp_client::{Client, RELP};

/// How long an `open` waits at most for sessions of its peer that have ended: always, while a sync is held.
const SETTLING_WAIT_MAX: Duration = Duration::from_secs(2);

/// A daemon whose syncs a test can hold back, so that nothing is acknowledged meanwhile.
struct Held {
    daemon: TestDaemon,
    data: PathBuf,
    hold: PathBuf,
}

impl Held {
    fn start(dir: &Path) -> Self {
        let (data, hold) = (dir.join("data"), dir.join("hold"));
        let daemon = Start::in_dir(&data).args(&RELP).held_by(dir, "HOLD_SYNC", &hold).start();
        Self { daemon, data, hold }
    }

    fn hold(&self) {
        fs::write(&self.hold, "").unwrap();
    }

    fn release(&self) {
        fs::remove_file(&self.hold).unwrap();
    }

    /// Waits until so many lines are written: they are not durable while syncs are held.
    fn written(&self, lines: usize) {
        self.daemon.wait_for("lines are written", |daemon| daemon.stats()["ledger"]["written"] == lines);
    }

    /// Waits until so many sessions have ended of which it is not known yet what was not answered.
    fn settling(&self, sessions: usize) {
        self.daemon.wait_for("sessions settle", |daemon| daemon.stats()["connections"]["relp_settling"] == sessions);
    }

    /// A session that has `answered`, then has `unanswered` written while syncs are held, and is reset. They are still held.
    fn reset_after(&self, answered: &[String], unanswered: &[String]) {
        let mut client = Client::open(&self.daemon);
        client.send(answered);
        client.answered_since(1);
        self.hold();
        client.send(unanswered);
        self.written(answered.len() + unanswered.len());
        client.reset();
        self.settling(1);
    }

    /// How often each message stands there, after a clean stop; how many resends were suppressed.
    fn stop(self) -> (BTreeMap<String, usize>, u64) {
        let stats = self.daemon.stats();
        self.daemon.stop();
        let mut times = BTreeMap::new();
        for record in records(&self.data, "logs") {
            *times.entry(record["message"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(stats["ledger"]["received"], times.values().sum::<usize>(), "a resend that is suppressed is not received");
        (times, stats["connections"]["relp_resends_suppressed"].as_u64().unwrap())
    }
}

fn messages(client: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{client} says {n}")).collect()
}

fn once(messages: &[Vec<String>]) -> BTreeMap<String, usize> {
    messages.iter().flatten().map(|message| (message.clone(), 1)).collect()
}

#[test]
fn a_client_whose_connection_was_reset_sends_again_and_leaves_no_duplicates() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let all = messages("a", 0..130);
    held.reset_after(&all[..10], &all[10..100]);

    // The answer to its next `open` waits until what it will send again is safe.
    let mut client = Client::connect(&held.daemon);
    let open = client.frame("open", "commands=syslog");
    client.write(&open);
    client.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(std::io::Read::read(&mut client.stream, &mut [0]).is_err());
    client.stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    held.release();
    assert!(client.answer().starts_with("1 rsp "));
    client.send(&all[10..110]);
    client.answered_since(1);

    // And once more: what is recognised may itself be sent again.
    held.hold();
    client.send(&all[110..120]);
    held.written(120);
    client.reset();
    held.settling(1);
    held.release();
    held.settling(0);
    let mut client = Client::open(&held.daemon);
    client.send(&all[110..]);
    client.answered_since(1);
    assert_eq!(held.stop(), (once(&[all]), 90 + 10));
}

#[test]
fn a_client_that_is_reset_twice_while_it_sends_again_leaves_no_duplicates() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let all = messages("a", 0..110);
    held.reset_after(&all[..10], &all[10..100]);
    held.release();
    for sent_again in [&all[10..40], &all[40..60]] {
        let mut client = Client::open(&held.daemon);
        client.send(sent_again);
        client.answered_since(1);
        client.reset();
        held.daemon.wait_for("it is closed", |daemon| daemon.stats()["connections"]["open"] == 0);
    }
    let mut client = Client::open(&held.daemon);
    client.send(&all[60..]);
    client.answered_since(1);
    assert_eq!(held.stop(), (once(&[all]), 90));
}

#[test]
fn a_client_that_has_gone_leaves_one_duplicate_at_most() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let all = messages("a", 0..120);
    let mut client = Client::open(&held.daemon);
    held.hold();
    client.send(&all[..100]);
    held.written(100);
    drop(client);
    held.settling(1);
    held.release();
    held.settling(0);
    let mut client = Client::open(&held.daemon);
    client.send(&all);
    client.answered_since(1);
    let mut expected = once(std::slice::from_ref(&all));
    expected.insert(all[0].clone(), 2); // its answer was sent, to find out whether anybody is there
    assert_eq!(held.stop(), (expected, 99));
}

#[test]
fn a_client_that_only_sends_nothing_more_is_answered_and_may_say_the_same_again() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let all = messages("a", 0..10);
    for _ in 0..2 {
        let mut client = Client::open(&held.daemon);
        held.hold();
        client.send(&all);
        client.stream.shutdown(Shutdown::Write).unwrap();
        held.settling(1);
        held.release();
        client.answered_since(1);
        assert_eq!(client.answer(), "0 serverclose 0");
        held.settling(0);
    }
    let expected = all.into_iter().map(|message| (message, 2)).collect();
    assert_eq!(held.stop(), (expected, 0));
}

#[test]
fn the_same_line_again_is_another_line() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let line = ["all is well"];
    for session in 1..=5 {
        let mut client = Client::open(&held.daemon);
        client.send(&line.repeat(3));
        client.answered_since(1);
        if session % 2 == 0 {
            client.reset();
        } else {
            drop(client);
        }
        held.daemon.wait_for("it is closed", |daemon| daemon.stats()["connections"]["open"] == 0);
    }
    // Three of these are sent again, and two are new.
    let mut client = Client::open(&held.daemon);
    held.hold();
    client.send(&line.repeat(3));
    held.written(18);
    client.reset();
    held.settling(1);
    held.release();
    held.settling(0);
    let mut client = Client::open(&held.daemon);
    client.send(&line.repeat(5));
    client.answered_since(1);
    assert_eq!(held.stop(), (BTreeMap::from([(line[0].to_owned(), 20)]), 3));
}

#[test]
fn clients_behind_one_address_are_told_apart() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let of = ["a", "b", "c"].map(|client| messages(client, 0..50));
    let mut clients: Vec<Client> = of.iter().map(|_| Client::open(&held.daemon)).collect();
    held.hold();
    for (client, messages) in clients.iter_mut().zip(&of) {
        client.send(&messages[..40]);
    }
    held.written(120);
    clients.into_iter().for_each(Client::reset);
    held.settling(3);
    held.release();
    held.settling(0);
    let other = messages("d", 0..5);
    let mut client = Client::open(&held.daemon);
    client.send(&other);
    client.answered_since(1);
    for messages in of.iter().rev() {
        let mut client = Client::open(&held.daemon);
        client.send(messages);
        client.answered_since(1);
    }
    let [a, b, c] = of;
    assert_eq!(held.stop(), (once(&[a, b, c, other]), 120));
}

#[test]
fn a_session_that_ends_at_once_waits_for_no_other_and_not_for_itself() {
    let dir = temp_dir();
    let held = Held::start(dir.path());
    let fastest = |lines: usize| {
        let session = || {
            let mut client = Client::connect(&held.daemon);
            let mut frames = client.frame("open", "commands=syslog");
            (0..lines).for_each(|_| frames.extend(client.frame("syslog", "a line")));
            frames.extend(client.frame("close", ""));
            let begun = Instant::now();
            client.write(&frames);
            assert!(client.answer().starts_with("1 rsp "));
            client.answered_since(1);
            begun.elapsed()
        };
        (0..5).map(|_| session()).min().unwrap()
    };
    assert!(fastest(1) < SETTLING_WAIT_MAX);
    held.settling(0);

    let mut other = Client::open(&held.daemon);
    held.hold();
    other.send(&["it is not safe"]);
    held.written(6);
    other.reset();
    held.settling(1);
    assert!(fastest(0) < SETTLING_WAIT_MAX);
    held.settling(1);
    held.release();
    held.settling(0);
    held.stop();
}
