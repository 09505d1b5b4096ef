//! One search's thread, and the way from it to the connection.
//!
//! Invariant: a search ends soon after its [`Answer`] is dropped, which is when the peer has gone, or after [`HTTP_SEARCH_TIME_MAX`], also where the peer does not
//! take what was found. It looks at its flag once per block, and while it waits for the peer.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_lite::{Stream, future, stream};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Format;
use crate::limits::{
    HTTP_SEARCH_BLOCKS_MAX, HTTP_SEARCH_BYTES_MAX, HTTP_SEARCH_FLUSH, HTTP_SEARCH_PIECE_BYTES, HTTP_SEARCH_PIECES_MAX, HTTP_SEARCH_THREADS,
    HTTP_SEARCH_TIME_MAX, HTTP_SEARCH_WAITING_BYTES_MAX, SEARCH_NICE,
};
use crate::metrics::searches::{RunningSearch, SearchEnd};
use crate::search::count::{By, Counts};
use crate::search::query::Expr;
use crate::search::rows::{CSV_HEADER, Rows};
use crate::search::{self, Order, Request, SearchError, Stats};
use crate::store::disk::Disk;
use crate::store::name::Stream as Lines;
use crate::store::segment::TimeRange;

/// What is to be found.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) expr: Expr,
    pub(super) range: TimeRange,
    pub(super) stream: Lines,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Lines { order: Order, limit: usize, format: Format },
    Counts(Option<By>),
}

/// What comes out.
#[derive(Debug)]
pub(super) enum Piece {
    /// What goes on with the lines.
    Lines(Vec<u8>),
    /// These were all. What ends without it is not all.
    End,
    Counts {
        counts: Counts,
        stats: Stats,
        is_complete: bool,
    },
    /// Before anything was found.
    Failed(SearchError),
}

/// Tells the thread to end.
#[derive(Debug, Default)]
struct Stop {
    flag: AtomicBool,
    told: Notify,
}

impl Stop {
    fn tell(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }
}

/// The other end of a search.
#[derive(Debug)]
pub(super) struct Answer {
    pieces: mpsc::Receiver<Piece>,
    stop: Arc<Stop>,
    timer: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.timer.abort();
        self.stop.tell();
    }
}

impl Answer {
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }

    /// A body of lines, of which `first` has come already.
    pub(super) fn lines(self, first: Option<Piece>) -> impl Stream<Item = io::Result<Vec<u8>>> {
        stream::unfold(Some((self, first)), |state| async move {
            let (mut answer, first) = state?;
            let piece = match first {
                Some(piece) => Some(piece),
                None => answer.next().await,
            };
            match piece {
                Some(Piece::Lines(lines)) => Some((Ok(lines), Some((answer, None)))),
                Some(Piece::End) => None,
                _ => Some((Err(io::Error::other("the search ended early")), None)),
            }
        })
    }
}

/// Starts searching `dir`. Needs the runtime.
pub(super) fn start(job: Job, dir: PathBuf, running: RunningSearch, place: OwnedSemaphorePermit) -> io::Result<Answer> {
    let (sender, pieces) = mpsc::channel(HTTP_SEARCH_PIECES_MAX);
    let stop = Arc::<Stop>::default();
    let timer = tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::time::sleep(HTTP_SEARCH_TIME_MAX).await;
            stop.tell();
        }
    });
    let answer = Answer { pieces, stop: stop.clone(), timer };
    let worker = Worker { sender, stop, deadline: Instant::now() + HTTP_SEARCH_TIME_MAX };
    let run = move || {
        // The threads that it starts inherit this. Best effort, as in the compress pool.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), SEARCH_NICE);
        let mut running = running;
        let (end, last) = worker.run(&job, &dir);
        running.end = end;
        // Before its last piece: who has the whole answer may search again at once.
        drop(running);
        drop(place);
        if let Some((room, piece)) = last {
            room.send(piece);
        }
    };
    std::thread::Builder::new().name("search".to_owned()).spawn(run)?;
    Ok(answer)
}

/// How a search ended, and what is still to be sent of it.
type Ended<'a> = (SearchEnd, Option<(mpsc::Permit<'a, Piece>, Piece)>);

struct Worker {
    sender: mpsc::Sender<Piece>,
    stop: Arc<Stop>,
    deadline: Instant,
}

impl Worker {
    fn run(&self, job: &Job, dir: &Path) -> Ended<'_> {
        let request = Request {
            disk: Disk::new(),
            dir,
            stream: job.stream,
            expr: &job.expr,
            range: job.range,
            threads: HTTP_SEARCH_THREADS,
            blocks_max: HTTP_SEARCH_BLOCKS_MAX,
            waiting_bytes_max: HTTP_SEARCH_WAITING_BYTES_MAX,
            stop: &self.stop.flag,
        };
        let ended = match &job.what {
            &What::Lines { order, limit, format } => self.lines(&request, order, limit, format),
            What::Counts(by) => self.counts(&request, by.as_ref()),
        };
        ended.unwrap_or_else(|error| {
            let end = match error {
                SearchError::TooMuch | SearchError::Query(_) => SearchEnd::TooMuch,
                SearchError::Storage(_) => SearchEnd::Failed,
            };
            (end, self.room().map(|room| (room, Piece::Failed(error))))
        })
    }

    fn counts(&self, request: &Request<'_>, by: Option<&By>) -> Result<Ended<'_>, SearchError> {
        let (counts, stats) = search::count(request, by)?;
        let end = self.ended(&stats);
        // Whoever waits for it shall have what was counted in time.
        let room = self.sender.try_reserve().ok();
        Ok((end, room.map(|room| (room, Piece::Counts { counts, stats, is_complete: end == SearchEnd::Complete }))))
    }

    fn lines(&self, request: &Request<'_>, order: Order, limit: usize, format: Format) -> Result<Ended<'_>, SearchError> {
        let (mut left, mut room) = (limit, HTTP_SEARCH_BYTES_MAX);
        let (mut rows, mut out) = (Rows::default(), Pieces { worker: self, piece: Vec::new(), sent: None });
        let mut cut = None;
        if format == Format::Csv {
            out.piece.extend_from_slice(CSV_HEADER);
        }
        let stats = search::lines(request, order, Some(limit), |hit| {
            let Some(rest) = room.checked_sub(hit.line.len() + 1) else {
                cut = Some(SearchEnd::Bytes);
                return ControlFlow::Break(());
            };
            room = rest;
            left -= 1;
            let written = match format {
                Format::Raw => out.write_all(hit.line).and_then(|()| out.write_all(b"\n")),
                Format::Json => rows.json(&hit, &mut out),
                Format::Csv => rows.csv(&hit, &mut out),
            };
            if left == 0 || written.and_then(|()| out.hurry()).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if out.flush().is_err() {
            return Ok((self.ended(&stats), None));
        }
        let end = match cut {
            Some(end) => end,
            None if left == 0 => SearchEnd::Lines,
            None => self.ended(&stats),
        };
        if !matches!(end, SearchEnd::Complete | SearchEnd::Lines) {
            return Ok((end, None));
        }
        Ok(self.room().map_or_else(|| (self.ended(&stats), None), |room| (end, Some((room, Piece::End)))))
    }

    fn ended(&self, stats: &Stats) -> SearchEnd {
        match (self.is_stopped(), stats.damaged.is_empty()) {
            (true, _) if self.deadline <= Instant::now() => SearchEnd::Time,
            (true, _) => SearchEnd::Cancelled,
            (false, true) => SearchEnd::Complete,
            (false, false) => SearchEnd::Failed,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.flag.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    /// Waits until there is room for a piece, unless the search is to end.
    fn room(&self) -> Option<mpsc::Permit<'_, Piece>> {
        if self.stop.flag.load(Ordering::Relaxed) {
            return self.sender.try_reserve().ok();
        }
        let room = async { self.sender.reserve().await.ok() };
        let told = async {
            self.stop.told.notified().await;
            None
        };
        future::block_on(future::or(room, told))
    }
}

/// Cuts what is written into pieces. An error says that nobody takes them any more.
struct Pieces<'a> {
    worker: &'a Worker,
    piece: Vec<u8>,
    sent: Option<Instant>,
}

impl Pieces<'_> {
    /// Sends what there is, if the last piece was sent long enough ago.
    fn hurry(&mut self) -> io::Result<()> {
        if self.sent.is_none_or(|sent| HTTP_SEARCH_FLUSH <= sent.elapsed()) { self.flush() } else { Ok(()) }
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if HTTP_SEARCH_PIECE_BYTES <= self.piece.len() {
            self.flush()?;
        }
        let taken = bytes.len().min(HTTP_SEARCH_PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            let room = self.worker.room().ok_or(io::ErrorKind::BrokenPipe)?;
            room.send(Piece::Lines(std::mem::take(&mut self.piece)));
        }
        self.sent = Some(Instant::now());
        Ok(())
    }
}
