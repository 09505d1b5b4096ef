//! Whether a stored line is one that the run made, byte for byte. Pure.
//!
//! All of a line is compared but its time slot, which must have a time's shape. A line may have been stored as it was sent, as the members of a
//! JSON object whose `layout` gives it back, or as its `message` (what a text line becomes), or with `tags` as its last member (what a matching tag adds). A CSV line may have become an object whose members are its columns.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::slots::{ID_BYTES, RUN_BYTES, STAMP_BYTES};
use super::{Format, LineId, Payload, Stamp};

/// What a stored line is to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The line with this identity, unaltered.
    Intact(LineId),
    /// The line with this identity, its columns the members of an object, unaltered. They have their names, so no header is needed.
    ByColumn(LineId),
    /// It has the identity of a line, but not its bytes.
    Altered(LineId),
    /// It names the run, but not in the place and form of an identity.
    Garbled,
    /// The format's header line.
    Header,
    /// It does not name the run.
    Other,
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
        if self.format() == Format::Csv
            && let Some(bare) = from_columns(line)
            && let Some(judgement) = self.judge_bare(&bare)
        {
            return if let Judgement::Intact(id) = judgement { Judgement::ByColumn(id) } else { judgement };
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

/// The line that a stored text record was: its message, or, where it has a layout, the layout with the members' values in their places.
fn unwrap(line: &[u8]) -> Option<String> {
    let record: Map<String, Value> = (line.first() == Some(&b'{')).then(|| serde_json::from_slice(line).ok()).flatten()?;
    let Some(layout) = record.get("layout") else { return record.get("message")?.as_str().map(str::to_owned) };
    let (mut rest, mut inner) = (layout.as_str()?, String::new());
    while let Some((literal, after)) = rest.split_once('{') {
        inner += literal;
        rest = match after.strip_prefix('{') {
            Some(after) => {
                inner.push('{');
                after
            }
            None => {
                let (name, after) = after.split_once('}')?;
                match record.get(name)? {
                    Value::String(text) => inner += text,
                    value => inner += &value.to_string(),
                }
                after
            }
        };
    }
    Some(inner + rest)
}

/// The CSV line whose columns are the members of a stored object. Any other member but `tags` was never sent.
fn from_columns(line: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Columns<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
        level: Cow<'a, str>,
        service: Cow<'a, str>,
        message: Cow<'a, str>,
        user_id: Cow<'a, str>,
        session_token: Cow<'a, str>,
        request: Cow<'a, str>,
        latency_ms: Cow<'a, str>,
        event_id: Cow<'a, str>,
        #[serde(default, rename = "tags")]
        _tags: IgnoredAny,
    }
    let of: Columns<'_> = serde_json::from_slice(line).ok()?;
    let quote = if of.message.contains(',') { "\"" } else { "" };
    let before = format!("{},{},{},{quote}{}{quote}", of.timestamp, of.level, of.service, of.message);
    let after = format!("{},{},{},{},{}", of.user_id, of.session_token, of.request, of.latency_ms, of.event_id);
    Some(format!("{before},{after}").into_bytes())
}

fn without_tags(line: &[u8]) -> Option<Vec<u8>> {
    let at = memmem::rfind(line, br#","tags":["#)?;
    line.ends_with(b"]}").then(|| [&line[..at], b"}"].concat())
}
