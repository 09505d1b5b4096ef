//! Every file name of a data directory. Pure.
//!
//! Nothing else in the crate spells a name: parsing and printing are both here and are each other's inverse, so a file that logboom wrote is a file
//! that it recognises, and a foreign file is never taken for one of its own.
//!
//! | name | [`FileName`] |
//! | --- | --- |
//! | `logs.s00.jsonl`, with one shard `logs.jsonl`; of a collector `collected.jsonl` | `Open` |
//! | `logs_20261124_150000_s00_000042.jsonl`, with one shard `logs_20261124_150000_000042.jsonl` | `Sealed` |
//! | the sealed name and `.gz` or `.zst` | `Archive` |
//! | the sealed name with `.meta` instead of `.jsonl` | `Meta` |
//! | `logboom.format` | `Format` |
//! | `logboom.lock` | `Lock` |
//! | `logboom.checkpoints` | `Checkpoints` |
//! | any of these and `.tmp` | `Temporary` |

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use super::utc::Civil;
use crate::limits::SHARDS_MAX;

const TEMPORARY: &str = ".tmp";
const META: &str = ".meta";
const LINES: &str = ".jsonl";
const FORMAT: &str = "logboom.format";
const LOCK: &str = "logboom.lock";
const CHECKPOINTS: &str = "logboom.checkpoints";
/// Sequence numbers are padded to this many digits, so that names sort; they may grow longer.
const SEQUENCE_DIGITS: usize = 6;
/// A longer number was not counted by logboom: a million segments a second would take 30,000 years. So counting on never overflows.
const SEQUENCE_DIGITS_MAX: usize = 18;
/// The largest number that a name can have.
pub const SEQUENCE_MAX: u64 = 10u64.pow(SEQUENCE_DIGITS_MAX as u32) - 1;

/// One kind of lines, kept in its own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Accepted records.
    Logs,
    /// What could not be accepted, with its reason.
    Rejected,
    /// Accepted records of the file collector.
    Collected,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Stream; 3] = [Stream::Logs, Stream::Rejected, Stream::Collected];

    /// How many a process writes: one for accepted records, one for what could not be accepted.
    pub const SLOTS: usize = 2;

    /// The streams of a process, by [`slot`](Self::slot). Where files are collected the first one is called [`Collected`](Self::Collected) on disk, and its slot is the same.
    pub const BY_SLOT: [Stream; Stream::SLOTS] = [Stream::Logs, Stream::Rejected];

    /// Its place among the streams that a process writes.
    pub fn slot(self) -> usize {
        match self {
            Stream::Logs | Stream::Collected => 0,
            Stream::Rejected => 1,
        }
    }

    /// The stream's name as files and metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Logs => "logs",
            Stream::Rejected => "rejected",
            Stream::Collected => "collected",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.name() == name)
    }
}

/// How an archive is compressed. A segment that stays as it is has none: `Option<Codec>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Independent gzip members (RFC 1952).
    Gzip,
    /// Independent zstd frames (RFC 8878).
    Zstd,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 2] = [Codec::Gzip, Codec::Zstd];

    /// What follows `.jsonl` in an archive's name.
    pub fn extension(self) -> &'static str {
        match self {
            Codec::Gzip => ".gz",
            Codec::Zstd => ".zst",
        }
    }
}

/// The part of a name that tells the shard: a process with one shard leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardTag(Option<u8>);

impl ShardTag {
    /// The tag of a process with one shard: nothing. Counts as shard 0.
    pub const SINGLE: ShardTag = ShardTag(None);

    /// The tag of shard `index` in a process with `shards` shards.
    ///
    /// # Panics
    /// If there is no such shard, or there are more than [`SHARDS_MAX`].
    pub fn of(index: usize, shards: usize) -> ShardTag {
        assert!(index < shards && shards <= SHARDS_MAX);
        if shards == 1 { ShardTag::SINGLE } else { ShardTag(Some(index as u8)) }
    }

    /// The shard's number, from 0.
    pub fn index(self) -> usize {
        self.0.map_or(0, usize::from)
    }

    /// `s07`; the caller has seen that nothing follows.
    fn parse(text: &str) -> Option<ShardTag> {
        let digits = text.strip_prefix('s')?;
        (digits.len() == 2).then(|| number(digits)).flatten().map(|index| ShardTag(Some(index as u8)))
    }
}

/// What names one segment, sealed or archived, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentId {
    /// The kind of lines.
    pub stream: Stream,
    /// The shard that wrote it.
    pub shard: ShardTag,
    /// When it was sealed, in seconds since 1970 UTC. For readers of the name; the order is the sequence number's.
    pub sealed_at_s: u64,
    /// Counts up per stream and shard, and is never used twice.
    pub seq: u64,
}

impl Ord for SegmentId {
    /// By stream, shard and sequence number: the order in which a shard wrote its lines.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |id: &SegmentId| (id.stream, id.shard.index(), id.seq, id.sealed_at_s, id.shard);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for SegmentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SegmentId {
    /// The name of this segment's raw file after sealing.
    pub fn sealed_name(&self) -> FileName {
        FileName::Sealed(*self)
    }

    /// The name of the file that holds this segment's lines for good.
    pub fn archive_name(&self, codec: Option<Codec>) -> FileName {
        codec.map_or(FileName::Sealed(*self), |codec| FileName::Archive(*self, codec))
    }

    /// The name of the block table beside it.
    pub fn meta_name(&self) -> FileName {
        FileName::Meta(*self)
    }

    fn parse(base: &str) -> Option<SegmentId> {
        let mut parts = base.split('_');
        let stream = Stream::parse(parts.next()?)?;
        let (date, time) = (parts.next()?, parts.next()?);
        let next = parts.next()?;
        let (shard, seq) = match ShardTag::parse(next) {
            Some(tag) => (tag, parts.next()?),
            None => (ShardTag::SINGLE, next),
        };
        // A name that prints differently (`+42`, seven digits with a leading zero) is not ours.
        let canonical = match seq.len() {
            SEQUENCE_DIGITS => true,
            len => (SEQUENCE_DIGITS..=SEQUENCE_DIGITS_MAX).contains(&len) && !seq.starts_with('0'),
        };
        if parts.next().is_some() || date.len() != 8 || time.len() != 6 || !canonical {
            return None;
        }
        let (date, time) = (number(date)?, number(time)?);
        let civil = Civil {
            year: date / 10_000,
            month: date / 100 % 100,
            day: date % 100,
            hour: time / 10_000,
            minute: time / 100 % 100,
            second: time % 100,
        };
        Some(SegmentId { stream, shard, sealed_at_s: civil.to_seconds()?, seq: number(seq)? })
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = Civil::from_seconds(self.sealed_at_s);
        write!(f, "{}_{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}_", self.stream.name())?;
        if let Some(index) = self.shard.0 {
            write!(f, "s{index:02}_")?;
        }
        write!(f, "{:0width$}", self.seq, width = SEQUENCE_DIGITS)
    }
}

/// The name of one file of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// An open segment. The name is stable, so `tail -F` works.
    Open(Stream, ShardTag),
    /// A sealed raw segment.
    Sealed(SegmentId),
    /// An archive.
    Archive(SegmentId, Codec),
    /// The block table of an archive or of a sealed segment that stays raw.
    Meta(SegmentId),
    /// The version of the directory's format.
    Format,
    /// Locked by the process that uses the directory.
    Lock,
    /// How far the files that are followed have been read.
    Checkpoints,
    /// What an interrupted step leaves of the named file. Never of another temporary file.
    Temporary(Box<FileName>),
}

impl FileName {
    /// Whose lines it holds.
    pub fn stream(&self) -> Option<Stream> {
        match self {
            FileName::Open(stream, _) => Some(*stream),
            FileName::Sealed(id) | FileName::Archive(id, _) => Some(id.stream),
            _ => None,
        }
    }

    /// Reads a name; `None` for a foreign file.
    pub fn parse(name: &str) -> Option<FileName> {
        if let Some(of) = name.strip_suffix(TEMPORARY) {
            let of = FileName::parse_final(of)?;
            return Some(FileName::Temporary(Box::new(of)));
        }
        FileName::parse_final(name)
    }

    fn parse_final(name: &str) -> Option<FileName> {
        match name {
            FORMAT => return Some(FileName::Format),
            LOCK => return Some(FileName::Lock),
            CHECKPOINTS => return Some(FileName::Checkpoints),
            _ => {}
        }
        if let Some(base) = name.strip_suffix(META) {
            return SegmentId::parse(base).map(FileName::Meta);
        }
        for codec in Codec::ALL {
            if let Some(base) = name.strip_suffix(codec.extension()).and_then(|rest| rest.strip_suffix(LINES)) {
                return SegmentId::parse(base).map(|id| FileName::Archive(id, codec));
            }
        }
        let base = name.strip_suffix(LINES)?;
        if let Some(stream) = Stream::parse(base) {
            return Some(FileName::Open(stream, ShardTag::SINGLE));
        }
        if let Some((stream, tag)) = base.split_once('.') {
            return Some(FileName::Open(Stream::parse(stream)?, ShardTag::parse(tag)?));
        }
        SegmentId::parse(base).map(FileName::Sealed)
    }

    /// The name under which this file is written before it is complete.
    ///
    /// # Panics
    /// If this is such a name already.
    pub fn temporary(self) -> FileName {
        assert!(!matches!(self, FileName::Temporary(_)));
        FileName::Temporary(Box::new(self))
    }

    /// The path of this file in the data directory `dir`.
    pub fn in_dir(&self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Open(stream, ShardTag(None)) => write!(f, "{}{LINES}", stream.name()),
            FileName::Open(stream, ShardTag(Some(index))) => {
                write!(f, "{}.s{index:02}{LINES}", stream.name())
            }
            FileName::Sealed(id) => write!(f, "{id}{LINES}"),
            FileName::Archive(id, codec) => write!(f, "{id}{LINES}{}", codec.extension()),
            FileName::Meta(id) => write!(f, "{id}{META}"),
            FileName::Format => f.write_str(FORMAT),
            FileName::Lock => f.write_str(LOCK),
            FileName::Checkpoints => f.write_str(CHECKPOINTS),
            FileName::Temporary(of) => write!(f, "{of}{TEMPORARY}"),
        }
    }
}

/// Digits only: `str::parse` would take a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::utc::SECONDS_END;
    use proptest::prelude::*;

    pub(crate) fn any_segment_id() -> impl Strategy<Value = SegmentId> {
        let shard = prop_oneof![Just(ShardTag::SINGLE), (0..SHARDS_MAX).prop_map(|index| ShardTag::of(index, SHARDS_MAX))];
        let seq = prop_oneof![0..2_000_000u64, 0..10u64.pow(SEQUENCE_DIGITS_MAX as u32)];
        (prop::sample::select(&Stream::ALL[..]), shard, 0..SECONDS_END, seq).prop_map(|(stream, shard, sealed_at_s, seq)| SegmentId {
            stream,
            shard,
            sealed_at_s,
            seq,
        })
    }

    fn any_name() -> impl Strategy<Value = FileName> {
        let codec = prop::sample::select(&Codec::ALL[..]);
        let name = prop_oneof![
            any_segment_id().prop_map(|id| FileName::Open(id.stream, id.shard)),
            any_segment_id().prop_map(FileName::Sealed),
            (any_segment_id(), codec).prop_map(|(id, codec)| FileName::Archive(id, codec)),
            any_segment_id().prop_map(FileName::Meta),
            Just(FileName::Format),
            Just(FileName::Lock),
            Just(FileName::Checkpoints),
        ];
        prop_oneof![name.clone(), name.prop_map(FileName::temporary)]
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in any_name()) {
            prop_assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn every_accepted_text_is_the_name_printed(text in "(logs|rejected|collected|x)[_.]?[0-9s_.+]{0,28}(\\.jsonl)?(\\.gz|\\.zst|\\.meta|\\.tmp){0,2}") {
            if let Some(name) = FileName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn names_are_as_documented() {
        let id = SegmentId { stream: Stream::Logs, shard: ShardTag::of(0, 2), sealed_at_s: 1_795_532_400, seq: 42 };
        let single = SegmentId { shard: ShardTag::of(0, 1), ..id };
        for (name, text) in [
            (FileName::Open(Stream::Logs, ShardTag::of(0, 2)), "logs.s00.jsonl"),
            (FileName::Open(Stream::Rejected, ShardTag::of(0, 1)), "rejected.jsonl"),
            (id.sealed_name(), "logs_20261124_150000_s00_000042.jsonl"),
            (single.sealed_name(), "logs_20261124_150000_000042.jsonl"),
            (id.archive_name(Some(Codec::Gzip)), "logs_20261124_150000_s00_000042.jsonl.gz"),
            (id.archive_name(Some(Codec::Zstd)), "logs_20261124_150000_s00_000042.jsonl.zst"),
            (id.archive_name(None), "logs_20261124_150000_s00_000042.jsonl"),
            (id.meta_name(), "logs_20261124_150000_s00_000042.meta"),
            (id.meta_name().temporary(), "logs_20261124_150000_s00_000042.meta.tmp"),
            (FileName::Format, "logboom.format"),
            (FileName::Lock, "logboom.lock"),
            (FileName::Checkpoints, "logboom.checkpoints"),
            (FileName::Open(Stream::Collected, ShardTag::of(0, 1)), "collected.jsonl"),
        ] {
            assert_eq!(name.to_string(), text);
            assert_eq!(FileName::parse(text), Some(name));
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        for text in [
            "",
            "notes.txt",
            "x.tmp",
            "logs",
            "logs.json",
            "logs.s0.jsonl",
            "logs.s000.jsonl",
            "logs.gz",
            "logs.jsonl.gz",
            "logs.tmp.tmp",
            "logs.jsonl.tmp.tmp",
            "other_20261124_150000_000042.jsonl",
            "logs_20260230_150000_000042.jsonl",
            "logs_20261124_150000_42.jsonl",
            "logs_20261124_150000_0000042.jsonl",
            "logs_20261124_150000_+00042.jsonl",
            "logs_20261124_150000_s00_000042_.jsonl",
            "logs_20261124_150000_1000000000000000000.jsonl",
            "logs_20261124_150000_99999999999999999999.jsonl",
            "logs_20261124_150000_s00_000042.jsonl.bz2",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn segments_sort_by_stream_shard_and_sequence() {
        let id = |shard, sealed_at_s, seq| SegmentId { stream: Stream::Logs, shard, sealed_at_s, seq };
        let first = id(ShardTag::SINGLE, 900, 1);
        let second = id(ShardTag::of(0, 2), 800, 2); // the clock went back: the sequence decides
        let third = id(ShardTag::of(1, 2), 100, 1);
        let rejected = SegmentId { stream: Stream::Rejected, ..first };
        let mut ids = [rejected, third, second, first];
        ids.sort();
        assert_eq!(ids, [first, second, third, rejected]);
    }
}
