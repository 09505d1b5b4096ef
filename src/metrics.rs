//! What is counted and measured, and how it is shown.
//!
//! Shards count into blocks of their own ([`counters`], [`latency`]); here is where readers find them all: stdout, Prometheus, and the HTTP API.

pub mod counters;
pub mod files;
pub mod history;
pub mod latency;
pub mod outputs;
pub mod prometheus;
pub mod rules;
pub mod searches;
pub mod services;
pub mod sources;
pub mod stdout;
pub mod tails;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::record::Protocol;
use crate::store::catalog::{self, DiskUse};
use crate::store::cursor::StoreReader;
use crate::store::guard::IntakeGate;
use crate::store::name::Stream;
use crate::store::permits::RawPermits;
use crate::store::pool::{PoolHandle, PoolSnapshot};
use crate::store::recover::RecoveryReport;
use crate::store::retention::{RetainLimits, RetentionStats};

use self::counters::{Counter, Ledger, Pause, ShardCounters};
use self::files::FileTotals;
use self::latency::{Latencies, LatencySlot};
use self::outputs::OutputStats;
use self::rules::RuleTotals;
use self::searches::SearchTotals;
use self::services::ServiceTotals;
use self::sources::SourceTotals;
use self::tails::TailTotals;

/// How old the sums of the data directory may be that readers see, at least.
const DISK_USE_AGE_MAX: Duration = Duration::from_secs(2);
/// They may be older where listing takes long: it takes at most this part of the time.
const DISK_USE_TIME_SHARE: u32 = 50;

/// One shard's numbers.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// Counts.
    pub counters: ShardCounters,
    /// From the receive that completed a line to the write that stored it.
    pub received_to_written: LatencySlot,
    /// From the same to the sync, of its segment or of its archive, that made it durable.
    pub received_to_synced: LatencySlot,
    /// For how long it has not run, in milliseconds, if it is stuck: else 0. Written by the thread that watches all shards.
    pub stuck_ms: Counter,
}

/// Where the store's numbers come from, once it is open.
#[derive(Debug)]
pub struct StoreSource {
    /// The data directory.
    pub dir: PathBuf,
    /// Rights to raw segments.
    pub permits: Arc<RawPermits>,
    /// The compress pool.
    pub pool: PoolHandle,
    /// What recovery found.
    pub recovery: RecoveryReport,
    /// The disk guard's.
    pub gate: Arc<IntakeGate>,
    /// What was deleted.
    pub retention: Arc<RetentionStats>,
    /// The way to its lines.
    pub reader: StoreReader,
    /// What may be kept.
    pub retain: RetainLimits,
}

/// The store's numbers at one moment.
#[derive(Debug)]
pub struct StoreNumbers {
    /// Raw segments allowed on disk.
    pub permits: usize,
    /// Raw segments on disk.
    pub permits_in_use: usize,
    /// The compress pool.
    pub pool: PoolSnapshot,
    /// Bytes on disk by state.
    pub disk: DiskUse,
    /// Bytes that recovery cut from torn tails at this start.
    pub torn_bytes: u64,
    /// Free bytes on the file system of the data directory, where it says.
    pub free_bytes: Option<u64>,
    /// `--min-free`.
    pub min_free_bytes: u64,
    /// What was deleted.
    pub retention: Arc<RetentionStats>,
    /// What may be kept.
    pub retain: RetainLimits,
}

/// What the daemon is doing, for `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Recovering; nothing listens yet.
    Starting,
    /// Taking lines in.
    Running,
    /// Writing what is left.
    Stopping,
}

/// Every number of the process, for whoever shows it.
#[derive(Debug)]
pub struct Telemetry {
    started: Instant,
    phase: Mutex<Phase>,
    /// By shard.
    pub shards: Vec<Arc<ShardMetrics>>,
    /// By service, all shards together.
    pub services: ServiceTotals,
    /// By source, all shards together.
    pub sources: SourceTotals,
    /// What rules did, all shards together.
    pub rules: RuleTotals,
    /// Files that are followed.
    pub files: Arc<FileTotals>,
    /// Searches over HTTP.
    pub searches: Arc<SearchTotals>,
    /// Live tails over HTTP.
    pub tails: Arc<TailTotals>,
    listening: OnceLock<Vec<(Protocol, SocketAddr)>>,
    store: OnceLock<StoreSource>,
    outputs: OnceLock<Vec<Arc<OutputStats>>>,
    disk_use: Mutex<Option<(Instant, Duration, DiskUse)>>,
}

impl Telemetry {
    /// For `shards` shards.
    pub fn new(shards: usize) -> Arc<Self> {
        let shards = (0..shards).map(|_| Arc::default()).collect();
        Arc::new(Self {
            started: Instant::now(),
            phase: Mutex::new(Phase::Starting),
            shards,
            services: ServiceTotals::default(),
            sources: SourceTotals::default(),
            rules: RuleTotals::default(),
            files: Arc::default(),
            searches: Arc::default(),
            tails: Arc::default(),
            listening: OnceLock::new(),
            store: OnceLock::new(),
            outputs: OnceLock::new(),
            disk_use: Mutex::default(),
        })
    }

    /// Tells where lines are taken in. Once.
    pub fn listens(&self, addresses: Vec<(Protocol, SocketAddr)>) {
        assert!(self.listening.set(addresses).is_ok(), "it listens once");
    }

    /// Where lines are taken in, once they are.
    pub fn listening(&self) -> &[(Protocol, SocketAddr)] {
        self.listening.get().map_or(&[], |addresses| addresses)
    }

    /// Tells where the store's numbers come from. Once.
    pub fn store_opened(&self, source: StoreSource) {
        assert!(self.store.set(source).is_ok(), "the store opens once");
    }

    /// Tells which outputs there are. Once.
    pub fn outputs_known(&self, outputs: Vec<Arc<OutputStats>>) {
        assert!(self.outputs.set(outputs).is_ok(), "outputs are known once");
    }

    /// The outputs' numbers.
    pub fn outputs(&self) -> &[Arc<OutputStats>] {
        self.outputs.get().map_or(&[], Vec::as_slice)
    }

    /// Seconds since the start.
    pub fn uptime_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Enters a phase.
    pub fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Why lines are not taken in right now, if they are not.
    pub fn unready(&self) -> Option<String> {
        match *self.phase.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starting => return Some("starting: the data directory is being recovered".to_owned()),
            Phase::Stopping => return Some("stopping: what has been received is being written".to_owned()),
            Phase::Running => {}
        }
        let mut stuck = self.shards.iter().map(|shard| shard.stuck_ms.get()).enumerate().filter(|(_, ms)| *ms > 0);
        if let Some((shard, ms)) = stuck.next() {
            return Some(format!("stuck: shard {shard} has not run for {} s", ms / 1000));
        }
        let store = self.store.get();
        if let Some(reason) = store.and_then(|store| store.gate.reason()) {
            return Some(format!("paused: {reason}"));
        }
        // What the disk guard has not seen yet.
        if self.shards.iter().any(|shard| shard.counters.pausing[Pause::DiskFull as usize].get() > 0) {
            return Some("paused: the disk is full; intake resumes by itself when space returns".to_owned());
        }
        store?.pool.stats().paused().map(|reason| format!("paused: the compress pool can't write: {reason}"))
    }

    /// All shards' ledgers together.
    pub fn ledger(&self) -> Ledger {
        self.shards.iter().fold(Ledger::default(), |mut sum, shard| {
            sum.add(&shard.counters.ledger());
            sum
        })
    }

    /// All shards' latencies since the start: of one of their slots.
    pub fn latencies(&self, slot: impl Fn(&ShardMetrics) -> &LatencySlot) -> Latencies {
        self.shards.iter().fold(Latencies::default(), |mut sum, shard| {
            sum.add_total(slot(shard));
            sum
        })
    }

    /// The data directory, once it is open.
    pub fn data_dir(&self) -> Option<&Path> {
        self.store.get().map(|store| &*store.dir)
    }

    /// The stream of accepted records.
    pub fn accepted(&self) -> Stream {
        self.store.get().map_or(Stream::Logs, |store| store.reader.marks.accepted())
    }

    /// The way to the store's lines, once it is open.
    pub fn store_reader(&self) -> Option<StoreReader> {
        self.store.get().map(|store| store.reader.clone())
    }

    /// What the compress pool counts, once it runs.
    pub fn pool_numbers(&self) -> Option<PoolSnapshot> {
        self.store.get().map(|store| store.pool.stats().snapshot())
    }

    /// Raw segments on disk, and how many are allowed.
    pub fn raw_segments(&self) -> (usize, usize) {
        self.store.get().map_or((0, 0), |store| (store.permits.in_use(), store.permits.total()))
    }

    /// The store's numbers, once it is open.
    pub fn store_numbers(&self) -> Option<StoreNumbers> {
        let store = self.store.get()?;
        Some(StoreNumbers {
            permits: store.permits.total(),
            permits_in_use: store.permits.in_use(),
            pool: store.pool.stats().snapshot(),
            disk: self.disk_use(&store.dir),
            torn_bytes: store.recovery.torn_bytes,
            free_bytes: store.gate.free_bytes(),
            min_free_bytes: store.gate.min_free_bytes(),
            retention: store.retention.clone(),
            retain: store.retain,
        })
    }

    /// Lists the directory, unless that was done a moment ago: it may hold tens of thousands of files, and anyone may ask.
    fn disk_use(&self, dir: &Path) -> DiskUse {
        let mut cached = self.disk_use.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((listed, took, disk_use)) if listed.elapsed() < DISK_USE_AGE_MAX.max(*took * DISK_USE_TIME_SHARE) => disk_use.clone(),
            _ => {
                let begun = Instant::now();
                let disk_use = catalog::disk_use(dir).unwrap_or_default();
                *cached = Some((Instant::now(), begun.elapsed(), disk_use.clone()));
                disk_use
            }
        }
    }
}
