//! One TCP connection: receives in turn with its shard's others, and hands what it received to the core until every line of it is in a batch.
//!
//! A connection is closed only after its lines are written, so a peer that shuts its sending side down and waits for the end of the stream knows that
//! everything it sent has been written.

use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::future::or;
use glommio::net::TcpStream;

use crate::limits::{PARTIAL_SMALL_BYTES, RECEIVE_BYTES};
use crate::metrics::counters::{Closed, Pause};
use crate::record::framer::Framer;

use super::Shard;
use super::balance::Slot;
use super::core::Progress;
use super::long_lines::{self, Held};
use super::stop::StopTicket;
use super::turn::{Place, Received};

/// After a stop was requested, a connection that was found to have sent nothing for this long has nothing more under way.
const STOP_QUIET: Duration = Duration::from_millis(100);

/// What a connection may have had under way when a stop was requested: the most that the kernel's buffers of both ends hold by default (tcp(7): 6 MiB in `tcp_rmem`,
/// 4 MiB in `tcp_wmem`), rounded up. One that has sent more since then has sent it after.
const UNDER_WAY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A connection on its shard.
pub(super) struct Connection {
    shard: Rc<Shard>,
    stream: TcpStream,
    framer: Framer,
    peer: String,
    place: Rc<Place>,
    stop_ticket: Rc<StopTicket>,
    /// Its place for an unfinished long line, and since when that line is unfinished.
    held: Held,
    held_since: Instant,
    /// Bytes received since a stop was requested.
    since_stop_bytes: u64,
    _slot: Slot,
}

impl Connection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String, slot: Slot) -> Self {
        let framer = Framer::new(shard.config.line_bytes_max);
        let stop_ticket = Rc::new(shard.stop.ticket());
        Self {
            shard,
            stream,
            framer,
            peer,
            place: Rc::default(),
            stop_ticket,
            held: Held::Nothing,
            held_since: Instant::now(),
            since_stop_bytes: 0,
            _slot: slot,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn serve(mut self) {
        let closed = self.receive_all().await;
        self.shard.turn.leave(&self.place);
        self.finish().await;
        self.shard.counters().connections_closed[closed as usize].add(1);
    }

    async fn receive_all(&mut self) -> Closed {
        while !self.shard.stop.is_past_deadline() {
            self.wait_for_long_line().await;
            match self.receive().await {
                Ok(Ended::Not(received)) if received.len() > 0 => self.take(received).await,
                Ok(Ended::Not(_)) => return Closed::ByPeer,
                Ok(Ended::Quiet) => return Closed::Stopped,
                Ok(Ended::Deadline) => break,
                Ok(Ended::Overdue) => return Closed::LongLine,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Closed::Idle,
                Err(_) => return Closed::Reset,
            }
            glommio::yield_if_needed().await;
        }
        if self.since_stop_bytes < UNDER_WAY_BYTES_MAX { Closed::CutOff } else { Closed::Stopped }
    }

    /// The next bytes, with the shard's receive buffer, or why there are to be none.
    async fn receive(&mut self) -> io::Result<Ended> {
        let stopped = quiet_after_stop(self.shard.clone(), self.stop_ticket.clone(), self.place.clone());
        let overdue = overdue(self.shard.clone(), self.held, self.held_since);
        let received = async { self.poll_receive().await.map(Ended::Not) };
        or(received, or(stopped, overdue)).await
    }

    async fn poll_receive(&mut self) -> io::Result<Received> {
        let Self { shard, stream, place, framer, held, held_since, .. } = self;
        poll_fn(|cx| {
            // Without a place an unfinished line must fit in the small buffer, and so must what may follow it; with the reserve, that keeps it short.
            let has_place = *held == Held::Place || shard.long_lines.is_free();
            let window = match held {
                _ if has_place => RECEIVE_BYTES,
                Held::Reserve => PARTIAL_SMALL_BYTES,
                _ => PARTIAL_SMALL_BYTES - framer.partial_len().min(PARTIAL_SMALL_BYTES - 1),
            };
            let polled = shard.turn.poll_receive(place, stream, window, cx);
            if polled.is_pending() {
                shard.flush();
            } else if has_place && *held == Held::Nothing {
                *held = shard.long_lines.take();
                *held_since = Instant::now();
            }
            polled
        })
        .await
    }

    /// Hands the received bytes to the core, waiting for the writer where batches are full.
    async fn take(&mut self, mut received: Received) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        shard.counters().receives.add(1);
        shard.counters().received_bytes.add(received.len() as u64);
        if shard.stop.is_requested() {
            self.since_stop_bytes += received.len() as u64;
        }
        let kept_before = self.framer.partial_len();
        let received_bytes = received.len();
        let mut chunk = received.chunk();
        loop {
            let progress = shard.core.borrow_mut().take(&mut self.framer, &mut chunk, arrival, &self.peer);
            match progress {
                Progress::Drained => break,
                Progress::Full => shard.room().await,
            }
        }
        shard.publish_appended();
        let is_same_line = self.framer.partial_len() == kept_before + received_bytes;
        if !is_same_line {
            self.held_since = Instant::now();
        }
        self.release_long_line();
    }

    /// A last line without its newline is a line; then everything is written before the socket closes.
    async fn finish(&mut self) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        loop {
            let progress = shard.core.borrow_mut().finish(&mut self.framer, arrival, &self.peer);
            match progress {
                Progress::Drained => break,
                Progress::Full => shard.room().await,
            }
        }
        self.release_long_line();
        shard.publish_appended();
        shard.all_written().await;
    }

    /// Where the unfinished line has filled the small buffer, waits for a place.
    async fn wait_for_long_line(&mut self) {
        let shard = self.shard.clone();
        let is_long = self.framer.partial_len() + 1 >= PARTIAL_SMALL_BYTES;
        if is_long && self.held == Held::Nothing && !shard.long_lines.is_free() {
            let _paused = shard.counters().pause(Pause::LongLines);
            self.held = shard.long_lines.wait().await;
            self.held_since = Instant::now();
        }
    }

    fn release_long_line(&mut self) {
        if self.framer.partial_len() < PARTIAL_SMALL_BYTES {
            self.shard.long_lines.release(std::mem::replace(&mut self.held, Held::Nothing));
        }
    }
}

/// What came of a receive.
enum Ended {
    /// Bytes, or the end of the stream.
    Not(Received),
    /// The shard stops, and the peer has been quiet for a while.
    Quiet,
    /// The intake's deadline has passed while it waited for its turn.
    Deadline,
    /// Its unfinished line has kept others waiting for too long.
    Overdue,
}

/// Waits until the shard stops and the connection was found to have nothing to receive for [`STOP_QUIET`]. While it waits for its turn nobody knows.
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

/// Waits until a line that `held` its place since `since` must end because others wait.
async fn overdue(shard: Rc<Shard>, held: Held, since: Instant) -> io::Result<Ended> {
    if held == Held::Nothing {
        return pending().await;
    }
    loop {
        let age = since.elapsed();
        if age >= long_lines::PATIENCE && shard.long_lines.is_waited_for() {
            return Ok(Ended::Overdue);
        }
        glommio::timer::sleep(long_lines::PATIENCE.saturating_sub(age).max(Duration::from_secs(1))).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.turn.leave(&self.place);
        self.shard.connection_ended();
    }
}
