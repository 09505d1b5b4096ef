//! What a recovery does to a data directory, decided from names, lengths and block tables alone. Pure.
//!
//! Rules, for everything that a process or a machine can leave behind when it stops at any moment:
//!
//! - A temporary file is garbage. A foreign file is nobody's business.
//! - An open segment goes on if a shard of the new configuration writes a stream of its name; else it is sealed.
//! - A sealed raw segment is archived, unless it is finished: its table says that it stays raw, and is true.
//! - Where a raw segment and its archive both exist, the raw file goes only if the archive holds all of it: the bytes decide, see [`weigh`](super::weigh).
//! - An archive whose table is missing or untrue gets a new one. A table of nothing is removed.
//! - Numbers go on after the largest of any name, temporary or not, and of any that is remembered elsewhere.

use std::collections::{BTreeMap, HashMap};

use crate::store::catalog::StoreFile;
use crate::store::meta::Meta;
use crate::store::name::{Codec, FileName, SegmentId, ShardTag, Stream};
use crate::store::segment::Sequence;

/// The number of a stream's and shard's first segment.
const SEQUENCE_FIRST: u64 = 1;

/// What the planner wants to know of a block table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    /// How the file it describes is compressed.
    pub(super) codec: Option<Codec>,
    /// How long that file is.
    pub(super) archive_bytes: u64,
    /// How long its lines are, uncompressed.
    pub(super) raw_bytes: u64,
}

impl Table {
    /// Sums up `meta`.
    pub(super) fn of(meta: &Meta) -> Table {
        Table { codec: meta.codec, archive_bytes: meta.archive_bytes(), raw_bytes: meta.raw_bytes() }
    }

    fn describes(&self, codec: Option<Codec>, bytes: u64) -> bool {
        (self.codec, self.archive_bytes) == (codec, bytes)
    }
}

/// A raw segment beside its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weigh {
    /// Which segment.
    pub(super) id: SegmentId,
    /// Its archives: one, unless the codec changed between two crashes.
    pub(super) archives: Vec<Codec>,
    /// What the raw file must hold, at least, before it may replace an archive: as much as the table says that the archive held.
    pub(super) raw_bytes_min: u64,
    /// Whether the raw file is finished: durable, with a table.
    pub(super) finished: bool,
    /// Whether the table is that of one of the archives.
    pub(super) described: bool,
}

/// A block table to rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rebuild {
    /// Of which segment.
    pub(super) id: SegmentId,
    /// From the first of these archives that is intact.
    pub(super) archives: Vec<Codec>,
}

/// What to do, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Files to remove that hold no lines: temporary ones, and tables of nothing.
    pub(super) remove: Vec<FileName>,
    /// Raw segments to weigh against their archives.
    pub(super) weigh: Vec<Weigh>,
    /// Open segments to go on with.
    pub(super) resume: Vec<(Stream, ShardTag)>,
    /// Open segments to seal: no shard has their name any more.
    pub(super) seal: Vec<(Stream, ShardTag)>,
    /// Sealed raw segments for the pool.
    pub(super) submit: Vec<SegmentId>,
    /// Tables to rebuild.
    pub(super) rebuild: Vec<Rebuild>,
    /// Segments with more than one archive and no raw file: all are kept.
    pub(super) ambiguous: Vec<SegmentId>,
    /// The next number of each stream and shard.
    pub(super) sequences: Sequences,
}

/// All files of one segment that has been sealed.
#[derive(Debug, Default)]
struct Segment {
    raw_bytes: Option<u64>,
    archives: Vec<(Codec, u64)>,
    has_meta: bool,
}

/// Decides what to do with `files`, if there are to be `shards` shards that write the streams `accepted` and rejected. `tables` holds every table that could be read. How segments will be compressed
/// does not matter: what is finished stays as it is, and the pool takes care of the rest.
pub(super) fn plan(files: &[StoreFile], tables: &HashMap<SegmentId, Table>, shards: usize, accepted: Stream) -> Plan {
    let mut plan = Plan::default();
    let mut segments = BTreeMap::<SegmentId, Segment>::new();
    for StoreFile { name, len } in files {
        plan.sequences.note(name);
        match name {
            FileName::Temporary(_) => plan.remove.push(name.clone()),
            FileName::Open(stream, tag) if is_current(*tag, shards) && [accepted, Stream::Rejected].contains(stream) => {
                plan.resume.push((*stream, *tag))
            }
            FileName::Open(stream, tag) => plan.seal.push((*stream, *tag)),
            FileName::Sealed(id) => segments.entry(*id).or_default().raw_bytes = Some(*len),
            FileName::Archive(id, codec) => segments.entry(*id).or_default().archives.push((*codec, *len)),
            FileName::Meta(id) => segments.entry(*id).or_default().has_meta = true,
            FileName::Format | FileName::Lock | FileName::Checkpoints => {}
        }
    }
    segments.into_iter().for_each(|(id, segment)| plan.add(id, &segment, tables.get(&id)));
    plan
}

/// Whether one of `shards` shards writes to files with this tag.
fn is_current(tag: ShardTag, shards: usize) -> bool {
    tag.index() < shards && ShardTag::of(tag.index(), shards) == tag
}

impl Plan {
    fn add(&mut self, id: SegmentId, segment: &Segment, table: Option<&Table>) {
        let Segment { raw_bytes, archives, has_meta } = segment;
        let described = archives.iter().any(|(codec, bytes)| table.is_some_and(|table| table.describes(Some(*codec), *bytes)));
        let codecs: Vec<Codec> = archives.iter().map(|(codec, _)| *codec).collect();
        match raw_bytes {
            Some(bytes) => {
                let finished = table.is_some_and(|table| table.describes(None, *bytes));
                if !archives.is_empty() {
                    let raw_bytes_min = table.map_or(0, |table| table.raw_bytes);
                    self.weigh.push(Weigh { id, archives: codecs, raw_bytes_min, finished, described });
                } else if !finished {
                    self.submit.push(id);
                }
            }
            None if archives.is_empty() => {
                assert!(has_meta, "a segment is known by one of its files");
                self.remove.push(id.meta_name());
            }
            None => {
                if 1 < archives.len() {
                    self.ambiguous.push(id);
                }
                if !described {
                    self.rebuild.push(Rebuild { id, archives: codecs });
                }
            }
        }
    }
}

/// The numbers of all streams and shards, over every name that was ever seen.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    next: BTreeMap<(Stream, usize), u64>,
}

impl Sequences {
    fn note(&mut self, name: &FileName) {
        match name {
            FileName::Sealed(id) | FileName::Archive(id, _) | FileName::Meta(id) => {
                let next = self.next_of(id.stream, id.shard);
                *next = (*next).max(id.seq + 1);
            }
            FileName::Temporary(of) => self.note(of),
            FileName::Open(..) | FileName::Format | FileName::Lock | FileName::Checkpoints => {}
        }
    }

    /// Numbers that segments have had: an open one may have the last of them, and is sealed with it.
    pub(super) fn start_past(&mut self, numbers: &BTreeMap<(Stream, usize), u64>, files: &[StoreFile]) {
        for ((stream, shard), last) in numbers {
            let is_open = files.iter().any(|file| matches!(&file.name, FileName::Open(of, tag) if (*of, tag.index()) == (*stream, *shard)));
            let next = self.next.entry((*stream, *shard)).or_insert(SEQUENCE_FIRST);
            *next = (*next).max(if is_open { *last } else { *last + 1 });
        }
    }

    /// A name for a segment that is sealed at `sealed_at_s`, with a number that was never used.
    pub(super) fn next_id(&mut self, stream: Stream, shard: ShardTag, sealed_at_s: u64) -> SegmentId {
        let next = self.next_of(stream, shard);
        let seq = *next;
        *next += 1;
        SegmentId { stream, shard, sealed_at_s, seq }
    }

    /// The numbers of one stream and shard, for whoever writes it from now on.
    pub(super) fn hand_over(&mut self, stream: Stream, shard: ShardTag) -> Sequence {
        Sequence::new(stream, shard, *self.next_of(stream, shard))
    }

    /// `logs` and `logs.s00` are both shard 0 and share their numbers.
    fn next_of(&mut self, stream: Stream, shard: ShardTag) -> &mut u64 {
        self.next.entry((stream, shard.index())).or_insert(SEQUENCE_FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(plan: &Plan) -> Vec<String> {
        let raw = |id: &SegmentId| id.sealed_name().to_string();
        let open = |(stream, tag): &(Stream, ShardTag)| FileName::Open(*stream, *tag).to_string();
        let with = |codecs: &[Codec]| codecs.iter().map(|codec| codec.extension()).collect::<Vec<_>>().concat();
        let mut text = Vec::new();
        text.extend(plan.remove.iter().map(|name| format!("remove {name}")));
        text.extend(plan.weigh.iter().map(|weigh| {
            let finished = if weigh.finished { " finished" } else { "" };
            format!("weigh {} {} {}{finished}", raw(&weigh.id), with(&weigh.archives), weigh.raw_bytes_min)
        }));
        text.extend(plan.resume.iter().map(|which| format!("resume {}", open(which))));
        text.extend(plan.seal.iter().map(|which| format!("seal {}", open(which))));
        text.extend(plan.submit.iter().map(|id| format!("submit {}", raw(id))));
        text.extend(plan.rebuild.iter().map(|rebuild| format!("rebuild {} {}", rebuild.id.meta_name(), with(&rebuild.archives))));
        text.extend(plan.ambiguous.iter().map(|id| format!("ambiguous {id}")));
        text
    }

    /// Plans for files of 10 bytes each; `table` belongs to the meta among them.
    fn planned(names: &[&str], shards: usize, table: Option<Table>) -> Plan {
        let files: Vec<StoreFile> =
            names.iter().map(|name| StoreFile { name: FileName::parse(name).unwrap_or_else(|| panic!("{name}")), len: 10 }).collect();
        let of = files.iter().find_map(|file| match file.name {
            FileName::Meta(id) => Some(id),
            _ => None,
        });
        let tables = of.zip(table).into_iter().collect();
        plan(&files, &tables, shards, Stream::Logs)
    }

    #[test]
    fn temporary_files_and_open_segments() {
        for (names, shards, expected) in [
            (&[][..], 1, &[][..]),
            (&["logboom.format", "logboom.lock"], 1, &[]),
            (&["logs.jsonl.tmp", "logboom.format.tmp"], 1, &["remove logs.jsonl.tmp", "remove logboom.format.tmp"]),
            (&["logs.jsonl", "rejected.jsonl"], 1, &["resume logs.jsonl", "resume rejected.jsonl"]),
            (
                &["logs.s00.jsonl", "logs.s01.jsonl", "logs.s02.jsonl"],
                2,
                &["resume logs.s00.jsonl", "resume logs.s01.jsonl", "seal logs.s02.jsonl"],
            ),
            (&["logs.jsonl", "logs.s00.jsonl"], 1, &["resume logs.jsonl", "seal logs.s00.jsonl"]),
            (&["logs.jsonl", "logs.s00.jsonl"], 2, &["resume logs.s00.jsonl", "seal logs.jsonl"]),
            (&["rejected.s99.jsonl"], 100, &["resume rejected.s99.jsonl"]),
            (&["collected.jsonl", "logs.jsonl"], 1, &["resume logs.jsonl", "seal collected.jsonl"]), // nobody writes it
        ] {
            assert_eq!(text(&planned(names, shards, None)), expected, "{names:?}");
        }
    }

    #[test]
    fn sealed_segments_and_archives() {
        const RAW: &str = "logs_20261124_150000_000007.jsonl";
        const GZ: &str = "logs_20261124_150000_000007.jsonl.gz";
        const ZST: &str = "logs_20261124_150000_000007.jsonl.zst";
        const META: &str = "logs_20261124_150000_000007.meta";
        let table = |codec, archive_bytes| Some(Table { codec, archive_bytes, raw_bytes: 50 });
        let (of_raw, of_gz, of_zst) = (table(None, 10), table(Some(Codec::Gzip), 10), table(Some(Codec::Zstd), 10));
        let of_longer_raw = table(None, 11);
        let untrue = table(Some(Codec::Gzip), 11);
        for (names, table, expected) in [
            (&[RAW][..], None, &["submit logs_20261124_150000_000007.jsonl"][..]),
            (&[RAW, META], None, &["submit logs_20261124_150000_000007.jsonl"]),
            (&[RAW, META], of_raw, &[]), // finished
            (&[RAW, META], of_longer_raw, &["submit logs_20261124_150000_000007.jsonl"]),
            (&[RAW, META], of_gz, &["submit logs_20261124_150000_000007.jsonl"]),
            (&[RAW, GZ], None, &["weigh logs_20261124_150000_000007.jsonl .gz 0"]),
            (&[RAW, GZ, META], of_gz, &["weigh logs_20261124_150000_000007.jsonl .gz 50"]),
            (&[RAW, GZ, META], of_raw, &["weigh logs_20261124_150000_000007.jsonl .gz 50 finished"]),
            (&[RAW, GZ, ZST], None, &["weigh logs_20261124_150000_000007.jsonl .gz.zst 0"]),
            (&[GZ], None, &["rebuild logs_20261124_150000_000007.meta .gz"]),
            (&[GZ, META], None, &["rebuild logs_20261124_150000_000007.meta .gz"]),
            (&[GZ, META], of_gz, &[]),
            (&[GZ, META], of_zst, &["rebuild logs_20261124_150000_000007.meta .gz"]),
            (&[GZ, META], of_raw, &["rebuild logs_20261124_150000_000007.meta .gz"]),
            (&[GZ, META], untrue, &["rebuild logs_20261124_150000_000007.meta .gz"]),
            (&[META], of_gz, &["remove logs_20261124_150000_000007.meta"]),
            (&[GZ, ZST, META], of_zst, &["ambiguous logs_20261124_150000_000007"]),
            (&[GZ, ZST], None, &["rebuild logs_20261124_150000_000007.meta .gz.zst", "ambiguous logs_20261124_150000_000007"]),
        ] {
            assert_eq!(text(&planned(names, 1, table)), expected, "{names:?} {table:?}");
        }
    }

    #[test]
    fn numbers_go_on_after_every_name_seen() {
        let mut sequences = planned(
            &[
                "logs_20261124_150000_000003.jsonl.gz",
                "logs_20261124_150000_s00_000007.meta",
                "logs_20261124_150000_s00_000005.jsonl.gz.tmp",
                "logs_20261124_150000_s01_000002.jsonl",
                "rejected_20261124_150000_999999999999999999.jsonl.zst",
            ],
            2,
            None,
        )
        .sequences;
        let (shard0, shard1, shard2) = (ShardTag::of(0, 3), ShardTag::of(1, 3), ShardTag::of(2, 3));
        assert_eq!(sequences.next_id(Stream::Logs, ShardTag::SINGLE, 9).to_string(), "logs_19700101_000009_000008");
        assert_eq!(sequences.next_id(Stream::Logs, shard0, 9).to_string(), "logs_19700101_000009_s00_000009");
        assert_eq!(sequences.hand_over(Stream::Logs, shard0).seq_next(), 10);
        assert_eq!(sequences.hand_over(Stream::Logs, shard1).seq_next(), 3);
        assert_eq!(sequences.hand_over(Stream::Logs, shard2).seq_next(), 1);
        assert_eq!(sequences.next_id(Stream::Rejected, shard0, 9).seq, 1_000_000_000_000_000_000);
    }
}
