//! Descriptors of followed files: those that are read, and those that were read last. Bounded.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::content::{FileId, FileKey};
use crate::limits::{WATCH_OPEN_IDLE, WATCH_OPEN_MAX};

/// Opens the file `key`, which was at `path`; none if another one is there, or nothing. What took its place may be a pipe, which would keep an opener waiting.
pub(super) fn open(path: &Path, key: FileKey) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) if error == Errno::NOENT => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    let is_it = meta.is_file() && FileKey { dev: meta.dev(), ino: meta.ino() } == key;
    Ok(is_it.then_some(file))
}

/// By content.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    files: HashMap<FileId, Open>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    key: FileKey,
    is_reading: bool,
    used: Instant,
}

impl OpenFiles {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The file `key`, which was at `path`, to be read; none if another one is there, or nothing.
    pub(super) fn get(&mut self, id: FileId, path: &Path, key: FileKey) -> io::Result<Option<Arc<File>>> {
        if let Some(open) = self.files.get_mut(&id).filter(|open| open.key == key) {
            open.is_reading = true;
            return Ok(Some(open.file.clone()));
        }
        let Some(file) = open(path, key)?.map(Arc::new) else { return Ok(None) };
        if WATCH_OPEN_MAX <= self.files.len() {
            self.close_oldest();
        }
        self.files.insert(id, Open { file: file.clone(), key, is_reading: true, used: Instant::now() });
        Ok(Some(file))
    }

    /// The length of a file that is held open.
    pub(super) fn size(&self, id: FileId) -> Option<u64> {
        self.files.get(&id)?.file.metadata().ok().map(|meta| meta.len())
    }

    /// Nobody reads it any more.
    pub(super) fn is_read(&mut self, id: FileId) {
        if let Some(open) = self.files.get_mut(&id) {
            (open.is_reading, open.used) = (false, Instant::now());
        }
    }

    /// Lets it go.
    pub(super) fn close(&mut self, id: FileId) {
        self.files.remove(&id);
    }

    /// Lets those go that were not read for a while.
    pub(super) fn close_idle(&mut self) {
        self.files.retain(|_, open| open.is_reading || open.used.elapsed() < WATCH_OPEN_IDLE);
    }

    fn close_oldest(&mut self) {
        let oldest = self.files.iter().filter(|(_, open)| !open.is_reading).min_by_key(|(_, open)| open.used).map(|(id, _)| *id);
        oldest.map(|id| self.files.remove(&id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_the_place_of_a_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let key = |path: &Path| std::fs::metadata(path).map(|meta| FileKey { dev: meta.dev(), ino: meta.ino() }).unwrap();
        std::fs::write(&path, "text").unwrap();
        let of_file = key(&path);
        assert!(open(&path, of_file).unwrap().is_some());
        std::fs::remove_file(&path).unwrap();
        assert!(open(&path, of_file).unwrap().is_none());
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(open(&path, key(&path)).unwrap().is_none());
    }
}
