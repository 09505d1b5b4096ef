//! Filters of blocks that had none for lack of time: made while there is nothing to compress, from the archive.
//!
//! What is left at a stop stays as it is: searches read those blocks. An archive that is deleted meanwhile leaves no table behind.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{BLOCK_BYTES, INDEX_LATE_SEGMENT_BYTES, INDEX_LATE_SEGMENTS_MAX, SEGMENT_FILTERS_BYTES_MAX};
use crate::store::catalog;
use crate::store::codec::BlockDecoder;
use crate::store::disk::Disk;
use crate::store::durable;
use crate::store::error::StorageError;
use crate::store::filter::FilterBuilder;
use crate::store::meta::Meta;
use crate::store::name::{Codec, SegmentId};

/// An archive some of whose blocks have no filter yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) id: SegmentId,
    /// The first block that was not looked at; those before it that have no filter can't have one.
    pub(super) from: u32,
}

const _: () = assert!(size_of::<Lacking>() <= INDEX_LATE_SEGMENT_BYTES);

/// Those that wait. Whoever has nothing to do but them waits for `arrived`.
#[derive(Debug)]
pub(super) struct Waiting {
    segments: Mutex<VecDeque<Lacking>>,
    wake: Sender<()>,
    /// Told when there are some.
    pub(super) arrived: Receiver<()>,
}

impl Default for Waiting {
    fn default() -> Self {
        let (wake, arrived) = bounded(1);
        Self { segments: Mutex::default(), wake, arrived }
    }
}

impl Waiting {
    /// Adds one, unless there are too many; `is_first` where it is not done with.
    pub(super) fn push(&self, segment: Lacking, is_first: bool) {
        let mut segments = self.lock();
        if segments.len() < INDEX_LATE_SEGMENTS_MAX {
            if is_first {
                segments.push_front(segment)
            } else {
                segments.push_back(segment)
            }
            self.tell();
        }
    }

    /// Takes one, and tells somebody else of the next.
    pub(super) fn pop(&self) -> Option<Lacking> {
        let mut segments = self.lock();
        let first = segments.pop_front();
        if !segments.is_empty() {
            self.tell();
        }
        first
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn tell(&self) {
        let _ = self.wake.try_send(()); // full: somebody is told anyway
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Lacking>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of one archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Blocks that have a filter now.
    pub(super) indexed: u64,
    /// The block to go on with, if not all were looked at.
    pub(super) next: Option<u32>,
}

/// What is read and made of it, in buffers that are kept.
pub(super) struct Late<'a> {
    pub(super) decoder: &'a mut BlockDecoder,
    pub(super) stored: &'a mut Vec<u8>,
    pub(super) raw: &'a mut Vec<u8>,
    pub(super) filters: &'a mut FilterBuilder,
}

impl Late<'_> {
    /// Makes the filters that an archive lacks, as long as `may_go_on` and there is room for them. Blocks of one long line stay without.
    pub(super) fn index(
        self,
        disk: &Disk,
        dir: &Path,
        (Lacking { id, from }, codec): (Lacking, Codec),
        may_go_on: impl Fn() -> bool,
    ) -> Result<Outcome, StorageError> {
        let mut outcome = Outcome { indexed: 0, next: None };
        let path = id.archive_name(Some(codec)).in_dir(dir);
        let Some(archive) = disk.open_existing(&path)? else { return Ok(outcome) };
        let read = catalog::read_table(disk, &id.meta_name().in_dir(dir), self.stored)?;
        let len = archive.len()?;
        let Some(mut table) = read.filter(|table| table.codec == Some(codec) && table.archive_bytes() == len) else { return Ok(outcome) };
        for at in from as usize..table.blocks.len() {
            let block = &table.blocks[at];
            if block.filter.is_some() || BLOCK_BYTES < block.stats.raw_len as usize {
                continue;
            }
            if SEGMENT_FILTERS_BYTES_MAX <= table.filter_bytes() {
                break;
            }
            if !may_go_on() {
                outcome.next = Some(at as u32);
                break;
            }
            self.stored.resize(block.len as usize, 0);
            archive.read_exact_at(self.stored, block.offset)?;
            let decoded = self.decoder.decode(codec, self.stored, block.stats.raw_len as usize, self.raw);
            decoded.map_err(|error| StorageError::damaged(&path, error.to_string()))?;
            self.filters.index_block(self.raw, &mut table, at);
            outcome.indexed += u64::from(table.blocks[at].filter.is_some());
        }
        if 0 < outcome.indexed {
            replace(disk, dir, id, codec, &table)?;
        }
        Ok(outcome)
    }
}

fn replace(disk: &Disk, dir: &Path, id: SegmentId, codec: Codec, table: &Meta) -> Result<(), StorageError> {
    let written = durable::write_rebuildable(disk, dir, id.meta_name(), &table.encode());
    if written.is_err() {
        durable::discard(disk, dir, id.meta_name());
    }
    written?;
    // Whoever deletes an archive deletes its table then, which may have been the one before this.
    if disk.len(&id.archive_name(Some(codec)).in_dir(dir)).is_err_and(|error| error.is_not_found()) {
        let _ = disk.remove(&id.meta_name().in_dir(dir));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::limits::FILTER_BYTES_MAX;
    use crate::record::stored::StoredScanner;
    use crate::store::codec::Compressor;
    use crate::store::cut::scan_block;
    use crate::store::filter::Filter;
    use crate::store::name::{ShardTag, Stream};

    const BLOCKS: usize = 4;

    fn index(dir: &Path, id: SegmentId, codec: Codec, may_go_on: impl Fn() -> bool) -> Outcome {
        index_from(dir, id, 0, codec, may_go_on)
    }

    fn index_from(dir: &Path, id: SegmentId, from: u32, codec: Codec, may_go_on: impl Fn() -> bool) -> Outcome {
        let (mut decoder, mut stored, mut raw, mut filters) = Default::default();
        let late = Late { decoder: &mut decoder, stored: &mut stored, raw: &mut raw, filters: &mut filters };
        late.index(&Disk::new(), dir, (Lacking { id, from }, codec), may_go_on).unwrap()
    }

    fn block(n: usize) -> String {
        // Words that do not compress, so that filters have room.
        let id = |line: u64| (line + 1 + 1_000 * n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..500).map(|line| format!("{{\"id\":\"{:016x}{:016x}\"}}\n", id(line), id(line).rotate_left(17))).collect()
    }

    /// An archive of which the second block has a filter.
    fn archive(dir: &Path, codec: Codec) -> SegmentId {
        let id = SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 1_795_532_400, seq: 1 };
        let (mut table, mut bytes, mut out) = (Meta::new(Some(codec)), Vec::new(), Vec::new());
        for n in 0..BLOCKS {
            let raw = block(n).into_bytes();
            let crc = Compressor::new(codec).unwrap().compress(&raw, 1, &mut out).unwrap();
            table.push(out.len() as u64, Some(crc), scan_block(&raw, &mut StoredScanner::default()));
            if n == 1 {
                table.set_filter(FilterBuilder::default().build(&raw, 10_000));
            }
            bytes.extend_from_slice(&out);
        }
        std::fs::write(id.archive_name(Some(codec)).in_dir(dir), bytes).unwrap();
        std::fs::write(id.meta_name().in_dir(dir), table.encode()).unwrap();
        id
    }

    fn table(dir: &Path, id: SegmentId) -> Meta {
        catalog::read_table(&Disk::new(), &id.meta_name().in_dir(dir), &mut Vec::new()).unwrap().unwrap()
    }

    #[test]
    fn what_has_no_filter_gets_one_and_nothing_else_changes() {
        for codec in Codec::ALL {
            let dir = tempfile::tempdir().unwrap();
            let id = archive(dir.path(), codec);
            let before = table(dir.path(), id);
            let turns = Cell::new(0);
            let once = || turns.replace(turns.get() + 1) == 0;
            let first = index(dir.path(), id, codec, once);
            assert_eq!(first, Outcome { indexed: 1, next: Some(2) }, "a segment came meanwhile");
            let rest = index_from(dir.path(), id, 2, codec, || true);
            assert_eq!(rest, Outcome { indexed: 2, next: None });
            let mut after = table(dir.path(), id);
            for (n, block_) in after.blocks.iter_mut().enumerate() {
                let room = block_.len as usize / crate::limits::FILTER_SHARE;
                let expected = FilterBuilder::default().build(block(n).as_bytes(), if n == 1 { 10_000 } else { room });
                assert!(block_.filter.is_some() && block_.filter == expected, "{codec:?} {n}");
                block_.filter = before.blocks[n].filter.clone();
            }
            assert_eq!(after, before);
            assert_eq!(index(dir.path(), id, codec, || true), Outcome { indexed: 0, next: None });
        }
    }

    #[test]
    fn an_archive_that_is_deleted_meanwhile_leaves_no_table() {
        let dir = tempfile::tempdir().unwrap();
        let id = archive(dir.path(), Codec::Zstd);
        let delete = || {
            let _ = std::fs::remove_file(id.archive_name(Some(Codec::Zstd)).in_dir(dir.path()));
            let _ = std::fs::remove_file(id.meta_name().in_dir(dir.path()));
            true
        };
        index(dir.path(), id, Codec::Zstd, delete);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(index(dir.path(), id, Codec::Zstd, || true), Outcome { indexed: 0, next: None });
    }

    #[test]
    fn a_table_of_another_archive_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let id = archive(dir.path(), Codec::Zstd);
        let mut wrong = Meta::new(Some(Codec::Zstd));
        for block in table(dir.path(), id).blocks {
            wrong.push(u64::from(u32::MAX), None, block.stats);
        }
        std::fs::write(id.meta_name().in_dir(dir.path()), wrong.encode()).unwrap();
        assert_eq!(index(dir.path(), id, Codec::Zstd, || panic!("nothing is to be read")), Outcome { indexed: 0, next: None });
    }

    #[test]
    fn nothing_is_decoded_that_has_no_room_for_a_filter_or_was_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let id = archive(dir.path(), Codec::Zstd);
        assert_eq!(index_from(dir.path(), id, BLOCKS as u32, Codec::Zstd, || panic!("all was looked at")).indexed, 0);
        let mut full = table(dir.path(), id);
        let mut bytes = std::fs::read(id.archive_name(Some(Codec::Zstd)).in_dir(dir.path())).unwrap();
        for _ in 0..SEGMENT_FILTERS_BYTES_MAX.div_ceil(FILTER_BYTES_MAX) {
            full.push(1, Some(0), full.blocks[0].stats.clone());
            full.set_filter(Filter::from_words(vec![1; FILTER_BYTES_MAX / 8]));
        }
        bytes.resize(full.archive_bytes() as usize, 0);
        std::fs::write(id.archive_name(Some(Codec::Zstd)).in_dir(dir.path()), bytes).unwrap();
        std::fs::write(id.meta_name().in_dir(dir.path()), full.encode()).unwrap();
        assert!(table(dir.path(), id) == full);
        assert_eq!(index(dir.path(), id, Codec::Zstd, || panic!("there is no room")), Outcome { indexed: 0, next: None });
    }

    #[test]
    fn who_waits_is_told_as_long_as_there_is_some() {
        let waiting = Waiting::default();
        let lacking = |seq| Lacking { id: SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 1, seq }, from: 0 };
        assert!(waiting.arrived.try_recv().is_err() && waiting.is_empty());
        waiting.push(lacking(1), false);
        waiting.push(lacking(2), false);
        assert!(waiting.arrived.try_recv().is_ok() && waiting.arrived.try_recv().is_err());
        assert_eq!(waiting.pop(), Some(lacking(1)));
        assert!(waiting.arrived.try_recv().is_ok(), "of the second");
        assert_eq!(waiting.pop(), Some(lacking(2)));
        assert!(waiting.arrived.try_recv().is_err() && waiting.is_empty());
    }
}
