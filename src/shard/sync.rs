//! Makes written records durable: group commit where somebody waits, `--sync-interval` where nobody does.
//!
//! One task per shard, and so one fdatasync at a time: it covers everything that was written before it began, however many wait for it. A segment that is sealed
//! before its bytes were synced is not synced raw at all, unless somebody waits for a record of its stream just then: its archive makes it durable.
//!
//! Invariant: durable <= written, both in records since the start. Every record up to `durable` that somebody waits for is durable.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::store::error::StorageError;
use crate::store::name::Stream;
use crate::store::open::SyncTarget;

use super::Shard;
use super::batch::Stamp;
use super::blocking::blocking;

/// What of one stream is written, and what of it is durable.
#[derive(Default)]
pub(super) struct Durability {
    written: Cell<u64>,
    durable: Cell<u64>,
    /// The last record that somebody waits for.
    wanted: Cell<u64>,
    unsynced: RefCell<Unsynced>,
}

/// The files that hold what is not durable.
#[derive(Default)]
struct Unsynced {
    /// Sealed before they were synced, although somebody waits.
    sealed: VecDeque<SyncTarget>,
    open: Option<SyncTarget>,
    /// When the oldest byte of them was written, in monotonic nanoseconds.
    since_ns: u64,
    /// When their records were received.
    stamps: Vec<Stamp>,
}

/// Receive times kept apart per stream; beyond, records count from the last one's, which is older and so never flatters.
const STAMPS_MAX: usize = 4096;

impl Durability {
    /// Records written since the start.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Records that may be acknowledged as durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable.get()
    }

    /// Somebody waits until `record` is durable.
    pub(super) fn want(&self, record: u64) {
        self.wanted.set(self.wanted.get().max(record));
    }

    /// A batch of `records` was written to `target`.
    pub(super) fn on_written(&self, records: u64, stamps: &[Stamp], target: Option<SyncTarget>, now_ns: u64) {
        self.written.set(self.written.get() + records);
        let mut unsynced = self.unsynced.borrow_mut();
        unsynced.add(stamps);
        if unsynced.open.is_none() {
            if unsynced.sealed.is_empty() {
                unsynced.since_ns = now_ns;
            }
            unsynced.open = target;
        }
    }

    /// The open segment is being sealed. Returns the receive times of those of its records that its archive will make durable.
    pub(super) fn on_seal(&self) -> Vec<Stamp> {
        let mut unsynced = self.unsynced.borrow_mut();
        let open = unsynced.open.take();
        if self.is_waited_for() {
            unsynced.sealed.extend(open);
            return Vec::new();
        }
        std::mem::take(&mut unsynced.stamps)
    }

    fn is_waited_for(&self) -> bool {
        self.durable.get() < self.wanted.get()
    }

    /// Whether a sync would make something durable that somebody waits for, or that has waited for `interval`.
    fn is_due(&self, now_ns: u64, interval: Duration) -> bool {
        let unsynced = self.unsynced.borrow();
        let has_bytes = unsynced.open.is_some() || !unsynced.sealed.is_empty();
        let is_old = || u128::from(unsynced.since_ns) + interval.as_nanos() <= u128::from(now_ns);
        has_bytes && (self.is_waited_for() || is_old())
    }

    /// What to sync now, the receive times of its records, and up to which record that makes everything durable. What is written from now on waits anew.
    fn take(&self) -> (Vec<SyncTarget>, Vec<Stamp>, u64) {
        let mut unsynced = self.unsynced.borrow_mut();
        let mut targets: Vec<SyncTarget> = unsynced.sealed.drain(..).collect();
        targets.extend(unsynced.open.take());
        (targets, std::mem::take(&mut unsynced.stamps), self.written.get())
    }

    fn on_durable(&self, upto: u64) {
        assert!(self.durable.get() <= upto && upto <= self.written.get());
        self.durable.set(upto);
    }
}

impl Unsynced {
    fn add(&mut self, stamps: &[Stamp]) {
        let room = STAMPS_MAX - self.stamps.len();
        let (fitting, beyond) = stamps.split_at(room.min(stamps.len()));
        self.stamps.extend_from_slice(fitting);
        if let Some(last) = self.stamps.last_mut() {
            last.records += beyond.iter().map(|stamp| stamp.records).sum::<u64>();
        }
    }
}

/// Syncs until the writers have ended, and then what they left.
pub(super) async fn sync_all(shard: Rc<Shard>) -> Result<(), StorageError> {
    while !shard.writers_ended.get() {
        shard.sync_due.wait_until(|| shard.writers_ended.get() || is_due(&shard)).await;
        for stream in Stream::BY_SLOT {
            if shard.durability(stream).is_due(shard.clock.now_ns(), shard.config.sync_interval) {
                sync(&shard, stream).await?;
            }
        }
    }
    for stream in Stream::BY_SLOT {
        sync(&shard, stream).await?;
    }
    Ok(())
}

fn is_due(shard: &Shard) -> bool {
    let now_ns = shard.clock.now_ns();
    Stream::BY_SLOT.iter().any(|stream| shard.durability(*stream).is_due(now_ns, shard.config.sync_interval))
}

async fn sync(shard: &Rc<Shard>, stream: Stream) -> Result<(), StorageError> {
    let (targets, stamps, upto) = shard.durability(stream).take();
    if targets.is_empty() {
        return Ok(());
    }
    // The checkpoints first: what is durable in the store, they know of.
    let checkpoints = shard.files.as_ref().map(|files| files.shared.checkpoints.clone());
    let sync = move || {
        checkpoints.map_or(Ok(()), |checkpoints| checkpoints.sync())?;
        targets.iter().try_for_each(SyncTarget::sync)
    };
    blocking(sync).await??;
    shard.durability(stream).on_durable(upto);
    shard.counters().syncs.add(1);
    shard.metrics.received_to_synced.record(latencies(&stamps, shard.clock.now_ns()));
    shard.progress.notify();
    Ok(())
}

/// How long each record took until `now_ns`: nanoseconds, and how many took as long.
pub(super) fn latencies(stamps: &[Stamp], now_ns: u64) -> impl Iterator<Item = (u64, u64)> {
    stamps.iter().map(move |stamp| (now_ns.saturating_sub(stamp.received_ns), stamp.records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Disk, FileHook, Op};
    use crate::store::name::ShardTag;
    use crate::store::open::SegmentWriter;
    use crate::store::permits::RawPermits;
    use crate::store::segment::Sequence;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    /// Counts the fdatasyncs of each file by its path; sealed ones keep the path they were opened under.
    #[derive(Default)]
    struct Syncs(Mutex<usize>);

    impl FileHook for Syncs {
        fn before(&self, op: Op, _: &Path) -> std::io::Result<()> {
            *self.0.lock().unwrap() += usize::from(op == Op::Fdatasync);
            Ok(())
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Write { records: u64, is_wanted: bool },
        Seal,
        Sync,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..5u64, any::<bool>()).prop_map(|(records, is_wanted)| Step::Write { records, is_wanted }),
            2 => Just(Step::Seal),
            2 => Just(Step::Sync),
        ]
    }

    proptest! {
        /// Whatever the order of writes, seals and syncs: what counts as durable was in a file that was synced after it was written.
        #[test]
        fn what_is_wanted_counts_as_durable_only_when_its_file_was_synced(steps in prop::collection::vec(any_step(), 1..40)) {
            let dir = tempfile::tempdir().unwrap();
            let syncs = Arc::new(Syncs::default());
            let disk = Disk::with_hook(syncs.clone());
            let permits = RawPermits::new(100);
            let (stream, tag) = (Stream::Logs, ShardTag::SINGLE);
            let mut file = SegmentWriter::new(disk, dir.path(), stream, tag, Sequence::new(stream, tag, 1));
            let durability = Durability::default();
            let interval = Duration::MAX;
            // Records that are written and not synced, of the open segment and of sealed ones, and those somebody waits for.
            let (mut unsynced, mut in_sealed, mut wanted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Write { records, is_wanted } => {
                        if file.needs_permit() {
                            file.give_permit(permits.try_claim().unwrap());
                        }
                        let first = durability.written() + 1;
                        if is_wanted {
                            durability.want(first);
                            wanted.insert(first);
                        }
                        file.append(b"x\n", &mut 0).unwrap();
                        durability.on_written(records, &[], file.sync_target(), 0);
                        unsynced.extend(first..first + records);
                    }
                    Step::Seal if !file.is_empty() => {
                        durability.on_seal();
                        drop(file.seal(None).unwrap());
                        in_sealed.append(&mut unsynced);
                    }
                    Step::Sync if durability.is_due(0, interval) => {
                        let before = *syncs.0.lock().unwrap();
                        let (targets, _, upto) = durability.take();
                        let files = targets.len();
                        targets.iter().try_for_each(SyncTarget::sync).unwrap();
                        prop_assert_eq!(*syncs.0.lock().unwrap() - before, files);
                        // Everything of the open segment is in its file; of the sealed ones those that were kept.
                        unsynced.clear();
                        if files > 1 || file.is_empty() {
                            in_sealed.clear();
                        }
                        durability.on_durable(upto);
                    }
                    Step::Seal | Step::Sync => {}
                }
                for record in wanted.iter().filter(|record| **record <= durability.durable()) {
                    prop_assert!(!unsynced.contains(record) && !in_sealed.contains(record), "record {}", record);
                }
            }
            while durability.is_due(0, interval) {
                let (targets, _, upto) = durability.take();
                targets.iter().try_for_each(SyncTarget::sync).unwrap();
                durability.on_durable(upto);
            }
            prop_assert!(wanted.last().is_none_or(|last| *last <= durability.durable()), "everything wanted is made durable");
        }
    }
}
