//! The command line: what was typed. [`crate::run::plan`] says what it means.

pub mod values;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::payload::Format;
use crate::payload::sized::{LINE_BYTES_MAX, LINE_BYTES_MIN};
use crate::payload::slots::{CLIENTS_MAX, LINES_MAX};
use crate::schedule::Burst;
use crate::{run, sink, verify};
use values::{Cores, Listen, Target};

/// Usage errors, and what `verify` finds.
pub const EXIT_WRONG: u8 = 1;
/// The target refused, broke off, or did not confirm or acknowledge.
pub const EXIT_TARGET: u8 = 2;
/// The generator itself lagged: the figures mean nothing.
pub const EXIT_INVALID: u8 = 3;

const EXIT_CODES: &str = "Exit codes: 0 good; 1 wrong usage, or verify found a difference; 2 the target refused a connection or \
     a line, broke off (relp://: and did not come back in time), or did not confirm or acknowledge everything; 3 INVALID: the generator itself lagged behind its schedule.";

/// Drives logboom with realistic traffic and proves that nothing was lost.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends made lines and reports rate and response times
    #[command(after_help = EXIT_CODES)]
    Run(Box<RunArgs>),
    /// Reads and discards, to measure the generator's own ceiling
    Sink(SinkArgs),
    /// Makes a run's lines again and looks for each in a data directory
    Verify(VerifyArgs),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the lines go: tcp://HOST:PORT; relp://HOST:PORT, whose server acknowledges each; or file:PATH, which is appended to
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:7171")]
    pub target: Target,

    /// Lines per send of one client [default: 100; with --interval 0: 1000, or 100 for more than 64 clients; with --rate: what gives at most 2000 sends per second]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub batch: Option<u64>,

    /// Pause from send to send of one client, in milliseconds or as a duration (250ms, 2s); 0 sends as fast as the target takes it [default: 1000]
    #[arg(long, value_name = "MS", value_parser = values::interval)]
    pub interval: Option<Duration>,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    pub clients: u32,

    /// Lines per second over all clients, in an open loop: sends are due by the clock, whatever the target does
    #[arg(long, value_name = "N", conflicts_with = "interval", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub rate: Option<u64>,

    /// When to end, as a duration (30s, 5m) [default: at --count, or at Ctrl-C]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// How many lines to send, over all clients [default: until --duration, or Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=LINES_MAX))]
    pub count: Option<u64>,

    /// Lines of one client that may be unacknowledged, for relp:// [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub window: Option<u64>,

    /// How long a client goes on reconnecting without an answer before it ends with an error, for relp:// [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub reconnect_timeout: Option<Duration>,

    /// How lines are written
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,

    /// Bytes of a JSON line with its newline, about: members are left out, or one with more text is added [default: what traffic has, 259 on average]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LINE_BYTES_MIN..=LINE_BYTES_MAX))]
    pub line_bytes: Option<u32>,

    /// Sends each text line as the message of an RFC 5424 syslog line, to tcp:// or a file; needs --format text
    #[arg(long)]
    pub syslog: bool,

    /// How the open loop's rate varies; all but a burst keep --rate as the mean
    #[arg(long, value_enum, default_value_t = Pattern::Steady)]
    pub pattern: Pattern,

    /// FACTORx/LENGTH/EVERY: 10x/5s/60s is ten times as fast for 5 s in the middle of every 60 s [default: none]
    #[arg(long, value_name = "BURST", value_parser = values::burst)]
    pub burst: Option<Burst>,

    /// What the lines are made from; the same seed makes the same lines and the same run name [default: random, printed]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t = ReportForm::Text)]
    pub report: ReportForm,

    /// Where to write what was sent, for verify [default: nowhere]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Rotates the file of file:PATH meanwhile, as logrotate does: PATH becomes PATH.1, PATH.1 becomes PATH.2
    #[arg(long, value_enum)]
    pub rotate: Option<Rotate>,

    /// From one rotation to the next [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration, requires = "rotate")]
    pub rotate_every: Option<Duration>,

    /// How many older files are kept; the oldest is deleted [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "rotate")]
    pub rotate_keep: Option<u32>,

    /// Cores to pin the clients to, in turn, such as 0,2-3 [default: unpinned]
    #[arg(long, value_name = "LIST")]
    pub cores: Option<Cores>,
}

/// How the rate of an open loop varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// Even gaps
    Steady,
    /// Random gaps without memory
    Poisson,
    /// A day in a minute: from a tenth to nineteen tenths of the mean and back
    Diurnal,
    /// Ten seconds of each minute at five times the rate of the others
    Incident,
}

/// How a file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rotate {
    /// The file is renamed and a new one created; each client goes on with that at its next send
    Rename,
    /// The file is copied and then truncated, and clients go on appending to it: what they write in between is lost
    Copytruncate,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Flags of `sink`.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// Where to listen: tcp://HOST:PORT, or relp://HOST:PORT to acknowledge each line; port 0 picks one, which the line `ready tcp=HOST:PORT` or
    /// `ready relp=HOST:PORT` on stdout names
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:7171")]
    pub listen: Listen,

    /// End when every connection has closed after the first [default: at Ctrl-C or SIGTERM]
    #[arg(long)]
    pub once: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The directory with the segments
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// What `run --manifest` wrote
    #[arg(long, value_name = "FILE")]
    pub manifest: PathBuf,

    /// The files' stream: logs, or collected for the collector's
    #[arg(long, value_name = "NAME", default_value = "logs")]
    pub stream: String,

    /// Which lines must be there: all that were sent, or only those that the target confirmed or acknowledged (after a crash of the target). Lines that it
    /// refused are never required [default: acknowledged for a run to relp://, sent for others]
    #[arg(long, value_enum)]
    pub require: Option<Require>,

    /// Which further copies of a line are no difference. A run to relp:// sends unacknowledged lines again when it has to reconnect
    #[arg(long, value_enum, default_value_t = Duplicates::Explained)]
    pub duplicates: Duplicates,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t = ReportForm::Text)]
    pub report: ReportForm,
}

/// Which lines `verify` insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// Every line that the kernel took whole
    Sent,
    /// Every line of a connection that the target closed after everything was sent; of relp://, every acknowledged line
    Confirmed,
    /// Every line that the target acknowledged, of relp://
    Acknowledged,
}

impl Require {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Require::Sent => "sent",
            Require::Confirmed => "confirmed",
            Require::Acknowledged => "acknowledged",
        }
    }
}

/// Which further copies of a line `verify` accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Duplicates {
    /// All
    Allowed,
    /// As many of a line as the run sent it again
    Explained,
    /// No
    None,
}

/// Reads the arguments, does what they say, prints an error once. The process's exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this can't be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_WRONG) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Sink(args) => sink::sink(args),
        Command::Verify(args) => verify::verify(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("loadgen: {error:#}");
        ExitCode::from(EXIT_WRONG)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
