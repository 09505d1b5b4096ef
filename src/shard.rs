//! The data plane: one pinned thread per core, each running one shard on a glommio executor.
//!
//! A shard owns everything it mutates: its listeners, its connections, its batches, its open segments, its counters. Nothing on the path of a line is shared
//! with another shard. What crosses threads is a socket on its way to the shard that serves it, a sealed segment on its way to the pool, what is
//! remembered of a RELP session that has ended, and numbers that anyone may read.
//!
//! ```text
//! listener -> (balance) -> connection | relp -> core -> lane -> writer -> open segment -> pool
//! ```
//!
//! glommio is imported only here and below, so that the runtime could be replaced by touching these files.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use glommio::net::AcceptedTcpStream;

use crate::limits::PARTIAL_SHARED_BYTES;
use crate::metrics::counters::{Closed, Pause, PauseGuard, ShardCounters};
use crate::metrics::latency::LatencyRecorder;
use crate::metrics::{ShardMetrics, Telemetry};
use crate::record::detect::Reading;
use crate::record::relp::Due;
use crate::record::text::pattern::Patterns;
use crate::record::{Protocol, Timestamp};
use crate::rules::Rules;
use crate::store::error::StorageError;
use crate::store::guard::{FullWait, IntakeGate};
use crate::store::name::Stream;
use crate::store::open::SyncTarget;
use crate::store::permits::RawPermits;
use crate::store::policy::{Ack, RotationPolicy};
use crate::store::pool::PoolHandle;
use crate::watch::task::ReadTask;

mod alarm;
pub mod balance;
pub mod batch;
pub mod core;
pub mod cutter;
pub mod lane;

mod blocking;
mod connection;
mod event;
mod executor;
mod file_stream;
mod former;
mod heartbeat;
mod intake;
mod listener;
mod long_lines;
mod moved;
mod relp;
mod stop;
mod stored_lines;
mod sync;
mod tick;
mod turn;
mod watch;
mod writer;

use self::balance::{Balancer, Slot};
use self::batch::{Batch, BatchCounts};
use self::connection::Connection;
use self::core::ShardCore;
use self::event::Event;
use self::former::FormerSessions;
use self::lane::{Arrival, Lane};
use self::long_lines::LongLines;
use self::relp::RelpConnection;
use self::stop::Stop;
use self::sync::Durability;
use self::turn::Turn;
use self::watch::Files;

pub use self::executor::{ShardStart, Shards, TaskSender, start};
pub use self::watch::ShardFiles;

/// What a shard is told by other threads.
pub enum ShardMessage {
    /// Serve this connection.
    Serve(Protocol, AcceptedTcpStream, Slot),
    /// Read this piece of a file.
    Read(ReadTask),
    /// Stop taking connections; go on receiving until peers are quiet, but not beyond this moment.
    Stop(Instant),
}

/// What every shard is configured with.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// How lines are read.
    pub reading: Reading,
    /// Filters and tags.
    pub rules: Rules,
    /// Own shapes of text lines.
    pub patterns: Patterns,
    /// The longest line, in bytes.
    pub line_bytes_max: usize,
    /// When segments end.
    pub rotation: RotationPolicy,
    /// After how long without a byte a connection is closed.
    pub idle_timeout: Option<Duration>,
    /// When an acknowledgement may be sent.
    pub ack: Ack,
    /// How long written bytes may wait to be made durable when their segment does not fill.
    pub sync_interval: Duration,
}

/// The parts of the store a shard uses.
#[derive(Clone)]
pub struct ShardStore {
    /// Rights to have a raw segment on disk.
    pub permits: Arc<RawPermits>,
    /// Takes sealed segments.
    pub pool: PoolHandle,
    /// Shut while the disk guard lets nobody receive.
    pub gate: Arc<IntakeGate>,
    /// Where files are followed: what there is to do with them.
    pub files: Option<ShardFiles>,
}

/// One shard: what its tasks share, all on one thread.
pub struct Shard {
    id: usize,
    config: ShardConfig,
    clock: Clock,
    core: RefCell<ShardCore>,
    latency: RefCell<LatencyRecorder>,
    metrics: Arc<ShardMetrics>,
    telemetry: Arc<Telemetry>,
    store: ShardStore,
    balancer: Arc<Balancer>,
    /// All shards'.
    former: Arc<FormerSessions>,
    files: Option<Files>,
    stop: Rc<Stop>,
    turn: Rc<Turn>,
    /// The disk guard's gate may be open again.
    gate_opened: Event,
    /// A batch is due, or the intake has ended.
    work: Event,
    /// A writer has taken a batch.
    room: Event,
    /// A batch has been written, or something has become durable.
    progress: Event,
    /// Every connection has ended: what is in the batches is all there will be.
    intake_ended: Cell<bool>,
    long_lines: LongLines,
    /// Connections, and files that are being read.
    connections: Cell<usize>,
    connection_ended: Event,
    /// The writers have ended: what is written is all there will be.
    writers_ended: Cell<bool>,
    /// By stream.
    durability: [Durability; Stream::SLOTS],
    /// Something may be due for a sync.
    sync_due: Event,
}

impl Shard {
    fn new(
        id: usize,
        config: ShardConfig,
        store: ShardStore,
        balancer: Arc<Balancer>,
        former: Arc<FormerSessions>,
        telemetry: Arc<Telemetry>,
        resumed: [u64; Stream::SLOTS],
    ) -> Rc<Self> {
        let clock = Clock::start();
        let now_ms = clock.now_ns() / 1_000_000;
        let lane = |stream: Stream| Lane::new(config.rotation, resumed[stream.slot()], now_ms);
        let core = ShardCore::new(&config.reading, lane(Stream::Logs), lane(Stream::Rejected));
        let core = core.with_rules(config.rules.clone(), config.patterns.clone());
        let places = (PARTIAL_SHARED_BYTES / config.line_bytes_max).max(1);
        Rc::new(Self {
            id,
            clock,
            core: RefCell::new(core),
            latency: RefCell::default(),
            metrics: telemetry.shards[id].clone(),
            telemetry,
            files: store.files.clone().map(Files::new),
            store,
            balancer,
            former,
            stop: Rc::default(),
            turn: Turn::new(),
            gate_opened: Event::default(),
            work: Event::default(),
            room: Event::default(),
            progress: Event::default(),
            intake_ended: Cell::new(false),
            long_lines: LongLines::new(places),
            connections: Cell::new(0),
            connection_ended: Event::default(),
            writers_ended: Cell::new(false),
            durability: Default::default(),
            sync_due: Event::default(),
            config,
        })
    }

    /// Serves an accepted socket on this shard.
    fn open_connection(self: &Rc<Self>, protocol: Protocol, socket: AcceptedTcpStream, slot: Slot) {
        let stream = socket.bind_to_executor();
        let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
        if let Err(error) = stream.set_read_timeout(self.config.idle_timeout) {
            tracing::debug!("{peer}: cannot set the idle timeout: {error}");
        }
        self.counters().connections_opened.add(1);
        self.connections.set(self.connections.get() + 1);
        match protocol {
            Protocol::Tcp => self.spawn_serving(slot, Connection::new(self.clone(), stream, peer).serve()),
            Protocol::Relp => self.spawn_serving(slot, RelpConnection::new(self.clone(), stream, peer).serve()),
        }
    }

    fn spawn_serving(self: &Rc<Self>, slot: Slot, serving: impl Future<Output = Closed> + 'static) {
        let shard = self.clone();
        let counted = async move {
            let closed = serving.await;
            shard.counters().connections_closed[closed as usize].add(1);
            drop(slot);
            shard.connection_ended();
        };
        glommio::spawn_local(counted).detach();
    }

    /// Reads a piece of a file on this shard.
    fn open_file(self: &Rc<Self>, task: ReadTask) {
        self.connections.set(self.connections.get() + 1);
        let shard = self.clone();
        let reading = async move {
            watch::read(shard.clone(), task).await;
            shard.connection_ended();
        };
        glommio::spawn_local(reading).detach();
    }

    /// Whether everything that was appended to `stream` is written.
    fn is_written(&self, stream: Stream) -> bool {
        self.core.borrow().lane(stream).appended_records() == self.durability(stream).written()
    }

    /// Has `due` made safe soon: somebody waits for it.
    fn want(&self, due: Due) {
        if self.config.ack == Ack::Synced {
            self.durability[usize::from(due.stream)].want(due.record);
        }
    }

    /// Whether a record may be acknowledged.
    fn is_safe(&self, due: Due) -> bool {
        let durability = &self.durability[usize::from(due.stream)];
        due.record
            <= match self.config.ack {
                Ack::Written => durability.written(),
                Ack::Synced => durability.durable(),
            }
    }

    fn connection_ended(&self) {
        self.connections.set(self.connections.get() - 1);
        self.connection_ended.notify();
    }

    fn durability(&self, stream: Stream) -> &Durability {
        &self.durability[stream.slot()]
    }

    fn counters(&self) -> &ShardCounters {
        &self.metrics.counters
    }

    /// Has what is in the batches written although they are not full.
    fn flush(&self) {
        let due = {
            let mut core = self.core.borrow_mut();
            let logs = core.lane_mut(Stream::Logs).flush();
            core.lane_mut(Stream::Rejected).flush() || logs
        };
        if due {
            self.work.notify();
        }
    }

    /// Waits until a record can be appended.
    async fn room(&self) {
        self.work.notify();
        let _paused = self.counters().pause(Pause::Writer);
        self.room.wait_until(|| !self.core.borrow().is_full()).await;
    }

    /// Waits until everything appended so far is written.
    async fn all_written(&self) {
        for stream in Stream::BY_SLOT {
            let appended = self.core.borrow().lane(stream).appended_records();
            let durability = self.durability(stream);
            if durability.written() < appended {
                self.flush();
                self.progress.wait_until(|| appended <= durability.written()).await;
            }
        }
    }

    /// A batch has been written: now it counts.
    fn written(&self, stream: Stream, batch: &Batch, target: Option<SyncTarget>) {
        let now_ns = self.clock.now_ns();
        let counts = batch.counts();
        self.count_written(stream, counts, batch.bytes().len() as u64);
        let mut latency = self.latency.borrow_mut();
        for (latency_ns, records) in sync::latencies(batch.stamps(), now_ns) {
            latency.record(latency_ns, records);
        }
        self.durability(stream).on_written(counts.records, batch.stamps(), target, now_ns);
        self.progress.notify();
        self.sync_due.notify();
    }

    /// Lets readers see how many lines have been taken in, and how many of them rules left out: those are done with.
    fn publish_taken(&self) {
        let (taken, filtered) = {
            let mut core = self.core.borrow_mut();
            (core.taken_lines(), core.take_filtered())
        };
        self.counters().appended.set(taken);
        if filtered > 0 {
            self.counters().publish(|ledger| {
                ledger.received += filtered;
                ledger.filtered += filtered;
            });
        }
    }

    fn count_written(&self, stream: Stream, counts: &BatchCounts, bytes: u64) {
        self.counters().batches.add(1);
        self.counters().publish(|ledger| {
            ledger.received += counts.records;
            match stream {
                Stream::Logs | Stream::Collected => {
                    ledger.written += counts.records;
                    ledger.written_bytes += bytes;
                    for (total, records) in ledger.levels.iter_mut().zip(counts.levels) {
                        *total += records;
                    }
                }
                Stream::Rejected => {
                    ledger.rejected_bytes += bytes;
                    for (total, records) in ledger.rejected.iter_mut().zip(counts.rejected) {
                        *total += records;
                    }
                }
            }
        });
    }

    /// Tells the disk guard, which tells the world, that the disk is full, until the guards are dropped.
    fn pause_disk_full(&self, error: &StorageError) -> (PauseGuard<'_>, FullWait) {
        (self.counters().pause(Pause::DiskFull), self.store.gate.wait_for_full(error))
    }
}

/// A shard's clocks: one call per receive or write, none per record.
#[derive(Debug, Clone, Copy)]
struct Clock {
    origin: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Monotonic nanoseconds since the shard's start.
    fn now_ns(self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn arrival(self) -> Arrival {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Arrival { received_ns: self.now_ns(), wall: Timestamp(wall.as_micros() as i64) }
    }
}
