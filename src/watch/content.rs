//! How a file is known again: by its inode, and by how it begins. Pure.
//!
//! A name is no identity, since rotation gives it to another file; an inode alone is none either, since it is given to another file once the first one is gone. So the
//! beginning of the file decides, as far as there was one: a file that was short grows into its fingerprint.

use std::path::Path;

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

/// Whether rotation may have made `copy` of the file `original`, by their names: `app.log.1`, `app.log-20261129`, `app-20261129.log`, `app.log.2.gz` of `app.log`
/// or of `app.log.1`. In any folder, since rotation may use another one.
pub fn is_rotated_name(copy: &Path, original: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (copy, original) = (name(copy), name(original));
    if copy == original {
        return false;
    }
    let base = without_rotation(&original);
    if copy.strip_prefix(base).is_some_and(|rest| rest.starts_with(['.', '-', '_', '~'])) {
        return true;
    }
    let Some((stem, extension)) = base.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return false };
    let copy = without_compression(&copy);
    let between = copy.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    between.is_some_and(|between| {
        between.starts_with(['.', '-', '_']) && between.ends_with('.') && between.contains(|c: char| c.is_ascii_digit())
    })
}

/// What all files have in common that rotation made of one: folder and name without what rotation adds.
pub fn rotation_base(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(without_rotation(&name))
}

fn without_compression(name: &str) -> &str {
    [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// `app.log` of `app.log.2.gz` and of `app.log-20261129`.
fn without_rotation(name: &str) -> &str {
    let name = without_compression(name);
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match base.strip_suffix(['.', '-', '_']) {
        Some(base) if !base.is_empty() && base.len() < name.len() - 1 => base,
        _ => name,
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

    #[test]
    fn names_that_rotation_makes() {
        for (copy, original, expected) in [
            ("app.log.1", "app.log", true),
            ("app.log.1.gz", "app.log", true),
            ("app.log.2.gz", "app.log.1", true),
            ("app.log-20261129", "app.log", true),
            ("app.log-20261129.gz", "app.log-20261129", true),
            ("app-20261129.log", "app.log", true),
            ("app-20261129.log.gz", "app.log", true),
            ("syslog.1", "syslog", true),
            ("app.log", "app.log", false),
            ("app.log", "app.log.1", false),
            ("a2.log", "a1.log", false),
            ("apple.log", "app.log", false),
            ("other.log", "app.log", false),
            ("app.log2", "app.log", false),
            ("x", "", false),
        ] {
            assert_eq!(is_rotated_name(Path::new(copy), Path::new(original)), expected, "{copy} of {original}");
        }
    }
}
