//! Cutting a raw file into blocks of whole lines, and summing up what a block holds.

use crate::limits::{BLOCK_BYTES, BLOCK_DECODED_BYTES_MAX};

use super::disk::DiskFile;
use super::error::StorageError;
use super::segment::BlockStats;
use crate::record::stored::StoredScanner;

/// Reads a file block by block into a buffer that it keeps: at most [`BLOCK_BYTES`] of whole lines each, unless one line is longer.
///
/// Invariant: block_end <= filled <= buf.len(); the bytes from block_end to filled belong to the next block.
#[derive(Debug, Default)]
pub struct BlockCutter {
    buf: Vec<u8>,
    block_end: usize,
    filled: usize,
}

impl BlockCutter {
    /// Forgets what is left of the file before.
    pub fn restart(&mut self) {
        (self.block_end, self.filled) = (0, 0);
        self.buf.resize(BLOCK_BYTES, 0);
        self.buf.shrink_to(BLOCK_BYTES); // one huge line made it large
    }

    /// The next block of `file`, or `None` at its end. Only the file's last block may lack its newline.
    pub fn next_block(&mut self, file: &mut DiskFile) -> Result<Option<&[u8]>, StorageError> {
        self.buf.copy_within(self.block_end..self.filled, 0);
        self.filled -= self.block_end;
        self.block_end = 0;
        loop {
            let start = self.filled;
            self.filled += file.read_full(&mut self.buf[start..])?;
            let at_end = self.filled < self.buf.len();
            let (window, beyond) = self.buf[..self.filled].split_at(self.filled.min(BLOCK_BYTES));
            self.block_end = match (memchr::memrchr(b'\n', window), memchr::memchr(b'\n', beyond)) {
                (Some(newline), _) => newline + 1,
                (None, Some(newline)) => window.len() + newline + 1, // one line is longer than a block
                (None, None) if at_end => self.filled,
                (None, None) => 0,
            };
            if self.block_end != 0 {
                return Ok(Some(&self.buf[..self.block_end]));
            }
            if at_end {
                return Ok(None);
            }
            if BLOCK_DECODED_BYTES_MAX <= self.buf.len() {
                return Err(StorageError::damaged(file.path(), "a line is longer than any that is written"));
            }
            self.buf.resize(2 * self.buf.len(), 0);
        }
    }
}

/// Sums up a block's lines.
pub fn scan_block(block: &[u8], scanner: &mut StoredScanner) -> BlockStats {
    let mut stats = BlockStats::default();
    for line in block.split_inclusive(|&byte| byte == b'\n') {
        let (level, time) = scanner.scan(line.strip_suffix(b"\n").unwrap_or(line));
        stats.add_line(line.len() as u64, level, time);
    }
    stats
}

/// Whether `block` can be what `stats` was made of: its length, its last newline, and the number of its lines.
pub fn agrees(block: &[u8], stats: &BlockStats) -> bool {
    block.len() as u64 == stats.raw_len && block.ends_with(b"\n") && memchr::memchr_iter(b'\n', block).count() as u64 == stats.lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;
    use crate::store::disk::Disk;
    use proptest::prelude::*;

    fn blocks_of(bytes: &[u8]) -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let mut file = Disk::new().open(&path).unwrap();
        let mut cutter = BlockCutter::default();
        cutter.restart();
        let mut blocks = Vec::new();
        while let Some(block) = cutter.next_block(&mut file).unwrap() {
            blocks.push(block.to_vec());
        }
        blocks
    }

    #[test]
    fn blocks_are_whole_lines() {
        let line = |len: usize| [vec![b'x'; len - 1], vec![b'\n']].concat();
        let cases = [
            (vec![], vec![]),
            (vec![1], vec![1]),
            (vec![BLOCK_BYTES], vec![BLOCK_BYTES]),
            (vec![BLOCK_BYTES, 1], vec![BLOCK_BYTES, 1]),
            (vec![BLOCK_BYTES - 1, 2], vec![BLOCK_BYTES - 1, 2]),
            (vec![1000, 3 * BLOCK_BYTES, 500], vec![1000, 3 * BLOCK_BYTES, 500]),
            (vec![300_000, 300_000, 300_000], vec![300_000, 300_000, 300_000]),
        ];
        for (lines, expected) in cases {
            let bytes: Vec<u8> = lines.iter().flat_map(|&len| line(len)).collect();
            let blocks = blocks_of(&bytes);
            assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            assert_eq!(blocks.concat(), bytes);
        }
        assert_eq!(blocks_of(b"a\nb"), [b"a\n".to_vec(), b"b".to_vec()]);
    }

    proptest! {
        #[test]
        fn a_scan_counts_what_is_there(lines in prop::collection::vec((0..Level::COUNT, prop::option::of(0..9_000i64)), 0..50)) {
            let line = |(level, second): &(usize, Option<i64>)| {
                let time = second.map_or(String::new(), |second| format!(",\"ts\":{second}"));
                format!("{{\"level\":\"{}\"{time}}}\n", Level::ALL[*level].name())
            };
            let text: String = lines.iter().map(line).collect();
            let stats = scan_block(text.as_bytes(), &mut StoredScanner::default());
            prop_assert!(text.is_empty() || agrees(text.as_bytes(), &stats));
            for level in Level::ALL {
                prop_assert_eq!(stats.levels[level as usize], lines.iter().filter(|line| line.0 == level as usize).count() as u64);
            }
            let latest = lines.iter().filter_map(|line| line.1).max();
            prop_assert_eq!(stats.time.map(|time| time.max_us), latest.map(|second| second * 1_000_000));
        }
    }
}
