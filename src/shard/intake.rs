//! The receiving half of a connection, whatever protocol it speaks: its turn at the shard's receive buffer, its place for a long line, and when it ends.
//!
//! Every receive comes by here, so this is where the disk guard holds intake up: while its gate is shut nobody receives, nor waits for a turn.

use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_lite::AsyncRead;
use futures_lite::future::or;

use crate::limits::PARTIAL_SMALL_BYTES;
use crate::metrics::counters::{Closed, Pause};

use super::Shard;
use super::long_lines::{self, Held};
use super::stop::StopTicket;
use super::turn::{Place, Received};

/// After a stop was requested, a connection that was found to have sent nothing for this long has nothing more under way.
const STOP_QUIET: Duration = Duration::from_millis(100);

/// How long a connection that was found empty after the stop may go on sending: what comes then was sent after.
const STOP_AFTER_EMPTY: Duration = Duration::from_millis(500);

/// What a connection may have had under way when a stop was requested: the most that the kernel's buffers of both ends hold by default (tcp(7): 6 MiB in `tcp_rmem`,
/// 4 MiB in `tcp_wmem`), rounded up. One that has sent more since then has sent it after.
const UNDER_WAY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A connection's receiving half.
pub(super) struct Intake<R> {
    shard: Rc<Shard>,
    stream: R,
    place: Rc<Place>,
    stop_ticket: Rc<StopTicket>,
    /// Its place for an unfinished long line, and since when that line is unfinished.
    held: Held,
    held_since: Instant,
    /// Bytes received since a stop was requested.
    since_stop_bytes: u64,
    /// When it was first found to have nothing to receive after a stop was requested: everything sent before the stop is taken in.
    emptied: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Intake<R> {
    pub(super) fn new(shard: Rc<Shard>, stream: R) -> Self {
        let stop_ticket = Rc::new(shard.stop.ticket());
        let (place, held, held_since) = (Rc::default(), Held::Nothing, Instant::now());
        Self { shard, stream, place, stop_ticket, held, held_since, since_stop_bytes: 0, emptied: None }
    }

    /// The next bytes, `window_max` at most, with the shard's receive buffer, or why there are no more. `partial_len` is the length of the unfinished line. Tell what became of it with
    /// [`taken`](Self::taken).
    pub(super) async fn receive(&mut self, partial_len: usize, window_max: usize) -> Result<Received, Closed> {
        glommio::yield_if_needed().await;
        if self.shard.stop.is_past_deadline() {
            return Err(self.closed_at_deadline());
        }
        if self.emptied.is_some_and(|emptied| emptied.elapsed() >= STOP_AFTER_EMPTY) {
            return Err(Closed::Stopped);
        }
        self.wait_for_long_line(partial_len).await;
        match self.receive_or_end(partial_len, window_max).await {
            Ok(Ended::Not(received)) if received.len() > 0 => {
                self.shard.counters().receives.add(1);
                self.shard.counters().received_bytes.add(received.len() as u64);
                if self.shard.stop.is_requested() {
                    self.since_stop_bytes += received.len() as u64;
                }
                Ok(received)
            }
            Ok(Ended::Not(_)) => Err(Closed::ByPeer),
            Ok(Ended::Quiet) => Err(Closed::Stopped),
            Ok(Ended::Deadline) => Err(self.closed_at_deadline()),
            Ok(Ended::Overdue) => Err(Closed::LongLine),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Closed::Idle),
            Err(_) => Err(Closed::Reset),
        }
    }

    /// Everything received has been taken, and `partial_len` bytes of a line are unfinished; `is_same_line` says whether they are of the line that was unfinished
    /// before.
    pub(super) fn taken(&mut self, partial_len: usize, is_same_line: bool) {
        if !is_same_line {
            self.held_since = Instant::now();
        }
        if partial_len < PARTIAL_SMALL_BYTES {
            self.shard.long_lines.release(std::mem::replace(&mut self.held, Held::Nothing));
        }
    }

    /// Receives nothing more, and stands in nobody's way.
    pub(super) fn leave(&mut self) {
        self.shard.turn.leave(&self.place);
        self.shard.long_lines.release(std::mem::replace(&mut self.held, Held::Nothing));
    }

    fn closed_at_deadline(&self) -> Closed {
        let is_taken_in = self.emptied.is_some() || self.since_stop_bytes >= UNDER_WAY_BYTES_MAX;
        if is_taken_in { Closed::Stopped } else { Closed::CutOff }
    }

    async fn receive_or_end(&mut self, partial_len: usize, window_max: usize) -> io::Result<Ended> {
        let stopped = quiet_after_stop(self.shard.clone(), self.stop_ticket.clone(), self.place.clone());
        let overdue = overdue(self.shard.clone(), self.place.clone(), self.held, self.held_since);
        let received = async {
            loop {
                self.wait_for_gate().await;
                if let Some(received) = self.poll_receive(partial_len, window_max).await {
                    return received.map(Ended::Not);
                }
            }
        };
        or(received, or(stopped, overdue)).await
    }

    /// While the disk guard's gate is shut, waits, without the receive buffer.
    async fn wait_for_gate(&mut self) {
        let Self { shard, place, held_since, .. } = self;
        let is_open = || !shard.store.gate.is_shut();
        if is_open() {
            return;
        }
        place.set_held_up(true);
        shard.turn.leave(place);
        shard.flush();
        shard.gate_opened.wait_until(is_open).await;
        place.set_held_up(false);
        // It could not end its line meanwhile.
        *held_since = Instant::now();
    }

    /// None if the gate was shut meanwhile.
    async fn poll_receive(&mut self, partial_len: usize, window_max: usize) -> Option<io::Result<Received>> {
        let Self { shard, stream, place, held, held_since, emptied, .. } = self;
        poll_fn(|cx| {
            if shard.store.gate.is_shut() {
                return Poll::Ready(None);
            }
            // Without a place an unfinished line must fit in the small buffer, and so must what may follow it; with the reserve, that keeps it short.
            let has_place = *held == Held::Place || shard.long_lines.is_free();
            let window = match held {
                _ if has_place => window_max,
                Held::Reserve => PARTIAL_SMALL_BYTES.min(window_max),
                _ => window_max.min(PARTIAL_SMALL_BYTES - partial_len.min(PARTIAL_SMALL_BYTES - 1)),
            };
            let polled = shard.turn.poll_receive(place, stream, window, cx);
            if polled.is_pending() {
                shard.flush();
                if emptied.is_none() && shard.stop.is_requested() && !place.is_waiting() {
                    *emptied = Some(Instant::now());
                }
            } else if has_place && *held == Held::Nothing {
                *held = shard.long_lines.take();
                *held_since = Instant::now();
            }
            polled.map(Some)
        })
        .await
    }

    /// Where the unfinished line has filled the small buffer, waits for a place.
    async fn wait_for_long_line(&mut self, partial_len: usize) {
        let is_long = partial_len + 1 >= PARTIAL_SMALL_BYTES;
        if is_long && self.held == Held::Nothing && !self.shard.long_lines.is_free() {
            let _paused = self.shard.counters().pause(Pause::LongLines);
            self.held = self.shard.long_lines.wait().await;
            self.held_since = Instant::now();
        }
    }
}

impl<R> Drop for Intake<R> {
    fn drop(&mut self) {
        self.shard.turn.leave(&self.place);
        self.shard.long_lines.release(self.held);
    }
}

/// What came of a receive.
enum Ended {
    /// Bytes, or the end of the stream.
    Not(Received),
    /// The shard stops, and the peer has been quiet for a while.
    Quiet,
    /// The intake's deadline has passed while it waited for its turn, or for the disk guard.
    Deadline,
    /// Its unfinished line has kept others waiting for too long.
    Overdue,
}

/// Waits until the shard stops and the connection was found to have nothing to receive for [`STOP_QUIET`]. While it waits for its turn or for the disk guard
/// nobody knows.
async fn quiet_after_stop(shard: Rc<Shard>, ticket: Rc<StopTicket>, place: Rc<Place>) -> io::Result<Ended> {
    ticket.requested().await;
    place.take_has_waited();
    loop {
        glommio::timer::sleep(STOP_QUIET).await;
        if !place.take_has_waited() {
            return Ok(Ended::Quiet);
        }
        if shard.stop.is_past_deadline() {
            return Ok(Ended::Deadline);
        }
    }
}

/// Waits until a line that `held` its place since `since` must end because others wait. That the disk guard lets nobody receive is not its peer's fault.
async fn overdue(shard: Rc<Shard>, place: Rc<Place>, held: Held, mut since: Instant) -> io::Result<Ended> {
    if held == Held::Nothing {
        return pending().await;
    }
    loop {
        if place.is_held_up() {
            since = Instant::now();
        }
        let age = since.elapsed();
        if age >= long_lines::PATIENCE && shard.long_lines.is_waited_for() {
            return Ok(Ended::Overdue);
        }
        glommio::timer::sleep(long_lines::PATIENCE.saturating_sub(age).max(Duration::from_secs(1))).await;
    }
}
