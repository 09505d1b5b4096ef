//! One connection that speaks RELP: frames in, answers out when their records are safe.
//!
//! Two tasks share the connection: one receives and hands frames to the core, one answers. The answering one alone waits for the peer, so a client that does
//! not read its answers stops itself and nobody else: it is not received from while answers pile up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_lite::io::{ReadHalf, WriteHalf, split};
use futures_lite::{AsyncWrite, AsyncWriteExt};
use glommio::net::TcpStream;

use crate::limits::{RELP_ANSWER_BYTES, RELP_RECEIVE_BYTES, RELP_RECEIVE_FRAMES_MAX, RELP_WINDOW_FRAMES_MAX};
use crate::metrics::counters::{Closed, Pause};
use crate::record::relp::{Answer, Answers, RelpError, RelpFramer, SERVER_CLOSE, Session, Step};

use super::Shard;
use super::event::Event;
use super::intake::Intake;
use super::turn::Received;

/// A RELP connection on its shard.
pub(super) struct RelpConnection {
    shard: Rc<Shard>,
    intake: Intake<ReadHalf<TcpStream>>,
    writer: Option<WriteHalf<TcpStream>>,
    framer: RelpFramer,
    session: Session,
    answering: Rc<Answering>,
    peer: String,
}

/// What the two tasks of a connection share.
#[derive(Default)]
struct Answering {
    answers: RefCell<Answers>,
    /// Answers whose turn has come, not handed to the kernel yet.
    out: RefCell<Vec<u8>>,
    /// Nothing more will be asked.
    is_ended: Cell<bool>,
    /// The peer takes no answers any more.
    is_broken: Cell<bool>,
    /// Answers were handed to the kernel, or can't be.
    answered: Event,
}

impl RelpConnection {
    /// Takes a socket over. `peer` is its address as it appears in the rejected stream.
    pub(super) fn new(shard: Rc<Shard>, stream: TcpStream, peer: String) -> Self {
        let framer = RelpFramer::new(shard.config.line_bytes_max);
        let (reader, writer) = split(stream);
        Self {
            intake: Intake::new(shard.clone(), reader, RELP_RECEIVE_BYTES),
            writer: Some(writer),
            shard,
            framer,
            session: Session::default(),
            answering: Rc::default(),
            peer,
        }
    }

    /// Serves the connection to its end, and tells why it ended. What was taken in is answered before, unless the peer is gone.
    pub(super) async fn serve(mut self) -> Closed {
        let writer = self.writer.take().expect("served once");
        let answers = glommio::spawn_local(answer_all(self.shard.clone(), self.answering.clone(), writer)).detach();
        let closed = self.receive_all().await;
        self.intake.leave();
        if let Err(error) = self.framer.finish() {
            self.count(error);
        }
        self.answering.is_ended.set(true);
        self.shard.flush();
        self.shard.progress.notify();
        answers.await;
        // The peer may be gone without its answers; what it sent is written all the same.
        self.shard.all_written().await;
        closed
    }

    async fn receive_all(&mut self) -> Closed {
        while !self.session.is_ended() {
            self.wait_for_peer().await;
            if self.answering.is_broken.get() {
                return Closed::Reset;
            }
            match self.intake.receive(self.framer.partial_len()).await {
                Ok(received) => self.take(received).await,
                Err(closed) => return closed,
            }
        }
        Closed::ByPeer
    }

    /// Waits, without the receive buffer, until the peer has read so many of its answers that a full receive finds room for its own.
    async fn wait_for_peer(&self) {
        let Answering { answers, out, is_broken, answered, .. } = &*self.answering;
        let has_room = || {
            let outstanding = answers.borrow().outstanding();
            is_broken.get() || (outstanding + RELP_RECEIVE_FRAMES_MAX <= RELP_WINDOW_FRAMES_MAX && out.borrow().len() <= RELP_ANSWER_BYTES)
        };
        if !has_room() {
            self.shard.flush();
            let _paused = self.shard.counters().pause(Pause::Answers);
            answered.wait_until(has_room).await;
        }
    }

    /// Hands the received frames to the session and the core.
    async fn take(&mut self, mut received: Received) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        let unfinished_len = self.framer.partial_len() + received.len();
        let mut chunk = received.chunk();
        loop {
            if shard.core.borrow().is_full() {
                shard.room().await;
                continue;
            }
            if self.answering.answers.borrow().is_full() {
                self.wait_for_records().await;
                continue;
            }
            let Some(next) = self.framer.next(&mut chunk) else { break };
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
                    let due = shard.core.borrow_mut().line(frame.payload, arrival, &self.peer);
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
        shard.progress.notify(); // answers that wait for nothing
        let partial_len = self.framer.partial_len();
        self.intake.taken(partial_len, partial_len == unfinished_len);
    }

    /// Waits until the next answer's turn has come, so that there is room for another. Depends on the disk alone, and not on the peer: the receive buffer is in
    /// hand.
    async fn wait_for_records(&self) {
        self.shard.flush();
        let _paused = self.shard.counters().pause(Pause::Writer);
        let has_room = || !self.answering.answers.borrow().is_full();
        self.shard.progress.wait_until(|| has_room() || self.answering.is_due(&self.shard)).await;
        self.answering.release(&self.shard, usize::MAX);
    }

    fn count(&self, error: RelpError) {
        self.shard.counters().relp_errors[error as usize].add(1);
    }
}

impl Answering {
    /// Whether the next answer waits for nothing.
    fn is_due(&self, shard: &Shard) -> bool {
        let answers = self.answers.borrow();
        !answers.is_empty() && answers.waits_for().is_none_or(|due| shard.is_safe(due))
    }

    /// Moves answers whose turn has come to `out`, until it holds `bytes_max`.
    fn release(&self, shard: &Shard, bytes_max: usize) {
        let (mut answers, mut out) = (self.answers.borrow_mut(), self.out.borrow_mut());
        let mut released = Vec::new();
        while out.len() < bytes_max && answers.release(&mut released, |due| shard.is_safe(due)) > 0 {
            out.append(&mut released);
        }
    }
}

/// Answers in order until nothing more will be asked, then says so and closes. Ends early when the peer takes no answers.
async fn answer_all(shard: Rc<Shard>, answering: Rc<Answering>, mut writer: impl AsyncWrite + Unpin) {
    let Answering { answers, out, is_ended, is_broken, answered } = &*answering;
    loop {
        let has_ended = || is_ended.get() && answers.borrow().is_empty();
        shard.progress.wait_until(|| !out.borrow().is_empty() || answering.is_due(&shard) || has_ended()).await;
        answering.release(&shard, RELP_ANSWER_BYTES);
        let bytes = std::mem::take(&mut *out.borrow_mut());
        if bytes.is_empty() && has_ended() {
            break;
        }
        let written = writer.write_all(&bytes).await;
        answered.notify();
        if written.is_err() {
            is_broken.set(true);
            return;
        }
    }
    if writer.write_all(SERVER_CLOSE).await.is_ok() {
        let _ = writer.close().await;
    }
}
