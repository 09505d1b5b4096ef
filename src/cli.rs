//! The command line: one file per subcommand, and the one place that turns an outcome into words and an exit code.

pub mod check;
pub mod collect;
mod daemon;
mod following;
pub mod search;
pub mod serve;
mod summary;
pub mod tail;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::store::disk::Disk;
use crate::store::error::StorageError;

/// Takes log lines over the network, loses none of them, and leaves plain compressed files that any tool can read.
#[derive(Debug, Parser)]
#[command(name = "logboom", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 clean, 1 bad usage, configuration or preflight, \
                          or collect --once could not read all that was asked for, 2 storage failure or a defect, 3 the drain deadline passed, \
                          129, 130, 143 a second SIGHUP, SIGINT, SIGTERM; those of search and tail are their own";

#[derive(Debug, Subcommand)]
enum Command {
    /// Take lines in over TCP, and store them
    Serve(serve::ServeArgs),
    /// Follow log files, and store their lines
    Collect(collect::CollectArgs),
    /// Validate a configuration, look at the machine, print the resolved configuration and the memory budget
    Check(serve::ServeArgs),
    /// Find stored lines, with or without a running daemon
    Search(search::SearchArgs),
    /// Show lines as a running daemon writes them
    Tail(tail::TailArgs),
}

/// How a command ended that did what it should, or was stopped in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is done.
    Clean,
    /// The drain deadline passed. Lines that were received and not yet written are lost; what is still raw is archived at the next start.
    DrainDeadline,
    /// Everything is done but what could not be read: so many files and folders.
    Unread(u64),
    /// A search found nothing.
    NothingFound,
}

/// Why a command could not do what it should.
#[derive(Debug)]
pub enum Failure {
    /// The usage, the configuration or the machine: nothing was begun. One line for each problem.
    Refused(Vec<String>),
    /// The store failed: nothing more was acknowledged.
    Storage(StorageError),
    /// A thread ended that must not.
    Broken(String),
    /// A search could not be made, or not wholly. Its own exit code, as `grep` has one: 1 says that nothing was found.
    Search(String),
}

impl Failure {
    /// One problem.
    pub fn refused(problem: impl fmt::Display) -> Self {
        Self::Refused(vec![problem.to_string()])
    }

    /// Says what happened and what to do, once, on stderr.
    fn print(&self) {
        match self {
            Self::Refused(problems) => problems.iter().for_each(|problem| eprintln!("logboom: {problem}")),
            Self::Storage(error) => eprintln!("logboom: fatal: {error}\n  hint: {}", hint(error)),
            Self::Search(what) => eprintln!("logboom: {what}"),
            Self::Broken(what) => eprintln!(
                "logboom: fatal: {what}\n  hint: this is a defect; what was written is on disk, and recovery runs at the next start"
            ),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Storage(_) | Self::Broken(_) | Self::Search(_) => 2,
        }
    }
}

fn hint(error: &StorageError) -> &'static str {
    match error {
        StorageError::Io { .. } => {
            "what was written since the last sync may be lost; check the device, then start again (recovery runs at start)"
        }
        StorageError::Damaged { .. } | StorageError::Codec { .. } => "the file is kept as it is; move it away to start without it",
        StorageError::Unusable { .. } => "nothing was changed",
        StorageError::Panicked { .. } => "this is a defect; what was written is on disk, and recovery runs at the next start",
    }
}

/// Runs what the command line asks for, with the store on `disk`: on [`Disk::new`] but in tests.
pub fn main(disk: Disk) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let is_search = std::env::args_os().nth(1).is_some_and(|command| command == "search" || command == "tail");
            return ExitCode::from(if !error.use_stderr() {
                0
            } else if is_search {
                2
            } else {
                1
            });
        }
    };
    log_to_stderr();
    let ended = match &cli.command {
        Command::Serve(args) => serve::serve(args, disk),
        Command::Collect(args) => collect::collect(args, disk),
        Command::Check(args) => check::check(args),
        Command::Search(args) => search::search(args),
        Command::Tail(args) => tail::tail(args),
    };
    match ended {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::NothingFound | Outcome::Unread(_)) => ExitCode::from(1),
        Ok(Outcome::DrainDeadline) => ExitCode::from(3),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// `LOGBOOM_LOG` sets the level: error, warn, info (the default), debug.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("LOGBOOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false).init();
}
