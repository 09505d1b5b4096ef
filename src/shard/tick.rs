//! What a shard does by the clock: publish its numbers, end aged segments, look whether something has waited long enough for a sync. Nothing here waits for the disk,
//! so a shard that ticks is alive, however slow its disk.

use std::rc::Rc;
use std::time::Duration;

use crate::metrics::counters::Pause;
use crate::store::name::Stream;

use super::Shard;

/// How often a shard looks at the clock. Numbers are at most this old; a segment outlives `--rotate-age` by at most this.
const TICK: Duration = Duration::from_millis(100);

/// Ticks until the shard ends.
pub(super) async fn tick(shard: Rc<Shard>) {
    let mut paused = None;
    loop {
        glommio::timer::sleep(TICK).await;
        shard.counters().ticks.add(1);
        // One wait for the whole shard, however many connections it has.
        paused = if shard.store.gate.is_shut() { paused.or_else(|| Some(shard.counters().pause(Pause::DiskGuard))) } else { None };
        if paused.is_none() {
            shard.gate_opened.notify();
        }
        publish(&shard);
        end_aged_segments(&shard);
        if let Some(files) = &shard.files {
            files.tell_idle_aside(&shard);
        }
        shard.sync_due.notify();
    }
}

/// Makes latencies, services, sources and what rules did visible to the control plane. The counters are always visible.
pub(super) fn publish(shard: &Shard) {
    shard.metrics.received_to_written.publish(&mut shard.latency.borrow_mut());
    let mut core = shard.core.borrow_mut();
    shard.telemetry.services.publish(&mut core.services);
    shard.telemetry.sources.publish(&mut core.sources);
    shard.telemetry.rules.publish(&mut core.rules);
}

fn end_aged_segments(shard: &Shard) {
    let now_ns = shard.clock.now_ns();
    let mut core = shard.core.borrow_mut();
    let mut ended = false;
    for stream in Stream::BY_SLOT {
        ended |= core.lane_mut(stream).end_aged_segment(now_ns);
    }
    drop(core);
    if ended {
        shard.work.notify();
    }
}
