//! What a shard does by the clock: publish its numbers, end aged segments, sync what has waited long enough.

use std::rc::Rc;
use std::time::Duration;

use crate::store::error::StorageError;
use crate::store::name::Stream;

use super::Shard;

/// How often a shard looks at the clock. Numbers are at most this old; a segment outlives `--rotate-age` by at most this.
const TICK: Duration = Duration::from_millis(100);

/// Ticks until the shard ends.
pub(super) async fn tick(shard: Rc<Shard>, failures: crossbeam_channel::Sender<StorageError>) {
    loop {
        glommio::timer::sleep(TICK).await;
        shard.counters().ticks.add(1);
        publish(&shard);
        end_aged_segments(&shard);
        if let Err(error) = sync_waiting(&shard).await {
            let _ = failures.send(error);
            return;
        }
    }
}

/// Makes latencies and services visible to the control plane. The counters are always visible.
pub(super) fn publish(shard: &Shard) {
    shard.metrics.latency.publish(&mut shard.latency.borrow_mut());
    shard.telemetry.services.publish(&mut shard.core.borrow_mut().services);
}

fn end_aged_segments(shard: &Shard) {
    let now_ns = shard.clock.now_ns();
    let mut core = shard.core.borrow_mut();
    let mut ended = false;
    for stream in Stream::ALL {
        ended |= core.lane_mut(stream).end_aged_segment(now_ns);
    }
    drop(core);
    if ended {
        shard.work.notify();
    }
}

/// Syncs the open segments whose bytes have waited for `--sync-interval`. One that fills first is sealed, and its archive makes it durable.
async fn sync_waiting(shard: &Rc<Shard>) -> Result<(), StorageError> {
    for stream in Stream::ALL {
        let Some(target) = shard.unsynced[stream as usize].borrow_mut().take_due(shard.clock.now_ns(), shard.config.sync_interval) else {
            continue;
        };
        glommio::executor().spawn_blocking(move || target.sync()).await?;
        shard.counters().syncs.add(1);
    }
    Ok(())
}
