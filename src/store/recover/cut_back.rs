//! Takes back the end of a raw segment, where its source will give it again: lines of files that are followed. Archives stay as they are.

use std::path::{Path, PathBuf};

use super::Recovered;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::name::{FileName, SegmentId, ShardTag, Stream};

impl Recovered {
    /// The raw file of segment `seq` of what `shard` wrote of `stream`, and its length; none if there is none that is open or waits for the pool.
    pub fn raw(&self, dir: &Path, stream: Stream, shard: usize, seq: u64) -> Option<(PathBuf, u64)> {
        if let Some(sealed) = self.sealed.iter().find(|segment| is_it(&segment.id, stream, shard, seq)) {
            return Some((sealed.path.clone(), sealed.raw_bytes));
        }
        let writer = &self.writers.get(shard)?[stream.slot()];
        let is_it = writer.stream() == stream && writer.seq() == seq && !writer.is_empty();
        is_it.then(|| (FileName::Open(stream, ShardTag::of(shard, self.writers.len())).in_dir(dir), writer.len()))
    }

    /// Ends that file at `offset`, a line end, durably; at 0 it is removed. Call it before the pool or a shard has anything of it.
    pub fn cut_back(&mut self, disk: &Disk, dir: &Path, stream: Stream, shard: usize, seq: u64, offset: u64) -> Result<(), StorageError> {
        let Some(at) = self.sealed.iter().position(|segment| is_it(&segment.id, stream, shard, seq)) else {
            let writer = self.writers.get_mut(shard).map(|slots| &mut slots[stream.slot()]);
            return writer
                .filter(|writer| writer.stream() == stream && writer.seq() == seq)
                .map_or(Ok(()), |writer| writer.cut_back(offset));
        };
        let segment = &mut self.sealed[at];
        if offset == 0 {
            disk.remove(&segment.path)?;
            self.sealed.remove(at);
            return disk.sync_dir(dir);
        }
        let file = disk.open_for_writing(&segment.path)?;
        file.truncate(offset)?;
        file.fdatasync()?;
        segment.raw_bytes = offset;
        Ok(())
    }

    /// Makes the sealed raw segments durable: what a checkpoint says of them must be true after a power cut too.
    pub fn make_durable(&self, disk: &Disk, dir: &Path) -> Result<(), StorageError> {
        for segment in &self.sealed {
            disk.open_for_writing(&segment.path)?.fdatasync()?;
        }
        if self.sealed.is_empty() { Ok(()) } else { disk.sync_dir(dir) }
    }
}

fn is_it(id: &SegmentId, stream: Stream, shard: usize, seq: u64) -> bool {
    (id.stream, id.shard.index(), id.seq) == (stream, shard, seq)
}
