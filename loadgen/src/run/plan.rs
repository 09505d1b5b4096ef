//! What the flags mean: defaults filled in, contradictions refused. Pure, but for the random seed.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::cli::values::Target;
use crate::cli::{Pattern, RunArgs};
use crate::payload::Format;
use crate::payload::slots::LINES_MAX;
use crate::run::rotate::Rotation;
use crate::schedule::{Gaps, Pace, Schedule, Shape};

const BATCH_DEFAULT: u64 = 100;
/// Flat out, larger batches cost fewer system calls.
const BATCH_FLAT_OUT: u64 = 1000;
/// With more clients, buffers of large batches would outgrow the caches.
const CLIENTS_OF_LARGE_BATCHES: u32 = 64;
/// An open loop without `--batch` uses the smallest batch with at most so many sends per second: wake-ups are what a small batch costs.
const SENDS_PER_S_MAX: u64 = 2000;
/// Enough to keep a server busy that acknowledges many at once, and what librelp's clients have by default.
const WINDOW_DEFAULT: u64 = 128;
const RECONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const ROTATE_EVERY_DEFAULT: Duration = Duration::from_secs(1);
const ROTATE_KEEP_DEFAULT: u32 = 10;

/// A run.
#[derive(Debug)]
pub struct Plan {
    /// Where lines go.
    pub target: Target,
    /// How they are written.
    pub format: Format,
    /// What they are made from.
    pub seed: u64,
    /// How long JSON lines are, about, if not as traffic has them.
    pub line_bytes: Option<u32>,
    /// Whether text lines go out as the messages of syslog lines.
    pub syslog: bool,
    /// Connections.
    pub clients: u32,
    /// Lines of one send.
    pub batch: u64,
    /// Lines in all.
    pub count: Option<u64>,
    /// The end.
    pub duration: Option<Duration>,
    /// Where the manifest goes.
    pub manifest: Option<PathBuf>,
    /// Lines per second in an open loop.
    pub rate: Option<u64>,
    /// Lines of one client that may be unacknowledged.
    pub window: u64,
    /// How long a client goes on reconnecting without an answer.
    pub reconnect_timeout: Duration,
    /// How the file is rotated meanwhile.
    pub rotation: Option<Rotation>,
    /// From send to send of a client in a closed loop; zero is flat out.
    interval: Duration,
    shape: Shape,
    gaps: Gaps,
    cores: Vec<usize>,
}

impl Plan {
    /// Resolves flags.
    pub fn new(args: RunArgs) -> anyhow::Result<Self> {
        let interval = args.interval.unwrap_or(INTERVAL_DEFAULT);
        let paced = args.rate.is_some() || !interval.is_zero();
        ensure!(args.rate.is_some() || args.pattern == Pattern::Steady, "--pattern needs --rate: without it the target sets the pace");
        ensure!(args.burst.is_none() || paced, "--burst needs --rate or an --interval: flat out there is nothing to multiply");
        let has_own_shape = matches!(args.pattern, Pattern::Diurnal | Pattern::Incident);
        ensure!(
            args.burst.is_none() || !has_own_shape,
            "--burst goes with --pattern steady or poisson: the others have bursts of their own"
        );
        let acknowledges = matches!(args.target, Target::Relp(_));
        ensure!(acknowledges || args.window.is_none(), "--window needs a relp:// target: the others acknowledge nothing");
        ensure!(acknowledges || args.reconnect_timeout.is_none(), "--reconnect-timeout needs a relp:// target: the others can't resend");
        ensure!(args.line_bytes.is_none() || args.format == Format::Json, "--line-bytes needs --format json");
        ensure!(!args.syslog || (args.format == Format::Text && !acknowledges), "--syslog needs --format text, and no relp:// target");
        let rotation = rotation(&args)?;
        let batch = args.batch.unwrap_or(match args.rate {
            Some(rate) => rate.div_ceil(SENDS_PER_S_MAX).min(BATCH_FLAT_OUT),
            None if interval.is_zero() && args.clients <= CLIENTS_OF_LARGE_BATCHES => BATCH_FLAT_OUT,
            None => BATCH_DEFAULT,
        });
        let shape = match args.pattern {
            Pattern::Diurnal => Shape::diurnal(),
            Pattern::Incident => Shape::incident(),
            Pattern::Steady | Pattern::Poisson => args.burst.map_or(Shape::Flat, Shape::burst),
        };
        Ok(Self {
            target: args.target,
            format: args.format,
            seed: args.seed.unwrap_or_else(random_seed),
            line_bytes: args.line_bytes,
            syslog: args.syslog,
            clients: args.clients,
            batch,
            count: args.count,
            duration: args.duration,
            manifest: args.manifest,
            rate: args.rate,
            window: args.window.unwrap_or(WINDOW_DEFAULT),
            reconnect_timeout: args.reconnect_timeout.unwrap_or(RECONNECT_TIMEOUT_DEFAULT),
            rotation,
            interval,
            shape,
            gaps: if args.pattern == Pattern::Poisson { Gaps::Poisson } else { Gaps::Even },
            cores: args.cores.map_or_else(Vec::new, |cores| cores.0),
        })
    }

    /// How many lines a client sends at most.
    pub fn quota(&self, client: u32) -> u64 {
        let (clients, client) = (u64::from(self.clients), u64::from(client));
        self.count.map_or(LINES_MAX, |count| count / clients + u64::from(client < count % clients))
    }

    /// How many clients have anything to send: the first ones.
    pub fn clients_with_lines(&self) -> u32 {
        self.count.map_or(self.clients, |count| self.clients.min(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// When a client sends.
    pub fn pace(&self, client: u32) -> Pace {
        if let Some(rate) = self.rate {
            return Pace::Rate(Schedule::new(self.shape, self.gaps, rate, self.batch, client, self.clients, self.seed));
        }
        if self.interval.is_zero() {
            return Pace::FlatOut;
        }
        let interval_ns = self.interval.as_nanos() as u64;
        let first_ns = (u128::from(interval_ns) * u128::from(client) / u128::from(self.clients)) as u64;
        Pace::Interval { interval_ns, shape: self.shape, first_ns }
    }

    /// Whether sends are due by a clock.
    pub fn is_paced(&self) -> bool {
        self.rate.is_some() || !self.interval.is_zero()
    }

    /// How many lines the schedule means to have sent at a time, where that is known before the run.
    pub fn lines_by(&self, time_ns: u64) -> Option<f64> {
        (self.shape == Shape::Flat).then_some(self.rate?).map(|rate| rate as f64 * time_ns as f64 / 1e9)
    }

    /// The core that a client is pinned to.
    pub fn core_of(&self, client: u32) -> Option<usize> {
        (!self.cores.is_empty()).then(|| self.cores[client as usize % self.cores.len()])
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} clients to {}, batches of {} lines", self.clients, self.target, self.batch)?;
        match self.rate {
            Some(rate) => write!(f, ", open loop at {rate} lines/s"),
            None if self.interval.is_zero() => write!(f, ", flat out"),
            None => write!(f, ", every {} ms per client", self.interval.as_millis()),
        }
    }
}

/// How the file of a run is rotated, if it is.
fn rotation(args: &RunArgs) -> anyhow::Result<Option<Rotation>> {
    let Some(how) = args.rotate else { return Ok(None) };
    let Target::File(path) = &args.target else { bail!("--rotate needs a file: target") };
    ensure!(args.format != Format::Csv, "--rotate goes with --format json or text: each of the files would need a CSV header");
    let (every, keep) = (args.rotate_every.unwrap_or(ROTATE_EVERY_DEFAULT), args.rotate_keep.unwrap_or(ROTATE_KEEP_DEFAULT));
    Ok(Some(Rotation { path: path.clone(), how, every, keep }))
}

/// A seed from the process's random hash keys, which come from the kernel. 32 bits: easy to type.
fn random_seed() -> u64 {
    RandomState::new().hash_one("seed") & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{ReportForm, Rotate};

    fn args() -> RunArgs {
        RunArgs {
            target: Target::File("x".into()),
            batch: None,
            interval: None,
            clients: 3,
            rate: None,
            duration: None,
            window: None,
            reconnect_timeout: None,
            count: Some(10),
            format: Format::Json,
            line_bytes: None,
            syslog: false,
            pattern: Pattern::Steady,
            burst: None,
            seed: Some(1),
            report: ReportForm::Text,
            manifest: None,
            rotate: None,
            rotate_every: None,
            rotate_keep: None,
            cores: None,
        }
    }

    #[test]
    fn the_count_is_shared_out_exactly() {
        for (clients, count, quotas) in [(3, 10, vec![4, 3, 3]), (4, 2, vec![1, 1, 0, 0])] {
            let plan = Plan::new(RunArgs { clients, count: Some(count), ..args() }).unwrap();
            assert_eq!((0..clients).map(|client| plan.quota(client)).collect::<Vec<_>>(), quotas);
            assert_eq!(plan.clients_with_lines() as usize, quotas.iter().filter(|quota| 0 < **quota).count());
        }
    }

    #[test]
    fn batches_have_sensible_defaults() {
        let flat_out = Some(Duration::ZERO);
        for (interval, rate, clients, batch) in [
            (None, None, 1, 100),
            (flat_out, None, 2, 1000),
            (flat_out, None, 500, 100),
            (None, Some(1000), 1, 1),
            (None, Some(1_000_000), 64, 500),
            (None, Some(50_000_000), 1, 1000),
        ] {
            assert_eq!(Plan::new(RunArgs { interval, rate, clients, ..args() }).unwrap().batch, batch);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let burst = crate::cli::values::burst("10x/5s/60s").ok();
        for wrong in [
            RunArgs { pattern: Pattern::Poisson, ..args() },
            RunArgs { burst, interval: Some(Duration::ZERO), ..args() },
            RunArgs { window: Some(1), ..args() },
            RunArgs { reconnect_timeout: Some(Duration::from_secs(1)), ..args() },
            RunArgs { burst, rate: Some(1), pattern: Pattern::Diurnal, ..args() },
            RunArgs { format: Format::Text, line_bytes: Some(100), ..args() },
            RunArgs { syslog: true, ..args() },
            RunArgs { rotate: Some(Rotate::Rename), format: Format::Csv, ..args() },
            RunArgs { rotate: Some(Rotate::Rename), target: Target::Tcp("h:1".to_owned()), ..args() },
            RunArgs { syslog: true, format: Format::Text, target: Target::Relp("h:1".to_owned()), ..args() },
        ] {
            assert!(Plan::new(wrong).is_err());
        }
        assert!(Plan::new(RunArgs { burst, ..args() }).is_ok());
        let relp = RunArgs { target: Target::Relp("h:1".to_owned()), window: Some(1), ..args() };
        assert_eq!(Plan::new(relp).unwrap().window, 1);
    }
}
