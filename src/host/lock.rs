//! One process per data directory.
//!
//! The lock is flock(2) on `logboom.lock` in the directory: the kernel releases it when the process ends, however it ends. The file stays, since removing it
//! would let two processes hold locks on two files of the same name; what an ended process wrote into it is overwritten.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::proc;
use crate::store::name::FileName;

/// What is read of another process's lock file; what a lock says about its holder is far shorter.
const HOLDER_BYTES_MAX: u64 = 4096;

/// The directory can't be had. One line, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{}: in use by {holder}; one process per data directory: stop it, or choose another --data-dir", dir.display())]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// The lock file can't be opened, locked or written.
    #[error("cannot lock {}: {error}; the directory must be writable and its file system must support flock, or choose another --data-dir", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The process that holds a directory, as far as its lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number, in its own PID namespace.
    pub pid: Option<u32>,
    /// Its name, where it is visible from here.
    pub name: Option<String>,
    /// When it took the lock: RFC 3339, UTC.
    pub since: Option<String>,
}

impl Holder {
    /// From the lock file's text: `PID\nTIME\nCOMMAND\n`. Anything may be missing, if the holder is about to write it.
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.parse().ok());
        let since = lines.next().and_then(|line| line.parse::<jiff::Timestamp>().ok()).map(|time| time.to_string());
        Self { pid, name: pid.and_then(proc::name), since }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.name) {
            (Some(pid), Some(name)) => write!(f, "{name}, process {pid}")?,
            (Some(pid), None) => write!(f, "process {pid} of another container or machine")?,
            (None, _) => write!(f, "another process")?,
        }
        self.since.as_ref().map_or(Ok(()), |since| write!(f, " (since {since})"))
    }
}

/// The right to use a data directory. Released on drop, or when the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks `dir`, which exists, or says who has it. Does not wait.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = FileName::Lock.in_dir(dir);
        let failed = |error: io::Error| LockError::Io { path: path.clone(), error };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(held(dir, file)),
            Err(error) => return Err(failed(error.into())),
        }
        let command: Vec<_> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let text = format!("{}\n{:.0}\n{}\n", std::process::id(), jiff::Timestamp::now(), command.join(" "));
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Says who has `dir`, if anybody has. Creates and changes nothing, and keeps nothing.
    pub fn look(dir: &Path) -> Result<(), LockError> {
        let path = FileName::Lock.in_dir(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            // Nobody ever had it; what is no directory is the preflight's to say.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(LockError::Io { path, error }),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(held(dir, file)),
            Err(error) => Err(LockError::Io { path, error: error.into() }),
        }
    }

    /// Keeps the directory until the process has ended, however it ends. For a process that may end while threads of it still write: with the lock dropped
    /// before, another process could begin in between.
    pub fn hold_until_exit(self) {
        std::mem::forget(self);
    }
}

fn held(dir: &Path, file: File) -> LockError {
    let mut text = Vec::new();
    let _ = file.take(HOLDER_BYTES_MAX).read_to_end(&mut text); // without it the message names nobody
    LockError::Held { dir: dir.to_owned(), holder: Holder::parse(&String::from_utf8_lossy(&text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(dir.path()).unwrap();
        let error = DirectoryLock::acquire(dir.path()).unwrap_err();
        let LockError::Held { ref holder, .. } = error else { panic!("{error}") };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert_eq!(DirectoryLock::look(dir.path()).unwrap_err().to_string(), error.to_string());
        assert_eq!(holder.name, proc::name(std::process::id()));
        assert!(holder.since.is_some());
        let said = error.to_string();
        assert!(said.contains(dir.path().to_str().unwrap()) && said.contains("--data-dir") && !said.contains('\n'), "{said}");
        drop(lock);
        DirectoryLock::look(dir.path()).unwrap();
        DirectoryLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn looking_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        DirectoryLock::look(dir.path()).unwrap();
        DirectoryLock::look(&dir.path().join("missing")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn held_until_the_exit_it_is_not_released_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        DirectoryLock::acquire(dir.path()).unwrap().hold_until_exit();
        assert!(matches!(DirectoryLock::acquire(dir.path()), Err(LockError::Held { .. })));
    }

    #[test]
    fn the_file_stays_and_a_stale_one_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = FileName::Lock.in_dir(dir.path());
        fs::write(&path, "4242\n2026-11-24T15:00:00Z\n".to_owned() + &"logboom serve ".repeat(1000)).unwrap();
        drop(DirectoryLock::acquire(dir.path()).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some(std::process::id().to_string().as_str()));
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn whatever_the_file_says_the_message_is_one_line() {
        for (text, expected) in [
            ("", "another process"),
            ("not a number\n", "another process"),
            ("4294967295\n", "process 4294967295 of another container or machine"),
            (
                "4294967295\n2026-11-24T15:00:00Z\nlogboom\n",
                "process 4294967295 of another container or machine (since 2026-11-24T15:00:00Z)",
            ),
            ("99999999999\nyesterday\n", "another process"),
        ] {
            assert_eq!(Holder::parse(text).to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_missing_directory_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let said = DirectoryLock::acquire(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(said.contains("missing") && said.contains("No such file"), "{said}");
    }
}
