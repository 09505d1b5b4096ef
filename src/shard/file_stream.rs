//! A file's bytes as a stream, for an [`Intake`](super::intake::Intake).
//!
//! What is in the page cache is copied at once; what is not is fetched by a helper thread, while others have the receive buffer, so that a cold disk holds up nobody, and neither does a
//! file system that does not answer. An archive is decompressed by a helper thread, a piece at a time.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut, Read};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use flate2::read::MultiGzDecoder;
use futures_lite::AsyncRead;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::blocking::blocking;
use super::event::Event;
use crate::limits::{RECEIVE_BYTES, WATCH_HEAD_BYTES};

/// One file of a shard is fetched or decompressed at a time: the other helper threads are for the writers.
#[derive(Default)]
pub(super) struct FetchTurn {
    is_taken: Cell<bool>,
    freed: Event,
}

/// The right to it, given back on drop.
struct Fetching(Rc<FetchTurn>);

impl Fetching {
    async fn wait(turn: Rc<FetchTurn>) -> Self {
        turn.freed.wait_until(|| !turn.is_taken.replace(true)).await;
        Self(turn)
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        self.0.freed.notify();
    }
}

/// Why the last read failed: an intake only tells that it did.
pub(super) type LastError = Rc<Cell<Option<io::Error>>>;

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// How the file began when its last bytes were read.
pub(super) type Beginning = Rc<RefCell<Vec<u8>>>;

/// Does what may take long on a helper thread, in its turn.
pub(super) async fn aside<T: Send + 'static>(
    turn: Rc<FetchTurn>,
    operation: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let _fetching = Fetching::wait(turn).await;
    blocking(operation).await.unwrap_or_else(|error| Err(io::Error::other(error.to_string())))
}

/// Bytes on their way to the receive buffer.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    taken: usize,
}

impl Piece {
    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, taken: 0 }
    }

    /// Copies what fits into `buf`, if there is anything left.
    fn take(&mut self, buf: &mut [u8]) -> Option<usize> {
        let left = &self.bytes[self.taken..];
        let len = buf.len().min(left.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.taken += len;
        (0 < len).then_some(len)
    }
}

/// The next bytes of a file, and how it began after they were read.
type Fetched = (Vec<u8>, Vec<u8>);

/// A file as it is, read from an offset on.
pub(super) struct PlainStream {
    file: Arc<File>,
    at: u64,
    beginning: Beginning,
    fetched: Piece,
    fetching: Option<Pending<io::Result<Fetched>>>,
    turn: Rc<FetchTurn>,
    error: LastError,
}

impl PlainStream {
    pub(super) fn new(file: Arc<File>, at: u64, beginning: Beginning, turn: Rc<FetchTurn>, error: LastError) -> Self {
        Self { file, at, beginning, fetched: Piece::default(), fetching: None, turn, error }
    }

    /// Reads the next bytes, and after them how the file begins, if the kernel has both; none if they are to be fetched.
    fn read_at_once(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(read) = read_at_once(&self.file, buf, self.at)? else { return Ok(None) };
        let mut first = [0; WATCH_HEAD_BYTES];
        let Some(len) = read_at_once(&self.file, &mut first, 0)? else { return Ok(None) };
        self.begins(&first[..len]);
        self.at += read as u64;
        Ok(Some(read))
    }

    fn begins(&mut self, first: &[u8]) {
        let mut beginning = self.beginning.borrow_mut();
        beginning.clear();
        beginning.extend_from_slice(first);
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(len) = self.fetched.take(buf) {
            return Poll::Ready(Ok(len));
        }
        let outcome = loop {
            if let Some(fetching) = &mut self.fetching {
                let fetched = ready!(fetching.as_mut().poll(cx));
                self.fetching = None;
                break fetched.map(|(bytes, first)| {
                    self.begins(&first);
                    self.at += bytes.len() as u64;
                    self.fetched = Piece::of(bytes);
                    self.fetched.take(buf).unwrap_or(0)
                });
            }
            match self.read_at_once(buf) {
                Ok(Some(read)) => break Ok(read),
                Ok(None) => {
                    let (file, at, len, turn) = (self.file.clone(), self.at, buf.len(), self.turn.clone());
                    self.fetching = Some(Box::pin(aside(turn, move || Ok((fetch(&file, at, len)?, fetch(&file, 0, WATCH_HEAD_BYTES)?)))));
                }
                Err(error) => break Err(error),
            }
        };
        Poll::Ready(outcome.map_err(|error| {
            self.error.set(Some(error));
            io::ErrorKind::Other.into()
        }))
    }
}

/// Reads what the kernel has at hand; none if it would have to wait, or can't tell.
pub(super) fn read_at_once(file: &File, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
    loop {
        match preadv2(file, &mut [IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT) {
            Ok(read) => return Ok(Some(read)),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The `len` bytes from `at` on, or those that there are. An error behind some of them is met again by the next read.
pub(super) fn fetch(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    let fetched = FileAt(file, at).take(len as u64).read_to_end(&mut bytes);
    if bytes.is_empty() { fetched.map(|_| bytes) } else { Ok(bytes) }
}

/// An archive, decompressed, from an offset of what comes out.
pub(super) struct GzipStream {
    /// What is decompressed.
    piece: Piece,
    work: Option<Gunzip>,
    working: Option<Pending<io::Result<Gunzip>>>,
    turn: Rc<FetchTurn>,
    error: LastError,
}

/// What travels to the helper thread and back.
struct Gunzip {
    decoder: MultiGzDecoder<FileAt<Arc<File>>>,
    skip: u64,
    piece: Vec<u8>,
}

/// Reads a descriptor that others read as well.
struct FileAt<F>(F, u64);

impl<F: Borrow<File>> Read for FileAt<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.borrow().read_at(buf, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// The first bytes of an archive, decompressed.
pub(super) fn gunzip_first(file: Arc<File>, bytes: &mut [u8]) -> io::Result<usize> {
    let mut decoder = MultiGzDecoder::new(FileAt(file, 0));
    let mut filled = 0;
    while filled < bytes.len() {
        match decoder.read(&mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

impl GzipStream {
    pub(super) fn new(file: Arc<File>, skip: u64, turn: Rc<FetchTurn>, error: LastError) -> Self {
        let work = Gunzip { decoder: MultiGzDecoder::new(FileAt(file, 0)), skip, piece: Vec::new() };
        Self { piece: Piece::default(), work: Some(work), working: None, turn, error }
    }
}

impl Gunzip {
    /// The next piece; empty at the end.
    fn work(mut self) -> io::Result<Self> {
        io::copy(&mut (&mut self.decoder).take(std::mem::take(&mut self.skip)), &mut io::sink())?;
        self.piece.clear();
        (&mut self.decoder).take(RECEIVE_BYTES as u64).read_to_end(&mut self.piece)?;
        Ok(self)
    }
}

impl AsyncRead for GzipStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(len) = self.piece.take(buf) {
                return Poll::Ready(Ok(len));
            }
            if let Some(mut work) = self.work.take() {
                work.piece = std::mem::take(&mut self.piece).bytes;
                self.working = Some(Box::pin(aside(self.turn.clone(), move || work.work())));
            }
            let Some(working) = &mut self.working else { return Poll::Ready(Err(io::ErrorKind::Other.into())) };
            let outcome = ready!(working.as_mut().poll(cx));
            self.working = None;
            match outcome {
                Ok(mut work) => {
                    self.piece = Piece::of(std::mem::take(&mut work.piece));
                    self.work = Some(work);
                    if self.piece.bytes.is_empty() {
                        return Poll::Ready(Ok(0));
                    }
                }
                Err(error) => {
                    self.error.set(Some(error));
                    return Poll::Ready(Err(io::ErrorKind::Other.into()));
                }
            }
        }
    }
}
