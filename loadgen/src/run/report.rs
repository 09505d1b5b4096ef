//! What a run came to, for people and as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::client::Outcome;
use super::plan::Plan;
use crate::cli::values::Target;
use crate::host::{self, Machine};
use crate::payload::{Format, run_name};

/// A run whose sends began later than this through the generator's own fault, at the 99th percentile, is INVALID: its figures would be the generator's.
pub const LAG_P99_MAX_US: u64 = 10_000;
/// Below this share of its scheduled lines a run is said to have been held back.
const HELD_BACK_BELOW: f64 = 0.99;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The run's name in its lines.
    pub run: String,
    /// What its lines were made from.
    pub seed: u64,
    /// Where they went.
    pub target: String,
    /// How they were written.
    pub format: Format,
    /// Connections.
    pub clients: u32,
    /// Lines of one send.
    pub batch: u64,
    /// Whether the generator kept its own schedule.
    pub valid: bool,
    /// Lines that the kernel took.
    pub lines: u64,
    /// Lines that the target confirmed; of relp://, those that it answered.
    pub confirmed: u64,
    /// Lines that it answered with an error, of relp://.
    pub refused: u64,
    /// Connections that were lost and opened again, of relp://.
    pub reconnects: u64,
    /// Lines that were sent again after that.
    pub resent: u64,
    /// How often the file was rotated meanwhile, if it was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotations: Option<u64>,
    /// Lines that were due before the end and were not sent.
    pub unsent: u64,
    /// Bytes that the kernel took.
    pub bytes: u64,
    /// The mean line of the payload, newline included.
    pub line_bytes_mean: f64,
    /// From the first send to the target's last confirmation.
    pub seconds: f64,
    /// From the first send to the end of the last.
    pub seconds_sending: f64,
    /// Lines per second, to the target's last confirmation; of relp://, answered lines.
    pub rate: f64,
    /// What was asked for in an open loop.
    pub rate_target: Option<u64>,
    /// Millions of bytes per second.
    pub mb_per_s: f64,
    /// From the moment a send was due until the kernel took its last byte. Not of relp://, where a line is done later.
    pub response: Option<Percentiles>,
    /// From the moment a line was due until its acknowledgement was read, of relp://.
    pub acknowledged: Option<Percentiles>,
    /// How late sends began through the generator's own fault. Flat out nothing can be late.
    pub lag: Option<Percentiles>,
    /// The generator's processor time per line.
    pub cpu_ns_per_line: Option<f64>,
    /// What the figures depend on.
    pub machine: Machine,
    /// What went wrong, by client.
    pub errors: Vec<String>,
    /// The target did not take what the schedule offered.
    pub held_back: bool,
}

/// Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Percentiles {
    /// Reads them off a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { count: histogram.len(), p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), p999_us: at(0.999), max_us: histogram.max() }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        let Self { p50_us, p90_us, p99_us, p999_us, max_us, .. } = *self;
        write!(
            f,
            "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            ms(p50_us),
            ms(p90_us),
            ms(p99_us),
            ms(p999_us),
            ms(max_us)
        )
    }
}

impl Report {
    /// Sums up.
    pub fn new(plan: &Plan, line_bytes_mean: f64, outcomes: &[Outcome]) -> Self {
        let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
        let merged = |of: fn(&Outcome) -> &Histogram<u64>| {
            let mut all = Histogram::new(3).expect("three digits are allowed");
            outcomes.iter().for_each(|outcome| all += of(outcome));
            Percentiles::of(&all)
        };
        let lines = sum(|outcome| outcome.part.sent);
        let bytes = sum(|outcome| outcome.bytes);
        let seconds_sending = outcomes.iter().map(|outcome| outcome.done_ns).max().unwrap_or(0) as f64 / 1e9;
        let seconds = outcomes.iter().map(|outcome| outcome.closed_ns).max().unwrap_or(0) as f64 / 1e9;
        let acknowledges = matches!(plan.target, Target::Relp(_));
        let confirmed = sum(|outcome| outcome.part.confirmed);
        let times = merged(|outcome| &outcome.response_us);
        let per_s = |amount: f64| if 0.0 < seconds { amount / seconds } else { 0.0 };
        let unsent = sum(|outcome| outcome.unsent);
        let lag = plan.is_paced().then(|| merged(|outcome| &outcome.lag_us));
        let scheduled = plan.lines_by((seconds_sending * 1e9) as u64).unwrap_or((lines + unsent) as f64);
        let errors =
            outcomes.iter().enumerate().filter_map(|(client, outcome)| Some(format!("client {client}: {}", outcome.part.error.as_ref()?)));
        Self {
            run: run_name(plan.seed),
            seed: plan.seed,
            target: plan.target.to_string(),
            format: plan.format,
            clients: plan.clients,
            batch: plan.batch,
            valid: lag.is_none_or(|lag| lag.p99_us <= LAG_P99_MAX_US),
            lines,
            confirmed,
            refused: sum(|outcome| outcome.part.refused_lines()),
            reconnects: sum(|outcome| outcome.part.reconnects),
            resent: sum(|outcome| outcome.part.resent_lines()),
            rotations: None,
            unsent,
            bytes,
            line_bytes_mean,
            seconds,
            seconds_sending,
            rate: per_s(if acknowledges { confirmed } else { lines } as f64),
            rate_target: plan.rate,
            mb_per_s: per_s(bytes as f64 / 1e6),
            response: (!acknowledges).then_some(times),
            acknowledged: acknowledges.then_some(times),
            lag,
            cpu_ns_per_line: host::cpu_s().filter(|_| 0 < lines).map(|cpu_s| cpu_s * 1e9 / lines as f64),
            machine: Machine::here(),
            errors: errors.collect(),
            held_back: plan.rate.is_some() && (lines as f64) < HELD_BACK_BELOW * scheduled,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, bytes, seconds, clients, batch, .. } = self;
        let (format, target) = (self.format.name(), &self.target);
        writeln!(f, "run        {} (seed {}), {format} to {target}, {clients} clients, batches of {batch}", self.run, self.seed)?;
        writeln!(f, "sent       {lines} lines, {bytes} bytes, {:.1} per line; {} lines confirmed", self.line_bytes_mean, self.confirmed)?;
        writeln!(f, "time       {seconds:.3} s to the last confirmation, {:.3} s sending", self.seconds_sending)?;
        write!(f, "rate       {:.0} lines/s, {:.1} MB/s", self.rate, self.mb_per_s)?;
        if let Some(target) = self.rate_target {
            write!(f, " ({target} lines/s asked for)")?;
        }
        writeln!(f)?;
        if let Some(response) = self.response {
            writeln!(f, "response   {response} (from due to taken by the kernel)")?;
        }
        if let Some(acknowledged) = self.acknowledged {
            writeln!(f, "acknowledged {acknowledged} (from due to its answer)")?;
            writeln!(f, "sessions   {} reconnects, {} lines sent again, {} refused", self.reconnects, self.resent, self.refused)?;
        }
        if let Some(rotations) = self.rotations {
            writeln!(f, "rotations  {rotations}")?;
        }
        if let Some(lag) = self.lag {
            writeln!(f, "lag        {lag} (the generator's own lateness)")?;
        }
        if let Some(ns) = self.cpu_ns_per_line {
            writeln!(f, "generator  {ns:.0} ns of CPU per line")?;
        }
        writeln!(f, "machine    {}, {} cores, Linux {}", self.machine.cpu, self.machine.cores, self.machine.kernel)?;
        if self.held_back {
            writeln!(f, "HELD BACK  the target took less than was offered; {} lines were due and not sent", self.unsent)?;
        }
        if !self.valid {
            writeln!(f, "INVALID    the generator itself was late: its lag's p99 exceeds {} ms", LAG_P99_MAX_US / 1000)?;
        }
        self.errors.iter().try_for_each(|error| writeln!(f, "ERROR      {error}"))
    }
}
