//! A raw segment and its archive both exist: which of them holds the lines?
//!
//! Usually the process stopped between the archive's rename and the raw file's removal, and the archive holds everything. But a power cut may have
//! shortened the raw file, which nobody made durable, or left zeros in it where a write never reached the disk, and a disk may have damaged the archive. So the
//! bytes are compared, and only what the other holds as well is ever given up. A NUL is nothing to give up: no line holds one.

use std::path::Path;

use crate::store::codec::BlockReader;
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StorageError;
use crate::store::name::Codec;

/// What the comparison says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Weighed {
    /// The archive is intact and begins with all that the raw file holds, but for its NULs.
    Archive,
    /// The raw file begins with all that can be read of the archive, and goes on. Says what is wrong with the archive.
    Raw(String),
    /// Each may hold something that the other does not. Says where they part.
    Both(String),
}

/// Compares the first `raw_bytes` bytes of `raw`, whole lines, with the archive `path`.
pub(super) fn weigh(disk: &Disk, raw: &mut DiskFile, raw_bytes: u64, path: &Path, codec: Codec) -> Result<Weighed, StorageError> {
    raw.seek_to(0)?;
    let mut archive = BlockReader::new(codec, disk.open(path)?);
    let (mut decoded, mut expected) = (Vec::new(), Vec::new());
    let mut compared = 0;
    let mut has_holes = false;
    let wrong = loop {
        match archive.next_block(&mut decoded) {
            Ok(Some(_)) => {}
            Ok(None) if compared == raw_bytes => return Ok(Weighed::Archive),
            Ok(None) => break "it ends before the raw file does".to_owned(),
            Err(error) => break error.to_string(),
        }
        let len = decoded.len().min(usize::try_from(raw_bytes - compared).unwrap_or(usize::MAX));
        expected.resize(len, 0);
        let is_read = raw.read_full(&mut expected)? == len;
        if decoded[..len] != expected {
            has_holes = true;
            let is_hole = |(archived, raw): (&u8, &u8)| *raw == 0 || archived == raw;
            if !is_read || !decoded.iter().zip(&expected).all(is_hole) {
                return Ok(Weighed::Both(format!("they differ after {compared} bytes")));
            }
        }
        compared += len as u64;
    };
    if compared < raw_bytes && !has_holes { Ok(Weighed::Raw(wrong)) } else { Ok(Weighed::Both(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::Compressor;

    #[test]
    fn only_what_the_other_holds_is_given_up() {
        let block = |codec, raw: &[u8]| {
            let mut out = Vec::new();
            Compressor::new(codec).unwrap().compress(raw, 1, &mut out).unwrap();
            out
        };
        let dir = tempfile::tempdir().unwrap();
        let (raw_path, archive_path) = (dir.path().join("raw"), dir.path().join("archive"));
        let disk = Disk::new();
        for codec in Codec::ALL {
            let two = [block(codec, b"one\ntwo\n"), block(codec, b"three\n")].concat();
            let first = block(codec, b"one\ntwo\n");
            let cut = &two[..two.len() - 3];
            for (archive, raw, expected) in [
                (&two[..], &b"one\ntwo\nthree\n"[..], "archive"),
                (&two, b"one\ntwo\n", "archive"),
                (&two, b"one\n", "archive"),
                (&two, b"", "archive"),
                (&two, b"\0\0\0\0two\nth\0\0\0\n", "archive"), // two writes of three never reached the disk
                (&two, b"\0\0\0\0tWo\n", "both"),
                (&two, b"\0\0\0\0two\nthree\nfour\n", "both"),
                (cut, b"\0\0\0\0two\nthree\n", "both"),
                (&two, b"one\ntwo\nthree\nfour\n", "raw"),
                (&two, b"one\nTwo\nthree\n", "both"),
                (&two, b"one\ntwo\nThree\n", "both"),
                (&first, b"one\ntwo\nthree\n", "raw"),
                (cut, b"one\ntwo\nthree\n", "raw"),
                (cut, b"one\ntwo\n", "both"), // the rest of the archive may hold more, for whoever can read it
                (cut, b"one\n", "both"),
                (b"garbage", b"one\n", "raw"),
                (b"", b"one\n", "raw"),
                (b"garbage", b"", "both"),
                (b"", b"", "archive"), // nothing in nothing
            ] {
                std::fs::write(&raw_path, [raw, b"torn"].concat()).unwrap();
                std::fs::write(&archive_path, archive).unwrap();
                let mut file = disk.open(&raw_path).unwrap();
                let weighed = weigh(&disk, &mut file, raw.len() as u64, &archive_path, codec).unwrap();
                let said = match weighed {
                    Weighed::Archive => "archive",
                    Weighed::Raw(_) => "raw",
                    Weighed::Both(_) => "both",
                };
                assert_eq!(said, expected, "{codec:?}: {} bytes and {:?}", archive.len(), String::from_utf8_lossy(raw));
            }
        }
    }
}
