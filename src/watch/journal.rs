//! The journal of checkpoints, as text, and what of it holds after a crash. Pure.
//!
//! One line per entry, each behind the CRC-32 of the rest. The last one may be torn. One before it that can't be read is damage: the others count all the same, but nothing
//! may be taken back on the word of such a journal.
//!
//! ```text
//! file ID DEV INO LEN CRC PATH              a content: where it is, how it begins
//! read ID OFFSET[+] OFFSET[+]               by slot: its lines before are stored and durable; + is within a line that is passed over
//! at SHARD STREAM SEQ OFFSET                the store: everything before is durable
//! batch SHARD STREAM SEQ FROM TO CRC ALSO ID:OFFSET[+],…    these bytes are stored, and with them the files' lines before; ALSO of the other slot, if it is 1
//! archived SHARD STREAM SEQ                 this segment is durable, and may be deleted
//! idle SHARD ID:OFFSET[+],…                 lines that left nothing in the store
//! gone ID                                   nobody needs to know it any more
//! shared                                    others write to the store besides
//! ```
//!
//! A `batch` is written before its bytes are, so the journal always knows what the store may hold. Whether the store does hold it is looked up ([`Held`]): where the bytes are not
//! there, or others are, that entry and what follows of its shard and slot is not true. So the last entry that is true says how far each file is stored, to the line. Of a segment that is gone nothing can be
//! looked up: it was there if it was archived, or if something later of its shard and stream is there.
//!
//! Invariant: offsets of one content only grow, so of two entries the larger offset is the later one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::content::{FileId, FileKey, Head};
use crate::store::name::{SEQUENCE_MAX, Stream};

/// Where a file's lines have been taken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Offset {
    /// Bytes before.
    pub bytes: u64,
    /// The rest of a line is to be passed over.
    pub is_mid_line: bool,
}

/// Bytes of a stream of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The shard.
    pub shard: usize,
    /// The stream.
    pub stream: Stream,
    /// The segment's number.
    pub seq: u64,
    /// The first byte.
    pub from: u64,
    /// Behind the last one.
    pub to: u64,
    /// The CRC-32 of them.
    pub crc: u32,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// See the module.
    File(FileRecord),
    /// By slot.
    Read(FileId, [Offset; Stream::SLOTS]),
    /// Shard, stream, segment, offset.
    At(usize, Stream, u64, u64),
    /// What is stored, and up to where that brings the files.
    Batch {
        /// The bytes.
        extent: Extent,
        /// Whether the other slot has everything before as well.
        is_of_both: bool,
        /// The files that moved.
        files: Vec<(FileId, Offset)>,
    },
    /// The same without bytes, for both slots.
    Idle(usize, Vec<(FileId, Offset)>),
    /// Shard, stream, segment.
    Archived(usize, Stream, u64),
    /// Forget it.
    Gone(FileId),
    /// What the store holds beyond is not of files alone.
    Shared,
}

/// What is known of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Its number.
    pub id: FileId,
    /// Where it is.
    pub key: FileKey,
    /// How it begins.
    pub head: Head,
    /// Where it was found last.
    pub path: PathBuf,
}

impl Entry {
    /// Appends it as a line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let text = self.text();
        out.extend_from_slice(format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).as_bytes());
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let written = match self {
            Self::File(FileRecord { id, key, head, path }) => {
                write!(text, "file {id} {} {} {} {:x} {}", key.dev, key.ino, head.len, head.crc, escaped(path))
            }
            Self::Read(id, [accepted, rejected]) => write!(text, "read {id} {} {}", shown(*accepted), shown(*rejected)),
            Self::At(shard, stream, seq, offset) => write!(text, "at {shard} {} {seq} {offset}", stream.name()),
            Self::Batch { extent: Extent { shard, stream, seq, from, to, crc }, is_of_both, files } => {
                write!(text, "batch {shard} {} {seq} {from} {to} {crc:x} {} {}", stream.name(), u8::from(*is_of_both), listed(files))
            }
            Self::Archived(shard, stream, seq) => write!(text, "archived {shard} {} {seq}", stream.name()),
            Self::Idle(shard, files) => write!(text, "idle {shard} {}", listed(files)),
            Self::Gone(id) => write!(text, "gone {id}"),
            Self::Shared => write!(text, "shared"),
        };
        written.expect("a string takes everything");
        text
    }

    fn parse(line: &str) -> Option<Entry> {
        let (crc, text) = line.split_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
            return None;
        }
        let mut words = text.split(' ');
        let kind = words.next()?;
        let number = |text: Option<&str>| text?.parse::<u64>().ok();
        Some(match kind {
            "file" => {
                let mut number = || number(words.next());
                let (id, dev, ino, len) = (number()?, number()?, number()?, number()?);
                let crc = u32::from_str_radix(words.next()?, 16).ok()?;
                let head = Head { len: u32::try_from(len).ok()?, crc, ..Head::default() };
                Entry::File(FileRecord { id, key: FileKey { dev, ino }, head, path: unescaped(words.next()?)? })
            }
            "read" => {
                let id = number(words.next())?;
                Entry::Read(id, [offset(words.next()?)?, offset(words.next()?)?])
            }
            "at" => Entry::At(shard(words.next()?)?, Stream::parse(words.next()?)?, segment(words.next()?)?, number(words.next())?),
            "batch" => {
                let (shard, stream, seq) = (shard(words.next()?)?, Stream::parse(words.next()?)?, segment(words.next()?)?);
                let (from, to) = (number(words.next())?, number(words.next())?);
                let crc = u32::from_str_radix(words.next()?, 16).ok()?;
                let is_of_both = words.next()? == "1";
                Entry::Batch { extent: Extent { shard, stream, seq, from, to, crc }, is_of_both, files: files(words.next()?)? }
            }
            "idle" => Entry::Idle(shard(words.next()?)?, files(words.next()?)?),
            "archived" => Entry::Archived(shard(words.next()?)?, Stream::parse(words.next()?)?, segment(words.next()?)?),
            "gone" => Entry::Gone(number(words.next())?),
            "shared" => Entry::Shared,
            _ => return None,
        })
    }
}

/// A journal, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// Whether a line before the last one can't be read.
    pub is_damaged: bool,
}

impl Journal {
    /// Reads it; a last line that can't be read is passed over.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            match text.and_then(Entry::parse) {
                Some(entry) => journal.entries.push(entry),
                None => journal.is_damaged |= lines.peek().is_some(),
            }
        }
        journal
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.is_damaged
    }

    /// The largest number that a segment of each stream and shard has had, as far as it is named.
    pub fn numbers(&self) -> BTreeMap<(Stream, usize), u64> {
        let mut numbers = BTreeMap::new();
        let mut had = |stream: Stream, shard: usize, seq: u64| {
            let largest = numbers.entry((stream, shard)).or_default();
            *largest = seq.max(*largest);
        };
        for entry in &self.entries {
            match entry {
                Entry::At(shard, stream, seq, offset) => had(*stream, *shard, if *offset == 0 { seq.saturating_sub(1) } else { *seq }),
                Entry::Batch { extent, .. } => had(extent.stream, extent.shard, extent.seq),
                Entry::Archived(shard, stream, seq) => had(*stream, *shard, *seq),
                _ => {}
            }
        }
        numbers
    }
}

/// What the store knows of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It holds them.
    Whole,
    /// It holds others there, or less.
    Otherwise,
    /// It does not have the segment.
    Gone,
}

/// What is true of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// By content: what is known of it, and by slot how far it is stored.
    pub files: BTreeMap<FileId, (FileRecord, [Offset; Stream::SLOTS])>,
    /// By shard and stream: the last segment that is named, true or not, and up to where.
    pub ends: BTreeMap<(usize, Stream), (u64, u64)>,
    /// Entries that are not true, because the store does not hold what they say; with the files that they bring on.
    pub untrue: Vec<(Extent, Vec<(FileId, Offset)>)>,
    /// Whether others write to the store besides.
    pub is_shared: bool,
    /// Shards and slots of which no more is true.
    broken: BTreeSet<(usize, usize)>,
}

/// Finds out how far each file is stored; `look` says what the store has.
pub fn replay<E>(entries: Vec<Entry>, look: impl FnMut(&Extent) -> Result<Held, E>) -> Result<Replayed, E> {
    let verdicts = verdicts(&entries, look)?;
    let mut replayed = Replayed::default();
    entries.into_iter().zip(verdicts).for_each(|(entry, is_true)| replayed.apply(entry, is_true));
    Ok(replayed)
}

/// Of each entry, whether it is true.
fn verdicts<E>(entries: &[Entry], mut look: impl FnMut(&Extent) -> Result<Held, E>) -> Result<Vec<bool>, E> {
    let archived = entries.iter().filter_map(|entry| match entry {
        Entry::Archived(shard, stream, seq) => Some((*shard, *stream, *seq)),
        _ => None,
    });
    let archived: BTreeSet<_> = archived.collect();
    let mut verdicts = vec![true; entries.len()];
    let mut ended = BTreeSet::new();
    // Of segments that are gone, until something later is there.
    let mut gone: BTreeMap<(usize, Stream), Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let Entry::Batch { extent, .. } = entry else { continue };
        let of = (extent.shard, extent.stream);
        let held = match ended.contains(&of) {
            true => Held::Otherwise,
            false if archived.contains(&(extent.shard, extent.stream, extent.seq)) => Held::Whole,
            false => look(extent)?,
        };
        match held {
            Held::Whole => drop(gone.remove(&of)),
            Held::Gone => gone.entry(of).or_default().push(at),
            Held::Otherwise => {
                verdicts[at] = false;
                ended.insert(of);
            }
        }
    }
    gone.into_values().flatten().for_each(|at| verdicts[at] = false);
    Ok(verdicts)
}

impl Replayed {
    /// Takes the next entry. Only what a batch says may be untrue.
    pub fn apply(&mut self, entry: Entry, is_true: bool) {
        match entry {
            Entry::File(record) => self.know(record),
            Entry::Read(id, offsets) => (0..Stream::SLOTS).for_each(|slot| self.advance(slot, &[(id, offsets[slot])])),
            Entry::At(shard, stream, seq, offset) => self.end(shard, stream, (seq, offset)),
            Entry::Batch { extent, is_of_both, files } => {
                let (shard, slot) = (extent.shard, extent.stream.slot());
                self.end(shard, extent.stream, (extent.seq, extent.to));
                if is_of_both && !self.is_broken(shard, 1 - slot) {
                    self.advance(1 - slot, &files);
                }
                if is_true && !self.is_broken(shard, slot) {
                    self.advance(slot, &files);
                } else {
                    self.broken.insert((shard, slot));
                    self.untrue.push((extent, files));
                }
            }
            Entry::Archived(shard, stream, seq) => self.end(shard, stream, (seq + 1, 0)),
            Entry::Idle(shard, files) => {
                for slot in 0..Stream::SLOTS {
                    if !self.is_broken(shard, slot) {
                        self.advance(slot, &files);
                    }
                }
            }
            Entry::Gone(id) => drop(self.files.remove(&id)),
            Entry::Shared => self.is_shared = true,
        }
    }

    /// What follows is written to a store that ends at `ends`, by shard and stream, as segment and offset. The numbers of others stay known.
    pub fn begin_anew(&mut self, ends: impl Iterator<Item = ((usize, Stream), (u64, u64))>) {
        self.ends.extend(ends);
        self.broken.clear();
        self.untrue.clear();
    }

    fn end(&mut self, shard: usize, stream: Stream, at: (u64, u64)) {
        let end = self.ends.entry((shard, stream)).or_insert(at);
        *end = at.max(*end);
    }

    fn is_broken(&self, shard: usize, slot: usize) -> bool {
        self.broken.contains(&(shard, slot))
    }

    fn know(&mut self, record: FileRecord) {
        let offsets = self.files.get(&record.id).map(|(_, offsets)| *offsets).unwrap_or_default();
        self.files.insert(record.id, (record, offsets));
    }

    fn advance(&mut self, slot: usize, files: &[(FileId, Offset)]) {
        for (id, offset) in files {
            if let Some((_, offsets)) = self.files.get_mut(id) {
                offsets[slot] = offsets[slot].max(*offset);
            }
        }
    }
}

fn shard(text: &str) -> Option<usize> {
    text.parse().ok().filter(|shard| *shard < crate::limits::SHARDS_MAX)
}

/// Of a name that a segment can have.
fn segment(text: &str) -> Option<u64> {
    text.parse().ok().filter(|seq| *seq <= SEQUENCE_MAX)
}

fn shown(offset: Offset) -> String {
    format!("{}{}", offset.bytes, if offset.is_mid_line { "+" } else { "" })
}

fn offset(text: &str) -> Option<Offset> {
    let bytes = text.strip_suffix('+');
    Some(Offset { bytes: bytes.unwrap_or(text).parse().ok()?, is_mid_line: bytes.is_some() })
}

fn listed(files: &[(FileId, Offset)]) -> String {
    files.iter().map(|(id, offset)| format!("{id}:{}", shown(*offset))).collect::<Vec<_>>().join(",")
}

fn files(text: &str) -> Option<Vec<(FileId, Offset)>> {
    let file = |text: &str| {
        let (id, at) = text.split_once(':')?;
        Some((id.parse().ok()?, offset(at)?))
    };
    text.split(',').filter(|text| !text.is_empty()).map(file).collect()
}

/// `path` as one word of ASCII.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'!'..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            _ => write!(text, "%{byte:02x}").expect("a string takes everything"),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        if *byte == b'%' {
            let hex = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*byte);
            rest = behind;
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests;
