//! What one connection keeps of a line between two receives.
//!
//! Grows with what has come, never with what was announced, and gives memory that a long line needed back.

use super::{Frame, FrameKind, PADDING};
use crate::limits::PARTIAL_SMALL_BYTES;

/// An unfinished line. Allocates nothing until there is one.
#[derive(Debug, Default)]
pub(in crate::record) struct Partial {
    /// The unfinished line, then padding.
    bytes: Vec<u8>,
    /// Bytes of the unfinished line.
    kept: usize,
    /// The line was handed out as a frame and is to be forgotten.
    is_handed_out: bool,
}

impl Partial {
    /// The unfinished line.
    pub(in crate::record) fn unfinished(&self) -> &[u8] {
        &self.bytes[..self.kept]
    }

    /// Bytes of the unfinished line; none once it is handed out.
    pub(in crate::record) fn len(&self) -> usize {
        if self.is_handed_out { 0 } else { self.kept }
    }

    /// Heap bytes held.
    pub(in crate::record) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends to the unfinished line.
    pub(in crate::record) fn keep(&mut self, fresh: &[u8]) {
        self.bytes.truncate(self.kept);
        self.bytes.extend_from_slice(fresh);
        self.kept += fresh.len();
    }

    /// Gives the unfinished line away, with room for padding behind it, and its length.
    pub(super) fn take(&mut self) -> (Vec<u8>, usize) {
        let Self { mut bytes, kept, .. } = std::mem::take(self);
        bytes.resize(kept + PADDING, 0);
        (bytes, kept)
    }

    /// Notes that the line is finished: [`frame`](Self::frame) shows it until [`forget_handed_out`](Self::forget_handed_out).
    pub(in crate::record) fn hand_out(&mut self) {
        self.is_handed_out = true;
    }

    /// Forgets the line if it was handed out.
    pub(in crate::record) fn forget_handed_out(&mut self) {
        if !self.is_handed_out {
            return;
        }
        self.is_handed_out = false;
        self.kept = 0;
        if self.bytes.capacity() > PARTIAL_SMALL_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Forgets the first `len` bytes.
    pub(in crate::record) fn remove_front(&mut self, len: usize) {
        self.bytes.copy_within(len..self.kept, 0);
        self.kept -= len;
    }

    /// The `len` bytes from `start` on, with padding behind them.
    pub(in crate::record) fn frame(&mut self, start: usize, len: usize, kind: FrameKind) -> Frame<'_> {
        let padded_len = start + len + PADDING;
        if self.bytes.len() < padded_len {
            self.bytes.resize(padded_len, 0); // beyond `kept`: only padding
        }
        Frame { padded: &mut self.bytes[start..], len, kind, may_hold_newlines: false }
    }
}
