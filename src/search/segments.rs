//! The files that hold a stream, each line in one of them, while a daemon may seal, archive and delete them.
//!
//! A file that is to become an archive is held open from the start: what becomes of its name changes nothing. One that stays as it is, archived or finished raw
//! (with its block table), is opened when its turn comes; if it is gone by then, retention has deleted it, and its lines are not found any more.
//!
//! Invariant: no more than [`SEARCH_HELD_FILES_MAX`] sealed files are held. Permits keep a daemon from having more that wait for their archives; where tables were
//! deleted there may be more that only look so, and those beyond are opened by name, too.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::limits::SEARCH_HELD_FILES_MAX;
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
    /// Whatever its name is by now.
    Held(DiskFile),
    /// Under a name that it keeps; raw without a codec.
    Named(SegmentId, Option<Codec>),
}

impl Source {
    /// The file of a source that is not held; nothing, if it is deleted.
    pub(super) fn open(&self, disk: &Disk, dir: &Path) -> Result<Option<DiskFile>, StorageError> {
        let opened = disk.open_existing(&self.path)?;
        match self.kind {
            Kind::Named(id, None) if opened.is_none() && archive(disk, dir, id).is_some() => {
                Err(StorageError::damaged(&self.path, "was archived while it was searched; search again"))
            }
            _ => Ok(opened),
        }
    }
}

/// The archive of `id`, if there is one.
fn archive(disk: &Disk, dir: &Path, id: SegmentId) -> Option<Codec> {
    Codec::ALL.into_iter().find(|&codec| disk.len(&id.archive_name(Some(codec)).in_dir(dir)).is_ok())
}

/// What a listing has of a segment.
#[derive(Debug, Default)]
struct Sealed {
    is_raw: bool,
    has_table: bool,
    archive: Option<Codec>,
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
            open.extend(disk.open_existing(&file.name.in_dir(dir))?);
        }
    }
    let mut sealed: BTreeMap<SegmentId, Sealed> = BTreeMap::new();
    for file in catalog::files(disk, dir)? {
        match file.name {
            FileName::Sealed(id) if id.stream == stream => sealed.entry(id).or_default().is_raw = true,
            FileName::Archive(id, codec) if id.stream == stream => sealed.entry(id).or_default().archive = Some(codec),
            FileName::Meta(id) if id.stream == stream => sealed.entry(id).or_default().has_table = true,
            _ => {}
        }
    }
    let mut sources = Vec::new();
    let mut inodes = Vec::new();
    let mut held = 0;
    for (id, Sealed { is_raw, has_table, archive: listed }) in sealed {
        let latest_us = (id.sealed_at_s + 1) as i64 * 1_000_000 - 1;
        let path = id.sealed_name().in_dir(dir);
        // A listing may have passed the archive's name before it was there: an archive has it before its table has one, and before its raw file goes.
        let is_finished = is_raw && listed.is_none() && (has_table || SEARCH_HELD_FILES_MAX <= held) && archive(disk, dir, id).is_none();
        if is_finished && let Ok(stat) = disk.stat(&path) {
            inodes.push(stat.ino());
            sources.push(Source { path, kind: Kind::Named(id, None), latest_us });
        } else if is_raw && let Some(file) = disk.open_existing(&path)? {
            held += 1;
            inodes.push(file.stat()?.ino());
            sources.push(Source { path, kind: Kind::Held(file), latest_us });
        } else if let Some(codec) = listed.or_else(|| archive(disk, dir, id)) {
            sources.push(Source { path: id.archive_name(Some(codec)).in_dir(dir), kind: Kind::Named(id, Some(codec)), latest_us });
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
        sources.push(Source { path: file.path().to_path_buf(), kind: Kind::Held(file), latest_us });
    }
    Ok(Some(sources))
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
    /// The table of `source`: from its file, or else made from its lines. Nothing, if it is deleted.
    pub(super) fn of(&mut self, disk: &Disk, dir: &Path, source: &Source) -> Result<Option<Meta>, StorageError> {
        let (id, codec) = match source.kind {
            Kind::Held(ref file) => return self.of_raw(file).map(Some),
            Kind::Named(id, codec) => (id, codec),
        };
        let Some(file) = source.open(disk, dir)? else { return Ok(None) };
        let read = catalog::read_table(disk, &id.meta_name().in_dir(dir), &mut self.bytes).ok().flatten();
        match (read, codec) {
            (Some(table), _) if table.codec == codec && table.archive_bytes() == file.len()? => Ok(Some(table)),
            (_, None) => self.of_raw(&file).map(Some),
            (_, Some(codec)) => self.of_archive(file, &source.path, codec).map(Some),
        }
    }

    fn of_archive(&mut self, file: DiskFile, path: &Path, codec: Codec) -> Result<Meta, StorageError> {
        let mut archive = BlockReader::new(codec, file);
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
