//! What exists in a data directory.

use std::path::Path;

use super::disk::Disk;
use super::error::StorageError;
use super::meta::Meta;
use super::name::FileName;
use crate::limits::{MIB, SEGMENT_FILTERS_BYTES_MAX};

/// A longer file is no block table: one of the largest segment, 16 GiB in blocks that are half full, has 7 MB, and its filters.
const TABLE_BYTES_MAX: u64 = 32 * MIB as u64 + SEGMENT_FILTERS_BYTES_MAX as u64;

/// One of our files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// Its name.
    pub name: FileName,
    /// Its length in bytes.
    pub len: u64,
}

/// Lists our files in `dir`, by name. Foreign files are left out.
pub fn files(disk: &Disk, dir: &Path) -> Result<Vec<StoreFile>, StorageError> {
    let entries = disk.list(dir)?;
    Ok(entries.into_iter().filter_map(|entry| FileName::parse(&entry.name).map(|name| StoreFile { name, len: entry.len })).collect())
}

/// Reads the block table `path` through `buffer`; `None` if it does not decode: after a power cut it may be anything.
pub fn read_table(disk: &Disk, path: &Path, buffer: &mut Vec<u8>) -> Result<Option<Meta>, StorageError> {
    let mut file = disk.open(path)?;
    let len = file.len()?;
    if TABLE_BYTES_MAX < len {
        return Ok(None);
    }
    buffer.resize(len as usize, 0);
    let read = file.read_full(buffer)?;
    Ok(Meta::decode(&buffer[..read]).ok())
}

/// Bytes on disk by the state of what holds them. The files of fixed size (`logboom.format`, `logboom.lock`) are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Open segments.
    pub open_bytes: u64,
    /// Sealed segments that are still raw, or stay raw.
    pub sealed_bytes: u64,
    /// Archives.
    pub archived_bytes: u64,
    /// Block tables.
    pub meta_bytes: u64,
    /// Files that are not complete.
    pub temporary_bytes: u64,
}

impl DiskUse {
    /// Each state's name and bytes.
    pub fn by_state(&self) -> [(&'static str, u64); 5] {
        [
            ("open", self.open_bytes),
            ("sealed", self.sealed_bytes),
            ("archived", self.archived_bytes),
            ("meta", self.meta_bytes),
            ("temporary", self.temporary_bytes),
        ]
    }

    fn add(&mut self, file: &StoreFile) {
        let bytes = match file.name {
            FileName::Open(..) => &mut self.open_bytes,
            FileName::Sealed(_) => &mut self.sealed_bytes,
            FileName::Archive(..) => &mut self.archived_bytes,
            FileName::Meta(_) => &mut self.meta_bytes,
            FileName::Temporary(_) => &mut self.temporary_bytes,
            FileName::Format | FileName::Lock | FileName::Checkpoints => return,
        };
        *bytes += file.len;
    }
}

/// Sums up our files in `dir`: one listing.
pub fn disk_use(dir: &Path) -> Result<DiskUse, StorageError> {
    let mut sums = DiskUse::default();
    files(&Disk::new(), dir)?.iter().for_each(|file| sums.add(file));
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_sum_and_foreign_files_have_none() {
        let dir = tempfile::tempdir().unwrap();
        for (name, len) in [
            ("logs.s00.jsonl", 1),
            ("rejected.s01.jsonl", 2),
            ("logs_20261124_150000_s00_000001.jsonl", 10),
            ("logs_20261124_150000_s00_000002.jsonl.gz", 100),
            ("logs_20261124_150000_s00_000003.jsonl.zst", 200),
            ("logs_20261124_150000_s00_000002.meta", 1_000),
            ("logs_20261124_150000_s00_000004.jsonl.gz.tmp", 10_000),
            ("logboom.format", 7),
            ("logboom.lock", 7),
            ("notes.txt", 7),
            ("notes.jsonl.tmp", 7),
        ] {
            std::fs::write(dir.path().join(name), vec![b'x'; len]).unwrap();
        }
        let sums = disk_use(dir.path()).unwrap();
        assert_eq!(sums.by_state(), [("open", 3), ("sealed", 10), ("archived", 300), ("meta", 1_000), ("temporary", 10_000)]);
        assert!(disk_use(&dir.path().join("missing")).is_err());
    }
}
