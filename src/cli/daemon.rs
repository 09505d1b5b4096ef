//! What `serve` and `collect` run: starts everything in order, waits for a reason to end, stops everything in the reverse order.
//!
//! Start: preflight, directory lock, HTTP (not ready yet), recovery, checkpoints, pool, disk guard and retention, shards, outputs, files that are followed, `ready`. Stop: files, shards
//! (accept queue, what peers have sent, batches, sync), pool, outputs (what is left to read, as far as there is time), HTTP, disk guard and retention. The directory lock goes with the
//! process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};

use super::following::{self, Following};
use super::{Failure, Outcome, summary};
use crate::config::{Config, Resolved, Role, Settings};
use crate::host::cores;
use crate::host::lock::DirectoryLock;
use crate::host::ports::Reservation;
use crate::host::preflight::{self, MadeDirectories, Needs};
use crate::host::signals::{self, Signal};
use crate::host::systemd::{self, LongStart, Watchdog};
use crate::http::config::{Setting, Shown};
use crate::http::{self, HttpServer};
use crate::limits;
use crate::limits::budget::{BudgetInputs, MemoryBudget};
use crate::metrics::counters::Closed;
use crate::metrics::{Phase, StoreSource, Telemetry, stdout};
use crate::outputs::{self, Output, Outputs, OutputsConfig};
use crate::record::Protocol;
use crate::record::detect::Format;
use crate::shard::balance::Balancer;
use crate::shard::{self, ShardConfig, ShardStart, ShardStore, Shards};
use crate::store::cursor::StoreReader;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::filter::Index;
use crate::store::guard::IntakeGate;
use crate::store::housekeeping::{Housekeeping, HousekeepingConfig};
use crate::store::marks::Marks;
use crate::store::permits::RawPermits;
use crate::store::policy::RotationPolicy;
use crate::store::pool::{Pool, PoolConfig};
use crate::store::recover::{self, RecoveryConfig};
use crate::store::retention::RetentionStats;
use crate::store::unread::Unread;
use crate::watch::checkpoints;
use crate::watch::watcher::Watcher;

/// The share of the drain's time that peers get to finish what they are sending; the rest is for writing and compressing it.
const INTAKE_SHARE: f64 = 0.5;

/// How long a thread that has ended unasked may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Resolves the configuration on this machine.
pub(super) fn load(role: Role, file: Option<&Path>, settings: &Settings) -> Result<Config, Failure> {
    let config = Config::load(role, file, settings, &cores::available()).map_err(Failure::refused)?;
    for (field, known) in config.rules.doubtful_fields() {
        tracing::warn!("a rule looks at the field {field}; is {known} meant?");
    }
    Ok(config)
}

/// The memory that `config` needs at most.
pub(super) fn budget(config: &Config) -> MemoryBudget {
    MemoryBudget::new(&BudgetInputs {
        shards: config.shards,
        connections_max: config.max_connections,
        relp_connections_max: if config.listen.iter().any(|(protocol, _)| *protocol == Protocol::Relp) {
            config.max_connections
        } else {
            0
        },
        csv_connections_max: if config.reading.format == Format::Csv { config.max_connections } else { 0 },
        line_bytes_max: config.line_max,
        compress_threads: config.compress_threads,
        raw_segments: config.raw_segments,
        regex_sets: config.rules.sets() + config.patterns.len(),
        follows_files: !config.watch.is_empty(),
        outputs: config.outputs.len(),
        tails: if config.http.is_some() { limits::HTTP_TAILS_MAX } else { 0 },
        searches: if config.http.is_some() { limits::HTTP_SEARCHES_MAX } else { 0 },
        segment_filters_bytes_max: match (config.index, config.compression) {
            (Index::On, Some(_)) => limits::segment_filters_bytes_max(config.rotate_size),
            _ => 0,
        },
    })
}

/// Looks at the machine; `made` gets the directories that it makes for that.
pub(super) fn preflight(config: &Config, made: &mut MadeDirectories) -> Result<(), Failure> {
    let needs = Needs {
        shards: config.shards,
        connections_max: config.max_connections,
        compress_threads: config.compress_threads,
        listen: config.listen.iter().map(|(_, address)| *address).collect(),
        http: config.http,
        data_dir: config.data_dir.clone(),
    };
    let mut problems: Vec<String> = preflight::run(&needs, made).iter().map(ToString::to_string).collect();
    problems.extend(config.outputs.iter().filter_map(outputs::foreign));
    problems.extend(following::refused(config));
    if problems.is_empty() { Ok(()) } else { Err(Failure::Refused(problems)) }
}

/// Runs it to its end, with the store on `disk`.
pub(super) fn run(config: &Config, disk: Disk) -> Result<Outcome, Failure> {
    let mut made = MadeDirectories::default();
    preflight(config, &mut made).inspect_err(|_| made.remove())?;
    let signals = signals::start().map_err(|error| Failure::refused(format_args!("cannot handle signals: {error}")))?;
    // Never released by hand: after a failed start, a failure or a deadline, shards and pool may write until the very end.
    DirectoryLock::acquire(&config.data_dir).map_err(Failure::refused)?.hold_until_exit();
    tracing::info!("memory budget: {} bytes", budget(config).total());
    let (failures, failed) = unbounded();
    Running::start(config, disk, &failures)?.wait(config, &signals, &failed)
}

/// What runs, in the order of its start.
struct Running {
    telemetry: Arc<Telemetry>,
    /// Where files are followed.
    watcher: Option<Watcher>,
    http: Option<HttpServer>,
    pool: Pool,
    shards: Shards,
    outputs: Outputs,
    /// Stopped on drop: a writer that waits for space may get it from retention.
    _housekeeping: Housekeeping,
    watchdog: Option<Watchdog>,
}

impl Running {
    fn start(config: &Config, disk: Disk, failures: &Sender<StorageError>) -> Result<Self, Failure> {
        let telemetry = Telemetry::new(config.shards);
        let http = config
            .http
            .map(|addr| http::start(addr, telemetry.clone(), shown(config)))
            .transpose()
            .map_err(|error| Failure::refused(format_args!("{error:#}")))?;
        let long_start = LongStart::begin("recovering the data directory").map_err(broken)?;
        let permits = RawPermits::new(config.raw_segments);
        let journal = checkpoints::read(&disk, &config.data_dir).map_err(Failure::Storage)?;
        let mut recovered = recover::recover(&RecoveryConfig {
            disk: disk.clone(),
            dir: &config.data_dir,
            shards: config.shards,
            accepted: config.role.accepted(),
            index: config.index,
            numbers: journal.numbers(),
            permits: &permits,
        })
        .map_err(|error| match error {
            StorageError::Unusable { .. } => Failure::refused(error),
            error => Failure::Storage(error),
        })?;
        let past = following::recover(config, &disk, journal, &mut recovered).map_err(Failure::Storage)?;
        let marks = recovered.writers.iter().map(|streams| std::array::from_fn(|stream| streams[stream].mark()));
        let accepted = config.role.accepted();
        let reader = StoreReader { disk: disk.clone(), dir: config.data_dir.clone(), marks: Marks::new(accepted, marks.collect()) };
        let following = past.map(|past| Following::begin(config, &disk, &reader.marks, past)).transpose().map_err(Failure::Storage)?;
        drop(long_start);
        // Not before the checkpoints are true: they are compared with raw segments.
        let pool = start_pool(config, disk.clone(), &permits, failures)?;
        recovered.sealed.into_iter().for_each(|segment| pool.handle().submit(segment));
        let gate = IntakeGate::new(config.min_free);
        let retention = Arc::<RetentionStats>::default();
        telemetry.store_opened(StoreSource {
            dir: config.data_dir.clone(),
            permits: permits.clone(),
            pool: pool.handle(),
            recovery: recovered.report,
            gate: gate.clone(),
            retention: retention.clone(),
            reader: reader.clone(),
            retain: config.retain,
        });
        let outputs: Vec<Output> = config.outputs.iter().map(|target| Output::new(target.clone(), accepted)).collect();
        telemetry.outputs_known(outputs.iter().map(|output| output.stats.clone()).collect());
        let reads = outputs.iter().filter(|_| config.retain_unread).map(|output| output.read.clone());
        let unread = Unread(reads.collect());
        let rotation = RotationPolicy { bytes_max: config.rotate_size, age_ms_max: config.rotate_age.as_millis() as u64 };
        let outputs_config = OutputsConfig { store: reader, stream: accepted, rotation };
        let housekeeping = start_housekeeping(config, disk, gate.clone(), retention, unread, &pool, failures)?;
        telemetry.rules.name(config.excludes.clone(), &config.rules);
        let cores = cores::available();
        let shard_config = ShardConfig {
            reading: config.reading.clone(),
            rules: config.rules.clone(),
            patterns: config.patterns.clone(),
            line_bytes_max: config.line_max,
            rotation,
            idle_timeout: config.idle_timeout,
            ack: config.ack,
            sync_interval: config.sync_interval,
        };
        let store = ShardStore { permits, pool: pool.handle(), gate, files: following.as_ref().map(Following::of_shards) };
        let balancer = Balancer::new(config.shards, config.max_connections);
        // Every shard binds the same ports; where port 0 let the kernel pick one, the reservation keeps it until all of them listen.
        let reserve =
            |(protocol, address): &(Protocol, SocketAddr)| Reservation::take(*address).map(|reservation| (*protocol, reservation));
        let reserved: Vec<(Protocol, Reservation)> =
            config.listen.iter().map(reserve).collect::<Result<_, _>>().map_err(Failure::refused)?;
        let start = |(id, files)| {
            let listen = |(protocol, reservation): &(Protocol, Reservation)| reservation.listen().map(|listener| (*protocol, listener));
            let listeners = reserved.iter().map(listen).collect::<Result<_, _>>().map_err(Failure::refused)?;
            Ok(ShardStart { core: cores.get(id).copied(), listeners, files })
        };
        let starts = recovered.writers.into_iter().enumerate().map(start).collect::<Result<_, Failure>>()?;
        let shards = shard::start(&shard_config, &store, &balancer, &telemetry, failures, starts)
            .map_err(|error| Failure::refused(format_args!("{error:#}")))?;
        let outputs = Outputs::start(&outputs_config, outputs).map_err(broken)?;
        let listen: Vec<(Protocol, SocketAddr)> =
            reserved.iter().map(|(protocol, reservation)| (*protocol, reservation.address())).collect();
        telemetry.listens(listen.clone());
        telemetry.set_phase(Phase::Running);
        let ready = stdout::ready_line(&listen, http.as_ref().map(|http| http.addr)) + "\n";
        match config.role {
            Role::Serve => {
                stdout::print(&ready);
                stdout::start(telemetry.clone(), config.metrics_interval).map_err(broken)?;
            }
            Role::Collect { .. } => {
                if http.is_some() {
                    stdout::print(&ready);
                }
                summary::start(telemetry.clone()).map_err(broken)?;
            }
        }
        let watcher = following
            .map(|following| following.start(config, shards.tasks(), telemetry.files.clone(), failures))
            .transpose()
            .map_err(broken)?;
        let watchdog = systemd::watchdog_interval()
            .map(|interval| Watchdog::start(interval, liveness(telemetry.clone())))
            .transpose()
            .map_err(broken)?;
        systemd::ready("taking lines in");
        Ok(Self { telemetry, watcher, http, pool, shards, outputs, _housekeeping: housekeeping, watchdog })
    }

    /// Runs until a signal or a failure, or until everything was read that was to be read once.
    fn wait(self, config: &Config, signals: &Receiver<Signal>, failed: &Receiver<StorageError>) -> Result<Outcome, Failure> {
        let complete = self.watcher.as_ref().map_or_else(never, |watcher| watcher.complete().clone());
        let telemetry = self.telemetry.clone();
        let outcome = select! {
            recv(complete) -> told => match told {
                Ok(unread) => self.stop(failed, limits::COLLECT_ONCE_DRAIN).map(|outcome| match outcome {
                    Outcome::Clean if 0 < unread => Outcome::Unread(unread),
                    outcome => outcome,
                }),
                // The thread that follows files has ended: why, it may have said.
                Err(_) => Err(failed.recv_timeout(LAST_WORDS).map_or_else(|_| Failure::Broken("the thread that follows files has ended".to_owned()), Failure::Storage)),
            },
            recv(signals) -> signal => {
                let signal = signal.map_err(|_| Failure::Broken("the signal thread ended".to_owned()))?;
                tracing::info!("{signal}: stopping");
                self.stop(failed, config.drain_timeout)
            }
            recv(failed) -> error => Err(failure(error)),
        };
        if config.role != Role::Serve {
            let unread = if let Ok(Outcome::Unread(unread)) = outcome { unread } else { 0 };
            stdout::print(&summary::last_line(&telemetry, unread));
        }
        outcome
    }

    /// Takes in what peers have sent, writes and archives it; within `drain_timeout`.
    fn stop(mut self, failed: &Receiver<StorageError>, drain_timeout: Duration) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let deadline = begun + drain_timeout;
        drop(self.watchdog.take()); // shards that have ended do not tick; systemd ends its watch when a stop begins
        self.telemetry.set_phase(Phase::Stopping);
        systemd::stopping("writing and compressing what has been received", drain_timeout);
        if let Some(watcher) = self.watcher.take() {
            watcher.stop(begun + drain_timeout.mul_f64(INTAKE_SHARE));
        }
        self.shards.stop(begun + drain_timeout.mul_f64(INTAKE_SHARE));
        let shards_ended = join_aside(self.shards)?;
        select! {
            recv(shards_ended) -> ended => ended.unwrap_or_else(|_| Err("the thread that waits for the shards ended".to_owned())).map_err(Failure::Broken)?,
            recv(failed) -> error => return Err(failure(error)),
            default(deadline.saturating_duration_since(Instant::now())) => {
                tracing::error!(
                    "the drain deadline passed before everything that was received could be written; those lines are lost, and what is still raw is archived \
                     at the next start"
                );
                return Ok(Outcome::DrainDeadline);
            }
        }
        // Sealed segments are made durable by the pool, with their archives.
        tracing::info!(
            "shards stopped after {:.3} s: everything received is written, open segments are durable",
            begun.elapsed().as_secs_f64()
        );
        let cut_off: u64 = self.telemetry.shards.iter().map(|shard| shard.counters.connections_closed[Closed::CutOff as usize].get()).sum();
        let left = self.pool.drain(deadline.saturating_duration_since(Instant::now())).left;
        if let Ok(error) = failed.try_recv() {
            return Err(Failure::Storage(error));
        }
        self.outputs.stop(deadline);
        if let Some(http) = self.http {
            http.stop();
        }
        if cut_off > 0 {
            tracing::error!(
                "the drain deadline passed before everything that {cut_off} connections had sent could be taken in; those lines are lost"
            );
            return Ok(Outcome::DrainDeadline);
        }
        if left > 0 {
            tracing::warn!("the drain deadline passed; {left} segments are archived at the next start");
            return Ok(Outcome::DrainDeadline);
        }
        let ledger = self.telemetry.ledger();
        tracing::info!(
            "stopped after {:.3} s: received {}, written {}, filtered {}, rejected {}",
            begun.elapsed().as_secs_f64(),
            ledger.received,
            ledger.written,
            ledger.filtered,
            ledger.rejected_total()
        );
        Ok(Outcome::Clean)
    }
}

/// The configuration as `/api/config` shows it.
fn shown(config: &Config) -> Shown {
    let setting =
        |resolved: &Resolved| Setting { key: resolved.key.clone(), value: resolved.value.clone(), source: resolved.source.to_string() };
    Shown { file: config.file.as_ref().map(|path| path.display().to_string()), settings: config.resolved.iter().map(setting).collect() }
}

fn start_pool(config: &Config, disk: Disk, permits: &Arc<RawPermits>, failures: &Sender<StorageError>) -> Result<Pool, Failure> {
    let failures = failures.clone();
    let pool = PoolConfig {
        dir: config.data_dir.clone(),
        codec: config.compression,
        level: config.compression_level,
        index: config.index,
        threads: config.compress_threads,
        cores: config.compress_cores.clone(),
        disk,
        on_fatal: Box::new(move |error| drop(failures.send(error))),
    };
    Pool::start(pool, permits).map_err(broken)
}

fn start_housekeeping(
    config: &Config,
    disk: Disk,
    gate: Arc<IntakeGate>,
    stats: Arc<RetentionStats>,
    unread: Unread,
    pool: &Pool,
    failures: &Sender<StorageError>,
) -> Result<Housekeeping, Failure> {
    let failures = failures.clone();
    let housekeeping = HousekeepingConfig {
        disk,
        dir: config.data_dir.clone(),
        retain: config.retain,
        gate,
        stats,
        unread,
        pool: pool.handle(),
        on_fatal: Box::new(move |error| drop(failures.send(error))),
    };
    Housekeeping::start(housekeeping).map_err(broken)
}

/// Waits for the shards on a thread of its own, so that the caller can wait for other things as well.
fn join_aside(shards: Shards) -> Result<Receiver<Result<(), String>>, Failure> {
    let (ended, shards_ended) = bounded(1);
    let join = move || drop(ended.send(shards.join().map_err(|error| format!("{error:#}"))));
    std::thread::Builder::new().name("join".to_owned()).spawn(join).map_err(broken)?;
    Ok(shards_ended)
}

/// Whether every shard has ticked since the last call.
fn liveness(telemetry: Arc<Telemetry>) -> impl FnMut() -> bool + Send {
    let mut seen: Vec<Option<u64>> = vec![None; telemetry.shards.len()];
    move || {
        let ticks = telemetry.shards.iter().map(|shard| shard.counters.ticks.get());
        seen.iter_mut().zip(ticks).fold(true, |alive, (seen, ticks)| seen.replace(ticks) != Some(ticks) && alive)
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::Broken(format!("cannot start a thread: {error}"))
}

fn failure(error: Result<StorageError, crossbeam_channel::RecvError>) -> Failure {
    error.map_or_else(|_| Failure::Broken("every thread that could fail has ended".to_owned()), Failure::Storage)
}
