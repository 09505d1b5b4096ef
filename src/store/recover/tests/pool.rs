//! The whole way on a disk that stops: appended, sealed, compressed, stopped anywhere, recovered, drained.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::lines::{Crash, lines, snapshot};
use super::recovered;
use crate::store::disk::{Disk, FileHook, Op};
use crate::store::error::StorageError;
use crate::store::filter::Index;
use crate::store::level::LevelChoice;
use crate::store::name::{Codec, FileName, ShardTag, Stream};
use crate::store::pool::{Pool, PoolConfig};

const SEGMENTS: usize = 3;
const BATCHES_PER_SEGMENT: usize = 2;

fn config(disk: Disk, dir: &Path, codec: Option<Codec>) -> PoolConfig {
    let level = if codec.is_some() { LevelChoice::Fixed(1) } else { LevelChoice::Auto };
    PoolConfig { dir: dir.to_path_buf(), codec, level, index: Index::On, threads: 2, cores: Vec::new(), disk, on_fatal: Box::new(|_| {}) }
}

/// Writes segments until the disk stops. Returns the lines whose append succeeded.
fn written_until_stop(disk: &Disk, dir: &Path, codec: Option<Codec>) -> Vec<String> {
    let mut written = Vec::new();
    drop(write(disk, dir, codec, &mut written));
    written.sort();
    written
}

fn write(disk: &Disk, dir: &Path, codec: Option<Codec>, written: &mut Vec<String>) -> Result<(), StorageError> {
    let (mut recovered, permits) = recovered(disk.clone(), dir, 1)?;
    let pool = Pool::start(config(disk.clone(), dir, codec), &permits).unwrap();
    let writer = &mut recovered.writers[0][Stream::Logs.slot()];
    let mut segments = || {
        for segment in 0..=SEGMENTS {
            if writer.needs_permit() {
                // A pool that has failed gives none back; here, there are enough.
                writer.give_permit(permits.try_claim().expect("one for each segment"));
            }
            for batch in 0..BATCHES_PER_SEGMENT {
                let lines: Vec<String> = (0..3).map(|n| format!("{{\"segment\":{segment},\"batch\":{batch},\"n\":{n}}}")).collect();
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                writer.append(text.as_bytes(), &mut 0)?;
                written.extend(lines);
            }
            if segment < SEGMENTS {
                pool.handle().submit(writer.seal(None)?);
            }
        }
        Ok(())
    };
    let outcome = segments();
    pool.drain(Duration::from_secs(60));
    outcome
}

/// Recovers and compresses what is left, on a disk that works.
fn recover_and_drain(dir: &Path, codec: Option<Codec>) {
    let (recovered, permits) = recovered(Disk::new(), dir, 1).unwrap();
    let pool = Pool::start(config(Disk::new(), dir, codec), &permits).unwrap();
    recovered.sealed.into_iter().for_each(|segment| pool.handle().submit(segment));
    assert_eq!(pool.drain(Duration::from_secs(60)).left, 0);
    drop(recovered.writers);
    assert_eq!(permits.in_use(), 0);
}

#[test]
fn what_was_appended_is_there_once_wherever_the_disk_stops() {
    for codec in [Some(Codec::Gzip), Some(Codec::Zstd), None] {
        let mut stops = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let crash = Crash::after(stops);
            let written = written_until_stop(&crash.disk(), dir.path(), codec);
            recover_and_drain(dir.path(), codec);
            let found = lines(dir.path());
            // The append that the stop cut short has written some whole lines too, perhaps: nobody was told, and they are kept.
            let whole: Vec<_> = found.iter().filter(|line| written.contains(line)).cloned().collect();
            assert_eq!(whole, written, "{codec:?}, stopped after {stops} operations");
            assert!(found.len() < written.len() + 3, "{codec:?}, stopped after {stops} operations: {found:?}");
            assert_finished(dir.path(), codec);
            if !crash.has_happened() {
                break;
            }
            stops += 1;
        }
        assert!(20 < stops, "{codec:?}: only {stops} operations");
    }
}

/// Every sealed segment is as it stays: an archive, or raw without compression, and its table.
fn assert_finished(dir: &Path, codec: Option<Codec>) {
    let files = snapshot(dir);
    for name in files.keys().map(|name| FileName::parse(name).expect("ours")) {
        match name {
            FileName::Sealed(id) => assert!(codec.is_none() && files.contains_key(&id.meta_name().to_string()), "{name}"),
            FileName::Archive(id, of) => assert!(codec == Some(of) && files.contains_key(&id.meta_name().to_string()), "{name}"),
            FileName::Meta(id) => assert!(files.contains_key(&id.archive_name(codec).to_string()), "{name}"),
            FileName::Open(Stream::Logs, ShardTag::SINGLE) | FileName::Format => {}
            _ => panic!("{name}"),
        }
    }
}

/// A disk that is full at the first sync of an archive, and has space again afterwards.
#[derive(Default)]
struct FullOnce {
    was_full: AtomicBool,
}

impl FileHook for FullOnce {
    fn before(&self, op: Op, path: &Path) -> io::Result<()> {
        let is_archive = path.to_string_lossy().ends_with(".gz.tmp");
        if op == Op::Fdatasync && is_archive && !self.was_full.swap(true, Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(100)); // the compress threads see an empty queue meanwhile
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[test]
fn a_full_disk_in_a_drain_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("logs_20261124_150000_000001.jsonl"), "{}\n").unwrap();
    let hook = Arc::new(FullOnce::default());
    let (recovered, permits) = recovered(Disk::new(), dir.path(), 1).unwrap();
    let pool = Pool::start(config(Disk::with_hook(hook.clone()), dir.path(), Some(Codec::Gzip)), &permits).unwrap();
    recovered.sealed.into_iter().for_each(|segment| pool.handle().submit(segment));
    assert_eq!(pool.drain(Duration::from_secs(60)).left, 0);
    assert!(hook.was_full.load(Ordering::SeqCst));
    assert_finished(dir.path(), Some(Codec::Gzip));
}

#[test]
fn more_raw_segments_than_permits_are_worked_off() {
    let dir = tempfile::tempdir().unwrap();
    for seq in 1..20 {
        std::fs::write(dir.path().join(format!("logs_20261124_150000_{seq:06}.jsonl")), format!("{{\"n\":{seq}}}\n")).unwrap();
    }
    let (recovered, permits) = recovered(Disk::new(), dir.path(), 1).unwrap();
    assert!(permits.total() < recovered.sealed.len() && permits.try_claim().is_none());
    drop(recovered);
    recover_and_drain(dir.path(), Some(Codec::Gzip));
    assert_eq!(lines(dir.path()).len(), 19);
    assert_finished(dir.path(), Some(Codec::Gzip));
}
