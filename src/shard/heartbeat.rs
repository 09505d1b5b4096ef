//! Wakes shards that sleep although they have something to do.
//!
//! glommio 0.9.0 can lose a shard: in `LocalExecutor::run_task_queues` a thread that was kept from its core for longer than the preemption timer, between arming it
//! and looking at it, runs no task, reports that there was none, and sleeps; if the next timer had fired already, nothing wakes it. Seen once in a hundred overloaded
//! runs of the tests. Any wake-up from outside sets it going again, so a thread of the control plane looks whether each shard ticks, and nudges one that does not.
//! docs/adr/0003-lost-wake-ups.md has the details.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};

use crate::metrics::Telemetry;

/// How often it looks: a shard ticks every 100 ms, so one whose count has not moved is late.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Tasks per shard that wait for a nudge: one that was woken and not run can't be woken again.
pub(super) const NUDGED_TASKS: usize = 4;

/// The way to nudge one shard, and what its tasks wait for.
pub(super) fn nudge() -> (Sender<()>, Receiver<()>) {
    async_channel::bounded(NUDGED_TASKS)
}

/// Waits for nudges, on the shard, until the shard's end.
pub(super) async fn be_nudged(nudges: Receiver<()>) {
    while nudges.recv().await.is_ok() {}
}

/// Starts the thread that nudges the shards of `telemetry`, until the last has ended.
pub(super) fn start(telemetry: Arc<Telemetry>, nudges: Vec<Sender<()>>) -> std::io::Result<()> {
    let mut seen = vec![u64::MAX; nudges.len()];
    let beat = move || {
        while nudges.iter().any(|nudge| !nudge.is_closed()) {
            thread::sleep(LOOK_INTERVAL);
            for (shard, (nudge, seen)) in nudges.iter().zip(&mut seen).enumerate() {
                let ticks = telemetry.shards[shard].counters.ticks.get();
                if std::mem::replace(seen, ticks) == ticks && nudge.try_send(()).is_ok() {
                    tracing::debug!("shard {shard} has not ticked for {LOOK_INTERVAL:?}: nudged");
                }
            }
        }
    };
    thread::Builder::new().name("heartbeat".to_owned()).spawn(beat).map(drop)
}
