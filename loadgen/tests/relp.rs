//! The real binary against a small scripted RELP server: what it acknowledged is found, what it took twice is explained, and what is broken on purpose is told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn loadgen(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What the server does in one session.
#[derive(Debug, Clone, Copy)]
struct Script {
    /// It ends the session when it has taken so many lines.
    take: usize,
    /// It acknowledges only so many of them.
    acknowledge: usize,
    /// It is this slow with each read.
    delay: Duration,
    /// It does not take this one and answers it with an error.
    refuse: Option<usize>,
    /// What it says before it closes.
    goodbye: &'static str,
}

/// Takes all and acknowledges all.
const OBLIGING: Script = Script { take: usize::MAX, acknowledge: usize::MAX, delay: Duration::ZERO, refuse: None, goodbye: "" };

/// A frame's command and payload; `None` at the end.
fn frame(from: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let mut word = || {
        let mut word = Vec::new();
        from.read_until(b' ', &mut word).ok().filter(|_| word.pop() == Some(b' '))?;
        String::from_utf8(word).ok()
    };
    let (txnr, command) = (word()?, word()?);
    if command == "close" {
        return Some((txnr, command, Vec::new()));
    }
    let mut payload = vec![0; word()?.parse::<usize>().expect("a length") + 1];
    from.read_exact(&mut payload).ok()?;
    assert_eq!(payload.pop(), Some(b'\n'), "LF ends a frame");
    Some((txnr, command, payload))
}

/// The lines of each session, in the order in which they were taken.
type Sessions = Vec<Vec<Vec<u8>>>;

/// One session: the lines that were taken; `taken` counts them.
fn session(stream: &TcpStream, script: Script, taken: &AtomicUsize) -> Vec<Vec<u8>> {
    stream.set_nodelay(true).expect("set"); // closing with unread bytes resets the connection, and what Nagle held back is gone
    let mut from = BufReader::with_capacity(4096, stream.try_clone().expect("cloned"));
    let mut lines = Vec::new();
    let mut out = Vec::new();
    let (txnr, command, offers) = frame(&mut from).expect("open");
    assert_eq!((txnr.as_str(), command.as_str()), ("1", "open"));
    let offers = String::from_utf8(offers).expect("text");
    assert!(offers.starts_with("relp_version=0\nrelp_software=loadgen") && offers.ends_with("\ncommands=syslog"), "{offers}");
    out.extend_from_slice(b"1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n");
    let mut expected = 1;
    loop {
        if from.buffer().is_empty() || lines.len() == script.take {
            thread::sleep(script.delay);
            let _ = (&*stream).write_all(&std::mem::take(&mut out));
        }
        if lines.len() == script.take {
            let _ = (&*stream).write_all(script.goodbye.as_bytes());
            return lines;
        }
        let Some((txnr, command, payload)) = frame(&mut from) else { return lines };
        expected += 1;
        assert_eq!(txnr, expected.to_string(), "numbers follow each other");
        if command == "close" {
            out.extend_from_slice(format!("{txnr} rsp 6 200 OK\n0 serverclose 0\n").as_bytes());
            let _ = (&*stream).write_all(&out);
            return lines;
        }
        assert_eq!(command, "syslog");
        if script.refuse == Some(expected - 2) {
            out.extend_from_slice(format!("{txnr} rsp 11 500 no, sir\n").as_bytes());
            continue;
        }
        lines.push(payload);
        taken.fetch_add(1, Ordering::Relaxed);
        if lines.len() <= script.acknowledge {
            out.extend_from_slice(format!("{txnr} rsp 6 200 OK\n").as_bytes());
        }
    }
}

/// A server that has one session after the other and is gone after the last.
struct Server {
    target: String,
    taken: Arc<AtomicUsize>,
    sessions: JoinHandle<Sessions>,
}

impl Server {
    fn start(scripts: &'static [Script]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let target = format!("relp://{}", listener.local_addr().expect("an address"));
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let serve = move |script: &Script| session(&listener.accept().expect("accepted").0, *script, &counter);
        Self { target, taken, sessions: thread::spawn(move || scripts.iter().map(serve).collect()) }
    }
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A directory as the daemon would leave it, and the manifest of a run into it.
struct Stored {
    dir: TempDir,
}

impl Stored {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("data")).expect("created");
        Self { dir }
    }

    fn file(&self, shard: usize) -> PathBuf {
        self.dir.path().join(format!("data/logs.s{shard:02}.jsonl"))
    }

    /// The sessions go to two shards in turn.
    fn write(&self, sessions: &[Vec<Vec<u8>>]) {
        for shard in 0..2 {
            let lines = sessions.iter().skip(shard).step_by(2).flatten().flat_map(|line| [line.as_slice(), b"\n"].concat());
            fs::write(self.file(shard), lines.collect::<Vec<u8>>()).expect("written");
        }
    }

    fn run(&self, target: &str, args: &[&str]) -> (Option<i32>, Value, String) {
        let mut command = loadgen(&["run", "--target", target, "--report", "json"]);
        told(command.args(args).arg("--manifest").arg(self.dir.path().join("m.json")).output().expect("loadgen runs"))
    }

    fn verify(&self, args: &[&str]) -> (Option<i32>, Value) {
        let mut command = loadgen(&["verify", "--report", "json"]);
        command.arg("--data-dir").arg(self.dir.path().join("data")).arg("--manifest").arg(self.dir.path().join("m.json"));
        let (code, verdict, _) = told(command.args(args).output().expect("loadgen runs"));
        (code, verdict)
    }

    fn part(&self) -> Value {
        let manifest: Value = serde_json::from_slice(&fs::read(self.dir.path().join("m.json")).expect("a manifest")).expect("JSON");
        manifest["clients"][0].clone()
    }
}

fn told(output: Output) -> (Option<i32>, Value, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {stderr}")), stderr)
}

const INTERRUPTED: &[Script] = &[
    Script { take: 300, acknowledge: 250, ..OBLIGING },
    Script { take: 100, acknowledge: 100, goodbye: "0 serverclose 0\n", ..OBLIGING },
    Script { take: 10, acknowledge: 0, ..OBLIGING },
    Script { take: 10, acknowledge: 0, ..OBLIGING },
    OBLIGING,
];

#[test]
fn what_was_acknowledged_is_there_and_what_is_twice_is_explained() {
    let stored = Stored::new();
    let server = Server::start(INTERRUPTED);
    let (code, report, stderr) = stored.run(&server.target, &["--interval", "0", "--count", "2000", "--window", "64"]);
    assert_eq!(code, Some(0), "{stderr}");
    let sessions = server.sessions.join().expect("served");
    let taken: usize = sessions.iter().map(Vec::len).sum();
    let duplicates = (taken - 2000) as u64;
    assert!(50 + 10 + 10 <= duplicates, "{duplicates}");
    assert_eq!((&report["confirmed"], &report["reconnects"], &report["response"]), (&2000.into(), &4.into(), &Value::Null), "{report:#}");
    assert_eq!(report["acknowledged"]["count"], 2000);
    let part = stored.part();
    assert_eq!((&part["acknowledged"], &part["sent"], &part["reconnects"]), (&2000.into(), &2000.into(), &4.into()), "{part:#}");

    let differ = |what: &str, change: &dyn Fn(&mut Sessions), expected: &[(&str, u64)], args: &[&str], good: bool| {
        let mut sessions = sessions.clone();
        change(&mut sessions);
        stored.write(&sessions);
        let (code, verdict) = stored.verify(args);
        assert_eq!(code, Some(i32::from(!good)), "{what}: {verdict:#}");
        for kind in ["missing", "altered", "reordered", "unexpected"] {
            let count = expected.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
            assert_eq!(verdict[kind], count, "{what}: {kind} in {verdict:#}");
        }
        for kind in ["duplicate", "duplicate_explained"] {
            let count = expected.iter().find(|(of, _)| *of == kind).map_or(duplicates, |(_, count)| *count);
            assert_eq!(verdict[kind], count, "{what}: {kind} in {verdict:#}");
        }
    };
    differ("as it was", &|_| (), &[], &[], true);
    differ("no duplicate is accepted", &|_| (), &[], &["--duplicates", "none"], false);
    differ("an acknowledged line is gone", &|sessions| drop(sessions[0].remove(100)), &[("missing", 1)], &[], false);
    differ("the last line is gone", &|sessions| drop(sessions[4].pop()), &[("missing", 1)], &[], false);
    let fewer = [("duplicate", duplicates - 1), ("duplicate_explained", duplicates - 1)];
    differ("a line that is there twice is there once", &|sessions| drop(sessions[0].remove(260)), &fewer, &[], true);
    let again = |sessions: &mut Sessions| {
        let line = sessions[0][100].clone();
        sessions[4].push(line);
    };
    let more = [("duplicate", duplicates + 1)];
    differ("a line is twice that was sent once", &again, &more, &[], false);
    differ("the same, allowed", &again, &more, &["--duplicates", "allowed"], true);
    let third = |sessions: &mut Sessions| {
        let line = sessions[0][260].clone();
        sessions[4].push(line);
    };
    differ("a line is there more often than it was sent", &third, &more, &[], false);
    differ("a copy is altered", &|sessions| sessions[2][5][90] ^= 1, &[("altered", 1)], &[], false);
    differ("two lines swapped", &|sessions| sessions[4].swap(500, 501), &[("reordered", 1)], &[], false);
}

#[test]
fn what_a_target_that_is_gone_did_not_acknowledge_is_not_required() {
    const SCRIPTS: &[Script] = &[Script { take: 100, acknowledge: 80, ..OBLIGING }];
    let stored = Stored::new();
    let server = Server::start(SCRIPTS);
    let args = ["--interval", "0", "--count", "2000", "--reconnect-timeout", "300ms"];
    let (code, report, stderr) = stored.run(&server.target, &args);
    assert_eq!((code, &report["confirmed"]), (Some(2), &80.into()), "{stderr}");
    let part = stored.part();
    assert_eq!(part["acknowledged"], 80);
    assert!(part["error"].as_str().expect("an error").contains("reconnect"), "{part}");
    assert!(100 <= part["sent"].as_u64().expect("a count"), "{part}");
    stored.write(&server.sessions.join().expect("served"));
    let (code, verdict) = stored.verify(&[]);
    assert_eq!((code, &verdict["required"], &verdict["found"]), (Some(0), &80.into(), &100.into()), "{verdict:#}");
    assert_eq!(stored.verify(&["--require", "sent"]).0, Some(1));
}

#[test]
fn a_refused_line_is_told_and_not_required() {
    const SCRIPTS: &[Script] = &[Script { refuse: Some(5), ..OBLIGING }];
    let stored = Stored::new();
    let server = Server::start(SCRIPTS);
    let (code, report, stderr) = stored.run(&server.target, &["--interval", "0", "--count", "500"]);
    assert_eq!((code, &report["refused"]), (Some(2), &1.into()), "{stderr}");
    assert!(stderr.contains("1 lines were refused, the first with: 500 no, sir"), "{stderr}");
    assert_eq!(stored.part()["refused"], serde_json::json!([{"start": 5, "end": 6}]));
    stored.write(&server.sessions.join().expect("served"));
    let (code, verdict) = stored.verify(&[]);
    assert_eq!((code, &verdict["required"], &verdict["found"]), (Some(0), &499.into(), &499.into()), "{verdict:#}");
}

#[test]
fn a_target_that_speaks_nonsense_ends_a_run() {
    const SCRIPTS: &[Script] = &[Script { take: 10, acknowledge: 10, goodbye: "12 rsp 6 200 OK\n12 rsp 6 200 OK\n", ..OBLIGING }];
    let stored = Stored::new();
    let server = Server::start(SCRIPTS);
    let (code, _, stderr) = stored.run(&server.target, &["--interval", "0", "--count", "100"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("an answer out of turn"), "{stderr}");
}

#[test]
fn the_response_time_is_that_of_the_acknowledgement() {
    const SCRIPTS: &[Script] = &[Script { delay: Duration::from_millis(60), ..OBLIGING }];
    for args in [&["--rate", "500"][..], &["--interval", "0", "--window", "50"], &["--interval", "100", "--batch", "20"]] {
        let stored = Stored::new();
        let server = Server::start(SCRIPTS);
        let (code, report, stderr) = stored.run(&server.target, &[args, &["--count", "200"]].concat());
        assert!(code == Some(0) || code == Some(3), "{stderr}");
        assert_eq!(report["acknowledged"]["count"], 200);
        assert!(55_000 <= report["acknowledged"]["p50_us"].as_u64().expect("a time"), "{args:?}: {report:#}");
        stored.write(&server.sessions.join().expect("served"));
        assert_eq!(stored.verify(&["--require", "sent", "--duplicates", "none"]).0, Some(0));
    }
}

#[test]
fn ctrl_c_waits_for_acknowledgements_but_not_for_a_target_that_is_gone() {
    const SLOW: &[Script] = &[Script { delay: Duration::from_millis(30), ..OBLIGING }];
    const GONE: &[Script] = &[Script { take: 100, acknowledge: 80, ..OBLIGING }];
    for scripts in [SLOW, GONE] {
        let stored = Stored::new();
        let server = Server::start(scripts);
        let mut run = loadgen(&["run", "--rate", "5000", "--reconnect-timeout", "1h", "--target", &server.target]);
        run.arg("--manifest").arg(stored.dir.path().join("m.json")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = run.spawn().expect("started");
        until("lines arrive", || 100 <= server.taken.load(Ordering::Relaxed));
        let is_gone = scripts[0].take < usize::MAX;
        until("the server is gone", || !is_gone || server.sessions.is_finished());
        assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs").success());
        until("the run ends", || run.try_wait().expect("waited for").is_some());
        let code = run.wait().expect("waited for").code();
        assert!(if is_gone { code == Some(2) } else { code == Some(0) || code == Some(3) }, "{code:?} {}", stored.part());
        stored.write(&server.sessions.join().expect("served"));
        let (code, verdict) = stored.verify(&[]);
        assert_eq!(code, Some(0), "{verdict:#}");
        let (part, required) = (stored.part(), verdict["required"].as_u64().expect("a count"));
        assert!(if is_gone { required == 80 } else { 100 <= required && part["attempted"] == required }, "{part} {verdict:#}");
    }
}

#[test]
fn a_header_line_begins_every_session() {
    const SCRIPTS: &[Script] = &[Script { take: 51, acknowledge: 51, ..OBLIGING }, OBLIGING];
    let stored = Stored::new();
    let server = Server::start(SCRIPTS);
    let (code, _, stderr) = stored.run(&server.target, &["--interval", "0", "--count", "300", "--format", "csv"]);
    assert_eq!(code, Some(0), "{stderr}");
    let sessions = server.sessions.join().expect("served");
    assert!(sessions.iter().all(|lines| lines[0].starts_with(b"timestamp,")));
    stored.write(&sessions);
    let (code, verdict) = stored.verify(&[]);
    assert_eq!((code, &verdict["headers"], &verdict["found"]), (Some(0), &2.into(), &300.into()), "{verdict:#}");
}

#[test]
fn a_sink_acknowledges_many_clients() {
    let mut sink = loadgen(&["sink", "--listen", "relp://127.0.0.1:0", "--once"]).stdout(Stdio::piped()).spawn().expect("started");
    let mut stdout = BufReader::new(sink.stdout.take().expect("piped"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("a line");
    let target = format!("relp://{}", ready.trim_end().strip_prefix("ready relp=").unwrap_or_else(|| panic!("{ready}")));
    let stored = Stored::new();
    let (code, report, stderr) = stored.run(&target, &["--interval", "0", "--clients", "4", "--count", "40000"]);
    assert_eq!((code, &report["confirmed"], &report["reconnects"]), (Some(0), &40_000.into(), &0.into()), "{stderr}{report:#}");
    assert!(sink.wait().expect("waited for").success());
    let mut totals = String::new();
    stdout.read_to_string(&mut totals).expect("read");
    assert!(totals.starts_with("40000 lines, "), "{totals}");
    assert_eq!(stored.verify(&[]).0, Some(1), "nothing is there");
}
