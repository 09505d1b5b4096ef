//! Blocks to read, and reading them.

use std::path::Path;

use super::segments::{Kind, Source};
use crate::store::codec::BlockDecoder;
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StorageError;
use crate::store::segment::TimeRange;

/// One block that may hold matching lines.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Its source's place in the list.
    pub(super) source: usize,
    /// Where it is in the file.
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) raw_len: usize,
    /// Within which the times of all its lines are.
    pub(super) time: TimeRange,
}

/// Reads blocks, keeping its buffers and the file that it read last.
#[derive(Default)]
pub(super) struct Reader {
    stored: Vec<u8>,
    raw: Vec<u8>,
    archive: Option<(usize, DiskFile)>,
    decoder: BlockDecoder,
}

impl Reader {
    /// The raw lines of `unit`; nothing if its file is gone.
    pub(super) fn read(&mut self, disk: &Disk, sources: &[Source], unit: &Unit) -> Result<Option<&[u8]>, StorageError> {
        let source = &sources[unit.source];
        match &source.kind {
            Kind::Raw(file) => {
                self.raw.resize(unit.raw_len, 0);
                file.read_exact_at(&mut self.raw, unit.offset)?;
            }
            Kind::Archive(_, codec) => {
                let Some(file) = archive(&mut self.archive, disk, unit.source, &source.path)? else { return Ok(None) };
                self.stored.resize(unit.len, 0);
                file.read_exact_at(&mut self.stored, unit.offset)?;
                let decoded = self.decoder.decode(*codec, &self.stored, unit.raw_len, &mut self.raw);
                decoded.map_err(|error| StorageError::damaged(&source.path, format!("{error}, at byte {}", unit.offset)))?;
            }
        }
        Ok(Some(&self.raw))
    }
}

/// The archive of a source, open; nothing if it is gone.
fn archive<'a>(
    kept: &'a mut Option<(usize, DiskFile)>,
    disk: &Disk,
    source: usize,
    path: &Path,
) -> Result<Option<&'a DiskFile>, StorageError> {
    if kept.as_ref().is_none_or(|(of, _)| *of != source) {
        *kept = match disk.open(path) {
            Ok(file) => Some((source, file)),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
    }
    Ok(kept.as_ref().map(|(_, file)| file))
}
