//! Starts the real daemon on free ports in a temporary directory, and reads back what it wrote.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a busy machine, short enough to end a hanging test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon under test.
pub fn logboom() -> &'static str {
    env!("CARGO_BIN_EXE_logboom")
}

/// The generator and oracle, built into the same folder.
pub fn loadgen() -> PathBuf {
    let path = Path::new(logboom()).with_file_name("loadgen");
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// A running daemon. Killed on drop; its stderr is shown when the test fails.
pub struct TestDaemon {
    child: Child,
    pub tcp: SocketAddr,
    pub relp: Option<SocketAddr>,
    pub http: SocketAddr,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    expected_warnings: Vec<&'static str>,
}

/// How a daemon is started.
pub struct Start<'a> {
    dir: &'a Path,
    args: Vec<String>,
    env: Vec<(&'static str, PathBuf)>,
    expected_warnings: Vec<&'static str>,
}

impl<'a> Start<'a> {
    pub fn in_dir(dir: &'a Path) -> Self {
        Self { dir, args: Vec::new(), env: Vec::new(), expected_warnings: Vec::new() }
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &'static str, path: &Path) -> Self {
        self.env.push((name, path.to_owned()));
        self
    }

    /// Calls that `variable` stands for (see `hold.c`) wait while the file `hold` exists. Builds a library in `scratch`.
    pub fn held_by(self, scratch: &Path, variable: &'static str, hold: &Path) -> Self {
        let library = scratch.join("hold.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/hold.c");
        let built = run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl"));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        self.env("LD_PRELOAD", &library).env(variable, hold)
    }

    /// A warning that contains `text` is part of the test.
    pub fn expect_warning(mut self, text: &'static str) -> Self {
        self.expected_warnings.push(text);
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(logboom());
        command.args(["serve", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]).arg(self.dir).args(&self.args);
        // Times without a zone are of this machine's otherwise.
        command.env("TZ", "UTC").envs(self.env.iter().map(|(name, path)| (name, path)));
        command
    }

    pub fn start(self) -> TestDaemon {
        let mut child =
            self.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the daemon starts");
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        let begun = Instant::now();
        let ready = loop {
            if let Some(line) = stdout.lock().unwrap().iter().find(|line| line.starts_with("ready ")) {
                break line.clone();
            }
            if let Some(status) = child.try_wait().expect("the daemon can be waited for") {
                thread::sleep(Duration::from_millis(50));
                panic!("the daemon ended with {status} before it was ready:\n{}", stderr.lock().unwrap().join("\n"));
            }
            assert!(begun.elapsed() < PATIENCE, "not ready:\n{}", stderr.lock().unwrap().join("\n"));
            thread::sleep(Duration::from_millis(5));
        };
        let found = |key| address(&ready, key).unwrap_or_else(|| panic!("no {key} in {ready:?}"));
        let (tcp, relp, http) = (found(" tcp="), address(&ready, " relp="), found(" http="));
        TestDaemon { child, tcp, relp, http, stdout, stderr, expected_warnings: self.expected_warnings }
    }
}

fn address(ready: &str, key: &str) -> Option<SocketAddr> {
    let (_, rest) = ready.split_once(key)?;
    rest.split(' ').next()?.parse().ok()
}

pub fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

impl TestDaemon {
    /// A daemon with default flags.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Start::in_dir(dir).args(args).start()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp).expect("the daemon accepts")
    }

    /// Sends `bytes` over one connection and waits until the daemon has written them: it closes only then.
    pub fn send(&self, bytes: &[u8]) {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the daemon receives");
        close(stream);
    }

    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// The status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }

    pub fn stats(&self) -> Value {
        let (status, body) = self.get("/api/stats");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Polls until `condition` holds.
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "never happened: {what}\n{}", self.stderr());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon can be waited for") {
                thread::sleep(Duration::from_millis(20)); // its last lines
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon does not end\n{}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it cleanly; no unexpected warning or error may have been logged.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{}", self.stderr());
        for line in self.stderr().lines() {
            let serious = line.contains("WARN") || line.contains("ERROR") || line.contains("panicked");
            let expected = self.expected_warnings.iter().any(|text| line.contains(text));
            assert!(!serious || expected, "unexpected: {line}");
        }
    }

    /// Pulls the plug.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the daemon's stderr\n{}", self.stderr());
        }
    }
}

/// Ends the sending side and waits until the daemon closes too: then everything is written.
pub fn close(mut stream: TcpStream) {
    stream.shutdown(Shutdown::Write).expect("half-closed");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the daemon closes in time");
    assert!(rest.is_empty());
}

/// The status and body of a plain HTTP GET.
pub fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(http).expect("HTTP accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"));
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (status, body.to_owned())
}

pub fn temp_dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The names in `dir`, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// What a test finds in a data directory: every line of a stream by file, in the order of the names; archives through the stock tools.
pub fn lines_by_file(dir: &Path, stream: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    let is_ours = |name: &String| name.starts_with(&format!("{stream}.")) || name.starts_with(&format!("{stream}_"));
    let mut files = BTreeMap::new();
    for name in names(dir).into_iter().filter(is_ours) {
        let path = dir.join(&name);
        let bytes = match path.extension().and_then(|ext| ext.to_str()) {
            Some("jsonl") => std::fs::read(&path).expect("read"),
            Some("gz") => stock("gzip", &["-dc"], &path),
            Some("zst") => stock("zstd", &["-dcq"], &path),
            _ => continue,
        };
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{name} ends within a line");
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let mut lines: Vec<_> = lines.collect();
        lines.pop(); // after the last newline
        files.insert(name, lines);
    }
    files
}

/// Every line of a stream.
pub fn lines(dir: &Path, stream: &str) -> Vec<Vec<u8>> {
    lines_by_file(dir, stream).into_values().flatten().collect()
}

/// Every record of a stream, parsed.
pub fn records(dir: &Path, stream: &str) -> Vec<Value> {
    lines(dir, stream).iter().map(|line| serde_json::from_slice(line).expect("a JSON record")).collect()
}

/// The output of a stock tool on a file; a missing tool fails the test.
pub fn stock(tool: &str, args: &[&str], path: &Path) -> Vec<u8> {
    let output = run(Command::new(tool).args(args).arg(path));
    assert!(output.status.success(), "{tool} {args:?} {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/install-tools test installs what the tests need)"))
}

/// loadgen's verdict; the text is its report.
pub fn verify(dir: &Path, manifest: &Path) -> (bool, String) {
    let output = run(Command::new(loadgen()).arg("verify").arg("--data-dir").arg(dir).arg("--manifest").arg(manifest));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}
