//! `loadgen run`: sends made lines from one thread per client, then writes the manifest and the report.
//!
//! Every client connects before the first one sends. A client that fails ends alone; the others go on, and the process exits with 2. [`client`] sends to what only
//! takes, [`relp`] to what acknowledges.

pub mod client;
pub mod plan;
pub mod progress;
pub mod relp;
pub mod report;
pub mod rotate;
pub mod target;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::cli::values::Target;
use crate::cli::{EXIT_INVALID, EXIT_TARGET, ReportForm, RunArgs};
use crate::manifest::Manifest;
use crate::payload::{Payload, run_name};
use crate::stop::{self, Stop};
use client::{Client, Counter, Outcome, Task};
use plan::Plan;
use progress::Progress;
use relp::RelpClient;
use report::Report;
use rotate::Rotator;
use target::Connection;

/// A client needs little stack: its lines are on the heap.
const STACK_BYTES: usize = 128 * 1024;
/// From the moment all threads exist to the first send, so that none starts late: for the run, and more for each client.
const HEAD_START: Duration = Duration::from_millis(10);
const HEAD_START_PER_CLIENT: Duration = Duration::from_micros(200);
/// How often signals and ended clients are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What all clients of a run share.
pub struct Shared {
    /// The lines.
    pub payload: Payload,
    /// The end, when it is requested before the work is done.
    pub stop: Stop,
    /// All threads are there.
    gather: Barrier,
    head_start: Duration,
    /// When the run began.
    clock: OnceLock<Clock>,
}

/// The run's time: both clocks, read once.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Schedules count from here.
    pub start: Instant,
    /// The same moment, in milliseconds after 1970.
    pub start_unix_ms: i64,
}

impl Clock {
    /// Nanoseconds since the start; 0 before it.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

impl Shared {
    /// Blocks until every client is there; then the time that they share.
    pub fn gather(&self) -> Clock {
        self.gather.wait();
        *self.clock.get_or_init(|| {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.head_start;
            Clock { start: Instant::now() + self.head_start, start_unix_ms: unix.as_millis() as i64 }
        })
    }
}

/// Does what the flags say.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let form = args.report;
    let plan = Plan::new(args)?;
    eprintln!("loadgen: run {} with seed {}: {plan}", run_name(plan.seed), plan.seed);
    let signalled = stop::on_signals()?;
    let payload = Payload::of_size(plan.seed, plan.format, plan.line_bytes);
    let renames = Arc::default();
    let senders = match connect(&plan, &renames) {
        Ok(senders) => senders,
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            return Ok(ExitCode::from(EXIT_TARGET));
        }
    };

    let gather = Barrier::new(plan.clients as usize + 1);
    let head_start = HEAD_START + HEAD_START_PER_CLIENT * plan.clients;
    let shared = Arc::new(Shared { payload, stop: Stop::default(), gather, head_start, clock: OnceLock::new() });
    let counters: Arc<[Counter]> = (0..plan.clients).map(|_| Counter::default()).collect();
    let handles = spawn(&plan, senders, &shared, &counters)?;
    let clock = shared.gather();
    let rotator = plan.rotation.clone().map(|rotation| Rotator::start(rotation, clock, renames)).transpose()?;
    watch(&plan, &handles, &shared, &counters, clock, &signalled);
    let mut outcomes = Vec::with_capacity(handles.len());
    for handle in handles {
        outcomes.push(handle.join().map_err(|_| anyhow::anyhow!("a client's thread panicked"))?);
    }
    let rotations = rotator.map(Rotator::finish).transpose();
    let code = conclude(&plan, &shared, &outcomes, clock, form, *rotations.as_ref().unwrap_or(&None))?;
    rotations.context("rotate the file")?;
    Ok(code)
}

/// A client of either kind.
enum Sender {
    /// Sends lines, and has no answers but the end.
    Stream(Box<Client>),
    /// Sends frames, each of which is acknowledged.
    Relp(Box<RelpClient>),
}

impl Sender {
    /// Opens the connection of a client, if it has anything to send.
    fn new(plan: &Plan, number: u32, renames: &Arc<AtomicU64>) -> anyhow::Result<Self> {
        let task = Task::new(plan, number);
        let is_idle = plan.clients_with_lines() <= number;
        Ok(match &plan.target {
            Target::Relp(address) => {
                let session =
                    if is_idle { None } else { Some(RelpClient::open(address).with_context(|| format!("connect to {}", plan.target))?) };
                let (window, reconnect_timeout) = (plan.window, plan.reconnect_timeout);
                let options = relp::Options { address: address.clone(), window, reconnect_timeout };
                Sender::Relp(Box::new(RelpClient::new(task, options, session, plan.format.header())))
            }
            _ if is_idle => Sender::Stream(Box::new(Client::new(task, Connection::None))),
            Target::Tcp(address) => {
                let connection = Connection::to_address(address).with_context(|| format!("connect to {}", plan.target))?;
                Sender::Stream(Box::new(Client::new(task, connection)))
            }
            Target::File(path) => {
                Sender::Stream(Box::new(Client::new(task, Connection::to_file(path, number == 0, plan.format, renames)?)))
            }
        })
    }

    fn send_all(self, shared: &Shared, counter: &Counter) -> Outcome {
        match self {
            Sender::Stream(client) => client.send_all(shared, counter),
            Sender::Relp(client) => client.send_all(shared, counter),
        }
    }
}

fn connect(plan: &Plan, renames: &Arc<AtomicU64>) -> anyhow::Result<Vec<Sender>> {
    (0..plan.clients).map(|number| Sender::new(plan, number, renames).with_context(|| format!("client {number}"))).collect()
}

fn spawn(plan: &Plan, senders: Vec<Sender>, shared: &Arc<Shared>, counters: &Arc<[Counter]>) -> anyhow::Result<Vec<JoinHandle<Outcome>>> {
    let mut handles = Vec::with_capacity(senders.len());
    for (number, sender) in (0..).zip(senders) {
        let core = plan.core_of(number);
        let (shared, counters) = (shared.clone(), counters.clone());
        let work = move || {
            if let Some(core) = core
                && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
            {
                eprintln!("loadgen: client {number} could not be pinned to core {core}");
            }
            sender.send_all(&shared, &counters[number as usize])
        };
        handles.push(thread::Builder::new().stack_size(STACK_BYTES).spawn(work).with_context(|| format!("start client {number}"))?);
    }
    Ok(handles)
}

/// Shows progress until all clients have ended; passes a signal on to them.
fn watch(plan: &Plan, handles: &[JoinHandle<Outcome>], shared: &Shared, counters: &[Counter], clock: Clock, signalled: &AtomicBool) {
    let mut progress = Progress::new(plan);
    while !handles.iter().all(JoinHandle::is_finished) {
        if stop::is_set(signalled) && shared.stop.since().is_none() {
            progress.say("ending: each client finishes the batch in hand and waits for the target to confirm; again to break off");
            shared.stop.request();
        }
        let lines = counters.iter().map(|counter| counter.lines.load(Ordering::Relaxed)).sum();
        progress.show(clock.now_ns(), lines);
        thread::sleep(LOOK_EVERY);
    }
    progress.end();
}

fn conclude(
    plan: &Plan,
    shared: &Shared,
    outcomes: &[Outcome],
    clock: Clock,
    form: ReportForm,
    rotations: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let report = Report { rotations, ..Report::new(plan, shared.payload.line_bytes_mean(), outcomes) };
    if let Some(path) = &plan.manifest {
        let started = jiff::Timestamp::from_millisecond(clock.start_unix_ms).unwrap_or_default().to_string();
        let parts = outcomes.iter().map(|outcome| outcome.part.clone()).collect();
        let manifest = Manifest::new(run_name(plan.seed), plan.seed, plan.format, plan.target.to_string(), started, parts);
        Manifest { line_bytes: plan.line_bytes, ..manifest }.write(path)?;
    }
    let text = match form {
        ReportForm::Text => report.to_string(),
        ReportForm::Json => serde_json::to_string_pretty(&report).context("the report as JSON")?,
    };
    writeln!(stdout(), "{}", text.trim_end()).context("write the report to stdout")?;
    for (client, outcome) in outcomes.iter().enumerate() {
        if let Some(error) = &outcome.part.error {
            eprintln!("loadgen: client {client}: {error}; {} lines were sent", outcome.part.sent);
        }
    }
    Ok(match () {
        () if !report.errors.is_empty() => ExitCode::from(EXIT_TARGET),
        () if !report.valid => ExitCode::from(EXIT_INVALID),
        () => ExitCode::SUCCESS,
    })
}
