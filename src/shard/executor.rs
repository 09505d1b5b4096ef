//! Starts the shards on their cores, and stops them.

use std::net;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_channel::{Receiver, Sender};
use glommio::net::TcpListener;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};

use super::balance::Balancer;
use super::former::FormerSessions;
use super::{Shard, ShardConfig, ShardMessage, ShardStore, alarm, heartbeat, listener, sync, tick, writer};
use crate::limits::{EXECUTOR_IO_BYTES, INBOX_MESSAGES};
use crate::metrics::Telemetry;
use crate::record::Protocol;
use crate::store::error::StorageError;
use crate::store::name::Stream;
use crate::store::open::SegmentWriter;
use crate::watch::task::ReadTask;

/// How late a busy shard may notice wake-ups from other threads, timers and its own completions.
const PREEMPT: Duration = Duration::from_millis(2);

/// Helper threads per shard: one for each stream's writer, one that syncs beside them, and one for files that are not in the page cache.
const HELPER_THREADS: usize = Stream::SLOTS + 2;

/// How long a shard may take to run its first task. One that is only slow finds its work taken, and ends.
const BEGIN_PATIENCE: Duration = Duration::from_secs(1);

/// How many executors are tried for one shard; losing one is rare.
const BEGIN_TRIES: usize = 10;

/// What one shard starts with.
pub struct ShardStart {
    /// The core to run on, or none to leave it to the kernel.
    pub core: Option<usize>,
    /// Its own sockets, listening on the addresses that all shards share (SO_REUSEPORT).
    pub listeners: Vec<(Protocol, net::TcpListener)>,
    /// The writing ends of its streams, by stream.
    pub files: [SegmentWriter; Stream::SLOTS],
}

/// The running shards.
pub struct Shards {
    inboxes: Vec<Sender<ShardMessage>>,
    threads: Vec<ExecutorJoinHandle<()>>,
}

/// Starts one shard per element of `starts`; returns when all of them accept.
///
/// A storage failure or a panic of a shard is sent to `failures`, once; the shard takes nothing more.
pub fn start(
    config: &ShardConfig,
    store: &ShardStore,
    balancer: &Arc<Balancer>,
    telemetry: &Arc<Telemetry>,
    failures: &crossbeam_channel::Sender<StorageError>,
    starts: Vec<ShardStart>,
) -> anyhow::Result<Shards> {
    let (inboxes, receivers): (Vec<_>, Vec<_>) = starts.iter().map(|_| async_channel::bounded(INBOX_MESSAGES)).unzip();
    let (accepting, all_accepting) = mpsc::channel::<()>();
    let (nudges, nudged): (Vec<_>, Vec<_>) = starts.iter().map(|_| heartbeat::nudge()).unzip();
    heartbeat::start(telemetry.clone(), nudges).context("cannot start a thread")?;
    let former = Arc::new(FormerSessions::default());
    let mut threads = Vec::with_capacity(starts.len());
    for (id, ((start, inbox), nudged)) in starts.into_iter().zip(receivers).zip(nudged).enumerate() {
        let (config, store, balancer, former) = (config.clone(), store.clone(), balancer.clone(), former.clone());
        let (telemetry, failures) = (telemetry.clone(), failures.clone());
        let (inboxes, accepting) = (inboxes.clone(), accepting.clone());
        let core = start.core;
        threads.push(spawn_surely(
            id,
            move || executor(id, core),
            move || async move {
                alarm::arm(format!("shard-{id}"), failures.clone());
                let resumed = std::array::from_fn(|stream| start.files[stream].len());
                let shard = Shard::new(id, config, store, balancer, former, telemetry, resumed);
                for _ in 0..heartbeat::NUDGED_TASKS {
                    glommio::spawn_local(heartbeat::be_nudged(nudged.clone())).detach();
                }
                drop(nudged);
                let listeners = start.listeners.into_iter().map(|(protocol, listener)| (protocol, adopt(listener))).collect();
                let _ = accepting.send(());
                drop(accepting);
                run(shard, listeners, inbox, inboxes, start.files, failures).await;
            },
        )?);
    }
    drop(accepting);
    for _ in 0..threads.len() {
        all_accepting.recv().context("a shard ended before it accepted anything")?;
    }
    Ok(Shards { inboxes, threads })
}

/// Runs `shard` on an executor of its own; returns once it has begun.
///
/// An executor can sleep before it has run anything (see [`heartbeat`]), and then nothing can wake it: the shard is left to a new one, and the old one sleeps until
/// the process ends.
fn spawn_surely<F: Future<Output = ()> + 'static>(
    id: usize,
    executor: impl Fn() -> LocalExecutorBuilder,
    shard: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<ExecutorJoinHandle<()>> {
    let shard = Arc::new(Mutex::new(Some(shard)));
    let failed = |error| anyhow::anyhow!("cannot start shard {id}: {error}");
    let mut attempts: Vec<Attempt> = Vec::new();
    for _ in 0..BEGIN_TRIES {
        let attempt = attempt(executor(), shard.clone()).map_err(failed)?;
        let outcome = attempt.has_begun.recv_timeout(BEGIN_PATIENCE);
        // One of those before may have woken up.
        if let Some(begun) = attempts.iter().position(|attempt| attempt.has_begun.try_recv().is_ok()) {
            return Ok(attempts.swap_remove(begun).thread);
        }
        match outcome {
            Ok(()) => return Ok(attempt.thread),
            Err(RecvTimeoutError::Timeout) => attempts.push(attempt),
            // It has ended, and not because the shard was taken already.
            Err(RecvTimeoutError::Disconnected) => {
                attempt.thread.join().map_err(failed)?;
                anyhow::bail!("shard {id} ended before it had begun");
            }
        }
        tracing::info!("shard {id} sleeps although it has not begun: started once more");
    }
    anyhow::bail!("shard {id} does not begin")
}

/// The executor of one shard.
fn executor(id: usize, core: Option<usize>) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("shard-{id}"))
        .io_memory(EXECUTOR_IO_BYTES)
        .preempt_timer(PREEMPT)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(HELPER_THREADS))
}

/// An executor that may begin with a shard.
struct Attempt {
    thread: ExecutorJoinHandle<()>,
    /// Told that it has; disconnected when it ends, or never was.
    has_begun: mpsc::Receiver<()>,
}

/// Starts an executor, which runs `shard` unless another one did before.
fn attempt<F: Future<Output = ()> + 'static>(
    executor: LocalExecutorBuilder,
    shard: Arc<Mutex<Option<impl FnOnce() -> F + Send + 'static>>>,
) -> glommio::Result<Attempt, ()> {
    let (begun, has_begun) = mpsc::channel();
    let thread = executor.spawn(move || async move {
        let mine = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = shard.take();
            if mine.is_some() {
                let _ = begun.send(()); // under the lock: who finds the shard taken finds this sent
            }
            mine
        };
        if let Some(shard) = mine {
            shard().await;
        }
    })?;
    Ok(Attempt { thread, has_begun })
}

/// Hands a listening socket to this thread's executor.
fn adopt(listener: net::TcpListener) -> TcpListener {
    // SAFETY: `into_raw_fd` gives up ownership of an open, listening socket; nothing else has the descriptor.
    unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// One shard, from its first connection to its last byte.
async fn run(
    shard: Rc<Shard>,
    listeners: Vec<(Protocol, TcpListener)>,
    inbox: Receiver<ShardMessage>,
    shards: Vec<Sender<ShardMessage>>,
    files: [SegmentWriter; Stream::SLOTS],
    failures: crossbeam_channel::Sender<StorageError>,
) {
    for (protocol, listener) in listeners {
        glommio::spawn_local(listener::accept_all(shard.clone(), protocol, listener, shards.clone())).detach();
    }
    drop(shards); // the inbox closes when the last listener of all shards has ended
    let ticking = glommio::spawn_local(tick::tick(shard.clone())).detach();
    let writers = Stream::BY_SLOT.into_iter().zip(files);
    let writers: Vec<_> = writers.map(|(stream, file)| spawn_storing(&failures, writer::write_all(shard.clone(), stream, file))).collect();
    let syncing = spawn_storing(&failures, sync::sync_all(shard.clone()));

    while let Ok(message) = inbox.recv().await {
        match message {
            ShardMessage::Serve(protocol, socket, slot) => shard.open_connection(protocol, socket, slot),
            ShardMessage::Read(task) => shard.open_file(task),
            ShardMessage::Stop(intake_deadline) => shard.stop.request(intake_deadline),
        }
    }
    shard.connection_ended.wait_until(|| shard.connections.get() == 0).await;
    shard.intake_ended.set(true);
    shard.work.notify();
    for writer in writers {
        writer.await;
    }
    shard.writers_ended.set(true);
    shard.sync_due.notify();
    if let Some(files) = &shard.files {
        files.tell_idle(&shard).await;
    }
    syncing.await;
    ticking.cancel();
    tick::publish(&shard);
}

/// Spawns a task that stores lines. After a failure it never ends: it stores nothing more, and the process is about to exit.
fn spawn_storing(
    failures: &crossbeam_channel::Sender<StorageError>,
    storing: impl Future<Output = Result<(), StorageError>> + 'static,
) -> glommio::task::JoinHandle<()> {
    let failures = failures.clone();
    let reported = async move {
        if let Err(error) = storing.await {
            let _ = failures.send(error);
            std::future::pending::<()>().await;
        }
    };
    glommio::spawn_local(reported).detach()
}

/// The way to hand files to shards.
#[derive(Clone)]
pub struct TaskSender(Vec<Sender<ShardMessage>>);

impl TaskSender {
    /// Has the shard read it. Returns whether it will: one that stops does not.
    pub fn send(&self, shard: usize, task: ReadTask) -> bool {
        self.0[shard].try_send(ShardMessage::Read(task)).is_ok()
    }
}

impl Shards {
    /// The way to hand files to shards, which do not end before it is dropped.
    pub fn tasks(&self) -> TaskSender {
        TaskSender(self.inboxes.clone())
    }

    /// Asks every shard to stop: accept nothing new, take in what peers have sent until `intake_deadline` at the latest, write and sync it.
    pub fn stop(&mut self, intake_deadline: Instant) {
        for inbox in self.inboxes.drain(..) {
            // A full inbox means a busy shard; the message waits its turn.
            let _ = inbox.send_blocking(ShardMessage::Stop(intake_deadline));
        }
    }

    /// Waits until every shard has ended.
    pub fn join(self) -> anyhow::Result<()> {
        for thread in self.threads {
            thread.join().map_err(|error| anyhow::anyhow!("a shard ended badly: {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_whose_executor_cannot_be_made_says_why() {
        // No ring is as deep as that; only the executor's own thread finds out.
        let executor = || executor(7, None).ring_depth(1 << 20);
        let error = spawn_surely(7, executor, || std::future::ready(())).expect_err("no executor");
        let text = error.to_string();
        assert!(text.starts_with("cannot start shard 7: ") && text.contains("Invalid argument"), "{text}");
    }

    #[test]
    fn a_shard_that_has_begun_is_run_to_its_end() {
        let (told, heard) = mpsc::channel();
        let shard = move || async move { told.send(()).expect("the test waits") };
        spawn_surely(0, || executor(0, None), shard).expect("an executor").join().expect("its end");
        assert_eq!(heard.recv(), Ok(()));
    }
}
