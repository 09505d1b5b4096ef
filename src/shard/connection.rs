//! One connection that sends plain lines: what is received goes to the core until every line of it is in a batch.
//!
//! It is closed only after its lines are written, so a peer that shuts its sending side down and waits for the end of the stream knows that everything it sent
//! has been written.

use std::rc::Rc;

use glommio::net::TcpStream;

use crate::limits::RECEIVE_BYTES;
use crate::metrics::counters::Closed;
use crate::record::framer::Framer;

use super::Shard;
use super::core::{Progress, Source};
use super::intake::Intake;
use super::turn::Received;

/// A connection on its shard.
pub(super) struct Connection {
    shard: Rc<Shard>,
    intake: Intake<TcpStream>,
    framer: Framer,
    source: Source,
}

impl Connection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String) -> Self {
        let framer = Framer::for_format(shard.config.reading.format, shard.config.line_bytes_max);
        let source = Source::new(peer, &shard.config.reading);
        Self { intake: Intake::new(shard.clone(), stream), shard, framer, source }
    }

    /// Serves the connection to its end, and tells why it ended.
    pub(super) async fn serve(mut self) -> Closed {
        let closed = loop {
            match self.intake.receive(self.framer.partial_len(), RECEIVE_BYTES).await {
                Ok(received) => self.take(received).await,
                Err(closed) => break closed,
            }
        };
        self.intake.leave();
        self.finish().await;
        closed
    }

    /// Hands the received bytes to the core, waiting for the writer where batches are full.
    async fn take(&mut self, mut received: Received) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        let unfinished_len = self.framer.partial_len() + received.len();
        let mut chunk = received.chunk();
        loop {
            let progress = shard.core.borrow_mut().take(&mut self.framer, &mut chunk, arrival, &mut self.source);
            match progress {
                Progress::Drained => break,
                Progress::Full => shard.room().await,
            }
        }
        shard.publish_taken();
        self.count_miscounted();
        let partial_len = self.framer.partial_len();
        self.intake.taken(partial_len, partial_len == unfinished_len);
    }

    /// A last line without its newline is a line; then everything is written before the socket closes.
    async fn finish(&mut self) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        loop {
            let progress = shard.core.borrow_mut().finish(&mut self.framer, arrival, &mut self.source);
            match progress {
                Progress::Drained => break,
                Progress::Full => shard.room().await,
            }
        }
        shard.publish_taken();
        self.count_miscounted();
        shard.all_written().await;
    }

    fn count_miscounted(&mut self) {
        let miscounted = self.framer.take_miscounted();
        if miscounted > 0 {
            self.shard.counters().octet_counts_wrong.add(miscounted);
        }
    }
}
