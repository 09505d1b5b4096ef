//! Blocks to read, and reading them.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::segments::{Kind, Source};
use crate::limits::{BLOCK_BYTES, SEARCH_BLOCK_BYTES};
use crate::store::codec::BlockDecoder;
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StorageError;
use crate::store::segment::TimeRange;

/// One block that may hold matching lines.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Its source's place in the list.
    pub(super) source: u32,
    /// Where it is in the file.
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) raw_len: u32,
    /// Within which the times of all its lines are.
    pub(super) time: TimeRange,
}

const _: () = assert!(size_of::<Unit>() == SEARCH_BLOCK_BYTES);

/// Held while a block is looked at that is one long line: of all searches of the process one has buffers for that.
static LONG_LINE: Mutex<()> = Mutex::new(());

impl Unit {
    /// Must be held while the block is looked at.
    pub(super) fn lock(&self) -> Option<MutexGuard<'static, ()>> {
        // Nothing is guarded but the memory, so a panic elsewhere spoils nothing.
        self.is_long().then(|| LONG_LINE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_long(&self) -> bool {
        BLOCK_BYTES < self.raw_len as usize
    }
}

/// Reads blocks, keeping its buffers and the file that it opened last.
#[derive(Default)]
pub(super) struct Reader {
    stored: Vec<u8>,
    raw: Vec<u8>,
    opened: Option<(u32, DiskFile)>,
    decoder: BlockDecoder,
}

impl Reader {
    /// The raw lines of `unit`; nothing if its file is gone.
    pub(super) fn read(&mut self, disk: &Disk, dir: &Path, sources: &[Source], unit: &Unit) -> Result<Option<&[u8]>, StorageError> {
        let source = &sources[unit.source as usize];
        let (file, codec) = match &source.kind {
            Kind::Held(file) => (file, None),
            Kind::Named(_, codec) => {
                if self.opened.as_ref().is_none_or(|(of, _)| *of != unit.source) {
                    self.opened = source.open(disk, dir)?.map(|file| (unit.source, file));
                }
                let Some((_, file)) = &self.opened else { return Ok(None) };
                (file, *codec)
            }
        };
        match codec {
            None => {
                resize(&mut self.raw, unit.raw_len);
                file.read_exact_at(&mut self.raw, unit.offset)?;
            }
            Some(codec) => {
                resize(&mut self.stored, unit.len);
                file.read_exact_at(&mut self.stored, unit.offset)?;
                let decoded = self.decoder.decode(codec, &self.stored, unit.raw_len as usize, &mut self.raw);
                decoded.map_err(|error| StorageError::damaged(&source.path, format!("{error}, at byte {}", unit.offset)))?;
            }
        }
        Ok(Some(&self.raw))
    }

    /// What was read last.
    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.raw
    }

    /// Gives back what only `unit`'s long line needed.
    pub(super) fn forget(&mut self, unit: &Unit) {
        if unit.is_long() {
            (self.stored, self.raw) = Default::default();
        }
    }
}

/// Takes no more memory than that, and leaves the bytes that are there.
fn resize(buffer: &mut Vec<u8>, len: u32) {
    buffer.reserve_exact((len as usize).saturating_sub(buffer.len()));
    buffer.resize(len as usize, 0);
}
