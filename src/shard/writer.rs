//! Writes one stream's batches to its open segment, in order, one at a time.
//!
//! File operations run on the executor's helper threads: ext4 punts every buffered io_uring write to a kernel worker anyway, and the runtime's `write_at`
//! consumes its buffer, so that a short write or a full disk would lose the bytes (docs/adr/0001-file-writes.md). While one batch is written the shard fills
//! the other.
//!
//! Invariant: nothing is counted as written, and no latency recorded, before the write has completed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::counters::Pause;
use crate::store::error::StorageError;
use crate::store::name::Stream;
use crate::store::open::SegmentWriter;
use crate::store::segment::{BeforeDurable, OnDurable};
use crate::watch::checkpoints::Checkpoints;
use crate::watch::content::FileId;
use crate::watch::journal::{Entry, Extent, Offset};

use super::Shard;
use super::batch::{Batch, SegmentEnd, Stamp};
use super::blocking::blocking;
use super::sync::latencies;

/// How often a write is tried again while the disk is full.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// Writes the batches of `stream` until the shard's intake has ended and everything is written.
pub(super) async fn write_all(shard: Rc<Shard>, stream: Stream, mut file: SegmentWriter) -> Result<(), StorageError> {
    let mut spare = Batch::default();
    while let Some((mut batch, moved)) = next_batch(&shard, stream, &mut spare).await {
        let end = batch.take_segment_end();
        if !batch.bytes().is_empty() {
            if file.needs_permit() {
                let permit = {
                    let _paused = shard.counters().pause(Pause::RawSegments);
                    shard.store.permits.claim().await
                };
                file.give_permit(permit);
            }
            let checkpoint = moved.and_then(|moved| Checkpoint::new(&shard, moved));
            (file, batch) = write(&shard, file, batch, checkpoint).await?;
            shard.written(stream, &batch, file.sync_target());
        }
        if let Some(end) = end {
            let stamps = shard.durability(stream).on_seal();
            file = seal(&shard, file, end, stamps).await?;
        }
        batch.clear();
        spare = batch;
    }
    Ok(())
}

/// The next batch to write, in exchange for the spare one, and what it says of files that are followed, if there are any; none once the intake has ended and everything is
/// written.
async fn next_batch(shard: &Rc<Shard>, stream: Stream, spare: &mut Batch) -> Option<(Batch, Option<Moved>)> {
    let ready = || shard.core.borrow().lane(stream).is_due() || shard.intake_ended.get();
    shard.work.wait_until(ready).await;
    let filled = {
        let mut core = shard.core.borrow_mut();
        let lane = core.lane_mut(stream);
        lane.has_work().then(|| lane.swap(std::mem::take(spare)))
    };
    let filled = filled.map(|batch| (batch, Moved::new(shard, stream)));
    shard.room.notify();
    filled
}

/// What a batch says of files.
struct Moved {
    is_of_both: bool,
    files: Vec<(FileId, Offset)>,
}

impl Moved {
    /// At the moment at which the batch is taken.
    fn new(shard: &Shard, stream: Stream) -> Option<Self> {
        let files = shard.files.as_ref()?;
        let is_of_both = shard.is_written(Stream::BY_SLOT[1 - stream.slot()]);
        Some(Self { is_of_both, files: files.moved.borrow_mut().take(stream.slot(), is_of_both) })
    }
}

/// The entry of a batch in the checkpoints, written before the batch is.
struct Checkpoint {
    checkpoints: Arc<Checkpoints>,
    shard: usize,
    /// Until it is written.
    moved: Option<Moved>,
}

impl Checkpoint {
    fn new(shard: &Shard, moved: Moved) -> Option<Self> {
        let checkpoints = shard.files.as_ref()?.shared.checkpoints.clone();
        Some(Self { checkpoints, shard: shard.id, moved: Some(moved) })
    }

    /// Writes it for a batch that is to be appended to `file`. After an error, the same call goes on where it stopped.
    fn write(&mut self, file: &SegmentWriter, batch: &Batch) -> Result<(), StorageError> {
        let Some(Moved { is_of_both, files }) = self.moved.take() else { return self.checkpoints.flush() };
        let (from, bytes) = (file.len(), batch.bytes());
        let (seq, to, crc) = (file.seq(), from + bytes.len() as u64, crc32fast::hash(bytes));
        let extent = Extent { shard: self.shard, stream: file.stream(), seq, from, to, crc };
        self.checkpoints.append(Entry::Batch { extent, is_of_both, files })
    }
}

async fn write(
    shard: &Rc<Shard>,
    file: SegmentWriter,
    batch: Batch,
    checkpoint: Option<Checkpoint>,
) -> Result<(SegmentWriter, Batch), StorageError> {
    let append = |(file, batch, done, checkpoint): &mut (SegmentWriter, Batch, usize, Option<Checkpoint>)| {
        if let Some(checkpoint) = checkpoint {
            checkpoint.write(file, batch)?;
        }
        file.append(batch.bytes(), done)
    };
    let ((file, batch, ..), ()) = until_not_full(shard, (file, batch, 0, checkpoint), append).await?;
    Ok((file, batch))
}

async fn seal(shard: &Rc<Shard>, file: SegmentWriter, end: SegmentEnd, stamps: Vec<Stamp>) -> Result<SegmentWriter, StorageError> {
    let seal = |(file, end): &mut (SegmentWriter, SegmentEnd)| file.seal(end.blocks.as_deref());
    let ((file, _), mut sealed) = until_not_full(shard, (file, end), seal).await?;
    let (metrics, clock) = (shard.metrics.clone(), shard.clock);
    let checkpoints = shard.files.as_ref().map(|files| files.shared.checkpoints.clone());
    let before = checkpoints.clone().map(|checkpoints| -> BeforeDurable { Arc::new(move || checkpoints.sync()) });
    let (shard_id, stream, seq) = (shard.id, sealed.id.stream, sealed.id.seq);
    let told = move || {
        metrics.received_to_synced.record(latencies(&stamps, clock.now_ns()));
        if let Some(checkpoints) = checkpoints {
            checkpoints.archived(shard_id, stream, seq);
        }
    };
    sealed.on_durable = Some(OnDurable { before, told: Box::new(told) });
    shard.store.pool.submit(sealed);
    shard.counters().segments_sealed.add(1);
    Ok(file)
}

/// Does `operation` on a helper thread, again and again while the disk is full; `state` travels there and back.
async fn until_not_full<S: Send + 'static, T: Send + 'static>(
    shard: &Rc<Shard>,
    mut state: S,
    operation: impl Fn(&mut S) -> Result<T, StorageError> + Copy + Send + 'static,
) -> Result<(S, T), StorageError> {
    let mut paused = None;
    loop {
        let outcome;
        (state, outcome) = blocking(move || {
            let outcome = operation(&mut state);
            (state, outcome)
        })
        .await?;
        match outcome {
            Ok(done) => return Ok((state, done)),
            Err(error) if error.is_full() => {
                paused.get_or_insert_with(|| shard.pause_disk_full(&error));
                glommio::timer::sleep(FULL_RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}
