//! Whether a stored line is one that the run made, byte for byte. Pure.
//!
//! All of a line is compared but its time slot, which must have a time's shape. A line may have been stored as it was sent, as the `message` of a JSON
//! object (what a text line becomes), or with `tags` as its last member (what a matching tag adds).

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

use super::slots::{ID_BYTES, RUN_BYTES, STAMP_BYTES};
use super::{LineId, Payload, Stamp};

/// What a stored line is to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The line with this identity, unaltered.
    Intact(LineId),
    /// It has the identity of a line, but not its bytes.
    Altered(LineId),
    /// It names the run, but not in the place and form of an identity.
    Garbled,
    /// The format's header line.
    Header,
    /// It does not name the run.
    Other,
}

/// What is read of a line that was stored as a message.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Payload {
    /// Judges a stored line, given without its newline.
    pub fn judge(&self, line: &[u8]) -> Judgement {
        if let Some(judgement) = self.judge_bare(line) {
            return judgement;
        }
        if let Some(inner) = unwrap(line)
            && let Some(judgement) = self.judge_bare(inner.as_bytes())
        {
            return judgement;
        }
        if let Some(bare) = without_tags(line)
            && let Some(judgement) = self.judge_bare(&bare)
        {
            return judgement;
        }
        if memmem::find(line, &self.run).is_some() { Judgement::Garbled } else { Judgement::Other }
    }

    /// Judges a line as it was sent; `None` when it has no identity of this run where one belongs and is no header.
    fn judge_bare(&self, line: &[u8]) -> Option<Judgement> {
        let id_end = line.len().checked_sub(self.format().after_id())?;
        let Some(id) = id_end.checked_sub(ID_BYTES).and_then(|id_start| LineId::parse(&line[id_start..id_end], &self.run)) else {
            let header = self.format().header();
            return (!header.is_empty() && line == &header[..header.len() - 1]).then_some(Judgement::Header);
        };
        Some(if self.is_intact(line, id) { Judgement::Intact(id) } else { Judgement::Altered(id) })
    }

    fn is_intact(&self, line: &[u8], id: LineId) -> bool {
        let (block, place) = self.place(id.client, id.seq);
        let made = block.line(place);
        let stamp_at = self.format().before_stamp();
        let after_stamp = stamp_at + STAMP_BYTES;
        // The identity after the run's name was parsed strictly, and it chose the line to compare with.
        let id_at = made.len() - self.format().after_id() - ID_BYTES;
        let patched_to = id_at + ID_BYTES;
        line.len() == made.len()
            && line[..stamp_at] == made[..stamp_at]
            && Stamp::has_shape(&line[stamp_at..after_stamp])
            && line[after_stamp..id_at + RUN_BYTES] == made[after_stamp..id_at + RUN_BYTES]
            && line[patched_to..] == made[patched_to..]
    }

    /// The line itself, as `client` would send it with `stamp`, without its newline.
    pub fn line(&self, id: LineId, stamp: &Stamp) -> Vec<u8> {
        let mut line = Vec::new();
        self.append(&mut line, id.client, id.seq, 1, stamp);
        line.pop();
        line
    }
}

fn unwrap(line: &[u8]) -> Option<Cow<'_, str>> {
    (line.first() == Some(&b'{')).then(|| serde_json::from_slice::<Wrapped<'_>>(line).ok()).flatten().map(|wrapped| wrapped.message)
}

fn without_tags(line: &[u8]) -> Option<Vec<u8>> {
    let at = memmem::rfind(line, br#","tags":["#)?;
    line.ends_with(b"]}").then(|| [&line[..at], b"}"].concat())
}
