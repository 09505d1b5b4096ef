//! One connection that speaks RELP: frames in, answers out when their records are safe.
//!
//! Two tasks share the connection: one receives and hands frames to the core, one answers. The answering one alone waits for the peer, so a client that does
//! not read its answers stops itself and nobody else: it is not received from while answers pile up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::io::{ReadHalf, WriteHalf, split};
use futures_lite::{AsyncWrite, AsyncWriteExt};
use glommio::net::TcpStream;

use crate::limits::{RECEIVE_BYTES, RELP_ANSWER_BYTES, RELP_FRAME_BYTES_MIN, RELP_ROOM_FRAMES_MIN};
use crate::metrics::counters::{Closed, Pause};
use crate::record::relp::{Answer, Answers, RelpFramer, SERVER_CLOSE, Session, Step};

use super::Shard;
use super::core::Source;
use super::event::Event;
use super::intake::Intake;
use super::turn::Received;

/// How often a stop looks whether its time is over.
const STOP_POLL: Duration = Duration::from_millis(50);

/// A RELP connection on its shard.
pub(super) struct RelpConnection {
    shard: Rc<Shard>,
    intake: Intake<ReadHalf<TcpStream>>,
    writer: Option<WriteHalf<TcpStream>>,
    framer: RelpFramer,
    session: Session,
    answering: Rc<Answering>,
    source: Source,
}

/// What the two tasks of a connection share.
#[derive(Default)]
struct Answering {
    answers: RefCell<Answers>,
    /// Nothing more will be asked.
    is_ended: Cell<bool>,
    /// The peer takes no answers any more.
    is_broken: Cell<bool>,
    /// There is something to answer, or nothing more will be.
    asked: Event,
    /// Answers were handed to the kernel, or can't be.
    answered: Event,
}

impl RelpConnection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String) -> Self {
        let framer = RelpFramer::new(shard.config.line_bytes_max);
        let (reader, writer) = split(stream);
        let source = Source::new(peer, &shard.config.reading);
        Self {
            intake: Intake::new(shard.clone(), reader),
            writer: Some(writer),
            shard,
            framer,
            session: Session::default(),
            answering: Rc::default(),
            source,
        }
    }

    /// Serves the connection to its end, and tells why it ended. What was taken in is answered before, unless the peer is gone.
    pub(super) async fn serve(mut self) -> Closed {
        let writer = self.writer.take().expect("served once");
        let answers = glommio::spawn_local(answer_all(self.shard.clone(), self.answering.clone(), writer)).detach();
        let closed = self.receive_all().await;
        self.intake.leave();
        if closed == Closed::ByPeer
            && !self.session.is_ended()
            && let Err(error) = self.framer.finish()
        {
            self.shard.counters().relp_errors[error as usize].add(1);
        }
        self.answering.is_ended.set(true);
        self.shard.flush();
        self.answering.asked.notify();
        let answered = async {
            answers.await;
        };
        or(answered, unread_at_stop(self.shard.clone())).await;
        // The peer may be gone without its answers; what it sent is written all the same.
        self.shard.all_written().await;
        closed
    }

    async fn receive_all(&mut self) -> Closed {
        while !self.session.is_ended() {
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

    /// Hands the received frames to the session and the core.
    async fn take(&mut self, mut received: Received) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        let mut is_same_frame = true;
        let mut chunk = received.chunk();
        loop {
            if shard.core.borrow().is_full() {
                shard.room().await;
                continue;
            }
            let Some(next) = self.framer.next(&mut chunk) else { break };
            is_same_frame = false;
            let frame = match next {
                Ok(frame) => frame,
                Err(error) => {
                    self.session.end();
                    shard.counters().relp_errors[error as usize].add(1);
                    break;
                }
            };
            let txnr = frame.txnr;
            match self.session.on_frame(&frame) {
                Step::Record => {
                    let due = shard.core.borrow_mut().line(frame.payload, arrival, &mut self.source);
                    shard.want(due);
                    self.answering.answers.borrow_mut().push_record(txnr, due);
                }
                Step::Answer(answer) | Step::AnswerAndClose(answer) => {
                    if let Answer::Refused(error) = answer {
                        shard.counters().relp_errors[error as usize].add(1);
                    }
                    self.answering.answers.borrow_mut().push(txnr, answer);
                }
                Step::Close(error) => shard.counters().relp_errors[error as usize].add(1),
                Step::Ignore => {}
            }
        }
        shard.publish_appended();
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
}

/// Answers in order until nothing more will be asked, then says so and closes. Ends early when the peer takes no answers.
async fn answer_all(shard: Rc<Shard>, answering: Rc<Answering>, mut writer: impl AsyncWrite + Unpin) {
    let Answering { answers, is_ended, is_broken, asked, answered } = &*answering;
    let mut out = Vec::with_capacity(RELP_ANSWER_BYTES);
    loop {
        asked.wait_until(|| is_ended.get() || !answers.borrow().is_empty()).await;
        if answers.borrow().is_empty() {
            break;
        }
        // Only who waits for a record hears of every write and sync.
        shard.progress.wait_until(|| answering.is_due(&shard)).await;
        answers.borrow_mut().release(&mut out, |due| shard.is_safe(due));
        let written = writer.write_all(&out).await;
        out.clear();
        is_broken.set(written.is_err());
        answered.notify();
        if written.is_err() {
            return;
        }
    }
    if writer.write_all(SERVER_CLOSE).await.is_ok() {
        let _ = writer.close().await;
    }
}

/// Waits until the shard stops and a peer has had its time to read what it is answered.
async fn unread_at_stop(shard: Rc<Shard>) {
    let ticket = shard.stop.ticket();
    ticket.requested().await;
    while !shard.stop.is_past_deadline() {
        glommio::timer::sleep(STOP_POLL).await;
    }
}
