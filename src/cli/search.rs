//! `logboom search`: finds stored lines, and shows or counts them.

pub(super) mod show;

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use self::show::{Format, Show};
use super::{Failure, Outcome};
use crate::host::cores;
use crate::limits::{SEARCH_BLOCKS_MAX, SEARCH_WAITING_BYTES_MAX};
use crate::search::count::By;
use crate::search::{self, Order, Request, Stats, query, when};
use crate::store::catalog;
use crate::store::disk::Disk;
use crate::store::name::Stream;
use crate::store::segment::TimeRange;

/// Flags of `search`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SearchArgs {
    /// What to look for; nothing finds every line. Several words are joined by spaces
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Where segments and archives are
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// Only lines from then on: 15m, 1h, 7d (ago), 2026-11-24, 2026-11-24T15:00 (UTC)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only lines until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show so many lines at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The latest lines first
    #[arg(long, conflicts_with = "oldest")]
    newest: bool,
    /// The earliest lines first, which is the default
    #[arg(long)]
    oldest: bool,
    /// Say how many lines match instead of showing them
    #[arg(long)]
    count: bool,
    /// Say how many lines match by this: level, minute, a span such as 10s, or any field, such as service, tag or user.id
    #[arg(long, value_name = "WHAT", value_parser = by)]
    by: Option<(String, By)>,
    /// How lines are shown [default: table on a terminal, else raw]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// What to search: logs, what was collected from files, or what was rejected [default: logs, or what was collected where there are none]
    #[arg(long, value_name = "STREAM")]
    stream: Option<Words>,
}

const AFTER_HELP: &str = "\
Query: timeout \"connection refused\" -debug level>=warn (service:auth OR tag:payment)
       /user=\\d+/ status>=500 path:\"/admin\" time* *out
  Words must all occur, in any case, as whole words; a star opens an end. docs/SEARCH.md says it all.
  Put it in quotes, for the shell; one that begins with - goes behind --.

Exit codes: 0 something was found, 1 nothing was, 2 an error";

/// `--by`, and how it was written.
fn by(text: &str) -> Result<(String, By), String> {
    By::parse(text).map(|by| (text.to_owned(), by))
}

/// `--stream`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Words {
    Logs,
    Rejected,
    Collected,
}

impl Words {
    pub(super) fn stream(self) -> Stream {
        match self {
            Self::Logs => Stream::Logs,
            Self::Rejected => Stream::Rejected,
            Self::Collected => Stream::Collected,
        }
    }
}

/// Finds, shows or counts.
pub fn search(args: &SearchArgs) -> Result<Outcome, Failure> {
    let text = args.query.join(" ");
    let expr = query::parse(&text).map_err(|error| Failure::Search(error.pointed_at(&text)))?;
    let stop = AtomicBool::new(false);
    let request = Request {
        disk: Disk::new(),
        dir: &args.data_dir,
        stream: args.stream.map_or_else(|| accepted(&args.data_dir), Words::stream),
        expr: &expr,
        range: range(args)?,
        threads: cores::available().len(),
        blocks_max: SEARCH_BLOCKS_MAX,
        waiting_bytes_max: SEARCH_WAITING_BYTES_MAX,
        stop: &stop,
    };
    let format = args.format.unwrap_or(if io::stdout().is_terminal() { Format::Table } else { Format::Raw });
    let mut show = Show::new(format, io::stdout().is_terminal());
    let (found, stats) = if args.count || args.by.is_some() {
        let (counts, stats) = search::count(&request, args.by.as_ref().map(|(_, by)| by)).map_err(failed)?;
        let shown = match &args.by {
            None => writeln!(io::stdout(), "{}", counts.total),
            Some((name, _)) => show.counts(name, &counts.groups(usize::MAX)),
        };
        shown.or_else(closed)?;
        (counts.total, stats)
    } else {
        lines(args, &request, &mut show)?
    };
    stats.damaged.iter().for_each(|what| eprintln!("logboom: {what}"));
    tracing::debug!("{} segments, {} blocks, {} of them read", stats.segments, stats.blocks, stats.blocks_read);
    match (found, stats.damaged.is_empty()) {
        (_, false) => Err(Failure::Search("not everything could be read".to_owned())),
        (0, true) => Ok(Outcome::NothingFound),
        _ => Ok(Outcome::Clean),
    }
}

/// The stream of accepted records in `dir`.
fn accepted(dir: &Path) -> Stream {
    let files = catalog::files(&Disk::new(), dir).unwrap_or_default();
    let has = |wanted: Stream| files.iter().any(|file| file.name.stream() == Some(wanted));
    if has(Stream::Collected) && !has(Stream::Logs) { Stream::Collected } else { Stream::Logs }
}

/// Shows lines. Returns how many.
fn lines(args: &SearchArgs, request: &Request<'_>, show: &mut Show) -> Result<(u64, Stats), Failure> {
    let order = if args.newest { Order::NewestFirst } else { Order::OldestFirst };
    let mut left = args.limit.unwrap_or(usize::MAX);
    let (mut found, mut written) = (0, show.begin());
    if left == 0 {
        return Ok((0, Stats::default()));
    }
    let stats = search::lines(request, order, args.limit, |hit| {
        found += 1;
        left -= 1;
        if written.is_ok() {
            written = show.line(&hit);
        }
        if left == 0 || written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stats = stats.map_err(failed)?;
    written.and_then(|()| show.end()).or_else(closed)?;
    Ok((found, stats))
}

/// A reader that has enough, such as `head`, is no failure.
fn closed(error: io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(Failure::Search(format!("stdout: {error}"))) }
}

fn failed(error: search::SearchError) -> Failure {
    Failure::Search(error.to_string())
}

fn range(args: &SearchArgs) -> Result<TimeRange, Failure> {
    let now_us = when::now_us();
    let time = |flag: &str, text: &Option<String>, default| match text {
        None => Ok(default),
        Some(text) => when::parse(text, now_us).map_err(|expected| Failure::Search(format!("--{flag}: {text:?}: {expected}"))),
    };
    Ok(TimeRange { min_us: time("since", &args.since, i64::MIN)?, max_us: time("until", &args.until, i64::MAX)? })
}
