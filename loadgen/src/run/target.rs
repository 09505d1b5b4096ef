//! The far end of one client: a connection, or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::payload::Format;
use crate::stop::Stop;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the peer to close, or to acknowledge more, after everything was sent: it first writes all that it holds.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stop waits for a target that takes, or acknowledges, nothing.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a blocked write looks for a stop.
const BLOCKED_LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where one client's lines go.
#[derive(Debug)]
pub enum Connection {
    /// A client that has nothing to send.
    None,
    /// A socket, with a timeout on writes.
    Tcp(TcpStream),
    /// A file.
    File(LogFile),
}

/// A file, opened for appending; several clients have one each for the same file.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    /// Whether this client writes the header line.
    header: bool,
    /// How often the file has been renamed, and how often it had been when it was opened.
    renames: Arc<AtomicU64>,
    renames_seen: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }

    /// Goes on with the file that has the name now.
    fn reopen_if_renamed(&mut self) -> io::Result<()> {
        let renames = self.renames.load(Ordering::Acquire);
        if renames != self.renames_seen {
            (self.file, self.renames_seen) = (Self::open(&self.path)?, renames);
        }
        Ok(())
    }
}

/// A send that broke off.
#[derive(Debug)]
pub struct SendError {
    /// How many bytes the kernel took.
    pub written: usize,
    /// Why.
    pub error: io::Error,
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub fn to_address(address: &str) -> anyhow::Result<Self> {
        Ok(Connection::Tcp(connect(address)?))
    }

    /// Opens a file, and again after `renames` has grown. The first client writes its header, if the file is empty.
    pub fn to_file(path: &Path, first: bool, format: Format, renames: &Arc<AtomicU64>) -> anyhow::Result<Self> {
        let (path, renames, renames_seen) = (path.to_owned(), renames.clone(), renames.load(Ordering::Acquire));
        let file = LogFile::open(&path).with_context(|| format!("open {}", path.display()))?;
        let empty = file.metadata().with_context(|| format!("stat {}", path.display()))?.len() == 0;
        let header = first && empty && !format.header().is_empty();
        Ok(Connection::File(LogFile { file, path, header, renames, renames_seen }))
    }

    /// Whether the format's header line goes first.
    pub fn wants_header(&self, format: Format) -> bool {
        match self {
            Connection::None => false,
            Connection::Tcp(_) => !format.header().is_empty(),
            Connection::File(file) => file.header,
        }
    }

    /// Sends all of `bytes`, however long the target takes; gives up only when a stop has been waiting for some time.
    pub fn send(&mut self, bytes: &[u8], stop: &Stop) -> Result<(), SendError> {
        let mut written = 0;
        if let Connection::File(file) = self {
            // Never in the midst of a line.
            file.reopen_if_renamed().map_err(|error| SendError { written, error })?;
        }
        while written < bytes.len() {
            let rest = &bytes[written..];
            let result = match self {
                Connection::None => Err(ErrorKind::NotConnected.into()),
                Connection::Tcp(stream) => stream.write(rest),
                Connection::File(LogFile { file, .. }) => file.write(rest),
            };
            match result {
                Ok(0) => return Err(SendError { written, error: ErrorKind::WriteZero.into() }),
                Ok(n) => written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if stop.since().is_some_and(|since| STOP_TIMEOUT <= since.elapsed()) {
                        return Err(SendError { written, error: io::Error::new(ErrorKind::TimedOut, "the target takes nothing more") });
                    }
                }
                Err(error) => return Err(SendError { written, error }),
            }
        }
        Ok(())
    }

    /// Ends the sending side and waits until the peer has closed too, which confirms that it has read everything.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Connection::None => Ok(()),
            // Another process reads it through the page cache; durability is not what a run measures.
            Connection::File(_) => Ok(()),
            Connection::Tcp(mut stream) => {
                stream.shutdown(Shutdown::Write).context("half-close")?;
                wait_for_close(&mut stream)
            }
        }
    }
}

/// Connects, with a timeout on this and on blocked writes.
pub(super) fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let mut last = anyhow!("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true).context("set TCP_NODELAY")?;
                stream.set_write_timeout(Some(BLOCKED_LOOK_EVERY)).context("set a write timeout")?;
                return Ok(stream);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn wait_for_close(stream: &mut TcpStream) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut answer = [0; 4096];
    loop {
        let left = CLOSE_TIMEOUT.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(anyhow!("the target did not close within {} s, so nothing is confirmed", CLOSE_TIMEOUT.as_secs()));
        }
        stream.set_read_timeout(Some(left)).context("set a read timeout")?;
        match stream.read(&mut answer) {
            Ok(0) => return Ok(()),
            Ok(_) => {} // nothing is expected, and nothing is made of it
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("wait for the target to close"),
        }
    }
}
