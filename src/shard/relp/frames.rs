//! What becomes of the frames of one RELP connection: each goes to the session, and to the core if it is a line; and each that is answered has its place among the
//! answers.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use crate::record::relp::{Answer, Answers, RelpError, RelpFrame, Session, Step};
use crate::shard::Shard;
use crate::shard::core::Source;
use crate::shard::former::Settling;
use crate::shard::lane::Arrival;

use super::lines::SessionLines;

/// See the module.
pub(super) struct Frames {
    shard: Rc<Shard>,
    session: Session,
    lines: SessionLines,
    source: Source,
}

impl Frames {
    /// Of a connection that has sent none. `peer_ip` is where many clients may be, if it is known.
    pub(super) fn new(shard: Rc<Shard>, peer_ip: Option<IpAddr>, source: Source) -> Self {
        Self { lines: SessionLines::new(shard.clone(), peer_ip), session: Session::default(), shard, source }
    }

    /// Whether the peer will send nothing more that counts.
    pub(super) fn are_over(&self) -> bool {
        self.session.is_ended()
    }

    /// Takes one frame, for which the core and `answers` must have room. Returns whether it was a line to store.
    pub(super) fn take(&mut self, frame: RelpFrame<'_>, arrival: Arrival, answers: &RefCell<Answers>) -> bool {
        let txnr = frame.txnr;
        match self.session.on_frame(&frame) {
            Step::Record => return self.take_line(frame, arrival, answers),
            Step::Answer(answer) | Step::AnswerAndClose(answer) => {
                if let Answer::Refused(error) = answer {
                    self.count(error);
                }
                answers.borrow_mut().push(txnr, answer);
            }
            Step::Close(error) => self.count(error),
            Step::Ignore => {}
        }
        false
    }

    fn take_line(&mut self, frame: RelpFrame<'_>, arrival: Arrival, answers: &RefCell<Answers>) -> bool {
        let Self { shard, lines, source, .. } = self;
        if lines.is_resend(&frame.payload) {
            shard.counters().relp_resends_suppressed.add(1);
            answers.borrow_mut().push_resent(frame.txnr);
            return false;
        }
        match shard.core.borrow_mut().line(frame.payload, arrival, source) {
            Some(due) => {
                shard.want(due);
                lines.stored(due);
                answers.borrow_mut().push_record(frame.txnr, due);
            }
            // A rule left it out: as with what is stored already, there is nothing to wait for but the answers before.
            None => answers.borrow_mut().push_resent(frame.txnr),
        }
        true
    }

    /// The stream makes no frame any more.
    pub(super) fn end_with(&mut self, error: RelpError) {
        self.session.end();
        self.count(error);
    }

    fn count(&self, error: RelpError) {
        self.shard.counters().relp_errors[error as usize].add(1);
    }

    /// `lines` of its source have been taken in.
    pub(super) fn count_lines(&self, lines: u64) {
        self.shard.core.borrow_mut().sources.count(&self.source.name, lines);
        self.shard.publish_taken();
    }

    /// See [`SessionLines::settling`].
    pub(super) fn settling(&self, unanswered: usize) -> Option<Settling> {
        self.lines.settling(unanswered)
    }

    /// See [`SessionLines::settle`].
    pub(super) async fn settle(&mut self, settling: Settling, unanswered: usize) {
        self.lines.settle(settling, unanswered).await;
    }
}
