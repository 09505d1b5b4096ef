//! One session with a server: a connection, what is to be written to it and what was read from it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::window::Piece;
use crate::payload::Payload;
use crate::relp::answers::ANSWER_BYTES_MAX;
use crate::relp::{self, Answers, Event, Txnr};
use crate::run::target;

/// How long to wait for the answer to `open`.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the answer to `close`: everything is acknowledged by then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// One read: the answers to fifteen hundred frames.
const READ_BYTES: usize = 32 * 1024;
/// Frames are made while fewer bytes than these wait to be written. As with TCP: large enough for few calls, small enough for the caches.
const WRITE_BYTES: usize = 256 * 1024;

const _: () = assert!(ANSWER_BYTES_MAX < READ_BYTES);

/// What a server said about the oldest commands, owned.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many succeeded.
    Accepted(u64),
    /// One did not, for this reason.
    Refused(String),
}

/// Why a session is over.
#[derive(Debug)]
pub enum Broken {
    /// The connection is gone, or the server said that it goes: another one may do.
    Lost(String),
    /// The server does not speak the protocol.
    Malformed(relp::Malformed),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Lost(why) => f.write_str(why),
            Broken::Malformed(why) => why.fmt(f),
        }
    }
}

/// A session. Its connection does not block.
///
/// Invariant: taken <= sent, answered <= sent; the frames from `taken` on are in `out`.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    txnr: Txnr,
    answers: Answers,
    out: Vec<u8>,
    written: usize,
    input: Box<[u8]>,
    /// What was received and not read: from, to.
    unread: (usize, usize),
    /// Commands that were made.
    sent: u64,
    /// Commands in buffers that the kernel took whole.
    taken: u64,
    /// Commands that are answered.
    answered: u64,
    /// Bytes that the kernel took.
    bytes: u64,
}

impl Session {
    /// Connects and has the server open the session.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let stream = target::connect(address)?;
        stream.set_nonblocking(true).context("make the connection not block")?;
        let mut session = Self {
            stream,
            txnr: Txnr::FIRST,
            answers: Answers::default(),
            out: Vec::new(),
            written: 0,
            input: vec![0; READ_BYTES].into_boxed_slice(),
            unread: (0, 0),
            sent: 1,
            taken: 0,
            answered: 0,
            bytes: 0,
        };
        relp::open(&mut session.txnr, &mut session.out);
        match session.ask(OPEN_TIMEOUT).context("open the session")? {
            Some(Answer::Accepted(_)) => Ok(session),
            Some(Answer::Refused(why)) => bail!("the target refused the session: {why}"),
            None => bail!("the target did not answer within {} s", OPEN_TIMEOUT.as_secs()),
        }
    }

    /// Ends it, once everything is answered. A server that closes instead of answering has understood.
    pub fn close(mut self) {
        relp::close(&mut self.txnr, &mut self.out);
        self.sent += 1;
        let _ = self.ask(CLOSE_TIMEOUT);
    }

    /// Writes what is to be written and waits for the next answer; `None` if none comes in time.
    fn ask(&mut self, timeout: Duration) -> anyhow::Result<Option<Answer>> {
        let begun = Instant::now();
        loop {
            self.flush().map_err(|broken| anyhow!("{broken}"))?;
            if let Some(answer) = self.next_answer().map_err(|broken| anyhow!("{broken}"))? {
                return Ok(Some(answer));
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if self.wait(left)? {
                self.fill().map_err(|broken| anyhow!("{broken}"))?;
            }
        }
    }

    /// Commands that were sent and are not answered.
    pub fn outstanding(&self) -> u64 {
        self.sent - self.answered
    }

    /// Commands that are answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Bytes that the kernel took.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the kernel has taken everything.
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether more frames may be made before the next write.
    pub fn has_room(&self) -> bool {
        self.out.len() < WRITE_BYTES && self.written == 0
    }

    /// Commands that the kernel took whole. Counts newlines in what was written of the last buffer: only `open`'s payload has any, and it is gone by then.
    pub fn taken(&self) -> u64 {
        self.taken + memchr::memchr_iter(b'\n', &self.out[..self.written]).count() as u64
    }

    /// Makes a frame for each of a client's lines.
    pub fn push(&mut self, payload: &Payload, client: u32, piece: &Piece) {
        let Self { out, txnr, .. } = self;
        let before = |out: &mut Vec<u8>, line_bytes| relp::before_line(txnr, line_bytes, out);
        payload.append_each(out, client, piece.first, piece.lines as usize, &piece.stamp, before);
        self.sent += piece.lines;
    }

    /// Makes a frame for a line that is none of the run's, with its newline.
    pub fn push_line(&mut self, line: &[u8]) {
        relp::before_line(&mut self.txnr, line.len(), &mut self.out);
        self.out.extend_from_slice(line);
        self.sent += 1;
    }

    /// Writes as much as the kernel takes.
    pub fn flush(&mut self) -> Result<(), Broken> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(Broken::Lost("send: the target takes nothing more".to_owned())),
                Ok(n) => {
                    self.written += n;
                    self.bytes += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Broken::Lost(format!("send: {error}"))),
            }
        }
        self.out.clear();
        self.written = 0;
        self.taken = self.sent;
        Ok(())
    }

    /// Sleeps until there is something to read (true), or what is left to write can be written, or `timeout` has passed.
    pub fn wait(&self, timeout: Duration) -> anyhow::Result<bool> {
        let wanted = if self.is_flushed() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.stream, wanted)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok(!(fds[0].revents() & !PollFlags::OUT).is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("poll"),
        }
    }

    /// Reads once; whether anything came.
    pub fn fill(&mut self) -> Result<bool, Broken> {
        let (from, to) = self.unread;
        self.input.copy_within(from..to, 0);
        self.unread = (0, to - from);
        match self.stream.read(&mut self.input[to - from..]) {
            Ok(0) => Err(Broken::Lost("the target closed the connection".to_owned())),
            Ok(n) => {
                self.unread.1 += n;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(false),
            Err(error) => Err(Broken::Lost(format!("receive: {error}"))),
        }
    }

    /// The next answer in what was read; `None` when it is used up.
    pub fn next_answer(&mut self) -> Result<Option<Answer>, Broken> {
        loop {
            let (from, to) = self.unread;
            let told = self.answers.next(&self.input[from..to], self.sent - self.answered).map_err(Broken::Malformed)?;
            let Some((event, used)) = told else { return Ok(None) };
            self.unread.0 += used;
            let (count, answer) = match event {
                Event::Accepted(count) => (count, Answer::Accepted(count)),
                Event::Refused(why) => (1, Answer::Refused(String::from_utf8_lossy(why).into_owned())),
                Event::Hint => continue,
                Event::ServerClose => return Err(Broken::Lost("the target ends the session".to_owned())),
            };
            self.answered += count;
            assert!(self.answered <= self.sent);
            return Ok(Some(answer));
        }
    }
}
