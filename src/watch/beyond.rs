//! What the store holds that is not true of any file: bytes of batches that were not written to their end, or that a power cut left behind.
//!
//! They are cut off where that loses nothing for sure: in a raw segment, from where an entry that is not true begins, if such entries describe everything from there to the segment's
//! end, and every file whose lines that may be is there to give them again. Whatever else there is stays: its lines may then be there twice.

use std::collections::BTreeMap;
use std::path::Path;

use super::content::FileId;
use super::journal::{FileRecord, Offset, Replayed};
use crate::store::catalog;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::name::{FileName, Stream};
use crate::store::recover::Recovered;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Bytes that were cut off.
    pub cut_bytes: u64,
    /// Bytes that are described by entries that are not true, and stay.
    pub kept_bytes: u64,
}

/// What entries that are not true say of one segment.
#[derive(Debug)]
struct Piece {
    from: u64,
    to: u64,
    /// Whether each of them begins where the one before ends.
    is_whole: bool,
    files: Vec<(FileId, Offset)>,
}

/// The segments of which something is not true, by shard, stream and number.
fn pieces(replayed: &Replayed) -> BTreeMap<(usize, Stream, u64), Piece> {
    let mut pieces: BTreeMap<_, Piece> = BTreeMap::new();
    for (extent, files) in &replayed.untrue {
        let new = Piece { from: extent.from, to: extent.from, is_whole: true, files: Vec::new() };
        let piece = pieces.entry((extent.shard, extent.stream, extent.seq)).or_insert(new);
        piece.is_whole &= piece.to == extent.from;
        piece.to = piece.to.max(extent.to);
        piece.files.extend(files);
    }
    pieces
}

/// Cuts off what may be, the last first. `has` tells whether a file still has what is before an offset; without it everything stays.
pub fn take_back(
    disk: &Disk,
    dir: &Path,
    replayed: &Replayed,
    recovered: &mut Recovered,
    mut has: Option<impl FnMut(&FileRecord, u64) -> bool>,
) -> Result<Beyond, StorageError> {
    let mut beyond = Beyond::default();
    for ((shard, stream, seq), piece) in pieces(replayed).into_iter().rev() {
        let Some((_, len)) = recovered.raw(dir, stream, shard, seq).filter(|(_, len)| piece.from < *len) else { continue };
        let are_given_again = has.as_mut().is_some_and(|has| {
            piece.files.iter().all(|(id, offset)| {
                let file = replayed.files.get(id);
                file.is_some_and(|(record, stored)| *offset <= stored[stream.slot()] || has(record, offset.bytes))
            })
        });
        if piece.is_whole && len <= piece.to && are_given_again {
            recovered.cut_back(disk, dir, stream, shard, seq, piece.from)?;
            beyond.cut_bytes += len - piece.from;
        } else {
            beyond.kept_bytes += len - piece.from;
        }
    }
    Ok(beyond)
}

/// Whether the store has segments, or ends of them, of which `replayed` knows nothing although it knows others of that shard and stream.
pub fn has_unknown(disk: &Disk, dir: &Path, replayed: &Replayed, recovered: &Recovered) -> Result<bool, StorageError> {
    let later = catalog::files(disk, dir)?.into_iter().any(|file| match file.name {
        FileName::Sealed(id) | FileName::Archive(id, _) => {
            replayed.ends.get(&(id.shard.index(), id.stream)).is_some_and(|end| end.0 < id.seq)
        }
        _ => false,
    });
    let is_longer = |((shard, stream), (seq, offset)): (&(usize, Stream), &(u64, u64))| {
        recovered.raw(dir, *stream, *shard, *seq).is_some_and(|(_, len)| *offset < len)
    };
    Ok(later || replayed.ends.iter().any(is_longer))
}
