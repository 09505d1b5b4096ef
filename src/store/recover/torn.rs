//! Where the last whole line of a raw file ends. What follows it was being written when the process or the machine stopped.

use crate::store::disk::DiskFile;
use crate::store::error::StorageError;

/// What is read at once, from the end backwards: a torn line is short, as a rule, and the file may be 16 GiB long.
const CHUNK_BYTES: usize = 64 * 1024;

/// How many of the file's `len` bytes are whole lines: all up to its last newline. Reads no more than it must.
pub(super) fn whole_bytes(file: &mut DiskFile, len: u64) -> Result<u64, StorageError> {
    whole_bytes_by(file, len, CHUNK_BYTES)
}

fn whole_bytes_by(file: &mut DiskFile, len: u64, chunk_bytes: usize) -> Result<u64, StorageError> {
    let mut chunk = vec![0; chunk_bytes];
    let mut end = len;
    while 0 < end {
        let start = end.saturating_sub(chunk_bytes as u64);
        file.seek_to(start)?;
        let read = file.read_full(&mut chunk[..(end - start) as usize])?;
        if let Some(newline) = memchr::memrchr(b'\n', &chunk[..read]) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::Disk;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_up_to_the_last_newline(bytes in "[a\n\u{0}]{0,40}", chunk_bytes in 1..50usize) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            std::fs::write(&path, &bytes).unwrap();
            let mut file = Disk::new().open(&path).unwrap();
            let expected = bytes.rfind('\n').map_or(0, |newline| newline as u64 + 1);
            prop_assert_eq!(whole_bytes_by(&mut file, bytes.len() as u64, chunk_bytes).unwrap(), expected);
        }
    }

    /// A sparse file of 16 GiB: reading it whole would take this test minutes.
    #[test]
    fn only_the_end_of_a_large_file_is_read() {
        use crate::store::disk::{FileHook, Op};
        use std::path::Path;
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        #[derive(Default)]
        struct Reads(AtomicUsize);
        impl FileHook for Reads {
            fn before(&self, op: Op, _: &Path) -> std::io::Result<()> {
                self.0.fetch_add(usize::from(op == Op::Read), Ordering::SeqCst);
                Ok(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let len = crate::limits::ROTATE_BYTES_MAX;
        let torn_bytes = 3 * CHUNK_BYTES as u64;
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(len).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"\n", len - torn_bytes - 1).unwrap();
        let reads = Arc::new(Reads::default());
        let mut file = Disk::with_hook(reads.clone()).open(&path).unwrap();
        assert_eq!(whole_bytes(&mut file, len).unwrap(), len - torn_bytes);
        assert_eq!(reads.0.load(Ordering::SeqCst), 4);
    }
}
