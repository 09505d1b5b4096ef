//! One TCP connection: receives in turn with its shard's others, and hands what it received to the core until every line of it is in a batch.
//!
//! A connection is closed only after its lines are written, so a peer that shuts its sending side down and waits for the end of the stream knows that
//! everything it sent has been written.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use glommio::net::TcpStream;

use crate::limits::{PARTIAL_SMALL_BYTES, RECEIVE_BYTES};
use crate::metrics::counters::{Closed, Pause};
use crate::record::framer::Framer;

use super::Shard;
use super::balance::Slot;
use super::core::Progress;
use super::stop::StopTicket;
use super::turn::{Place, Received};

/// After a stop was requested, a connection that has sent nothing for this long has nothing more under way.
const STOP_QUIET: Duration = Duration::from_millis(100);

/// A connection on its shard.
pub(super) struct Connection {
    shard: Rc<Shard>,
    stream: TcpStream,
    framer: Framer,
    peer: String,
    place: Rc<Place>,
    stop_ticket: Rc<StopTicket>,
    /// Whether it holds one of the shard's places for long unfinished lines.
    holds_long_line: bool,
    _slot: Slot,
}

impl Connection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String, slot: Slot) -> Self {
        let framer = Framer::new(shard.config.line_bytes_max);
        let stop_ticket = Rc::new(shard.stop.ticket());
        Self { shard, stream, framer, peer, place: Rc::default(), stop_ticket, holds_long_line: false, _slot: slot }
    }

    /// Serves the connection to its end.
    pub(super) async fn serve(mut self) {
        let closed = self.receive_all().await;
        self.finish().await;
        self.shard.counters().connections_closed[closed as usize].add(1);
    }

    async fn receive_all(&mut self) -> Closed {
        while !self.shard.stop.is_past_deadline() {
            self.claim_long_line().await;
            match self.receive().await {
                Ok(Some(received)) if received.len() > 0 => self.take(received).await,
                Ok(Some(_)) => return Closed::ByPeer,
                Ok(None) => return Closed::Stopped,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Closed::Idle,
                Err(_) => return Closed::Reset,
            }
            glommio::yield_if_needed().await;
        }
        Closed::Stopped
    }

    /// The next bytes, with the shard's receive buffer; none when the shard stops and the peer has been quiet for a while.
    async fn receive(&mut self) -> io::Result<Option<Received>> {
        let ticket = self.stop_ticket.clone();
        let received = async { self.poll_receive().await.map(Some) };
        let stopped = async {
            ticket.requested().await;
            glommio::timer::sleep(STOP_QUIET).await;
            Ok(None)
        };
        or(received, stopped).await
    }

    async fn poll_receive(&mut self) -> io::Result<Received> {
        let Self { shard, stream, place, framer, holds_long_line, .. } = self;
        poll_fn(|cx| {
            // Where the shared memory for long lines is used up, a small receive can't need more of it.
            let unbounded = *holds_long_line || shard.long_line_places.get() > 0;
            let window = if unbounded { RECEIVE_BYTES } else { PARTIAL_SMALL_BYTES - framer.partial_len().min(PARTIAL_SMALL_BYTES - 1) };
            let polled = shard.turn.poll_receive(place, stream, window, cx);
            if polled.is_pending() {
                shard.flush();
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
        let mut chunk = received.chunk();
        loop {
            let progress = shard.core.borrow_mut().take(&mut self.framer, &mut chunk, arrival, &self.peer);
            match progress {
                Progress::Drained => break,
                Progress::Full => shard.room().await,
            }
        }
        shard.publish_appended();
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

    /// An unfinished line beyond the small buffer needs one of the shard's places, so that memory is bounded and a line once begun can be finished.
    async fn claim_long_line(&mut self) {
        if self.holds_long_line || self.framer.partial_len() < PARTIAL_SMALL_BYTES {
            return;
        }
        let shard = self.shard.clone();
        if shard.long_line_places.get() == 0 {
            let paused = shard.counters().pause(Pause::LongLines);
            shard.long_line_freed.wait_until(|| shard.long_line_places.get() > 0).await;
            drop(paused);
        }
        shard.long_line_places.set(shard.long_line_places.get() - 1);
        self.holds_long_line = true;
    }

    fn release_long_line(&mut self) {
        if self.holds_long_line && self.framer.partial_len() < PARTIAL_SMALL_BYTES {
            self.holds_long_line = false;
            self.shard.long_line_places.set(self.shard.long_line_places.get() + 1);
            self.shard.long_line_freed.notify();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.place.leave();
        self.shard.connection_ended();
    }
}
