//! The search itself: which blocks to read, reading them on several threads, and what they hold in order of time, or counted.

mod merge;
mod plan;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, bounded};

use self::merge::{Merge, Run};
use self::plan::{Plan, plan};
use super::block::{Reader, Unit};
use super::count::{By, Counts, Part};
use super::matcher::Matcher;
use super::prune::Pruner;
use super::query::Expr;
use super::segments::{self, Source};
use crate::limits::SEARCH_THREADS_MAX;
use crate::record::members;
use crate::record::timestamp::TimeReader;
use crate::store::disk::Disk;
use crate::store::error::StorageError;
use crate::store::name::Stream;
use crate::store::segment::TimeRange;

/// Why a search did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The directory can't be read.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The query is too large for what it is to be compiled to.
    #[error("{0}")]
    Query(String),
    /// More blocks than a search keeps in mind.
    #[error("too much to read at once: narrow the range of time (since, until) or the query")]
    TooMuch,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The latest.
    NewestFirst,
    /// The earliest.
    OldestFirst,
}

impl Order {
    /// A number that is smaller for what comes first.
    fn key(self, time_us: i64) -> i64 {
        match self {
            Self::NewestFirst => !time_us, // turns the order around, and never overflows
            Self::OldestFirst => time_us,
        }
    }
}

/// What to search, where and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The way to the files.
    pub disk: Disk,
    /// The data directory.
    pub dir: &'a Path,
    /// Which lines.
    pub stream: Stream,
    /// In normal form.
    pub expr: &'a Expr,
    /// Their times, both ends included.
    pub range: TimeRange,
    /// Threads that read, 1 to [`SEARCH_THREADS_MAX`].
    pub threads: usize,
    /// Blocks that it may have to read, at [`SEARCH_BLOCK_BYTES`](crate::limits::SEARCH_BLOCK_BYTES) of memory each.
    pub blocks_max: usize,
    /// Bytes of found lines that wait for their turn in the order of time.
    pub waiting_bytes_max: usize,
    /// Set by somebody else to end the search early.
    pub stop: &'a AtomicBool,
}

/// A matching line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Without its newline.
    pub line: &'a [u8],
    /// When it happened, in microseconds since 1970 UTC. A line that says no time has the latest of its block; a block without any, that of its segment's end.
    pub time_us: i64,
}

/// What a search cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments looked at.
    pub segments: usize,
    /// Their blocks.
    pub blocks: usize,
    /// Blocks that were read.
    pub blocks_read: usize,
    /// What could not be read: files and why, the first few.
    pub damaged: Vec<String>,
}

/// How many damaged places are named.
const DAMAGED_MAX: usize = 10;

impl Stats {
    fn add_damage(&mut self, what: String) {
        if self.damaged.len() < DAMAGED_MAX {
            self.damaged.push(what);
        }
    }
}

/// Hands matching lines to `emit` in `order`, until it has enough. `limit` is how many it will take at most, if it knows.
pub fn lines(
    request: &Request<'_>,
    order: Order,
    limit: Option<usize>,
    mut emit: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<Stats, SearchError> {
    let search = Search::prepare(request)?;
    let Plan { mut units, mut stats } = plan(&search, None)?;
    let first_key = |unit: &Unit| match order {
        Order::NewestFirst => order.key(unit.time.max_us),
        Order::OldestFirst => order.key(unit.time.min_us),
    };
    units.sort_unstable_by_key(|unit| (first_key(unit), unit.source, unit.offset));
    let mut merge = Merge::new(request.waiting_bytes_max);
    let work = |scanner: &mut Scanner<'_>, unit: &Unit| scanner.run(unit, order, limit);
    let mut expected = 0;
    search.read(&units, work, |run| {
        expected += 1;
        stats.blocks_read += 1;
        match run {
            Ok(run) => merge.add(run),
            Err(error) => stats.add_damage(error.to_string()),
        }
        merge.emit(units.get(expected).map(first_key), |key, line| emit(Found { line, time_us: order.key(key) }))
    });
    Ok(stats)
}

/// Counts matching lines, as a whole and by `by`.
pub fn count(request: &Request<'_>, by: Option<&By>) -> Result<(Counts, Stats), SearchError> {
    let search = Search::prepare(request)?;
    let counts = Mutex::<Counts>::default();
    let Plan { units, mut stats } = plan(&search, Some((by, &counts)))?;
    let begin = || (Scanner::new(&search), Part::of(&counts), Stats::default());
    let work = |(scanner, part, stats): &mut (Scanner<'_>, Part<'_>, Stats), at: usize| {
        stats.blocks_read += 1;
        scanner.count(&units[at], by, part).unwrap_or_else(|error| stats.add_damage(error.to_string()));
        part.hand_over();
        ControlFlow::Continue(())
    };
    search.share(units.len(), begin, work, |(_, _, part_stats)| {
        stats.blocks_read += part_stats.blocks_read;
        part_stats.damaged.into_iter().for_each(|what| stats.add_damage(what));
    });
    Ok((counts.into_inner().unwrap_or_else(PoisonError::into_inner), stats))
}

/// A request with everything that its threads share.
struct Search<'a> {
    request: &'a Request<'a>,
    pruner: Pruner,
    sources: Vec<Source>,
}

impl<'a> Search<'a> {
    fn prepare(request: &'a Request<'a>) -> Result<Self, SearchError> {
        Matcher::new(request.expr).map_err(SearchError::Query)?;
        let sources = segments::sources(&request.disk, request.dir, request.stream)?;
        Ok(Self { request, pruner: Pruner::new(request.expr, request.range), sources })
    }

    fn threads(&self, jobs: usize) -> usize {
        self.request.threads.clamp(1, SEARCH_THREADS_MAX).min(jobs.max(1))
    }

    fn is_stopped(&self) -> bool {
        self.request.stop.load(Ordering::Relaxed)
    }

    /// Lets threads, of which the caller is one, take the jobs 0 to `jobs` in turn, each with a state of its own, until `work` has enough; then `join` gets the states.
    fn share<S>(
        &self,
        jobs: usize,
        begin: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize) -> ControlFlow<()> + Sync,
        join: impl FnMut(S) + Send,
    ) {
        let next = AtomicUsize::new(0);
        let join = Mutex::new(join);
        let run = || {
            let mut state = begin();
            while !self.is_stopped() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if jobs <= at || work(&mut state, at).is_break() {
                    break;
                }
            }
            join.lock().unwrap_or_else(PoisonError::into_inner)(state);
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads(jobs) {
                // Without another thread this one does it all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, run);
            }
            run();
        });
    }

    /// Lets threads do `work` on the units, and takes what comes out in the units' order, until `take` has enough. Each of several threads is at most two units
    /// ahead; a single one is the caller.
    fn read<T: Send>(
        &self,
        units: &[Unit],
        work: impl Fn(&mut Scanner<'_>, &Unit) -> Result<T, StorageError> + Sync,
        mut take: impl FnMut(Result<T, StorageError>) -> ControlFlow<()>,
    ) {
        let threads = self.threads(units.len());
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Unit n goes through channel n modulo their number, so that each channel is in order, and full ones hold their threads up. Where no thread can be
            // made, its units are the caller's.
            let lane = |first| {
                let (sender, receiver) = bounded(1);
                let (enough, work) = (&enough, &work);
                let run = move || {
                    let mut scanner = Scanner::new(self);
                    for unit in units.iter().skip(first).step_by(threads) {
                        if enough.load(Ordering::Relaxed) || self.is_stopped() || sender.send(work(&mut scanner, unit)).is_err() {
                            return;
                        }
                    }
                };
                let spawned = if threads == 1 { None } else { std::thread::Builder::new().spawn_scoped(scope, run).ok() };
                spawned.map(|_| receiver)
            };
            let lanes: Vec<Option<Receiver<_>>> = (0..threads).map(lane).collect();
            let mut own = None;
            for (at, unit) in units.iter().enumerate() {
                let result = match &lanes[at % threads] {
                    Some(lane) => lane.recv().ok(),
                    None => (!self.is_stopped()).then(|| work(own.get_or_insert_with(|| Scanner::new(self)), unit)),
                };
                if result.is_none_or(|result| take(result).is_break()) {
                    break;
                }
            }
            enough.store(true, Ordering::Relaxed);
        });
    }
}

/// One thread's buffers.
struct Scanner<'a> {
    search: &'a Search<'a>,
    reader: Reader,
    matcher: Matcher,
    times: TimeReader,
}

impl<'a> Scanner<'a> {
    fn new(search: &'a Search<'a>) -> Self {
        let matcher = Matcher::new(search.request.expr).expect("compiled before");
        Self { search, reader: Reader::default(), matcher, times: TimeReader::default() }
    }

    /// Looks at `unit`, and gives back what only its long line needed.
    fn look<T>(&mut self, unit: &Unit, look: impl FnOnce(&mut Self) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let _long = unit.lock();
        let seen = look(self);
        self.reader.forget(unit);
        self.matcher.forget();
        seen
    }

    /// Hands each matching line of `unit` that is within the range to `found`, with where it is in the block, and with its time if `needs_time`, else with any within
    /// the range.
    fn each(
        &mut self,
        unit: &Unit,
        needs_time: bool,
        mut found: impl FnMut(&[u8], usize, i64, &mut TimeReader),
    ) -> Result<(), StorageError> {
        let Self { search, reader, matcher, times } = self;
        let Some(block) = reader.read(&search.request.disk, search.request.dir, &search.sources, unit)? else { return Ok(()) };
        let is_inside = search.pruner.is_within(unit.time.min_us) && search.pruner.is_within(unit.time.max_us);
        matcher.each_match(block, |line| {
            let time_us = if needs_time || !is_inside {
                members::time(line, times).map_or(unit.time.max_us, |time| time.0)
            } else {
                unit.time.max_us
            };
            if is_inside || search.pruner.is_within(time_us) {
                found(line, line.as_ptr() as usize - block.as_ptr() as usize, time_us, times);
            }
        });
        Ok(())
    }

    fn run(&mut self, unit: &Unit, order: Order, limit: Option<usize>) -> Result<Run, StorageError> {
        self.look(unit, |scanner| {
            let mut run = Run::default();
            scanner.each(unit, true, |line, start, time_us, _| run.push(order.key(time_us), start, line.len()))?;
            run.finish(order, limit, scanner.reader.raw());
            Ok(run)
        })
    }

    fn count(&mut self, unit: &Unit, by: Option<&By>, part: &mut Part<'_>) -> Result<(), StorageError> {
        let needs_time = matches!(by, Some(By::Time(_) | By::TimeAndLevel(_)));
        self.look(unit, |scanner| scanner.each(unit, needs_time, |line, _, time_us, times| part.add(by, line, time_us, times)))
    }
}

#[cfg(test)]
mod tests;
