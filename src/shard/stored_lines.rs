//! After a crash one stream may hold lines of a file that the other one does not hold yet: of those that are read again, what is stored is left out.
//!
//! Which stream a line belongs to is only known once it was read, so it is read twice: once for that, in a core whose records go nowhere. Only for the few lines between
//! the two streams' checkpoints.

use super::Shard;
use super::core::{ShardCore, Source};
use super::lane::{Arrival, Lane};
use crate::record::framer::{Frame, FrameKind};
use crate::store::name::Stream;
use crate::store::policy::RotationPolicy;

/// See the module.
pub(super) struct StoredLines {
    /// By slot: lines that end up to here are stored.
    stored: [u64; Stream::SLOTS],
    core: ShardCore,
    line: Vec<u8>,
    kind: FrameKind,
    may_hold_newlines: bool,
}

impl StoredLines {
    /// For a file that is read from `offset` on; none if nothing beyond is stored.
    pub(super) fn beyond(offset: u64, stored: [u64; Stream::SLOTS], shard: &Shard) -> Option<Self> {
        let is_beyond = stored.iter().any(|stored| offset < *stored);
        is_beyond.then(|| {
            let config = &shard.config;
            let lane = || Lane::new(RotationPolicy { bytes_max: u64::MAX, age_ms_max: u64::MAX }, 0, 0);
            let core = ShardCore::new(&config.reading, lane(), lane()).with_rules(config.rules.clone(), config.patterns.clone());
            Self { stored, core, line: Vec::new(), kind: FrameKind::Whole, may_hold_newlines: false }
        })
    }

    /// Keeps the next line.
    pub(super) fn keep(&mut self, frame: Frame<'_>) {
        self.line.clear();
        self.line.extend_from_slice(frame.line());
        (self.kind, self.may_hold_newlines) = (frame.kind, frame.may_hold_newlines);
    }

    /// Hands it, which ends at `end` of its file, to `core`, unless it is stored.
    pub(super) fn line(&mut self, end: u64, core: &mut ShardCore, arrival: Arrival, source: &mut Source) {
        if !self.is_stored(end, arrival, source) {
            core.line(Frame::new(&mut self.line, self.kind, self.may_hold_newlines), arrival, source);
        }
    }

    fn is_stored(&mut self, end: u64, arrival: Arrival, source: &Source) -> bool {
        if self.stored.iter().all(|stored| *stored < end) {
            return false;
        }
        let mut copy = self.line.clone();
        let became = self.core.line(Frame::new(&mut copy, self.kind, self.may_hold_newlines), arrival, &mut source.clone());
        for stream in Stream::BY_SLOT {
            let lane = self.core.lane_mut(stream);
            if lane.has_work() {
                lane.swap(Default::default());
            }
        }
        became.is_some_and(|due| end <= self.stored[usize::from(due.stream)])
    }
}
