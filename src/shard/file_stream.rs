//! A file's bytes as a stream, for an [`Intake`](super::intake::Intake).
//!
//! What is in the page cache is copied at once; what is not is fetched by a helper thread first, while others have the receive buffer, so that a cold disk holds up nobody. An archive is
//! decompressed by a helper thread, a piece at a time.

use std::cell::Cell;
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
use crate::limits::{RECEIVE_BYTES, WATCH_FETCH_BYTES};

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

/// A file as it is, read from an offset on.
pub(super) struct PlainStream {
    file: Arc<File>,
    at: u64,
    fetching: Option<Pending<()>>,
    is_fetched: bool,
    turn: Rc<FetchTurn>,
    error: LastError,
}

impl PlainStream {
    pub(super) fn new(file: Arc<File>, at: u64, turn: Rc<FetchTurn>, error: LastError) -> Self {
        Self { file, at, fetching: None, is_fetched: false, turn, error }
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(fetching) = &mut self.fetching {
                ready!(fetching.as_mut().poll(cx));
                self.fetching = None;
                self.is_fetched = true;
            }
            let outcome = if self.is_fetched {
                self.file.read_at(buf, self.at)
            } else {
                preadv2(&*self.file, &mut [IoSliceMut::new(buf)], self.at, ReadWriteFlags::NOWAIT).map_err(io::Error::from)
            };
            let is_elsewhere = |error: &io::Error| {
                [Errno::WOULDBLOCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
                    .map(|errno| Some(errno.raw_os_error()))
                    .contains(&error.raw_os_error())
            };
            match outcome {
                Ok(read) => {
                    self.at += read as u64;
                    self.is_fetched = false;
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !self.is_fetched && is_elsewhere(&error) => {
                    let (file, at, len) = (self.file.clone(), self.at, buf.len());
                    // What it meets, the read that follows meets too, and tells.
                    let turn = self.turn.clone();
                    self.fetching = Some(Box::pin(async move {
                        let _fetching = Fetching::wait(turn).await;
                        drop(blocking(move || fetch(&file, at, len)).await);
                    }));
                }
                Err(error) => {
                    self.error.set(Some(error));
                    return Poll::Ready(Err(io::ErrorKind::Other.into()));
                }
            }
        }
    }
}

/// Has the kernel read it.
fn fetch(file: &File, mut at: u64, len: usize) {
    let end = at + len as u64;
    let mut scratch = [0; WATCH_FETCH_BYTES];
    while at < end {
        match file.read_at(&mut scratch, at) {
            Ok(read) if 0 < read => at += read as u64,
            _ => return,
        }
    }
}

/// An archive, decompressed, from an offset of what comes out.
pub(super) struct GzipStream {
    /// What is decompressed, and how much of it is taken.
    piece: Vec<u8>,
    taken: usize,
    work: Option<Gunzip>,
    working: Option<Pending<io::Result<Gunzip>>>,
    turn: Rc<FetchTurn>,
    error: LastError,
}

/// What travels to the helper thread and back.
struct Gunzip {
    decoder: MultiGzDecoder<FileAt>,
    skip: u64,
    piece: Vec<u8>,
}

/// Reads a descriptor that others read as well.
struct FileAt(Arc<File>, u64);

impl Read for FileAt {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(buf, self.1)?;
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
        Self { piece: Vec::new(), taken: 0, work: Some(work), working: None, turn, error }
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
            if self.taken < self.piece.len() {
                let len = buf.len().min(self.piece.len() - self.taken);
                buf[..len].copy_from_slice(&self.piece[self.taken..self.taken + len]);
                self.taken += len;
                return Poll::Ready(Ok(len));
            }
            if let Some(mut work) = self.work.take() {
                work.piece = std::mem::take(&mut self.piece);
                self.taken = 0;
                let turn = self.turn.clone();
                self.working = Some(Box::pin(async move {
                    let _fetching = Fetching::wait(turn).await;
                    blocking(move || work.work()).await.unwrap_or_else(|error| Err(io::Error::other(error.to_string())))
                }));
            }
            let Some(working) = &mut self.working else { return Poll::Ready(Err(io::ErrorKind::Other.into())) };
            let outcome = ready!(working.as_mut().poll(cx));
            self.working = None;
            match outcome {
                Ok(mut work) => {
                    self.piece = std::mem::take(&mut work.piece);
                    self.work = Some(work);
                    if self.piece.is_empty() {
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
