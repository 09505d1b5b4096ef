//! The file that a shard's part of a stream is being read from.

use std::io;
use std::path::Path;

use crate::limits::{BLOCK_BYTES, BLOCK_DECODED_BYTES_MAX};
use crate::store::catalog;
use crate::store::codec::BlockReader;
use crate::store::disk::{Disk, DiskFile, Op};
use crate::store::error::StorageError;
use crate::store::meta::Meta;
use crate::store::name::{Codec, SegmentId};

use super::position::FINGERPRINT_BYTES;

#[derive(Debug)]
pub(super) enum Source {
    /// An open segment, or one that is sealed and perhaps archived since it was opened. What becomes of its name changes nothing.
    Raw(Raw),
    /// An archive, read on from where it was entered.
    Archive(Archive),
}

#[derive(Debug)]
pub(super) struct Raw {
    pub(super) file: DiskFile,
    /// Its sealed name, once that is known.
    pub(super) id: Option<SegmentId>,
}

pub(super) struct Archive {
    blocks: BlockReader<DiskFile>,
    /// Where the next block begins in the raw segment.
    raw_at: u64,
    id: SegmentId,
    codec: Codec,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({}, next block at {})", self.id.archive_name(Some(self.codec)), self.raw_at)
    }
}

impl Raw {
    /// Replaces `lines` by whole lines from `offset` on, about a block of them, unless one is longer; none beyond `limit`, which is at a line end.
    pub(super) fn read(&self, offset: u64, limit: u64, lines: &mut Vec<u8>) -> Result<(), StorageError> {
        let mut len = BLOCK_BYTES as u64;
        loop {
            let read = len.min(limit - offset);
            lines.resize(read as usize, 0);
            self.file.read_exact_at(lines, offset)?;
            if let Some(newline) = memchr::memrchr(b'\n', lines) {
                lines.truncate(newline + 1);
                return Ok(());
            }
            if read < len || BLOCK_DECODED_BYTES_MAX as u64 <= len {
                return Err(StorageError::damaged(self.file.path(), format!("no line ends in the {read} bytes from {offset} on")));
            }
            len *= 2;
        }
    }

    /// Replaces `lines` by the last bytes before `offset`; empty, if the file is shorter.
    pub(super) fn read_before(&self, offset: u64, lines: &mut Vec<u8>) -> Result<(), StorageError> {
        lines.clear();
        if offset <= self.file.len()? {
            let len = offset.min(FINGERPRINT_BYTES as u64 + 1); // and what ends the line before
            lines.resize(len as usize, 0);
            self.file.read_exact_at(lines, offset - len)?;
        }
        Ok(())
    }
}

impl Archive {
    /// Enters the archive at the block that holds the raw byte `offset`, or at its end; without a block table at its start. None, where it is gone.
    pub(super) fn enter(disk: &Disk, dir: &Path, id: SegmentId, codec: Codec, offset: u64) -> Result<Option<Archive>, StorageError> {
        let Some(mut file) = disk.open_existing(&id.archive_name(Some(codec)).in_dir(dir))? else { return Ok(None) };
        let mut raw_at = 0;
        if offset != 0
            && let Some(table) = table(disk, dir, id)?
            && table.codec == Some(codec)
            && table.archive_bytes() == file.len()?
        {
            let at = table.blocks.partition_point(|block| block.raw_offset + block.stats.raw_len <= offset);
            let start = table.blocks.get(at).map_or((table.archive_bytes(), table.raw_bytes()), |block| (block.offset, block.raw_offset));
            file.seek_to(start.0)?;
            raw_at = start.1;
        }
        Ok(Some(Archive { blocks: BlockReader::new(codec, file), raw_at, id, codec }))
    }

    /// Replaces `block` by the next block that does not end at or before the raw byte `offset`, and returns where that block begins; `None` at the end.
    pub(super) fn next_block(&mut self, offset: u64, block: &mut Vec<u8>) -> io::Result<Option<u64>> {
        while self.blocks.next_block(block)?.is_some() {
            let start = self.raw_at;
            self.raw_at += block.len() as u64;
            if offset < self.raw_at {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    pub(super) fn error(&self, dir: &Path, error: io::Error) -> StorageError {
        let path = self.id.archive_name(Some(self.codec)).in_dir(dir);
        match error.kind() {
            io::ErrorKind::InvalidData => StorageError::damaged(path, error.to_string()),
            _ => StorageError::io(Op::Read, path, error),
        }
    }
}

/// The block table of `id`; none, where there is none that can be read.
pub(super) fn table(disk: &Disk, dir: &Path, id: SegmentId) -> Result<Option<Meta>, StorageError> {
    match catalog::read_table(disk, &id.meta_name().in_dir(dir), &mut Vec::new()) {
        Err(error) if error.is_not_found() => Ok(None),
        read => read,
    }
}
