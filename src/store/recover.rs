//! Recovery: makes a data directory good at the start, whatever stopped the process or the machine before.
//!
//! ```text
//! logboom.format --check--> files, tables --plan [pure]--> steps --apply--> writers, sealed segments for the pool
//! ```
//!
//! Invariants: a line that was written is never given up, except where another file holds it; a file is removed only when what it holds is elsewhere,
//! durably, or is no line; every step may be the last one before the next crash, and applying all of them twice is applying them once.
//!
//! Runs under the directory's lock and before anything else uses it. It does not compress: it hands over to the pool. Nothing is guessed: what does not add
//! up is kept, and said.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalog;
use super::disk::{Disk, DiskFile};
use super::error::StorageError;
use super::filter::Index;
use super::name::{FileName, SegmentId, ShardTag, Stream};
use super::open::SegmentWriter;
use super::permits::{RawPermit, RawPermits};
use super::segment::SealedSegment;

mod cut_back;
mod format;
mod plan;
mod tables;
#[cfg(test)]
mod tests;
mod torn;
mod weigh;

use plan::{Plan, Rebuild, Sequences, Weigh};
use weigh::Weighed;

/// What recovery needs to know.
#[derive(Debug)]
pub struct RecoveryConfig<'a> {
    /// The way to the files.
    pub disk: Disk,
    /// The data directory, which exists and is locked.
    pub dir: &'a Path,
    /// How many shards there will be.
    pub shards: usize,
    /// What the stream of accepted records will be called: [`Stream::Logs`] or [`Stream::Collected`].
    pub accepted: Stream,
    /// Whether tables that are rebuilt get token filters.
    pub index: Index,
    /// The largest number that a segment of each stream and shard has had, as far as others remember it than names.
    pub numbers: BTreeMap<(Stream, usize), u64>,
    /// Every raw segment found claims one, even beyond their number.
    pub permits: &'a Arc<RawPermits>,
}

/// A data directory that is ready for use.
#[derive(Debug)]
pub struct Recovered {
    /// By shard, then by slot: the writing ends, positioned after the last whole line.
    pub writers: Vec<[SegmentWriter; Stream::SLOTS]>,
    /// Sealed segments that are still raw, in order: for the pool.
    pub sealed: Vec<SealedSegment>,
    /// What was done.
    pub report: RecoveryReport,
}

/// What a recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Raw files that ended within a line.
    pub torn_files: u64,
    /// The bytes of those unfinished lines, which were cut.
    pub torn_bytes: u64,
    /// Temporary files, and tables of nothing, that were removed.
    pub garbage_removed: u64,
    /// Raw files removed because their archives hold all of their lines.
    pub raw_removed: u64,
    /// Open segments that are appended to again.
    pub resumed: u64,
    /// Sealed segments for the pool, those included that were open and belong to no shard any more.
    pub to_archive: u64,
    /// Block tables that were rebuilt.
    pub metas_rebuilt: u64,
    /// Block tables that a full disk had no space for.
    pub metas_skipped: u64,
    /// Archives that can't be decoded to their end. They are kept, without a block table.
    pub archives_damaged: Vec<String>,
    /// Segments of which two files are kept that may hold the same lines, because neither can be given up for sure.
    pub kept_twice: Vec<String>,
}

/// Makes the directory good.
pub fn recover(config: &RecoveryConfig<'_>) -> Result<Recovered, StorageError> {
    format::check(&config.disk, config.dir)?;
    let files = catalog::files(&config.disk, config.dir)?;
    let tables = tables::read_all(&config.disk, config.dir, &files);
    let Plan { remove, weigh, resume, seal, submit, mut rebuild, ambiguous, mut sequences } =
        plan::plan(&files, &tables, config.shards, config.accepted);
    sequences.start_past(&config.numbers, &files);
    let mut recovery = Recovery { config, sequences, sealed: Vec::new(), report: RecoveryReport::default() };
    recovery.remove_garbage(&remove)?;
    recovery.weigh_all(&weigh, &mut rebuild)?;
    let mut resumed = HashMap::new();
    for (stream, tag) in resume {
        resumed.extend(recovery.resume(stream, tag)?.map(|open| ((stream, tag), open)));
    }
    seal.into_iter().try_for_each(|(stream, tag)| recovery.seal(stream, tag))?;
    submit.into_iter().try_for_each(|id| recovery.submit(id))?;
    recovery.rebuild_tables(&rebuild)?;
    recovery.warn_ambiguous(&ambiguous);
    Ok(recovery.finish(resumed))
}

/// An open segment to go on with: positioned at its end, of whole lines.
struct Resumed {
    file: DiskFile,
    len: u64,
    permit: RawPermit,
}

/// The steps, and what has come out of them so far.
struct Recovery<'a> {
    config: &'a RecoveryConfig<'a>,
    sequences: Sequences,
    sealed: Vec<SealedSegment>,
    report: RecoveryReport,
}

impl Recovery<'_> {
    fn path(&self, name: &FileName) -> PathBuf {
        name.in_dir(self.config.dir)
    }

    /// First of all: it needs no space, and makes some.
    fn remove_garbage(&mut self, names: &[FileName]) -> Result<(), StorageError> {
        for name in names {
            self.config.disk.remove(&self.path(name))?;
            self.report.garbage_removed += 1;
        }
        Ok(())
    }

    /// Where a raw segment and its archive both exist, keeps what holds more. An archive that stands alone from now on gets its table with all the others.
    fn weigh_all(&mut self, weighs: &[Weigh], rebuild: &mut Vec<Rebuild>) -> Result<(), StorageError> {
        if !weighs.is_empty() {
            // An archive's bytes are durable before it is renamed. The name is now, so the raw file may go.
            self.config.disk.sync_dir(self.config.dir)?;
        }
        for weigh in weighs {
            let raw = weigh.id.sealed_name();
            match self.weigh(weigh)? {
                Weighed::Archive => {
                    self.config.disk.remove(&self.path(&raw))?;
                    self.report.raw_removed += 1;
                }
                Weighed::Both(what) => self.keep_both(weigh, &what)?,
                Weighed::Raw(what) => {
                    tracing::warn!("the archive of {raw} does not hold all of it ({what}); the raw file does, and stays");
                    if !weigh.finished {
                        self.submit(weigh.id)?;
                    }
                    continue;
                }
            }
            if !weigh.described {
                rebuild.push(Rebuild { id: weigh.id, archives: weigh.archives.clone() });
            }
        }
        Ok(())
    }

    /// Weighs against every archive: one that holds everything is enough.
    fn weigh(&self, weigh: &Weigh) -> Result<Weighed, StorageError> {
        let disk = &self.config.disk;
        let mut raw = disk.open(&self.path(&weigh.id.sealed_name()))?;
        let raw_bytes = raw.len()?;
        let whole_bytes = torn::whole_bytes(&mut raw, raw_bytes)?;
        let mut outcome = None;
        for codec in &weigh.archives {
            let archive = self.path(&weigh.id.archive_name(Some(*codec)));
            let weighed = match weigh::weigh(disk, &mut raw, whole_bytes, &archive, *codec)? {
                Weighed::Archive => return Ok(Weighed::Archive),
                Weighed::Raw(what) if whole_bytes < weigh.raw_bytes_min => Weighed::Both(what),
                other => other,
            };
            if !matches!(outcome, Some(Weighed::Both(_))) {
                outcome = Some(weighed);
            }
        }
        Ok(outcome.expect("planned only where there is an archive"))
    }

    /// Gives the raw file a name of its own, under which it becomes an archive of its own.
    fn keep_both(&mut self, weigh: &Weigh, what: &str) -> Result<(), StorageError> {
        let SegmentId { stream, shard, sealed_at_s, .. } = weigh.id;
        let id = self.sequences.next_id(stream, shard, sealed_at_s);
        let (from, to) = (weigh.id.sealed_name(), id.sealed_name());
        self.config.disk.rename(&self.path(&from), &self.path(&to))?;
        tracing::warn!("{from} and its archive do not agree ({what}); both are kept, the raw file as {to}: lines may be there twice");
        self.report.kept_twice.push(to.to_string());
        self.submit(id)
    }

    /// Goes on with an open segment; none if it holds no line.
    fn resume(&mut self, stream: Stream, tag: ShardTag) -> Result<Option<Resumed>, StorageError> {
        let Some((mut file, len)) = self.whole_lines_of_open(&FileName::Open(stream, tag))? else { return Ok(None) };
        file.seek_to(len)?;
        self.report.resumed += 1;
        Ok(Some(Resumed { file, len, permit: self.config.permits.claim_recovered() }))
    }

    /// Seals an open segment that no shard goes on with.
    fn seal(&mut self, stream: Stream, tag: ShardTag) -> Result<(), StorageError> {
        let name = FileName::Open(stream, tag);
        let Some((_, len)) = self.whole_lines_of_open(&name)? else { return Ok(()) };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = self.sequences.next_id(stream, tag, now_s);
        let path = self.path(&id.sealed_name());
        self.config.disk.rename(&self.path(&name), &path)?;
        self.hand_to_pool(id, path, len);
        Ok(())
    }

    /// Hands a sealed raw segment to the pool. A power cut may have torn it: it was not durable.
    fn submit(&mut self, id: SegmentId) -> Result<(), StorageError> {
        let path = self.path(&id.sealed_name());
        let file = self.config.disk.open_for_writing(&path)?;
        let (_, len) = self.cut_torn_tail(file)?;
        self.hand_to_pool(id, path, len);
        Ok(())
    }

    fn hand_to_pool(&mut self, id: SegmentId, path: PathBuf, raw_bytes: u64) {
        let permit = Arc::new(self.config.permits.claim_recovered());
        self.sealed.push(SealedSegment { id, path, raw_bytes, blocks: None, on_durable: None, permit });
    }

    /// Cuts the torn tail of an open segment and makes the rest durable: what the process before has written is no less promised than what this one will
    /// write, and nobody else syncs it if no line follows. Removes a segment without a line.
    fn whole_lines_of_open(&mut self, name: &FileName) -> Result<Option<(DiskFile, u64)>, StorageError> {
        let path = self.path(name);
        let (file, len) = self.cut_torn_tail(self.config.disk.open_for_writing(&path)?)?;
        if len == 0 {
            self.config.disk.remove(&path)?;
            return Ok(None);
        }
        file.fdatasync()?;
        Ok(Some((file, len)))
    }

    fn cut_torn_tail(&mut self, mut file: DiskFile) -> Result<(DiskFile, u64), StorageError> {
        let len = file.len()?;
        let whole_bytes = torn::whole_bytes(&mut file, len)?;
        if whole_bytes < len {
            file.truncate(whole_bytes)?;
            let torn_bytes = len - whole_bytes;
            tracing::warn!("torn tail of {}: {torn_bytes} bytes of an unfinished line were cut", file.path().display());
            self.report.torn_files += 1;
            self.report.torn_bytes += torn_bytes;
        }
        Ok((file, whole_bytes))
    }

    fn rebuild_tables(&mut self, rebuild: &[Rebuild]) -> Result<(), StorageError> {
        let rebuilt = tables::rebuild_all(&self.config.disk, self.config.dir, self.config.index, rebuild)?;
        for (name, what) in rebuilt.damaged {
            tracing::warn!("damaged archive {}: {what}; it is kept as it is", self.path(&name).display());
            self.report.archives_damaged.push(name.to_string());
        }
        if 0 < rebuilt.skipped {
            tracing::warn!("{} block tables could not be rebuilt, the disk is full; searches read those archives whole", rebuilt.skipped);
        }
        self.report.metas_rebuilt = rebuilt.written as u64;
        self.report.metas_skipped = rebuilt.skipped as u64;
        Ok(())
    }

    fn warn_ambiguous(&mut self, ids: &[SegmentId]) {
        for id in ids {
            tracing::warn!("segment {id} has more than one archive; all are kept: lines may be there twice");
            self.report.kept_twice.push(id.to_string());
        }
    }

    fn finish(mut self, mut resumed: HashMap<(Stream, ShardTag), Resumed>) -> Recovered {
        let RecoveryConfig { disk, dir, shards, accepted, .. } = self.config;
        let mut writer = |stream, tag| {
            let mut writer = SegmentWriter::new(disk.clone(), dir, stream, tag, self.sequences.hand_over(stream, tag));
            if let Some(Resumed { file, len, permit }) = resumed.remove(&(stream, tag)) {
                writer.resume(file, len, permit);
            }
            writer
        };
        let writers =
            (0..*shards).map(|index| [*accepted, Stream::Rejected].map(|stream| writer(stream, ShardTag::of(index, *shards)))).collect();
        self.sealed.sort_by_key(|segment| segment.id);
        self.report.to_archive = self.sealed.len() as u64;
        let RecoveryReport { resumed, to_archive, garbage_removed, raw_removed, metas_rebuilt, .. } = &self.report;
        tracing::info!(
            "recovered {}: {resumed} open segments go on, {to_archive} are to be archived, {garbage_removed} interrupted files and {raw_removed} archived \
             raw files removed, {metas_rebuilt} block tables rebuilt",
            dir.display()
        );
        Recovered { writers, sealed: self.sealed, report: self.report }
    }
}
