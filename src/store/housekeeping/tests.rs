//! Rounds on real directories, with a real pool.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::limits::{MIB, MIN_FREE_BYTES_MAX};
use crate::store::disk::{FileHook, Op};
use crate::store::filter::Index;
use crate::store::level::LevelChoice;
use crate::store::name::{Codec, SegmentId, ShardTag, Stream};
use crate::store::permits::RawPermits;
use crate::store::pool::{Pool, PoolConfig};
use crate::store::retention::Reason;
use crate::store::segment::SealedSegment;

/// Has no space for temporary files, as long as it is full.
struct MayBeFull(AtomicBool);

impl FileHook for MayBeFull {
    fn before(&self, _: Op, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn before_write(&self, path: &Path, len: usize) -> io::Result<usize> {
        let is_full = self.0.load(Ordering::SeqCst) && path.extension().is_some_and(|extension| extension == "tmp");
        if is_full { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(len) }
    }
}

fn pool(disk: Disk, dir: &Path, permits: &Arc<RawPermits>) -> Pool {
    let config = PoolConfig {
        dir: dir.to_owned(),
        codec: Some(Codec::Gzip),
        level: LevelChoice::Fixed(1),
        index: Index::On,
        threads: 1,
        cores: Vec::new(),
        disk,
        on_fatal: Box::new(|error| panic!("{error}")),
    };
    Pool::start(config, permits).unwrap()
}

fn seal(dir: &Path, permits: &Arc<RawPermits>, seq: u64) -> SealedSegment {
    let id = SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 1_795_532_400 + seq, seq };
    let path = id.sealed_name().in_dir(dir);
    std::fs::write(&path, b"{}\n{}\n").unwrap();
    let permit = Arc::new(permits.try_claim().unwrap());
    SealedSegment { id, path, raw_bytes: 6, blocks: None, permit, on_durable: None }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_pool_that_meets_a_full_disk_shuts_the_gate_and_opens_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let permits = RawPermits::new(4);
    let hook = Arc::new(MayBeFull(AtomicBool::new(true)));
    let pool = pool(Disk::with_hook(hook.clone()), dir.path(), &permits);
    let gate = IntakeGate::new(0);
    let mut rounds = Rounds::new(dir.path().to_owned(), gate.clone(), pool.handle(), None);
    rounds.round(|| true);
    assert!(!gate.is_shut() && gate.free_bytes().is_some());

    pool.handle().submit(seal(dir.path(), &permits, 1));
    until("the pool meets a full disk", || pool.handle().stats().paused().is_some());
    rounds.round(|| true);
    assert!(gate.is_shut());
    let reason = gate.reason().unwrap();
    assert!(reason.contains("000001.jsonl.gz.tmp: No space left on device") && reason.contains("resumes by itself"), "{reason}");

    hook.0.store(false, Ordering::SeqCst);
    until("the pool goes on", || pool.handle().stats().paused().is_none());
    rounds.round(|| true);
    assert!(gate.is_shut(), "not at the first write that goes through");
    assert!(gate.reason().unwrap().contains("No space left"), "what it said last");
    until("intake resumes", || {
        rounds.round(|| true);
        !gate.is_shut()
    });
    assert_eq!(gate.reason(), None);
    assert_eq!(pool.drain(Duration::from_secs(60)).left, 0);
}

#[test]
fn what_is_archived_is_looked_at_soon() {
    let dir = tempfile::tempdir().unwrap();
    let permits = RawPermits::new(4);
    let pool = pool(Disk::new(), dir.path(), &permits);
    let stats = Arc::<RetentionStats>::default();
    let limits = RetainLimits { bytes_max: Some(0), age_max: None };
    let retention = Retention::new(Disk::new(), dir.path().to_owned(), limits, stats.clone());
    let mut rounds = Rounds::new(dir.path().to_owned(), IntakeGate::new(0), pool.handle(), Some(retention));
    rounds.round(|| true);
    for seq in 1..=2 {
        pool.handle().submit(seal(dir.path(), &permits, seq));
        until("it is archived, and goes", || {
            (rounds.looked, rounds.took) = (Instant::now(), Duration::ZERO); // never due by time
            rounds.round(|| true);
            stats.segments(Reason::Size) == seq
        });
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(pool.drain(Duration::from_secs(60)).left, 0);
}

#[test]
fn a_file_system_that_is_too_small_is_said_at_the_start_and_costs_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("logs_20261124_150000_000001.jsonl.gz");
    std::fs::write(&archive, vec![0; MIB]).unwrap();
    let permits = RawPermits::new(1);
    let pool = pool(Disk::new(), dir.path(), &permits);
    let gate = IntakeGate::new(MIN_FREE_BYTES_MAX);
    let config = HousekeepingConfig {
        disk: Disk::new(),
        dir: dir.path().to_owned(),
        retain: RetainLimits { bytes_max: Some(u64::MAX), age_max: None },
        gate: gate.clone(),
        stats: Arc::default(),
        unread: Unread::default(),
        pool: pool.handle(),
        on_fatal: Box::new(|error| panic!("{error}")),
    };
    let stats = config.stats.clone();
    let housekeeping = Housekeeping::start(config).unwrap();
    assert!(gate.is_shut(), "before a line can be taken in");
    let reason = gate.reason().unwrap();
    assert!(reason.contains("--min-free is 1.0 EiB") && reason.contains("lower --min-free"), "{reason}");
    thread::sleep(5 * DISK_GUARD_INTERVAL); // some rounds
    drop(housekeeping);
    assert!(archive.exists() && stats.segments(Reason::MinFree) == 0);
    pool.drain(Duration::from_secs(60));
}
