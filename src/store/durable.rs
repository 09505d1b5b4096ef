//! Replacing files so that a crash or a power cut at any moment leaves either the old or the new, whole.
//!
//! The order is always the same: write under a temporary name, make the bytes durable, rename, make the name durable, and only then remove what was
//! replaced. It is spelled in types: each step consumes the state before it, so no caller can leave one out or change places.
//!
//! ```text
//! Written --sync--> Synced --rename--> Named --settle (one directory fsync for many)--> Durable --remove_source-->
//! ```
//!
//! A sync that failed is never repeated on the same file: what the kernel still holds of it is unknown. Where the disk was full, the caller
//! [discards](discard) the file and writes it again from its source.

use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::StorageError;
use super::name::FileName;

/// A complete file under its temporary name.
#[derive(Debug)]
pub struct Written {
    file: DiskFile,
    target: PathBuf,
}

/// Its bytes are durable.
#[derive(Debug)]
pub struct Synced {
    temporary: PathBuf,
    target: PathBuf,
}

/// It has its name, which a power cut may still take away.
#[derive(Debug)]
pub struct Named(());

/// It has its name for good: what it replaces may go.
#[derive(Debug)]
pub struct Durable(());

impl Written {
    /// Declares `file`, which was created under the temporary form of `name` in `dir`, complete.
    ///
    /// # Panics
    /// If the file is another one.
    pub fn new(file: DiskFile, dir: &Path, name: FileName) -> Written {
        let target = name.in_dir(dir);
        assert_eq!(file.path(), name.temporary().in_dir(dir));
        Written { file, target }
    }

    /// Makes the bytes durable.
    pub fn sync(self) -> Result<Synced, StorageError> {
        self.file.fdatasync()?;
        Ok(Synced { temporary: self.file.path().to_path_buf(), target: self.target })
    }
}

impl Synced {
    /// Gives the file its name.
    pub fn rename(self, disk: &Disk) -> Result<Named, StorageError> {
        disk.rename(&self.temporary, &self.target)?;
        Ok(Named(()))
    }
}

/// Makes the names of many files in `dir` durable at once.
pub fn settle(disk: &Disk, dir: &Path, files: Vec<Named>) -> Result<Vec<Durable>, StorageError> {
    disk.sync_dir(dir)?;
    Ok(files.into_iter().map(|Named(())| Durable(())).collect())
}

impl Durable {
    /// Removes the file that this one replaces. Not made durable: a source that comes back after a power cut is removed again by recovery.
    pub fn remove_source(self, disk: &Disk, source: &Path) -> Result<(), StorageError> {
        disk.remove(source)
    }
}

/// Removes the temporary form of `name`, if it is there. Best effort: recovery removes what stays.
pub fn discard(disk: &Disk, dir: &Path, name: FileName) {
    let _ = disk.remove(&name.temporary().in_dir(dir));
}

/// Writes a small file, durably.
pub fn write_durably(disk: &Disk, dir: &Path, name: FileName, bytes: &[u8]) -> Result<(), StorageError> {
    let named = write_temporary(disk, dir, name, bytes)?.sync()?.rename(disk)?;
    settle(disk, dir, vec![named]).map(drop)
}

/// Writes a small file that can be rebuilt, whole or not at all as long as the machine runs; after a power cut its content is whatever its checksum says.
pub fn write_rebuildable(disk: &Disk, dir: &Path, name: FileName, bytes: &[u8]) -> Result<(), StorageError> {
    let written = write_temporary(disk, dir, name, bytes)?;
    disk.rename(written.file.path(), &written.target)
}

fn write_temporary(disk: &Disk, dir: &Path, name: FileName, bytes: &[u8]) -> Result<Written, StorageError> {
    let file = disk.create(&name.clone().temporary().in_dir(dir))?;
    file.write_all(bytes)?;
    Ok(Written::new(file, dir, name))
}
