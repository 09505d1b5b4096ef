//! The file operations of the store, one function each.
//!
//! Everything the store does to a data directory goes through a [`Disk`], so that a test can see every single operation, let it fail, stop the
//! process before it, or cut a write short: it sets a [`FileHook`]. Without one a `Disk` is nothing but the calls.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StorageError;

/// One kind of file operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Open a file that exists.
    Open,
    /// Create a file, or empty it.
    Create,
    /// Read bytes.
    Read,
    /// Write bytes.
    Write,
    /// Cut a file.
    Truncate,
    /// Make a file's bytes durable.
    Fdatasync,
    /// Give a file another name.
    Rename,
    /// Make a directory's names durable.
    SyncDir,
    /// Remove a file.
    Remove,
    /// Ask for a file's length.
    Stat,
    /// List a directory.
    List,
}

impl Op {
    /// Whether the operation changes what is on disk: those are the points at which a crash can leave something behind.
    pub fn changes(self) -> bool {
        !matches!(self, Op::Open | Op::Read | Op::Stat | Op::List)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Open => "open",
            Op::Create => "create",
            Op::Read => "read",
            Op::Write => "write",
            Op::Truncate => "truncate",
            Op::Fdatasync => "fdatasync",
            Op::Rename => "rename",
            Op::SyncDir => "fsync directory",
            Op::Remove => "remove",
            Op::Stat => "stat",
            Op::List => "list",
        })
    }
}

/// An operation that has succeeded.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// Which.
    pub op: Op,
    /// On which file or directory. A file that was renamed while it was open keeps the path that it was opened under.
    pub path: &'a Path,
    /// What it did beyond that.
    pub effect: Effect<'a>,
}

/// What an operation was done to, or did.
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// Its name and path say all.
    None,
    /// Opened, created, cut or made durable, this file.
    File(&'a File),
    /// Appended these bytes to this file, at its position now less their length.
    Bytes(&'a File, &'a [u8]),
    /// Gave this name.
    Name(&'a Path),
}

/// Sees every operation before and after it happens. For tests that inject faults and crashes, and record what was done.
pub trait FileHook: Send + Sync {
    /// Returns an error to let the operation fail with it instead of happening.
    fn before(&self, op: Op, path: &Path) -> io::Result<()>;

    /// Like [`before`](FileHook::before) for a write of `len` bytes, not 0. Returns how many of them to write, 1 to `len`; the rest is asked for again.
    fn before_write(&self, path: &Path, len: usize) -> io::Result<usize> {
        self.before(Op::Write, path).map(|()| len)
    }

    /// Called on the thread that did it. Reads are not told.
    fn after(&self, _: &Done<'_>) {}
}

/// The way to the file system.
#[derive(Clone, Default)]
pub struct Disk {
    hook: Option<Arc<dyn FileHook>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.hook.is_some() { "Disk(hooked)" } else { "Disk" })
    }
}

/// One regular file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

impl Disk {
    /// The plain file system.
    pub fn new() -> Disk {
        Disk::default()
    }

    /// The file system with a test in between.
    pub fn with_hook(hook: Arc<dyn FileHook>) -> Disk {
        Disk { hook: Some(hook) }
    }

    /// Opens `path` for reading.
    pub fn open(&self, path: &Path) -> Result<DiskFile, StorageError> {
        self.file(Op::Open, path, OpenOptions::new().read(true))
    }

    /// Opens `path` for reading; nothing, where there is no such file.
    pub fn open_existing(&self, path: &Path) -> Result<Option<DiskFile>, StorageError> {
        match self.open(path) {
            Err(error) if error.is_not_found() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Opens `path`, which exists, for reading and writing.
    pub fn open_for_writing(&self, path: &Path) -> Result<DiskFile, StorageError> {
        self.file(Op::Open, path, OpenOptions::new().read(true).write(true))
    }

    /// Creates `path`, or empties it.
    pub fn create(&self, path: &Path) -> Result<DiskFile, StorageError> {
        self.file(Op::Create, path, OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    /// Creates `path`, which must not exist yet: fails rather than empty a file.
    pub fn create_new(&self, path: &Path) -> Result<DiskFile, StorageError> {
        self.file(Op::Create, path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Renames `from` to `to` within one directory, replacing what was there.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.run(Op::Rename, from, || fs::rename(from, to))?;
        self.tell(Op::Rename, from, Effect::Name(to));
        Ok(())
    }

    /// Removes the file `path`.
    pub fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.run(Op::Remove, path, || fs::remove_file(path))?;
        self.tell(Op::Remove, path, Effect::None);
        Ok(())
    }

    /// Makes the names in the directory `dir` durable.
    pub fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.run(Op::SyncDir, dir, || File::open(dir)?.sync_all())?;
        self.tell(Op::SyncDir, dir, Effect::None);
        Ok(())
    }

    /// The length of the file `path`.
    pub fn len(&self, path: &Path) -> Result<u64, StorageError> {
        Ok(self.stat(path)?.len())
    }

    /// What the system says about the file `path`.
    pub fn stat(&self, path: &Path) -> Result<fs::Metadata, StorageError> {
        self.run(Op::Stat, path, || fs::metadata(path))
    }

    /// The regular files of the directory `dir`, by name. Names that are not UTF-8 are not ours and are shown with replacement characters.
    pub fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, StorageError> {
        self.run(Op::List, dir, || {
            let mut entries = Vec::new();
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
                    Err(error) => return Err(error),
                };
                if meta.is_file() {
                    entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), len: meta.len() });
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
    }

    fn file(&self, op: Op, path: &Path, options: &OpenOptions) -> Result<DiskFile, StorageError> {
        let file = self.run(op, path, || options.open(path))?;
        self.tell(op, path, Effect::File(&file));
        Ok(DiskFile { file, path: path.to_path_buf(), disk: self.clone() })
    }

    fn run<T>(&self, op: Op, path: &Path, operation: impl FnOnce() -> io::Result<T>) -> Result<T, StorageError> {
        let seen = self.hook.as_ref().map_or(Ok(()), |hook| hook.before(op, path));
        seen.and_then(|()| operation()).map_err(|error| StorageError::io(op, path, error))
    }

    fn tell(&self, op: Op, path: &Path, effect: Effect<'_>) {
        if let Some(hook) = &self.hook {
            hook.after(&Done { op, path, effect });
        }
    }
}

/// An open file that knows its path.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    /// The path it was opened under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn len(&self) -> Result<u64, StorageError> {
        self.disk.run(Op::Stat, &self.path, || self.file.metadata().map(|meta| meta.len()))
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> Result<bool, StorageError> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from the current position; returns less than its length only at the end of the file.
    pub fn read_full(&mut self, buf: &mut [u8]) -> Result<usize, StorageError> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::io(Op::Read, &self.path, error)),
            }
        }
        Ok(filled)
    }

    /// Fills `buf` from `offset`, wherever the current position is.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        self.disk.run(Op::Read, &self.path, || self.file.read_exact_at(buf, offset))
    }

    /// The same file with the position at its start. Both share it, so only one may read without offsets.
    pub fn from_start(&self) -> Result<DiskFile, StorageError> {
        let file = self.disk.run(Op::Open, &self.path, || self.file.try_clone())?;
        let mut clone = DiskFile { file, path: self.path.clone(), disk: self.disk.clone() };
        clone.seek_to(0)?;
        Ok(clone)
    }

    /// What the system says about the file.
    pub fn stat(&self) -> Result<fs::Metadata, StorageError> {
        self.disk.run(Op::Stat, &self.path, || self.file.metadata())
    }

    /// Goes to `offset` bytes from the start.
    pub fn seek_to(&mut self, offset: u64) -> Result<(), StorageError> {
        self.file.seek(SeekFrom::Start(offset)).map(drop).map_err(|error| StorageError::io(Op::Read, &self.path, error))
    }

    /// Writes all of `bytes` at the current position.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), StorageError> {
        self.write_from(bytes, &mut 0)
    }

    /// Writes `bytes[*done..]` at the current position. `done` counts what has been written: after an error, the same call goes on where it stopped.
    pub fn write_from(&self, bytes: &[u8], done: &mut usize) -> Result<(), StorageError> {
        while *done < bytes.len() {
            let rest = &bytes[*done..];
            let allowed = match &self.disk.hook {
                Some(hook) => hook.before_write(&self.path, rest.len()),
                None => Ok(rest.len()),
            };
            match allowed.and_then(|n| (&self.file).write(&rest[..n])) {
                Ok(0) => {
                    return Err(StorageError::io(Op::Write, &self.path, io::ErrorKind::WriteZero.into()));
                }
                Ok(n) => {
                    *done += n;
                    self.disk.tell(Op::Write, &self.path, Effect::Bytes(&self.file, &rest[..n]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::io(Op::Write, &self.path, error)),
            }
        }
        Ok(())
    }

    /// Cuts the file to `len` bytes.
    pub fn truncate(&self, len: u64) -> Result<(), StorageError> {
        self.disk.run(Op::Truncate, &self.path, || self.file.set_len(len))?;
        self.disk.tell(Op::Truncate, &self.path, Effect::File(&self.file));
        Ok(())
    }

    /// Makes the bytes durable. Never called again after it failed: what the kernel then still holds is unknown.
    pub fn fdatasync(&self) -> Result<(), StorageError> {
        self.disk.run(Op::Fdatasync, &self.path, || self.file.sync_data())?;
        self.disk.tell(Op::Fdatasync, &self.path, Effect::File(&self.file));
        Ok(())
    }
}

impl Read for DiskFile {
    /// For decoders; everything else reads with [`DiskFile::read_full`].
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(hook) = &self.disk.hook {
            hook.before(Op::Read, &self.path)?;
        }
        self.file.read(buf)
    }
}
