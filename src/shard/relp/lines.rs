//! The lines of one RELP session: whether each is sent again, and what is remembered of them when the session has ended.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::rc::Rc;

use hashbrown::DefaultHashBuilder;

use crate::record::framer::{Frame, FrameKind};
use crate::record::relp::{Due, Recogniser, Tail};
use crate::shard::Shard;
use crate::shard::former::Settling;
use crate::store::name::Stream;

/// See the module.
pub(super) struct SessionLines {
    shard: Rc<Shard>,
    /// Where many clients may be, if it is known.
    peer: Option<IpAddr>,
    hasher: DefaultHashBuilder,
    recogniser: Recogniser,
    tail: Tail,
    /// The last record, by stream.
    last: [u64; Stream::SLOTS],
}

impl SessionLines {
    /// Of a session that has sent none.
    pub(super) fn new(shard: Rc<Shard>, peer: Option<IpAddr>) -> Self {
        let hasher = shard.former.hasher();
        Self { shard, peer, hasher, recogniser: Recogniser::default(), tail: Tail::default(), last: [0; Stream::SLOTS] }
    }

    /// Takes note of the next line, and tells whether it is a resend: stored already, under an earlier session of the same peer, and safe.
    pub(super) fn is_resend(&mut self, line: &Frame<'_>) -> bool {
        let is_whole = line.kind == FrameKind::Whole;
        let hash = self.hasher.hash_one((line.line(), is_whole));
        self.tail.push(hash);
        if !is_whole {
            self.recogniser = Recogniser::Over; // what differs may have been cut off
        }
        self.recogniser.is_resend(hash, || self.shard.former.claim(self.peer?, hash))
    }

    /// The line became a record.
    pub(super) fn stored(&mut self, due: Due) {
        self.last[usize::from(due.stream)] = due.record;
    }

    /// The session has ended: a client that comes back waits until this is settled, if lines are unanswered, or not sent again yet.
    pub(super) fn settling(&self, unanswered: usize) -> Option<Settling> {
        let peer = self.peer.filter(|_| unanswered > 0 || self.recogniser.is_in_midst())?;
        self.shard.counters().relp_settling.add(1);
        Some(self.shard.former.settling(peer))
    }

    /// The last `unanswered` lines were not answered, and nothing more will be: remembers them when they are safe.
    pub(super) async fn settle(&mut self, settling: Settling, unanswered: usize) {
        let not_yet = std::mem::take(&mut self.recogniser).into_not_yet();
        if let Some(memory) = std::mem::take(&mut self.tail).remember(unanswered, not_yet) {
            let dues = Stream::BY_SLOT.map(|stream| Due { stream: stream as u8, record: self.last[stream.slot()] });
            self.shard.progress.wait_until(|| dues.iter().all(|due| self.shard.is_safe(*due))).await;
            settling.remember(memory);
        }
        self.shard.counters().relp_settling.sub(1);
    }
}
