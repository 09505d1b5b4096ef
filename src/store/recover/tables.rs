//! Block tables: reading all of them at the start, and rebuilding the missing ones from their archives.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::record::stored::StoredScanner;
use crate::store::catalog::{self, StoreFile};
use crate::store::codec::BlockReader;
use crate::store::cut::scan_block;
use crate::store::disk::Disk;
use crate::store::durable;
use crate::store::error::StorageError;
use crate::store::filter::{FilterBuilder, Index};
use crate::store::meta::Meta;
use crate::store::name::{Codec, FileName, SegmentId};

use super::plan::{Rebuild, Table};

/// How often a long rebuild says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Reads every table among `files`. One that can't be read or does not decode is left out: after a power cut it may be anything, and it is rebuilt.
pub(super) fn read_all(disk: &Disk, dir: &Path, files: &[StoreFile]) -> HashMap<SegmentId, Table> {
    let mut tables = HashMap::new();
    let mut bytes = Vec::new();
    for file in files {
        let FileName::Meta(id) = file.name else { continue };
        match catalog::read_table(disk, &file.name.in_dir(dir), &mut bytes) {
            Ok(Some(meta)) => drop(tables.insert(id, Table::of(&meta))),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}; the table is rebuilt"),
        }
    }
    tables
}

/// How rebuilding went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rebuilt {
    /// Tables written.
    pub(super) written: usize,
    /// Tables that a full disk had no space for; the next start tries again.
    pub(super) skipped: usize,
    /// Archives that can't be decoded to their end, and why: they are kept, without a table. Sorted.
    pub(super) damaged: Vec<(FileName, String)>,
}

/// Rebuilds tables, on all cores: a segment of 5 MB takes tens of milliseconds, and there may be thousands.
pub(super) fn rebuild_all(disk: &Disk, dir: &Path, index: Index, jobs: &[Rebuild]) -> Result<Rebuilt, StorageError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let work = Work {
        disk,
        dir,
        index,
        jobs,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        outcome: Mutex::new((Ok(Rebuilt::default()), Instant::now())),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    let (rebuilt, _) = work.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut rebuilt = rebuilt?;
    rebuilt.damaged.sort();
    Ok(rebuilt)
}

/// What the threads share.
struct Work<'a> {
    disk: &'a Disk,
    dir: &'a Path,
    index: Index,
    jobs: &'a [Rebuild],
    next: AtomicUsize,
    /// After a failure.
    stop: AtomicBool,
    /// And when progress was said last.
    outcome: Mutex<(Result<Rebuilt, StorageError>, Instant)>,
}

/// The buffers of one thread.
#[derive(Default)]
struct Bench {
    raw: Vec<u8>,
    scanner: StoredScanner,
    filters: FilterBuilder,
}

/// What became of one table.
enum Done {
    Written,
    Skipped,
    /// None of the archives is intact.
    Impossible,
}

impl Work<'_> {
    fn run(&self) {
        let mut bench = Bench::default();
        while !self.stop.load(Ordering::Relaxed)
            && let Some(job) = self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            let mut damaged = Vec::new();
            let done = self.rebuild(job, &mut bench, &mut damaged);
            self.note(done, damaged);
        }
    }

    fn note(&self, done: Result<Done, StorageError>, damaged: Vec<(FileName, String)>) {
        let mut guard = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, said) = &mut *guard;
        let Ok(rebuilt) = outcome else { return }; // another thread's failure came first
        rebuilt.damaged.extend(damaged);
        match done {
            Ok(Done::Written) => rebuilt.written += 1,
            Ok(Done::Skipped) => rebuilt.skipped += 1,
            Ok(Done::Impossible) => {}
            Err(error) => {
                self.stop.store(true, Ordering::Relaxed);
                *outcome = Err(error);
                return;
            }
        }
        if PROGRESS_INTERVAL <= said.elapsed() {
            *said = Instant::now();
            tracing::info!("{} of {} missing block tables rebuilt", rebuilt.written, self.jobs.len());
        }
    }

    fn rebuild(&self, job: &Rebuild, bench: &mut Bench, damaged: &mut Vec<(FileName, String)>) -> Result<Done, StorageError> {
        let name = job.id.meta_name();
        for codec in &job.archives {
            let archive = job.id.archive_name(Some(*codec));
            match table_of(self.disk, &archive.in_dir(self.dir), *codec, self.index, bench)? {
                Ok(meta) => {
                    return match durable::write_rebuildable(self.disk, self.dir, name.clone(), &meta.encode()) {
                        Ok(()) => Ok(Done::Written),
                        Err(error) if error.is_full() => {
                            durable::discard(self.disk, self.dir, name);
                            Ok(Done::Skipped)
                        }
                        Err(error) => Err(error),
                    };
                }
                Err(what) => damaged.push((archive, what)),
            }
        }
        // No table beside an archive says what is not true.
        match self.disk.remove(&name.in_dir(self.dir)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(Done::Impossible),
        }
    }
}

/// The table of an archive, or what is wrong with the archive.
fn table_of(disk: &Disk, path: &Path, codec: Codec, index: Index, bench: &mut Bench) -> Result<Result<Meta, String>, StorageError> {
    let mut archive = BlockReader::new(codec, disk.open(path)?);
    let mut meta = Meta::new(Some(codec));
    loop {
        match archive.next_block(&mut bench.raw) {
            Ok(Some(len)) => {
                meta.push(len, Some(crc32fast::hash(&bench.raw)), scan_block(&bench.raw, &mut bench.scanner));
                bench.filters.index_last(index, &bench.raw, &mut meta);
            }
            Ok(None) if meta.blocks.is_empty() => return Ok(Err("it is empty".to_owned())),
            Ok(None) => return Ok(Ok(meta)),
            Err(error) => return Ok(Err(format!("{error}, after {} bytes", meta.archive_bytes()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::name::{ShardTag, Stream};

    #[test]
    fn an_archive_that_is_not_whole_has_no_table_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, meta) = crate::store::recover::tests::lines::archive(Codec::Zstd, b"{}\n{}\n{}\n");
        let jobs: Vec<Rebuild> = (1..=30)
            .map(|seq| {
                let id = SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 0, seq };
                // Nothing, then an archive cut after its first block, which is an archive, and within its second.
                let first_block = meta.blocks[0].len as usize;
                let len = [0, first_block, bytes.len() - 1, bytes.len()][seq as usize % 4];
                std::fs::write(id.archive_name(Some(Codec::Zstd)).in_dir(dir.path()), &bytes[..len]).unwrap();
                std::fs::write(id.meta_name().in_dir(dir.path()), b"untrue").unwrap();
                Rebuild { id, archives: vec![Codec::Zstd] }
            })
            .collect();
        let rebuilt = rebuild_all(&Disk::new(), dir.path(), Index::On, &jobs).unwrap();
        assert_eq!((rebuilt.written, rebuilt.skipped, rebuilt.damaged.len()), (15, 0, 15));
        assert!(rebuilt.damaged.iter().any(|(_, what)| what == "it is empty"));
        for Rebuild { id, .. } in &jobs {
            let damaged = rebuilt.damaged.iter().any(|(name, _)| *name == id.archive_name(Some(Codec::Zstd)));
            let table = std::fs::read(id.meta_name().in_dir(dir.path())).ok();
            let blocks = table.map(|bytes| Meta::decode(&bytes).unwrap().blocks.len());
            let expected = [None, Some(1), None, Some(2)][id.seq as usize % 4];
            assert_eq!((blocks, damaged), (expected, expected.is_none()), "{id}");
        }
    }
}
