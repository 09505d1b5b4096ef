//! The daemon as systemd sees it: a socket that it notifies, and the unit's configuration.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::harness::{PATIENCE, Start, logboom, run, temp_dir};

/// A daemon started by a service manager. Killed on drop.
struct Service {
    child: Child,
    socket: UnixDatagram,
}

impl Service {
    fn start(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Start::in_dir(&dir.join("data")).args(&["--shards", "1"]).command();
        command.env("NOTIFY_SOCKET", &path).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child, socket }
    }

    /// The messages up to the one that contains the line `last`.
    fn until(&self, last: &str) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let mut buf = [0; 4096];
            let n = self.socket.recv(&mut buf).unwrap_or_else(|error| panic!("{last:?} never came: {error}; {messages:?}"));
            messages.push(String::from_utf8(buf[..n].to_vec()).unwrap());
            if messages.last().unwrap().lines().any(|line| line == last) {
                return messages;
            }
        }
    }

    fn terminate(&mut self) -> ExitStatus {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.until("STOPPING=1");
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_when_it_is_ready_and_when_it_stops() {
    let dir = temp_dir();
    let mut service = Service::start(dir.path(), &[]);
    let before = service.until("READY=1");
    assert!(!before.iter().any(|message| message.contains("STOPPING=1") || message.contains("WATCHDOG=1")), "{before:?}");
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn it_feeds_the_watchdog_that_it_is_told_of() {
    let dir = temp_dir();
    let mut service = Service::start(dir.path(), &[("WATCHDOG_USEC", "2000000")]);
    service.until("READY=1");
    service.until("WATCHDOG=1");
    service.until("WATCHDOG=1");
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn a_service_manager_that_is_gone_does_not_stop_it() {
    let dir = temp_dir();
    let daemon_dir = dir.path().join("data");
    let mut command = Start::in_dir(&daemon_dir).args(&["--shards", "1"]).command();
    command.env("NOTIFY_SOCKET", dir.path().join("nobody"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut ready).unwrap();
    assert!(ready.starts_with("ready "), "{ready}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_unit_s_configuration_is_valid() {
    let dir = temp_dir();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/logboom.toml");
    let mut check = Command::new(logboom());
    check.args(["check", "--listen", "127.0.0.1:0", "--http", "off"]).arg("--config").arg(&file).arg("--data-dir").arg(dir.path());
    let output = run(&mut check);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
