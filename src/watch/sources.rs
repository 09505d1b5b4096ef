//! The files that are there at the start, for whoever wants lines of them once more.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use super::content::FileKey;
use super::journal::FileRecord;
use super::patterns::Scan;

/// What a scan has found, by inode.
#[derive(Debug)]
pub struct Sources(HashMap<FileKey, Arc<Path>>);

impl Sources {
    /// Of a scan of all that is followed.
    pub fn of(scan: Scan) -> Self {
        Self(scan.found.into_iter().map(|found| (found.key, found.path)).collect())
    }

    /// Whether the file that `record` knows is there, begins as it did, and has `bytes` bytes. One that can't be read is not, and no archive is.
    pub fn has(&self, record: &FileRecord, bytes: u64) -> bool {
        self.0.get(&record.key).is_some_and(|path| looks_like(path, record, bytes).unwrap_or(false))
    }
}

fn looks_like(path: &Path, record: &FileRecord, bytes: u64) -> io::Result<bool> {
    // Whatever has the name by now, opening it waits for nobody.
    let file = File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    let meta = file.metadata()?;
    let is_same = meta.is_file() && FileKey { dev: meta.dev(), ino: meta.ino() } == record.key;
    let mut head = Vec::with_capacity(record.head.len as usize);
    if is_same && bytes <= meta.len() {
        file.take(u64::from(record.head.len)).read_to_end(&mut head)?;
    }
    Ok(is_same && bytes <= meta.len() && record.head.is_of(&head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::content::Head;
    use crate::watch::patterns::{self, Archives, Pattern};

    #[test]
    fn a_file_is_there_if_it_is_followed_and_begins_as_it_did_and_is_as_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "first\nsecond\n").unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        let key = FileKey { dev: meta.dev(), ino: meta.ino() };
        let record = FileRecord { id: 1, key, head: Head::of(b"first\n"), path: path.clone() };
        let other = FileRecord { head: Head::of(b"other\n"), ..record.clone() };
        let elsewhere = FileRecord { key: FileKey { dev: key.dev, ino: 1 }, ..record.clone() };
        let sources = |pattern: &str| {
            let pattern = dir.path().join(pattern).to_str().unwrap().parse::<Pattern>().unwrap();
            Sources::of(patterns::scan(&[pattern], Archives::Skipped, &[]))
        };
        let has = |record: &FileRecord, bytes| sources("*.log").has(record, bytes);
        assert!(has(&record, 0) && has(&record, 13) && !has(&record, 14), "as long");
        assert!(!has(&other, 6) && !has(&elsewhere, 6));
        let before = sources("*.log");
        std::fs::rename(&path, path.with_extension("log.1")).unwrap();
        assert!(sources("*.log*").has(&record, 13), "rotation gave it another name");
        assert!(!before.has(&record, 13), "gone since");
        std::fs::remove_file(path.with_extension("log.1")).unwrap();
        assert!(!has(&record, 0));
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(!before.has(&record, 0), "a pipe by now");
    }
}
