//! The files that hold a stream, each line in one of them, while a daemon may seal, archive and delete them.
//!
//! A raw file is held open from the start: what becomes of its name changes nothing. An archive is opened when its turn comes; if it is gone by then, retention
//! has deleted it, and its lines are not found any more.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::record::stored::StoredScanner;
use crate::store::catalog;
use crate::store::codec::BlockReader;
use crate::store::cut::{BlockCutter, scan_block};
use crate::store::disk::{Disk, DiskFile};
use crate::store::error::StorageError;
use crate::store::meta::Meta;
use crate::store::name::{Codec, FileName, SegmentId, Stream};

/// How often the directory is listed anew because an open segment was archived in between: that takes a full segment within milliseconds.
const LISTINGS_MAX: usize = 20;

/// One file to search.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// When its last line was written at the latest, in microseconds since 1970 UTC: the time of lines that say none.
    pub(super) latest_us: i64,
}

#[derive(Debug)]
pub(super) enum Kind {
    Raw(DiskFile),
    Archive(SegmentId, Codec),
}

/// The files of `stream` in `dir`.
pub(super) fn sources(disk: &Disk, dir: &Path, stream: Stream) -> Result<Vec<Source>, StorageError> {
    for _ in 1..LISTINGS_MAX {
        if let Some(sources) = attempt(disk, dir, stream, false)? {
            return Ok(sources);
        }
    }
    attempt(disk, dir, stream, true).map(Option::unwrap_or_default)
}

/// Opens the open segments first and lists the sealed ones then, so that one that is sealed in between is seen twice rather than never, and known by its inode.
/// `None` if one has been archived meanwhile, unless that is to be `taken` as it is.
fn attempt(disk: &Disk, dir: &Path, stream: Stream, taken: bool) -> Result<Option<Vec<Source>>, StorageError> {
    let mut open = Vec::new();
    for file in catalog::files(disk, dir)? {
        if matches!(file.name, FileName::Open(of, _) if of == stream) {
            open.extend(existing(disk.open(&file.name.in_dir(dir)))?);
        }
    }
    let mut sealed: BTreeMap<SegmentId, (bool, Option<Codec>)> = BTreeMap::new();
    for file in catalog::files(disk, dir)? {
        match file.name {
            FileName::Sealed(id) if id.stream == stream => sealed.entry(id).or_default().0 = true,
            FileName::Archive(id, codec) if id.stream == stream => sealed.entry(id).or_default().1 = Some(codec),
            _ => {}
        }
    }
    let mut sources = Vec::new();
    let mut inodes = Vec::new();
    for (id, (is_raw, archive)) in sealed {
        let latest_us = (id.sealed_at_s + 1) as i64 * 1_000_000 - 1;
        let raw = if is_raw { existing(disk.open(&id.sealed_name().in_dir(dir)))? } else { None };
        match (raw, archive) {
            (Some(file), _) => {
                inodes.push(file.stat()?.ino());
                sources.push(Source { path: file.path().to_path_buf(), kind: Kind::Raw(file), latest_us });
            }
            (None, Some(codec)) => {
                sources.push(Source { path: id.archive_name(Some(codec)).in_dir(dir), kind: Kind::Archive(id, codec), latest_us });
            }
            // The raw file went after its archive had its name, which the listing had passed already.
            (None, None) => sources.extend(Codec::ALL.into_iter().find_map(|codec| {
                let path = id.archive_name(Some(codec)).in_dir(dir);
                disk.len(&path).is_ok().then_some(Source { path, kind: Kind::Archive(id, codec), latest_us })
            })),
        }
    }
    for file in open {
        let stat = file.stat()?;
        if inodes.contains(&stat.ino()) {
            continue; // sealed since
        }
        if stat.nlink() == 0 && !taken {
            return Ok(None); // archived since: before the listing or after it, nobody knows
        }
        let latest_us = stat.mtime() * 1_000_000 + stat.mtime_nsec() / 1_000;
        sources.push(Source { path: file.path().to_path_buf(), kind: Kind::Raw(file), latest_us });
    }
    Ok(Some(sources))
}

/// Nothing, where the file is gone.
fn existing(opened: Result<DiskFile, StorageError>) -> Result<Option<DiskFile>, StorageError> {
    match opened {
        Err(error) if error.is_not_found() => Ok(None),
        opened => opened.map(Some),
    }
}

/// Reads the tables of sources, keeping its buffers.
#[derive(Default)]
pub struct Tables {
    bytes: Vec<u8>,
    raw: Vec<u8>,
    cutter: BlockCutter,
    scanner: StoredScanner,
}

impl Tables {
    /// The table of `source`: from its file, or else made from its lines.
    pub(super) fn of(&mut self, disk: &Disk, dir: &Path, source: &Source) -> Result<Meta, StorageError> {
        match source.kind {
            Kind::Raw(ref file) => self.of_raw(file),
            Kind::Archive(id, codec) => {
                let read = catalog::read_table(disk, &id.meta_name().in_dir(dir), &mut self.bytes).ok().flatten();
                match read {
                    Some(meta) if meta.codec == Some(codec) && meta.archive_bytes() == disk.len(&source.path)? => Ok(meta),
                    _ => self.of_archive(disk, &source.path, codec),
                }
            }
        }
    }

    fn of_archive(&mut self, disk: &Disk, path: &Path, codec: Codec) -> Result<Meta, StorageError> {
        let mut archive = BlockReader::new(codec, disk.open(path)?);
        let mut meta = Meta::new(Some(codec));
        while let Some(len) = archive.next_block(&mut self.raw).map_err(|error| StorageError::damaged(path, error.to_string()))? {
            meta.push(len, None, scan_block(&self.raw, &mut self.scanner));
        }
        Ok(meta)
    }

    /// The table of a raw file, made from its lines. Whole lines only: the last one may be under way.
    pub fn of_raw(&mut self, held: &DiskFile) -> Result<Meta, StorageError> {
        let mut file = held.from_start()?;
        let mut meta = Meta::new(None);
        self.cutter.restart();
        while let Some(block) = self.cutter.next_block(&mut file)? {
            let whole = memchr::memrchr(b'\n', block).map_or(0, |newline| newline + 1);
            if whole > 0 {
                let stats = scan_block(&block[..whole], &mut self.scanner);
                meta.push(stats.raw_len, None, stats);
            }
            if whole < block.len() {
                break;
            }
        }
        Ok(meta)
    }
}
