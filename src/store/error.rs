//! What can go wrong between the store and the disk.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::codec::CodecError;
use super::disk::Op;

/// A storage failure. Its text names the operation and the path and holds the system's own words, so the edge prints it once, as it is.
#[derive(Debug, Error)]
pub enum StorageError {
    /// A file operation failed: `fdatasync data/logs.s03.jsonl: Input/output error (os error 5)`.
    #[error("{op} {}: {error}", path.display())]
    Io {
        /// What was tried.
        op: Op,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said. Part of this error's text, therefore not its source as well.
        error: io::Error,
    },
    /// A file's bytes are not what they should be.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In a few words, what is wrong with it.
        what: String,
    },
    /// A compression engine refused its input, which it never should.
    #[error("compress {}: {error}", path.display())]
    Codec {
        /// The segment.
        path: PathBuf,
        /// What the engine said. Part of this error's text, therefore not its source as well.
        error: CodecError,
    },
    /// The directory can't be used as it is; the text says what to do.
    #[error("{}: {what}", path.display())]
    Unusable {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A thread of the pool panicked. What it held is on disk, for recovery.
    #[error("thread {thread} panicked: {message}")]
    Panicked {
        /// The thread's name.
        thread: String,
        /// What the panic said.
        message: String,
    },
}

impl StorageError {
    /// Wraps what the system said about `op` on `path`.
    pub fn io(op: Op, path: impl Into<PathBuf>, error: io::Error) -> StorageError {
        StorageError::Io { op, path: path.into(), error }
    }

    /// Says that the bytes of `path` are wrong.
    pub fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> StorageError {
        StorageError::Damaged { path: path.into(), what: what.into() }
    }

    /// Whether the disk or a quota is full: not a failure, but a reason to wait (ENOSPC, EDQUOT).
    pub fn is_full(&self) -> bool {
        let StorageError::Io { error, .. } = self else {
            return false;
        };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether a file is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StorageError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_operation_and_path() {
        let error = StorageError::io(Op::Fdatasync, "data/logs.s03.jsonl", io::Error::from_raw_os_error(5));
        assert_eq!(error.to_string(), "fdatasync data/logs.s03.jsonl: Input/output error (os error 5)");
        assert!(!error.is_full());
    }

    #[test]
    fn full_disks_and_quotas_are_not_failures() {
        for (errno, full) in [
            (rustix::io::Errno::NOSPC, true),
            (rustix::io::Errno::DQUOT, true),
            (rustix::io::Errno::IO, false),
            (rustix::io::Errno::ROFS, false),
        ] {
            let error = StorageError::io(Op::Write, "data/x", errno.into());
            assert_eq!(error.is_full(), full, "{errno:?}");
        }
    }
}
