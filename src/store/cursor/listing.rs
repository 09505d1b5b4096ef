//! What sealed segments of a stream there are, as of the last look at the directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::store::catalog;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::name::{Codec, FileName, SegmentId, Stream};

/// A listing is repeated at most so often that it takes a tenth of the time: one of 100,000 files takes a tenth of a second.
const TIME_SHARE: u32 = 10;

/// One sealed segment's files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    pub(super) id: SegmentId,
    /// The raw file's length, where there is one.
    pub(super) raw_bytes: Option<u64>,
    /// The archive's length, where there is one. Of two archives, that of the codec that comes first.
    pub(super) archive: Option<(Codec, u64)>,
}

impl Sealed {
    /// Its bytes on disk: of the archive, if there is one.
    pub(super) fn bytes(&self) -> u64 {
        self.archive.map(|(_, bytes)| bytes).or(self.raw_bytes).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    by_number: BTreeMap<(usize, u64), Sealed>,
    listed: Option<Instant>,
    took: Duration,
}

impl Listing {
    /// Lists the directory, now.
    pub(super) fn refresh(&mut self, disk: &Disk, dir: &Path, stream: Stream) -> Result<(), StorageError> {
        let begun = Instant::now();
        let mut by_number = BTreeMap::<(usize, u64), Sealed>::new();
        for file in catalog::files(disk, dir)? {
            let (FileName::Sealed(id) | FileName::Archive(id, _)) = file.name else { continue };
            if id.stream != stream {
                continue;
            }
            let sealed = by_number.entry((id.shard.index(), id.seq)).or_insert(Sealed { id, raw_bytes: None, archive: None });
            match file.name {
                // A number that stands twice was put there by somebody: the first is read.
                _ if sealed.id != id => {}
                FileName::Archive(_, codec) => sealed.archive = sealed.archive.or(Some((codec, file.len))),
                _ => sealed.raw_bytes = Some(file.len),
            }
        }
        self.by_number = by_number;
        self.listed = Some(Instant::now());
        self.took = begun.elapsed();
        Ok(())
    }

    /// Lists it unless that was done a moment ago. Returns whether it did.
    pub(super) fn refresh_if_rested(&mut self, disk: &Disk, dir: &Path, stream: Stream) -> Result<bool, StorageError> {
        let is_rested = self.listed.is_none_or(|listed| TIME_SHARE * self.took <= listed.elapsed());
        if is_rested {
            self.refresh(disk, dir, stream)?;
        }
        Ok(is_rested)
    }

    pub(super) fn get(&self, shard: usize, seq: u64) -> Option<Sealed> {
        self.by_number.get(&(shard, seq)).copied()
    }

    /// Those of `shard` from number `seq` on.
    pub(super) fn from(&self, shard: usize, seq: u64) -> impl Iterator<Item = &Sealed> {
        self.by_number.range((shard, seq)..=(shard, u64::MAX)).map(|(_, sealed)| sealed)
    }

    /// The shards that have any.
    pub(super) fn shards(&self) -> impl Iterator<Item = usize> {
        self.by_number.keys().map(|(shard, _)| *shard)
    }
}
