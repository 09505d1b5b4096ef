//! Wakes shards that sleep although they have something to do, and tells of those that it can't wake.
//!
//! glommio 0.9.0 can lose a shard: in `LocalExecutor::run_task_queues` a thread that was kept from its core for longer than the preemption timer, between arming it
//! and looking at it, runs no task, reports that there was none, and sleeps; if the next timer had fired already, nothing wakes it. Seen once in a hundred overloaded
//! runs of the tests. Any wake-up from outside sets it going again, so a thread of the control plane looks whether each shard ticks, and nudges one that does not.
//! docs/adr/0003-lost-wake-ups.md has the details.
//!
//! A shard that does not tick for [`STUCK_LOOKS`] however often it is nudged takes nothing in: `/readyz` says so until it ticks again. Looks are counted, and not
//! time, so that a process that was stopped as a whole is not taken for stuck.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};

use crate::metrics::{ShardMetrics, Telemetry};

/// How often it looks: a shard ticks every 100 ms, so one whose count has not moved is late.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// After how many looks in a row that found its count unmoved a shard is stuck: 5 s, far beyond what a busy machine keeps a thread from its core.
const STUCK_LOOKS: u32 = 20;

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
    let mut pulses: Vec<Pulse> = nudges.iter().map(|_| Pulse::default()).collect();
    let beat = move || {
        while nudges.iter().any(|nudge| !nudge.is_closed()) {
            thread::sleep(LOOK_INTERVAL);
            for (shard, (nudge, pulse)) in nudges.iter().zip(&mut pulses).enumerate() {
                look(shard, &telemetry.shards[shard], nudge, pulse);
            }
        }
    };
    thread::Builder::new().name("heartbeat".to_owned()).spawn(beat).map(drop)
}

/// Looks at one shard, and nudges it if it has not ticked since the last look.
fn look(shard: usize, metrics: &ShardMetrics, nudge: &Sender<()>, pulse: &mut Pulse) {
    // One that has ended ticks no more, and is not stuck.
    let still_looks = if nudge.is_closed() { 0 } else { pulse.look(metrics.counters.ticks.get()) };
    if 0 < still_looks && nudge.try_send(()).is_ok() {
        tracing::debug!("shard {shard} has not ticked for {LOOK_INTERVAL:?}: nudged");
    }
    if still_looks == STUCK_LOOKS {
        tracing::warn!("shard {shard} has not run for {:?}: it takes nothing in", STUCK_LOOKS * LOOK_INTERVAL);
    }
    let stuck_ms = if STUCK_LOOKS <= still_looks { (still_looks * LOOK_INTERVAL).as_millis() as u64 } else { 0 };
    if stuck_ms == 0 && 0 < metrics.stuck_ms.get() {
        tracing::info!("shard {shard} runs again");
    }
    metrics.stuck_ms.set(stuck_ms);
}

/// What is known of one shard's ticks.
#[derive(Default)]
struct Pulse {
    ticks: Option<u64>,
    still_looks: u32,
}

impl Pulse {
    /// Takes note of the tick count, and tells how many looks in a row found it where it was.
    fn look(&mut self, ticks: u64) -> u32 {
        let is_still = self.ticks.replace(ticks) == Some(ticks);
        self.still_looks = if is_still { self.still_looks.saturating_add(1) } else { 0 };
        self.still_looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_find_a_count_unmoved_are_counted_until_it_moves() {
        let mut pulse = Pulse::default();
        for (ticks, still_looks) in [(0, 0), (0, 1), (2, 0), (5, 0), (5, 1), (5, 2), (5, 3), (6, 0), (6, 1)] {
            assert_eq!(pulse.look(ticks), still_looks);
        }
    }

    #[test]
    fn a_shard_that_does_not_tick_is_nudged_and_at_last_stuck_until_it_ticks() {
        let (metrics, (nudge, nudged), mut pulse) = (ShardMetrics::default(), nudge(), Pulse::default());
        for looks in 0..STUCK_LOOKS + 3 {
            look(0, &metrics, &nudge, &mut pulse);
            assert_eq!(metrics.stuck_ms.get() > 0, looks >= STUCK_LOOKS, "{looks} looks found it still");
        }
        assert_eq!(nudged.len(), NUDGED_TASKS);
        metrics.counters.ticks.add(1);
        look(0, &metrics, &nudge, &mut pulse);
        assert_eq!(metrics.stuck_ms.get(), 0);
        drop(nudged);
        for _ in 0..=STUCK_LOOKS {
            look(0, &metrics, &nudge, &mut pulse);
        }
        assert_eq!(metrics.stuck_ms.get(), 0, "it has ended");
    }
}
