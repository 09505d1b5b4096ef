//! One connection that speaks RELP: frames in, answers out when their records are safe.
//!
//! Two tasks share the connection: one receives and hands frames to the core, one answers. The answering one alone waits for the peer, so a client that does
//! not read its answers stops itself and nobody else: it is not received from while answers pile up.
//!
//! A line that a session sends again after an earlier one ended unanswered is recognised (`relp/lines.rs`), answered, and not taken in. Unanswered is only
//! what was never handed to the kernel.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::io::{ReadHalf, WriteHalf, split};
use futures_lite::{AsyncWrite, AsyncWriteExt};
use glommio::net::TcpStream;

use crate::limits::{RECEIVE_BYTES, RELP_ANSWER_BYTES, RELP_FRAME_BYTES_MIN, RELP_ROOM_FRAMES_MIN, RELP_UNREAD_MAX};
use crate::metrics::counters::{Closed, Pause};
use crate::record::relp::{Answers, Due, RelpFramer, SERVER_CLOSE};

use super::Shard;
use super::core::Source;
use super::event::Event;
use super::intake::Intake;
use super::turn::Received;

mod frames;
mod lines;

use self::frames::Frames;

/// How often a stop looks whether its time is over.
const STOP_POLL: Duration = Duration::from_millis(50);

/// How long a peer that has ended its side without `close` is given to refuse one answer before it is sent the others: a round trip.
const HUNG_UP_WAIT: Duration = Duration::from_millis(100);

/// A RELP connection on its shard.
pub(super) struct RelpConnection {
    shard: Rc<Shard>,
    intake: Intake<ReadHalf<TcpStream>>,
    writer: Option<WriteHalf<TcpStream>>,
    framer: RelpFramer,
    frames: Frames,
    answering: Rc<Answering>,
    /// Its address without the port, if it is known.
    peer_ip: Option<IpAddr>,
}

/// What the two tasks of a connection share.
#[derive(Default)]
struct Answering {
    answers: RefCell<Answers>,
    /// Nothing more will be asked.
    is_ended: Cell<bool>,
    /// The peer takes no answers any more.
    is_broken: Cell<bool>,
    /// The peer has ended its side without `close`: either it is gone, or it only sends nothing more.
    has_hung_up: Cell<bool>,
    /// Lines whose answers are released, and of which the kernel took no byte yet, or never will. All of them are behind every answer that it took.
    released_lines: Cell<usize>,
    /// There is something to answer, or nothing more will be.
    asked: Event,
    /// Answers were handed to the kernel, or can't be.
    answered: Event,
}

impl RelpConnection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String) -> Self {
        let framer = RelpFramer::new(shard.config.line_bytes_max);
        // Answers are short, and a client waits for them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("{peer}: cannot send answers without delay: {error}");
        }
        if let Err(error) = stream.set_write_timeout(Some(RELP_UNREAD_MAX)) {
            tracing::debug!("{peer}: cannot set the time that answers may be left unread: {error}");
        }
        let peer_ip = stream.peer_addr().ok().map(|address| address.ip().to_canonical());
        let (reader, writer) = split(stream);
        let source = Source::new(peer, &shard.config.reading);
        Self {
            intake: Intake::new(shard.clone(), reader),
            writer: Some(writer),
            frames: Frames::new(shard.clone(), peer_ip, source),
            shard,
            framer,
            answering: Rc::default(),
            peer_ip,
        }
    }

    /// Serves the connection to its end, and tells why it ended. What was taken in is answered before, unless the peer is gone.
    pub(super) async fn serve(mut self) -> Closed {
        let writer = self.writer.take().expect("served once");
        let answers = glommio::spawn_local(answer_all(self.shard.clone(), self.answering.clone(), self.peer_ip, writer)).detach();
        let closed = self.receive_all().await;
        self.intake.leave();
        if closed == Closed::ByPeer && !self.frames.are_over() {
            self.answering.has_hung_up.set(true);
            if let Err(error) = self.framer.finish() {
                self.frames.end_with(error);
            }
        }
        let settling = self.frames.settling(self.answering.unanswered_lines());
        self.answering.is_ended.set(true);
        self.shard.flush();
        self.answering.asked.notify();
        let answered = async {
            answers.await;
            true
        };
        let cut_off = async {
            unread_at_stop(self.shard.clone()).await;
            false
        };
        let is_final = or(answered, cut_off).await;
        // The peer may be gone without its answers; what it sent is written all the same.
        self.shard.all_written().await;
        if let Some(settling) = settling {
            // While answers still go out nothing is certain.
            let unanswered = if is_final { self.answering.unanswered_lines() } else { 0 };
            self.frames.settle(settling, unanswered).await;
        }
        closed
    }

    async fn receive_all(&mut self) -> Closed {
        while !self.frames.are_over() {
            self.wait_for_room().await;
            if self.answering.is_broken.get() {
                return Closed::Reset;
            }
            let window_max = RECEIVE_BYTES.min(self.answering.answers.borrow().room() * RELP_FRAME_BYTES_MIN);
            match self.intake.receive(self.framer.partial_len(), window_max).await {
                Ok(received) => self.take(received).await,
                // What is not answered is sent again: nothing is lost that was not taken in.
                Err(Closed::CutOff) => return Closed::Stopped,
                Err(closed) => return closed,
            }
        }
        Closed::ByPeer
    }

    /// Waits, without the receive buffer, until there is room for the answers to what may be received: records become safe, and the peer reads.
    async fn wait_for_room(&self) {
        let Answering { answers, is_broken, answered, .. } = &*self.answering;
        let has_room = || is_broken.get() || answers.borrow().room() >= RELP_ROOM_FRAMES_MIN;
        if !has_room() {
            self.shard.flush();
            let _paused = self.shard.counters().pause(Pause::Answers);
            or(answered.wait_until(has_room), unread_at_stop(self.shard.clone())).await;
        }
    }

    /// Takes the received frames, waiting for the writer where batches are full.
    async fn take(&mut self, mut received: Received) {
        let arrival = self.shard.clock.arrival();
        let mut is_same_frame = true;
        let mut lines = 0;
        let mut chunk = received.chunk();
        loop {
            if self.shard.core.borrow().is_full() {
                self.shard.room().await;
                continue;
            }
            let Some(next) = self.framer.next(&mut chunk) else { break };
            is_same_frame = false;
            match next {
                Ok(frame) => lines += u64::from(self.frames.take(frame, arrival, &self.answering.answers)),
                Err(error) => {
                    self.frames.end_with(error);
                    break;
                }
            }
        }
        self.frames.count_lines(lines);
        self.answering.asked.notify();
        self.intake.taken(self.framer.partial_len(), is_same_frame);
    }
}

impl Answering {
    /// Whether the next answer waits for nothing.
    fn is_due(&self, shard: &Shard) -> bool {
        let answers = self.answers.borrow();
        !answers.is_empty() && answers.waits_for().is_none_or(|due| shard.is_safe(due))
    }

    /// Lines of which no byte of an answer was handed to the kernel; the last ones of the session.
    fn unanswered_lines(&self) -> usize {
        self.answers.borrow().outstanding_lines() + self.released_lines.get()
    }

    /// Hands the answers whose turn it is to the kernel, only the first of them if `is_trial`; tells whether it took them. Lines may be asked meanwhile.
    async fn answer(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        out: &mut Vec<u8>,
        is_trial: bool,
        is_safe: impl FnMut(Due) -> bool,
    ) -> bool {
        out.clear();
        let outstanding_lines = self.answers.borrow().outstanding_lines();
        if is_trial {
            self.answers.borrow_mut().release_one(out, is_safe);
        } else {
            self.answers.borrow_mut().release(out, is_safe);
        }
        self.released_lines.set(outstanding_lines - self.answers.borrow().outstanding_lines());
        let handed_over = hand_over(writer, out).await;
        if handed_over > 0 {
            self.released_lines.set(0);
        }
        let is_taken = handed_over == out.len();
        self.is_broken.set(!is_taken);
        self.answered.notify();
        is_taken
    }
}

/// Answers in order until nothing more will be asked, then says so and closes. Ends early when the peer takes no answers.
///
/// A peer that has hung up gets one answer first. If it is gone its kernel refuses that, which says for certain that all others have reached nobody; a peer that
/// only sends nothing more gets them a moment later.
async fn answer_all(shard: Rc<Shard>, answering: Rc<Answering>, peer_ip: Option<IpAddr>, mut writer: impl AsyncWrite + Unpin) {
    let Answering { answers, is_ended, has_hung_up, asked, .. } = &*answering;
    let mut out = Vec::with_capacity(RELP_ANSWER_BYTES);
    let mut is_first = true;
    let mut is_tried = false;
    loop {
        asked.wait_until(|| is_ended.get() || !answers.borrow().is_empty()).await;
        if answers.borrow().is_empty() {
            break;
        }
        // The first answer is that to `open`. A session that has ended already has sent its last line, and need not wait: least of all for itself.
        if std::mem::take(&mut is_first)
            && let Some(peer_ip) = peer_ip
        {
            or(shard.former.all_settled(peer_ip), asked.wait_until(|| is_ended.get())).await;
        }
        // Only who waits for a record hears of every write and sync.
        shard.progress.wait_until(|| answering.is_due(&shard)).await;
        let is_trial = has_hung_up.get() && !is_tried;
        if !answering.answer(&mut writer, &mut out, is_trial, |due| shard.is_safe(due)).await {
            return;
        }
        if is_trial {
            is_tried = true;
            glommio::timer::sleep(HUNG_UP_WAIT).await;
        }
    }
    if writer.write_all(SERVER_CLOSE).await.is_ok() {
        let _ = writer.close().await;
    }
}

/// Hands `out` to the kernel, and tells how many bytes of it the kernel took.
async fn hand_over(writer: &mut (impl AsyncWrite + Unpin), out: &[u8]) -> usize {
    let mut handed_over = 0;
    while handed_over < out.len() {
        match writer.write(&out[handed_over..]).await {
            Ok(0) | Err(_) => break,
            Ok(len) => handed_over += len,
        }
    }
    handed_over
}

/// Waits until the shard stops and a peer has had its time to read what it is answered.
async fn unread_at_stop(shard: Rc<Shard>) {
    let ticket = shard.stop.ticket();
    ticket.requested().await;
    while !shard.stop.is_past_deadline() {
        glommio::timer::sleep(STOP_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    /// A connection whose peer reads nothing, and then is gone.
    #[derive(Default)]
    struct Stuck {
        is_gone: bool,
    }

    impl AsyncWrite for Stuck {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            if std::mem::replace(&mut self.is_gone, true) { Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) } else { Poll::Pending }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn lines_that_come_while_answers_are_stuck_are_unanswered_as_well() {
        let answering = Answering::default();
        let ask = |txnrs: std::ops::Range<u32>| {
            txnrs.for_each(|txnr| answering.answers.borrow_mut().push_record(txnr, Due { stream: 0, record: txnr.into() }));
        };
        let (mut writer, mut out) = (Stuck::default(), Vec::new());
        ask(1..4);
        let mut answer = pin!(answering.answer(&mut writer, &mut out, false, |_| true));
        assert_eq!(block_on(poll_once(&mut answer)), None);
        assert_eq!(answering.unanswered_lines(), 3, "none is forgotten if the connection ends now");
        ask(4..9);
        assert_eq!(block_on(poll_once(&mut answer)), Some(false));
        assert_eq!((answering.unanswered_lines(), answering.is_broken.get()), (8, true));
    }
}
