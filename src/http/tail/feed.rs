//! One listener's thread: from the end of the store on, what matches, as events.
//!
//! The listener has no buffer but a few pieces on their way: while it takes nothing, its cursor stays where it is. Where that leaves too much unread, the feed
//! goes on at the end, counts what it passes over, and says so.
//!
//! Invariant: of the lines that were written since the start, the events tell every matching one, or count it as missed; those in bytes that were not even read are
//! told as that. The thread ends soon after its listener has gone.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use memchr::memmem;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::limits::{
    HTTP_TAIL_BEHIND_BYTES_MAX, HTTP_TAIL_CATCH_UP_MAX, HTTP_TAIL_EVENTS_BYTES_MAX, HTTP_TAIL_INTERVAL, HTTP_TAIL_NICE,
    HTTP_TAIL_PIECE_BYTES, HTTP_TAIL_ROOM_INTERVAL,
};
use crate::metrics::tails::{Listening, TailTotals};
use crate::search::Matcher;
use crate::store::cursor::{Cursor, Reach, Start, StoreReader};
use crate::store::error::StorageError;
use crate::store::name::Stream;

/// Ends an event; nothing within one looks like it, since stored lines hold no newlines.
const END: &[u8] = b"\n\n";

/// Sent as soon as the place is known from which everything is seen. A comment, which listeners that know nothing of it pass over.
const FOLLOWING: &[u8] = b": following\n\n";

/// What a feed begins with.
pub(super) struct Setup {
    pub(super) store: StoreReader,
    pub(super) stream: Stream,
    pub(super) matcher: Matcher,
    pub(super) sender: Sender<Vec<u8>>,
    pub(super) totals: Arc<TailTotals>,
}

/// Starts a feed's thread, which keeps `place` until it ends.
pub(super) fn start(setup: Setup, place: OwnedSemaphorePermit) -> io::Result<()> {
    let run = move || {
        // Best effort, as in the compress pool.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), HTTP_TAIL_NICE);
        if let Err(Ended::Storage(error)) = Feed::new(setup).map_err(Ended::from).and_then(|mut feed| feed.run()) {
            tracing::warn!("a live tail ends: {error}");
        }
        drop(place);
    };
    thread::Builder::new().name("tail".to_owned()).spawn(run).map(drop)
}

struct Feed {
    store: StoreReader,
    stream: Stream,
    cursor: Cursor,
    matcher: Matcher,
    sender: Sender<Vec<u8>>,
    /// The events of the lines that were read last.
    events: Vec<u8>,
    listening: Listening,
}

/// Why a feed ends.
enum Ended {
    /// The listener has gone.
    Gone,
    Storage(StorageError),
}

impl From<StorageError> for Ended {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What a listener is not told line by line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Missed {
    lines: u64,
    unread_bytes: u64,
}

/// Appends the event that tells `line`. A carriage return, which may stand between two members, would end it for the listener, and means what a space does.
fn push_event(events: &mut Vec<u8>, line: &[u8]) {
    events.extend_from_slice(b"event: line\ndata: ");
    let mut from = events.len();
    events.extend_from_slice(line);
    while let Some(at) = memchr::memchr(b'\r', &events[from..]) {
        from += at;
        events[from] = b' ';
    }
    events.extend_from_slice(END);
}

impl Feed {
    /// Follows the stream from the end that it has now.
    fn new(setup: Setup) -> Result<Self, StorageError> {
        let Setup { store, stream, matcher, sender, totals } = setup;
        let cursor = Cursor::new(store.clone(), stream, Reach::Written, &Start::End)?;
        Ok(Self { store, stream, cursor, matcher, sender, events: Vec::new(), listening: totals.begin() })
    }

    fn run(&mut self) -> Result<(), Ended> {
        self.send(FOLLOWING.to_vec(), false)?;
        let mut looked = Instant::now();
        loop {
            if self.sender.is_closed() {
                return Err(Ended::Gone);
            }
            if HTTP_TAIL_CATCH_UP_MAX < looked.elapsed() {
                looked = Instant::now();
                // Not the listener's fault: this thread does not get enough of the processor.
                if self.is_behind()? {
                    self.catch_up(0)?;
                }
            }
            self.events.clear();
            let Self { cursor, matcher, events, .. } = self;
            match cursor.next()? {
                None => thread::sleep(HTTP_TAIL_INTERVAL),
                Some(chunk) => {
                    let mut missed = 0;
                    matcher.each_match(chunk.lines, |line| {
                        if HTTP_TAIL_EVENTS_BYTES_MAX <= events.len() {
                            missed += 1;
                            return;
                        }
                        push_event(events, line);
                    });
                    matcher.forget();
                    self.deliver()?;
                    if 0 < missed {
                        self.tell(Missed { lines: missed, unread_bytes: 0 })?;
                    }
                }
            }
        }
    }

    /// Sends the events, at the listener's pace; or passes over what it is too slow for.
    fn deliver(&mut self) -> Result<(), Ended> {
        let (mut at, mut is_between) = (0, true);
        while at < self.events.len() {
            // Whole events, or a piece of a long one.
            let limit = self.events.len().min(at + HTTP_TAIL_PIECE_BYTES);
            let last = memmem::rfind(&self.events[at..limit], END).map(|end| at + end + END.len());
            let piece = self.events[at..last.unwrap_or(limit)].to_vec();
            let len = piece.len();
            if !self.send(piece, is_between)? {
                let left = memmem::find_iter(&self.events[at..], END).count() as u64;
                return self.catch_up(left);
            }
            at += len;
            is_between = last.is_some();
        }
        self.events.shrink_to(HTTP_TAIL_EVENTS_BYTES_MAX);
        Ok(())
    }

    /// Waits until there is room for `piece`; returns whether it was sent. It was not if too much is left unread meanwhile and this `may_give_up`.
    fn send(&mut self, mut piece: Vec<u8>, may_give_up: bool) -> Result<bool, Ended> {
        let mut looked = Instant::now();
        loop {
            piece = match self.sender.try_send(piece) {
                Ok(()) => return Ok(true),
                Err(TrySendError::Closed(_)) => return Err(Ended::Gone),
                Err(TrySendError::Full(piece)) => piece,
            };
            if may_give_up && HTTP_TAIL_INTERVAL < looked.elapsed() {
                looked = Instant::now();
                if self.is_behind()? {
                    return Ok(false);
                }
            }
            thread::sleep(HTTP_TAIL_ROOM_INTERVAL);
        }
    }

    fn is_behind(&mut self) -> Result<bool, StorageError> {
        self.cursor.backlog().map(|backlog| HTTP_TAIL_BEHIND_BYTES_MAX < backlog.bytes)
    }

    /// Reads on to the end, counts what would have been told besides `lines`, and tells that. What takes too long to read is not read.
    fn catch_up(&mut self, lines: u64) -> Result<(), Ended> {
        let begun = Instant::now();
        let mut missed = Missed { lines, unread_bytes: 0 };
        while let Some(chunk) = self.cursor.next()? {
            self.matcher.each_match(chunk.lines, |_| missed.lines += 1);
            self.matcher.forget();
            if HTTP_TAIL_CATCH_UP_MAX < begun.elapsed() {
                missed.unread_bytes = self.cursor.backlog()?.bytes;
                self.cursor = Cursor::new(self.store.clone(), self.stream, Reach::Written, &Start::End)?;
                break;
            }
        }
        self.tell(missed)
    }

    fn tell(&mut self, Missed { lines, unread_bytes }: Missed) -> Result<(), Ended> {
        self.listening.missed(lines);
        let event = format!("event: missed\ndata: {{\"lines\":{lines},\"unread_bytes\":{unread_bytes}}}\n\n");
        self.send(event.into_bytes(), false).map(drop)
    }
}
