//! `logboom.format`: the version of a data directory's format, so that a daemon never touches a directory that it does not understand.

use std::path::Path;

use crate::store::disk::Disk;
use crate::store::durable;
use crate::store::error::StorageError;
use crate::store::name::FileName;

/// The version that this logboom writes, and the only one it reads.
const VERSION: u64 = 1;

const TITLE: &str = "logboom data directory";
const KEY: &str = "format = ";
/// What is read of the file; the rest says nothing.
const READ_BYTES: usize = 256;

/// Makes sure that `dir` is of a version that can be used, and writes the version where there is none. Nothing else has been changed before.
pub(super) fn check(disk: &Disk, dir: &Path) -> Result<(), StorageError> {
    let path = FileName::Format.in_dir(dir);
    let Some(mut file) = disk.open_existing(&path)? else { return write(disk, dir) };
    let mut bytes = [0; READ_BYTES];
    let len = file.read_full(&mut bytes)?;
    let what = match parse(&bytes[..len]) {
        Some(VERSION) => return Ok(()),
        Some(found) => format!(
            "the directory has format {found}, and this logboom knows format {VERSION} only; start the version that wrote it, or give another --data-dir"
        ),
        None => format!(
            "says no format version; if the directory was written by this version of logboom, make its text \"{TITLE}\", newline, \"{KEY}{VERSION}\", newline"
        ),
    };
    Err(StorageError::Unusable { path, what })
}

fn write(disk: &Disk, dir: &Path) -> Result<(), StorageError> {
    durable::write_durably(disk, dir, FileName::Format, text(VERSION).as_bytes()).map_err(|error| {
        if error.is_full() {
            let what = format!("cannot be written, the disk is full ({error}); free some space, then start again");
            return StorageError::Unusable { path: FileName::Format.in_dir(dir), what };
        }
        error
    })
}

fn text(version: u64) -> String {
    format!("{TITLE}\n{KEY}{version}\n")
}

/// The version, if there is one. What follows it is for later versions to say.
fn parse(bytes: &[u8]) -> Option<u64> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let digits = lines.next().filter(|line| *line == TITLE).and_then(|_| lines.next())?.strip_prefix(KEY)?;
    let version = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (version != 0).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_written_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        check(&Disk::new(), dir.path()).unwrap();
        let path = dir.path().join("logboom.format");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "logboom data directory\nformat = 1\n");
        std::fs::write(&path, "logboom data directory\r\nformat = 1\r\nby hand\r\n").unwrap();
        check(&Disk::new(), dir.path()).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("by hand\r\n"), "a version that can be used is left alone");
    }

    #[test]
    fn other_versions_and_garbage_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logboom.format");
        for (bytes, said) in [
            (text(999).into_bytes(), "format 999"),
            (text(2).into_bytes(), "format 2,"),
            (text(0).into_bytes(), "no format version"),
            (b"".to_vec(), "no format version"),
            (b"format = 1\n".to_vec(), "no format version"),
            (b"logboom data directory\nformat = +1\n".to_vec(), "no format version"),
            (b"logboom data directory\nformat = \n".to_vec(), "no format version"),
            (b"logboom data directory\nformat = 99999999999999999999999\n".to_vec(), "no format version"),
            (vec![0; 4096], "no format version"),
            (vec![0xff; 10], "no format version"),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let error = check(&Disk::new(), dir.path()).unwrap_err();
            assert!(matches!(error, StorageError::Unusable { .. }) && error.to_string().contains(said), "{error}");
            assert!(error.to_string().contains("logboom.format"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
