//! A RELP client for tests, and how it breaks off.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::harness::{PATIENCE, TestDaemon};

/// Flags of a daemon that speaks it.
pub const RELP: [&str; 4] = ["--listen", "relp://127.0.0.1:0", "--shards", "2"];

/// A client as plain as the protocol: it frames, and reads what comes.
pub struct Client {
    pub stream: TcpStream,
    pub txnr: u32,
    read: Vec<u8>,
}

impl Client {
    pub fn connect(daemon: &TestDaemon) -> Self {
        let stream = TcpStream::connect(daemon.relp.expect("listens")).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, txnr: 0, read: Vec::new() }
    }

    /// A client whose session is open.
    pub fn open(daemon: &TestDaemon) -> Self {
        let mut client = Self::connect(daemon);
        let frame = client.frame("open", "relp_version=0\nrelp_software=test\ncommands=syslog");
        client.write(&frame);
        let answer = client.answer();
        assert!(
            answer.starts_with("1 rsp ") && answer.contains("200 OK\nrelp_version=0\n") && answer.ends_with("commands=syslog"),
            "{answer}"
        );
        client
    }

    pub fn frame(&mut self, command: &str, payload: &str) -> Vec<u8> {
        self.txnr += 1;
        format!("{} {command} {} {payload}\n", self.txnr, payload.len()).into_bytes()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// The next answer without its newline; an empty one at the end of the stream.
    pub fn answer(&mut self) -> String {
        self.try_answer().expect("an answer in time")
    }

    fn try_answer(&mut self) -> io::Result<String> {
        loop {
            if let Some(answer) = self.take_answer() {
                return Ok(answer);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => return Ok(String::new()),
                n => self.read.extend_from_slice(&bytes[..n]),
            }
        }
    }

    fn take_answer(&mut self) -> Option<String> {
        let text = String::from_utf8(self.read.clone()).expect("UTF-8");
        let mut words = text.splitn(4, [' ', '\n']);
        let (txnr, command, len) = (words.next()?, words.next()?, words.next()?.parse::<usize>().ok()?);
        let head = txnr.len() + command.len() + len.to_string().len() + 2 + usize::from(len > 0);
        let whole = head + len + 1;
        (whole <= text.len()).then(|| {
            self.read.drain(..whole);
            text[..whole - 1].to_owned()
        })
    }

    /// Sends `lines`, one frame each.
    pub fn send<L: AsRef<str>>(&mut self, lines: &[L]) {
        self.try_send(lines).expect("sent");
    }

    fn try_send<L: AsRef<str>>(&mut self, lines: &[L]) -> io::Result<()> {
        let frames: Vec<u8> = lines.iter().flat_map(|line| self.frame("syslog", line.as_ref())).collect();
        self.stream.write_all(&frames)
    }

    /// Sends `lines` to a daemon that may be killed meanwhile. Returns whether all of them were acknowledged.
    pub fn deliver<L: AsRef<str>>(&mut self, lines: &[L]) -> bool {
        self.try_send(lines).is_ok() && lines.iter().all(|_| self.try_answer().is_ok_and(|answer| answer.ends_with(" rsp 6 200 OK")))
    }

    /// Reads the answers to everything that was sent since the one to frame `txnr`.
    pub fn answered_since(&mut self, txnr: u32) {
        for txnr in txnr + 1..=self.txnr {
            assert_eq!(self.answer(), format!("{txnr} rsp 6 200 OK"));
        }
    }

    /// Breaks the connection, as a machine does that has forgotten it.
    pub fn reset(self) {
        reset(self.stream);
    }
}

/// Breaks a connection.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}
