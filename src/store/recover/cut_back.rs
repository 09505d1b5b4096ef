//! Takes back what the store holds beyond a checkpoint of its source, where the source will give it again: lines of files that are followed.

use std::path::Path;

use super::Recovered;
use crate::store::catalog;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::name::{FileName, SegmentId, Stream};

impl Recovered {
    /// Ends the part of `stream` that `shard` wrote at `offset` of segment `seq`, which is a line end; what follows is removed. Returns how many bytes that were. Call it before
    /// the pool or a shard has anything of it.
    ///
    /// An archive is taken back whole or not at all: one that holds more than `offset` stays, and its lines may be there twice.
    pub fn cut_back(&mut self, disk: &Disk, dir: &Path, stream: Stream, shard: usize, seq: u64, offset: u64) -> Result<u64, StorageError> {
        let mut cut_bytes = 0;
        let is_of = |id: &SegmentId| id.stream == stream && id.shard.index() == shard;
        // The last first: what is left after a crash in between still ends at a line that was written.
        if let Some(writer) = self.writers.get_mut(shard).map(|slots| &mut slots[stream.slot()]) {
            let kept = if writer.seq() == seq { offset.min(writer.len()) } else { 0 };
            if seq <= writer.seq() && kept < writer.len() {
                cut_bytes += writer.len() - kept;
                writer.cut_back(kept)?;
            }
        }
        for file in catalog::files(disk, dir)?.into_iter().rev() {
            if let FileName::Archive(id, _) = file.name
                && is_of(&id)
                && seq < id.seq
            {
                cut_bytes += file.len;
                disk.remove(&file.name.in_dir(dir))?;
                let _ = disk.remove(&id.meta_name().in_dir(dir)); // recovery removes what stays
            }
        }
        for at in (0..self.sealed.len()).rev() {
            let segment = &mut self.sealed[at];
            let kept = if segment.id.seq == seq { offset } else { 0 };
            if !is_of(&segment.id) || segment.id.seq < seq || segment.raw_bytes <= kept {
                continue;
            }
            cut_bytes += segment.raw_bytes - kept;
            if kept == 0 {
                disk.remove(&segment.path)?;
                self.sealed.remove(at);
            } else {
                let file = disk.open_for_writing(&segment.path)?;
                file.truncate(kept)?;
                file.fdatasync()?;
                segment.raw_bytes = kept;
            }
        }
        if 0 < cut_bytes {
            disk.sync_dir(dir)?;
        }
        Ok(cut_bytes)
    }

    /// Makes the sealed raw segments durable: what a checkpoint says of them must be true after a power cut too.
    pub fn make_durable(&self, disk: &Disk, dir: &Path) -> Result<(), StorageError> {
        for segment in &self.sealed {
            disk.open_for_writing(&segment.path)?.fdatasync()?;
        }
        if self.sealed.is_empty() { Ok(()) } else { disk.sync_dir(dir) }
    }
}
