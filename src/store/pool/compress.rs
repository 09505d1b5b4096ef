//! The compress threads: a raw segment to a complete archive under its temporary name.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, after, never, select};
use rustix::time::{ClockId, clock_gettime};

use super::finish::{Output, Ready};
use super::late::{Lacking, Late, Outcome};
use super::{Job, SealedSegment, Shared};
use crate::limits::{COMPRESS_NICE, INDEX_LATE_REST};
use crate::record::stored::StoredScanner;
use crate::store::codec::{BlockDecoder, Compressor};
use crate::store::cut::{BlockCutter, agrees, scan_block};
use crate::store::disk::DiskFile;
use crate::store::durable::{self, Written};
use crate::store::error::StorageError;
use crate::store::filter::{FilterBuilder, FilterShare, Index};
use crate::store::meta::Meta;
use crate::store::name::Codec;
use crate::store::segment::BlockStats;

/// One compress thread's engines and buffers.
pub(super) struct Worker {
    shared: Arc<Shared>,
    compressed: Sender<Ready>,
}

/// The buffers and engines of one thread, kept from segment to segment.
#[derive(Default)]
struct Bench {
    scanner: StoredScanner,
    cutter: BlockCutter,
    raw: Vec<u8>,
    out: Vec<u8>,
    compressor: Option<Compressor>,
    filters: FilterBuilder,
    share: FilterShare,
    decoder: BlockDecoder,
}

/// How an attempt ended that brought no archive.
enum Failed {
    /// The threads shall stop.
    Stopped,
    /// The file is not what the shard said.
    Disagrees,
    Storage(StorageError),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Failed {
        Failed::Storage(error)
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, compressed: Sender<Ready>) -> Worker {
        Worker { shared, compressed }
    }

    /// Works until `stop` is disconnected and the queue empty, or the pool has stopped.
    pub(super) fn run(self, stop: &Receiver<()>, core: Option<usize>) {
        settle_thread(core);
        let mut bench = Bench::default();
        let Shared { jobs, late, .. } = &*self.shared;
        while !self.shared.is_stopped() {
            let rested = if late.is_empty() { never() } else { after(INDEX_LATE_REST) };
            let job = select! {
                recv(jobs) -> job => job.ok(),
                recv(stop) -> _ => jobs.try_recv().ok(),
                recv(late.arrived) -> _ => continue,
                recv(rested) -> _ => {
                    self.index_late(&mut bench);
                    continue;
                }
            };
            let Some(job) = job else { return };
            self.work_off(job, &mut bench);
        }
    }

    /// Makes filters that load left out, as long as there is nothing else to do. What goes wrong costs a filter, and nothing else.
    fn index_late(&self, Bench { decoder, raw, out: stored, filters, .. }: &mut Bench) {
        let Shared { disk, dir, codec, late, .. } = &*self.shared;
        let Some(codec) = *codec else { return };
        while self.shared.has_rested()
            && let Some(lacking) = late.pop()
        {
            let start_ns = thread_cpu_ns();
            let outcome = Late { decoder, stored, raw, filters }.index(disk, dir, (lacking, codec), || self.shared.has_rested());
            self.shared.stats().index_late_cpu_ns.fetch_add(thread_cpu_ns() - start_ns, Ordering::Relaxed);
            match outcome {
                Ok(Outcome { indexed, next }) => {
                    self.shared.stats().blocks_indexed_late.fetch_add(indexed, Ordering::Relaxed);
                    if let Some(from) = next {
                        late.push(Lacking { from, ..lacking }, true);
                    }
                }
                Err(error) => tracing::debug!("no filters for {}: {error}", lacking.id.archive_name(Some(codec))),
            }
        }
    }

    /// Compresses one segment, however often a full disk makes it try, unless the pool stops.
    fn work_off(&self, job: Job, bench: &mut Bench) {
        let level = self.shared.level_for(&job);
        let mut segment = job.segment;
        loop {
            self.shared.wait_while_full();
            if self.shared.is_stopped() {
                return; // it stays raw
            }
            let start_ns = thread_cpu_ns();
            match self.attempt(&segment, level, bench) {
                Ok((output, meta)) => {
                    self.shared.compressed(level, meta.raw_bytes(), thread_cpu_ns() - start_ns);
                    self.shared.stats().finishing.fetch_add(1, Ordering::Relaxed);
                    // The finisher is gone only after a failure.
                    let _ = self.compressed.send(Ready { segment, output, meta });
                    return;
                }
                Err(Failed::Disagrees) => {
                    self.shared.stats().rescanned.fetch_add(1, Ordering::Relaxed);
                    segment.blocks = None;
                }
                Err(Failed::Stopped) => self.discard(&segment),
                Err(Failed::Storage(error)) if error.is_full() => {
                    self.discard(&segment);
                    self.shared.pause(&error);
                }
                Err(Failed::Storage(error)) => return self.shared.fail(error),
            }
        }
    }

    fn discard(&self, segment: &SealedSegment) {
        if let Some(codec) = self.shared.codec {
            durable::discard(&self.shared.disk, &self.shared.dir, segment.id.archive_name(Some(codec)));
        }
    }

    fn attempt(&self, segment: &SealedSegment, level: i32, bench: &mut Bench) -> Result<(Output, Meta), Failed> {
        let mut raw = self.shared.disk.open(&segment.path)?;
        let raw_bytes = raw.len()?;
        let known = segment.blocks.as_deref();
        if known.is_some_and(|blocks| blocks.iter().map(|block| block.raw_len).sum::<u64>() != raw_bytes) {
            return Err(Failed::Disagrees);
        }
        match self.shared.codec {
            Some(codec) => self.archive(codec, segment, &mut raw, raw_bytes, level, bench),
            None => {
                let meta = self.table_of_raw(known, &mut raw, bench)?;
                Ok((Output::Raw(raw), meta))
            }
        }
    }

    fn archive(
        &self,
        codec: Codec,
        segment: &SealedSegment,
        raw: &mut DiskFile,
        raw_bytes: u64,
        level: i32,
        bench: &mut Bench,
    ) -> Result<(Output, Meta), Failed> {
        let name = segment.id.archive_name(Some(codec));
        let archive = self.shared.disk.create(&name.clone().temporary().in_dir(&self.shared.dir))?;
        let Bench { scanner, cutter, raw: buffer, out, compressor, filters, share, .. } = bench;
        let failed = |error| StorageError::Codec { path: segment.path.clone(), error };
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(Compressor::new(codec).map_err(failed)?),
        };
        let mut meta = Meta::new(Some(codec));
        let (mut unindexed, mut first_unindexed) = (0, None);
        let mut add = |block: &[u8], stats: Option<&BlockStats>| -> Result<(), Failed> {
            if self.shared.is_stopped() {
                return Err(Failed::Stopped);
            }
            let start_ns = thread_cpu_ns();
            let crc = compressor.compress(block, level, out).map_err(failed)?;
            share.compressed(codec, thread_cpu_ns() - start_ns);
            archive.write_all(out)?;
            let stats = stats.cloned().unwrap_or_else(|| scan_block(block, scanner));
            meta.push(out.len() as u64, Some(crc), stats);
            if self.shared.index == Index::On {
                if share.allows() {
                    let start_ns = thread_cpu_ns();
                    filters.index_last(Index::On, block, &mut meta);
                    let index_ns = thread_cpu_ns() - start_ns;
                    share.indexed(index_ns);
                    self.shared.stats().index_cpu_ns.fetch_add(index_ns, Ordering::Relaxed);
                } else {
                    unindexed += 1;
                    first_unindexed.get_or_insert((meta.blocks.len() - 1) as u32);
                }
            }
            Ok(())
        };
        match segment.blocks.as_deref() {
            Some(blocks) => {
                for stats in blocks {
                    let block = read_known(raw, stats, buffer)?;
                    add(block, Some(stats))?;
                }
            }
            None => {
                cutter.restart();
                while let Some(block) = cutter.next_block(raw)? {
                    add(block, None)?;
                }
            }
        }
        if raw_bytes == 0 {
            add(&[], None)?; // no bytes at all are no gzip file
        }
        self.shared.stats().blocks_unindexed.fetch_add(unindexed, Ordering::Relaxed);
        Ok((Output::Archive { written: Written::new(archive, &self.shared.dir, name), first_unindexed }, meta))
    }

    /// The table of a segment that stays raw. What the shard knows is taken as it is, so that the bytes need not be read again.
    fn table_of_raw(&self, known: Option<&[BlockStats]>, raw: &mut DiskFile, bench: &mut Bench) -> Result<Meta, Failed> {
        let mut meta = Meta::new(None);
        if let Some(blocks) = known {
            blocks.iter().for_each(|stats| meta.push(stats.raw_len, None, stats.clone()));
            return Ok(meta);
        }
        bench.cutter.restart();
        while let Some(block) = bench.cutter.next_block(raw)? {
            let crc = crc32fast::hash(block);
            let stats = scan_block(block, &mut bench.scanner);
            meta.push(stats.raw_len, Some(crc), stats);
        }
        Ok(meta)
    }
}

/// Reads the block that `stats` describes, and checks that it is one.
fn read_known<'a>(raw: &mut DiskFile, stats: &BlockStats, buffer: &'a mut Vec<u8>) -> Result<&'a mut [u8], Failed> {
    let len = usize::try_from(stats.raw_len).map_err(|_| Failed::Disagrees)?;
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    let block = &mut buffer[..len];
    if raw.read_full(block)? != len || !agrees(block, stats) {
        return Err(Failed::Disagrees);
    }
    Ok(block)
}

/// Lets a compress thread stand back behind the shards. Best effort: neither changes what is written.
fn settle_thread(core: Option<usize>) {
    if let Some(id) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    // On Linux, a priority is a thread's.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), COMPRESS_NICE);
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
