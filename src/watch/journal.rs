//! The journal of checkpoints, as text, and what of it holds after a crash. Pure.
//!
//! One line per entry, each behind the CRC-32 of the rest; the first that is torn or damaged ends it.
//!
//! ```text
//! file ID DEV INO LEN CRC PATH              a content: where it is, how it begins
//! read ID OFFSET[+] OFFSET[+]               by slot: its lines before are stored and durable; + is within a line that is passed over
//! at SHARD SLOT SEQ OFFSET                  the store: everything before is durable
//! batch SHARD SLOT SEQ FROM TO CRC ALSO ID:OFFSET[+],…    these bytes are stored, and with them the files' lines before; ALSO of the other slot, if it is 1
//! idle SHARD ID:OFFSET[+],…                 lines that left nothing in the store
//! gone ID                                   nobody needs to know it any more
//! shared                                    others write to the store besides
//! ```
//!
//! A `batch` is written before its bytes are, so the journal always knows what the store may hold. Whether the store does hold it is looked up ([`Stored`]): where the bytes are not
//! there, or others are, that entry and what follows of its shard and slot is not true. So the last entry that is true says how far each file is stored, to the line.
//!
//! Invariant: offsets of one content only grow, so of two entries the larger offset is the later one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::content::{FileId, FileKey, Head};
use crate::store::name::Stream;

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
    /// The slot of the stream.
    pub slot: usize,
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
    /// Shard, slot, segment, offset.
    At(usize, usize, u64, u64),
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
            Self::At(shard, slot, seq, offset) => write!(text, "at {shard} {slot} {seq} {offset}"),
            Self::Batch { extent: Extent { shard, slot, seq, from, to, crc }, is_of_both, files } => {
                write!(text, "batch {shard} {slot} {seq} {from} {to} {crc:x} {} {}", u8::from(*is_of_both), listed(files))
            }
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
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(match kind {
            "file" => {
                let (id, dev, ino, len) = (number()?, number()?, number()?, number()?);
                let crc = u32::from_str_radix(words.next()?, 16).ok()?;
                let head = Head { len: u32::try_from(len).ok()?, crc, ..Head::default() };
                Entry::File(FileRecord { id, key: FileKey { dev, ino }, head, path: unescaped(words.next()?)? })
            }
            "read" => {
                let id = number()?;
                Entry::Read(id, [offset(words.next()?)?, offset(words.next()?)?])
            }
            "at" => Entry::At(shard(number()?)?, slot(number()?)?, number()?, number()?),
            "batch" => {
                let (shard, slot, seq, from, to) = (shard(number()?)?, slot(number()?)?, number()?, number()?, number()?);
                let crc = u32::from_str_radix(words.next()?, 16).ok()?;
                let is_of_both = words.next()? == "1";
                Entry::Batch { extent: Extent { shard, slot, seq, from, to, crc }, is_of_both, files: files(words.next()?)? }
            }
            "idle" => Entry::Idle(shard(number()?)?, files(words.next()?)?),
            "gone" => Entry::Gone(number()?),
            "shared" => Entry::Shared,
            _ => return None,
        })
    }
}

/// The entries of a journal, up to the first that is not whole.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map_while(|line| line.strip_suffix(b"\n"))
        .map_while(|line| std::str::from_utf8(line).ok().and_then(Entry::parse))
}

/// What the store holds, for whoever has a journal.
pub trait Stored {
    /// Whether it holds these bytes.
    fn holds(&mut self, extent: &Extent) -> bool;
}

/// What is true of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// By content: what is known of it, and by slot how far it is stored.
    pub files: BTreeMap<FileId, (FileRecord, [Offset; Stream::SLOTS])>,
    /// By shard and slot: where in the store that ends, as segment and offset.
    pub ends: BTreeMap<(usize, usize), (u64, u64)>,
    /// Entries that are not true, because the store does not hold what they say.
    pub untrue: u64,
    /// Whether others write to the store besides.
    pub is_shared: bool,
    /// Shards and slots of which no more is true.
    broken: BTreeSet<(usize, usize)>,
}

/// Finds out how far each file is stored.
pub fn replay(entries: impl Iterator<Item = Entry>, stored: &mut impl Stored) -> Replayed {
    let mut replayed = Replayed::default();
    entries.for_each(|entry| replayed.apply(entry, stored));
    replayed
}

impl Replayed {
    /// Takes the next entry.
    pub fn apply(&mut self, entry: Entry, stored: &mut impl Stored) {
        match entry {
            Entry::File(record) => self.know(record),
            Entry::Read(id, offsets) => (0..Stream::SLOTS).for_each(|slot| self.advance(slot, &[(id, offsets[slot])])),
            Entry::At(shard, slot, seq, offset) => drop(self.ends.insert((shard, slot), (seq, offset))),
            Entry::Batch { extent, is_of_both, files } => {
                let (shard, slot) = (extent.shard, extent.slot);
                if !self.is_broken(shard, slot) && stored.holds(&extent) {
                    self.ends.insert((shard, slot), (extent.seq, extent.to));
                    self.advance(slot, &files);
                } else {
                    self.broken.insert((shard, slot));
                    self.untrue += 1;
                }
                if is_of_both && !self.is_broken(shard, 1 - slot) {
                    self.advance(1 - slot, &files);
                }
            }
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

    /// What follows is written to a store that ends at `ends`, by shard and slot, as segment and offset.
    pub fn begin_anew(&mut self, ends: impl Iterator<Item = ((usize, usize), (u64, u64))>) {
        self.ends = ends.collect();
        self.broken.clear();
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

fn shard(number: u64) -> Option<usize> {
    usize::try_from(number).ok().filter(|shard| *shard < crate::limits::SHARDS_MAX)
}

fn slot(number: u64) -> Option<usize> {
    usize::try_from(number).ok().filter(|slot| *slot < Stream::SLOTS)
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
