//! How a file is known again: by its inode, and by how it begins. Pure.
//!
//! A name is no identity, since rotation gives it to another file; an inode alone is none either, since it is given to another file once the first one is gone. So the
//! beginning of the file decides, as far as there was one: a file that was short grows into its fingerprint.

use crate::limits::WATCH_HEAD_BYTES;

/// The number of one file's content, for as long as the data directory remembers it. A file that is emptied and written anew has a new one.
pub type FileId = u64;

/// Where a file is on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

/// How a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Bytes that are covered, [`WATCH_HEAD_BYTES`] at most.
    pub len: u32,
    /// Their CRC-32.
    pub crc: u32,
    /// The CRC-32 of the first 16, 32, … 512 of them; 0 where there are not as many, or it is not known.
    pub prefixes: [u32; PREFIXES],
}

/// How many beginnings of a beginning are known.
pub const PREFIXES: usize = 6;
/// The shortest of them: less than a line.
const PREFIX_BYTES_MIN: usize = 16;

impl Head {
    /// Of a file that begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Head {
        let covered = &bytes[..bytes.len().min(WATCH_HEAD_BYTES)];
        let prefix = |at: usize| covered.get(..PREFIX_BYTES_MIN << at).map_or(0, crc32fast::hash);
        Head { len: covered.len() as u32, crc: crc32fast::hash(covered), prefixes: std::array::from_fn(prefix) }
    }

    /// Whether a file that holds no more than `bytes` yet may become the same.
    pub fn may_grow_from(self, bytes: &[u8]) -> bool {
        let longest = (0..PREFIXES).rev().find(|at| PREFIX_BYTES_MIN << at <= bytes.len() && self.prefixes[*at] != 0);
        bytes.len() < self.len as usize && longest.is_none_or(|at| crc32fast::hash(&bytes[..PREFIX_BYTES_MIN << at]) == self.prefixes[at])
    }

    /// Whether a file that begins with `bytes` may be the same. Of an empty one nothing is known: any may be.
    pub fn is_of(self, bytes: &[u8]) -> bool {
        bytes.get(..self.len as usize).is_some_and(|covered| crc32fast::hash(covered) == self.crc)
    }

    /// Whether it can't grow any more.
    pub fn is_full(self) -> bool {
        self.len as usize == WATCH_HEAD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_of_what_begins_alike() {
        let (short, long) = (Head::of(b"abc"), Head::of(&[b'x'; 5_000]));
        assert!(short.is_of(b"abc") && short.is_of(b"abcdef") && !short.is_of(b"ab") && !short.is_of(b"abd"));
        assert!(long.is_full() && long.is_of(&[b'x'; WATCH_HEAD_BYTES]) && !long.is_of(&[b'x'; WATCH_HEAD_BYTES - 1]));
        assert!(Head::default().is_of(b"") && Head::default().is_of(b"anything"));
        assert_eq!(Head::of(b""), Head::default());
        let head = Head::of(b"a first line of some length\nand another one\n");
        assert!(head.may_grow_from(b"") && head.may_grow_from(b"a first line of some length\n") && head.may_grow_from(b"short"));
        assert!(!head.may_grow_from(b"another first line\n"));
        assert!(!head.may_grow_from(b"a first line of some length\nand another one\n"), "it is as long");
    }
}
