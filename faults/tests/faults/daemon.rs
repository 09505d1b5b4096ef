//! Starts `logboom-faulty`, and sends it lines of which it is known what became of them.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use logboom_faults::oracle::{Known, line};

/// Long enough for a busy machine, short enough to end a hanging test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon. Killed on drop.
pub struct Daemon {
    child: Child,
    /// RELP, TCP and HTTP, if it has been ready.
    pub ready: Option<[SocketAddr; 3]>,
    stderr: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts one with a script, and a journal where there is a path, and waits until it is ready or has ended.
    pub fn start(data: &Path, script: &str, journal: Option<&Path>, args: &[&str]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logboom-faulty"));
        command.args(["serve", "--listen", "relp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--shards", "1", "--compress-threads", "1", "--min-free", "off", "--data-dir"]).arg(data);
        command.args(args).env("LOGBOOM_FAULTS", script).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = journal {
            command.env("LOGBOOM_JOURNAL", path);
        }
        let mut child = command.spawn().expect("the daemon starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (mut pipe, into) = (BufReader::new(child.stderr.take().expect("piped")), stderr.clone());
        thread::spawn(move || {
            let mut line = String::new();
            while pipe.read_line(&mut line).is_ok_and(|read| 0 < read) {
                into.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("UTF-8"); // empty where it has ended
        thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let ready = first.starts_with("ready ").then(|| [" relp=", " tcp=", " http="].map(|key| address(&first, key)));
        Daemon { child, ready, stderr }
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub fn relp(&self) -> SocketAddr {
        self.ready.expect("ready")[0]
    }

    pub fn tcp(&self) -> SocketAddr {
        self.ready.expect("ready")[1]
    }

    /// The status and body of a GET; none where the daemon has ended.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.ready?[2]).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the daemon can be waited for")
    }

    /// Asks it to stop, where it still runs, and waits until it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        if self.has_ended().is_none() {
            // It may end by itself just now.
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status().expect("kill runs");
        }
        let begun = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                thread::sleep(Duration::from_millis(20)); // its last words
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon does not end\n{}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(ready: &str, key: &str) -> SocketAddr {
    let (_, rest) = ready.split_once(key).unwrap_or_else(|| panic!("no {key} in {ready:?}"));
    rest.split_ascii_whitespace().next().expect("an address").parse().expect("an address")
}

/// Sends `count` lines by RELP, at most `window` of them unanswered, and tells of each acknowledgement. Ends early with the connection.
pub fn send_relp(relp: SocketAddr, known: &mut Known, count: usize, window: usize, filler: usize, mut acknowledged: impl FnMut(u64)) {
    let Ok(stream) = TcpStream::connect(relp) else { return };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut next_answer = move || -> Option<()> {
        let mut head = Vec::new();
        answers.read_until(b'\n', &mut head).ok()?;
        let text = String::from_utf8(head).expect("ASCII");
        let mut words = text.trim_end().splitn(4, ' ');
        let (_, command, len) = (words.next()?, words.next()?, words.next()?.parse::<usize>().ok()?);
        assert!(command == "rsp" && words.next()?.starts_with("200 OK"), "{text:?}");
        // The answer to `open` has more lines.
        let in_head = text.splitn(4, ' ').nth(3)?.len();
        let mut rest = vec![0; (len + 1).saturating_sub(in_head)];
        answers.read_exact(&mut rest).ok()
    };
    let send = |txnr: usize, command: &str, payload: &str| {
        (&stream).write_all(format!("{txnr} {command} {} {payload}\n", payload.len()).as_bytes()).ok()
    };
    let mut waiting = VecDeque::new();
    let mut session = || -> Option<()> {
        send(1, "open", "relp_version=0\ncommands=syslog")?;
        next_answer()?;
        for at in 0..count + window {
            if at < count {
                let number = known.sent.len() as u64;
                let text = line(number, filler);
                known.sent.insert(number, text.clone());
                send(at + 2, "syslog", &text)?;
                waiting.push_back(number);
            }
            if window <= waiting.len() || count <= at {
                let Some(number) = waiting.pop_front() else { break };
                next_answer()?;
                known.acknowledged.push(number);
                acknowledged(number);
            }
        }
        Some(())
    };
    session();
}

/// Sends `count` lines by TCP, which nobody acknowledges; returns when the daemon has written them, or is gone.
pub fn send_tcp(tcp: SocketAddr, known: &mut Known, count: usize, filler: usize) {
    let Ok(mut stream) = TcpStream::connect(tcp) else { return };
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for _ in 0..count {
        let number = known.sent.len() as u64;
        known.sent.insert(number, line(number, filler));
        if stream.write_all((known.sent[&number].clone() + "\n").as_bytes()).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Does `work` with each of `items`, a few at a time.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)).map(|item| (std::ptr::from_ref(item).addr(), item)) {
                    let result = work(item.1);
                    done.lock().unwrap().push((item.0, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Copies a directory without subdirectories.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
