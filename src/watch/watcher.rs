//! The thread that follows files: it looks, opens, and hands files to the shards that read them. What to do, the [`Tracker`] says.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use flate2::read::MultiGzDecoder;

use super::checkpoints::Checkpoints;
use super::content::{FileId, FileKey};
use super::journal::Replayed;
use super::notices::Notices;
use super::open_files::{self, OpenFiles};
use super::own::OwnFolder;
use super::patterns::{self, Archives, Pattern, Scan};
use super::task::{Encoding, ReadOutcome, ReadReport, ReadTask};
use super::tracker::{self, Found, Job, Tracker};
use crate::limits::{
    WATCH_FILES_MAX, WATCH_GATHER, WATCH_HEAD_BYTES, WATCH_NAMES_MAX, WATCH_POLL, WATCH_POLL_ALONE, WATCH_POLL_ALONE_TIME_SHARE,
    WATCH_POLL_MAX, WATCH_POLL_TIME_SHARE, WATCH_PROBLEMS_MAX, WATCH_PUBLISH, WATCH_READS_MAX, WATCH_TAIL_BYTES, WATCH_TOLD_TIME_SHARE,
};
use crate::metrics::files::FileTotals;
use crate::store::error::StorageError;

/// Hands a task to a shard by its number. Returns whether it takes any.
pub type Hand = Box<dyn Fn(usize, ReadTask) -> bool + Send>;

/// What there is to follow, and how.
pub struct WatcherConfig {
    /// Files, folders, globs.
    pub patterns: Vec<Pattern>,
    /// Whether archives are read.
    pub archives: Archives,
    /// Where files begin that are there at the first start.
    pub from: tracker::From,
    /// Whether it is that. Files that are there at a later one have come since.
    pub is_first: bool,
    /// Everything is read once, to its end.
    pub is_once: bool,
    /// What the process writes itself, which is never followed.
    pub own: Vec<OwnFolder>,
    /// How many shards read.
    pub shards: usize,
    /// What a former process has read.
    pub replayed: Replayed,
    /// Where it is remembered.
    pub checkpoints: Arc<Checkpoints>,
    /// What is counted.
    pub totals: Arc<FileTotals>,
    /// The way to the shards.
    pub hand: Hand,
    /// The way back.
    pub reports: Receiver<ReadReport>,
}

/// How many files and folders that were asked for could not be read, wholly or at all. Each was told.
pub type Unread = u64;

/// The running thread.
#[derive(Debug)]
pub struct Watcher {
    stop: Sender<()>,
    /// Told when everything was read once, and disconnected when the thread has ended.
    complete: Receiver<Unread>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts it. If the journal can't be written, it ends, and calls `on_fatal`.
    pub fn start(config: WatcherConfig, on_fatal: impl FnOnce(StorageError) + Send + 'static) -> io::Result<Self> {
        let (stop, stopping) = bounded(1);
        let (completed, complete) = bounded(1);
        let work = move || Work::new(config).run(&stopping, &completed).unwrap_or_else(on_fatal);
        let thread = thread::Builder::new().name("files".to_owned()).spawn(work)?;
        Ok(Self { stop, complete, thread })
    }

    /// Told when everything was read once, if that was asked for; disconnected when nothing is followed any more.
    pub fn complete(&self) -> &Receiver<Unread> {
        &self.complete
    }

    /// Hands out nothing more. What shards have they finish, or leave to the next start. A look at a file system that does not answer is not waited for beyond `deadline`.
    pub fn stop(self, deadline: Instant) {
        let _ = self.stop.send(()); // one that has ended needs no telling
        let ended = std::iter::repeat_with(|| self.complete.recv_deadline(deadline)).find_map(Result::err);
        if ended == Some(RecvTimeoutError::Timeout) {
            tracing::warn!("files are still being looked for; a file system may not answer");
            return;
        }
        let _ = self.thread.join();
    }
}

struct Work {
    config: WatcherConfig,
    tracker: Tracker,
    open: OpenFiles,
    notices: Notices,
    /// Names that are asked for, as the last scan found them.
    matched: HashSet<Arc<Path>>,
    /// By content, and by name: so that what takes a name over is read by the same shard, in order.
    shard_by_id: HashMap<FileId, usize>,
    shard_by_path: HashMap<Arc<Path>, usize>,
    next_shard: usize,
    /// What is wrong with files, as it was said.
    problems: HashMap<PathBuf, String>,
    /// Files and folders that could not be read, while files are read once; and what was asked for and is not there.
    unread: HashSet<PathBuf>,
    missing: Vec<String>,
    has_refused: bool,
    reading: usize,
    origin: Instant,
    next_scan: Instant,
    /// However much is told.
    earliest_scan: Instant,
    /// When what is counted may be published again, which walks through all files; and whether it has changed.
    next_publish: Instant,
    is_news: bool,
}

impl Work {
    fn new(config: WatcherConfig) -> Self {
        let now = Instant::now();
        Self {
            tracker: Tracker::new(if config.is_first { config.from } else { tracker::From::Beginning }, config.is_once, &config.replayed),
            config,
            open: OpenFiles::default(),
            notices: Notices::new(),
            matched: HashSet::new(),
            shard_by_id: HashMap::new(),
            shard_by_path: HashMap::new(),
            next_shard: 0,
            problems: HashMap::new(),
            unread: HashSet::new(),
            missing: Vec::new(),
            has_refused: false,
            reading: 0,
            origin: now,
            next_scan: now,
            earliest_scan: now,
            next_publish: now,
            is_news: true,
        }
    }

    fn run(mut self, stopping: &Receiver<()>, completed: &Sender<Unread>) -> Result<(), StorageError> {
        loop {
            if self.next_scan <= Instant::now() {
                self.scan();
                unless_full(self.config.checkpoints.tidy())?;
            }
            unless_full(self.hand_out())?;
            if self.is_news && self.next_publish <= Instant::now() {
                self.publish();
            }
            if self.config.is_once && self.reading == 0 && self.tracker.is_complete() {
                self.tell_missing();
                self.publish();
                let _ = completed.try_send(self.unread.len() as u64 + self.tracker.numbers().refused);
            }
            let until = if self.is_news { self.next_scan.min(self.next_publish) } else { self.next_scan };
            let wait = until.saturating_duration_since(Instant::now());
            select! {
                recv(stopping) -> _ => {
                    self.publish();
                    return Ok(());
                }
                recv(self.config.reports) -> report => match report {
                    Ok(report) => self.take(report),
                    Err(_) => return Ok(()), // no shard is left
                },
                recv(self.notices.told()) -> _ => self.hear(),
                default(wait) => {}
            }
            let reports = self.config.reports.clone();
            reports.try_iter().for_each(|report| self.take(report));
        }
    }

    /// Something came or went.
    fn scan_soon(&mut self) {
        self.next_scan = self.next_scan.min(self.earliest_scan.max(Instant::now() + WATCH_GATHER));
    }

    fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    /// Looks at everything.
    fn scan(&mut self) {
        let begun = Instant::now();
        let now_ms = self.now_ms();
        let Work { config, tracker, .. } = self;
        let mut scan = Scan::default();
        let new = tracker.look(now_ms, |see| {
            scan = patterns::scan(&config.patterns, config.archives, &config.own);
            scan.found.iter().for_each(see);
        });
        let hidden: HashSet<PathBuf> = scan.errors.iter().map(|(path, _)| path.clone()).collect();
        self.tell_problems(scan.errors);
        let mut news = Vec::new();
        new.iter().for_each(|found| self.meet(found, now_ms, &mut news));
        let has_news = !news.is_empty();
        self.tracker.add(news, now_ms, is_other);
        let open = &self.open;
        self.tracker.end_scan(now_ms, |id| open.size(id), &hidden);
        self.missing = scan.missing;
        self.tell_refused();
        self.matched = scan.found.into_iter().filter(|found| found.is_matched).map(|found| found.path).collect();
        self.notices.watch(scan.folders);
        self.open.close_idle();
        let (tracker, matched) = (&self.tracker, &self.matched);
        self.shard_by_id.retain(|id, _| tracker.is_known(*id));
        self.shard_by_path.retain(|path, _| matched.contains(path));
        let (poll, share) = match self.notices.is_everything_told() {
            true => (WATCH_POLL, WATCH_POLL_TIME_SHARE),
            false => (WATCH_POLL_ALONE, WATCH_POLL_ALONE_TIME_SHARE),
        };
        let (ended, took) = (Instant::now(), begun.elapsed());
        // What took long because there was much news is not repeated.
        self.next_scan = ended + if has_news { poll } else { poll.max(took * share).min(WATCH_POLL_MAX) };
        self.earliest_scan = ended + took * WATCH_TOLD_TIME_SHARE;
        self.is_news = true;
    }

    /// Looks how a new file begins.
    fn meet(&mut self, found: &Found, now_ms: u64, news: &mut Vec<(Found, Vec<u8>)>) {
        match head(found) {
            Ok(Some(head)) if is_binary(&head) => {
                self.tracker.ignore(found, now_ms);
                self.say(&found.path, "it is no text: it holds a NUL byte near its beginning".to_owned());
            }
            Ok(Some(head)) => news.push((found.clone(), head)),
            Ok(None) => {} // another file by now: the next scan
            Err(error) => {
                self.tracker.ignore(found, now_ms);
                self.problem(&found.path, error.to_string());
            }
        }
    }

    /// Looks at what was told.
    fn hear(&mut self) {
        thread::sleep(WATCH_GATHER);
        let news = self.notices.take();
        if news.is_all {
            self.scan_soon();
            return;
        }
        let now_ms = self.now_ms();
        for path in news.changed {
            let is_matched = self.matched.contains(path.as_path());
            self.is_news = true; // its length
            if let Ok(Some(found)) = patterns::look(&path, self.config.archives, is_matched)
                && is_matched
                && self.tracker.saw(&found, now_ms)
            {
                self.scan_soon();
            }
        }
    }

    fn take(&mut self, report: ReadReport) {
        (self.reading, self.is_news) = (self.reading - 1, true);
        if let ReadOutcome::Failed(error) = &report.outcome {
            let path = self.tracker.path(report.id).unwrap_or_else(|| Path::new("").into());
            self.problem(&path, error.to_string());
        }
        if let ReadOutcome::Rewritten = &report.outcome {
            self.scan_soon(); // what it was may go on in a copy
            self.open.close(report.id);
        }
        self.open.is_read(report.id);
        let now_ms = self.now_ms();
        self.tracker.done(&report, now_ms);
    }

    /// Hands out what may be read, as far as places go. The journal knows each file first.
    fn hand_out(&mut self) -> Result<(), StorageError> {
        loop {
            self.config.checkpoints.flush()?;
            for entry in self.tracker.take_entries() {
                // What a full disk does not take is kept, and written by the next flush.
                unless_full(self.config.checkpoints.append(entry))?;
            }
            self.config.checkpoints.flush()?;
            if self.reading == WATCH_READS_MAX {
                return Ok(());
            }
            let Some(job) = self.tracker.next_job() else { return Ok(()) };
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        match self.open.get(job.id, &job.path, job.key) {
            Ok(Some(file)) => {
                let shard = self.shard(&job);
                let Job { id, path, encoding, offset, stored, head, ending, .. } = job;
                let task =
                    ReadTask { id, file, path, encoding, offset: offset.bytes, is_mid_line: offset.is_mid_line, stored, head, ending };
                if (self.config.hand)(shard, task) {
                    self.reading += 1;
                } else {
                    self.tracker.missed(id);
                }
            }
            Ok(None) => {
                // Renamed or gone a moment ago: a scan finds it, or does not.
                self.tracker.missed(job.id);
                self.scan_soon();
            }
            Err(error) => {
                self.problem(&job.path, error.to_string());
                let report = ReadReport {
                    id: job.id,
                    offset: job.offset.bytes,
                    is_mid_line: job.offset.is_mid_line,
                    end: job.offset.bytes,
                    head: job.head,
                    outcome: ReadOutcome::Failed(error),
                };
                let now_ms = self.now_ms();
                self.tracker.done(&report, now_ms);
            }
        }
    }

    fn shard(&mut self, job: &Job) -> usize {
        if let Some(shard) = self.shard_by_id.get(&job.id) {
            return *shard;
        }
        let (next, shards) = (&mut self.next_shard, self.config.shards);
        let shard = *self.shard_by_path.entry(job.path.clone()).or_insert_with(|| {
            *next = (*next + 1) % shards;
            *next
        });
        self.shard_by_id.insert(job.id, shard);
        shard
    }

    fn tell_problems(&mut self, errors: Vec<(PathBuf, io::Error)>) {
        errors.into_iter().for_each(|(path, error)| self.problem(&path, error.to_string()));
    }

    fn tell_missing(&mut self) {
        for pattern in std::mem::take(&mut self.missing) {
            if self.unread.insert(PathBuf::from(&pattern)) {
                tracing::warn!("--watch {pattern}: there is no such file");
            }
        }
    }

    fn tell_refused(&mut self) {
        if !self.has_refused && 0 < self.tracker.numbers().refused {
            self.has_refused = true;
            tracing::warn!("there are more than {WATCH_FILES_MAX} files: the others are not read, and counted");
        }
    }

    /// Something that was asked for can't be read.
    fn problem(&mut self, path: &Path, what: String) {
        if self.config.is_once && self.unread.len() < WATCH_NAMES_MAX {
            self.unread.insert(path.to_owned());
        }
        self.say(path, what);
    }

    /// Says what is wrong with a file, once.
    fn say(&mut self, path: &Path, what: String) {
        if self.problems.get(path) == Some(&what) {
            return;
        }
        if self.problems.len() == WATCH_PROBLEMS_MAX {
            self.problems.clear();
        }
        self.config.totals.errors.add(1);
        tracing::warn!("{}: {what}; it is passed over, and looked at again", path.display());
        self.problems.insert(path.to_owned(), what);
    }

    fn publish(&mut self) {
        (self.next_publish, self.is_news) = (Instant::now() + WATCH_PUBLISH, false);
        let numbers = self.tracker.numbers();
        let totals = &self.config.totals;
        totals.files.set(numbers.files);
        totals.open.set(self.open.len() as u64);
        totals.lag_bytes.set(numbers.lag_bytes);
        totals.rotated.set(numbers.rotated);
        totals.truncated.set(numbers.rewritten);
        totals.lost_bytes.set(numbers.lost_bytes);
        totals.refused.set(numbers.refused);
    }
}

/// A full disk is no failure: what it did not take is tried again.
fn unless_full(done: Result<(), StorageError>) -> Result<(), StorageError> {
    done.or_else(|error| if error.is_full() { Ok(()) } else { Err(error) })
}

/// How a file begins, after decompression; none if its name belongs to another one by now.
fn head(found: &Found) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_files::open(&found.path, found.key)? else { return Ok(None) };
    let mut head = Vec::with_capacity(WATCH_HEAD_BYTES);
    match found.encoding {
        Encoding::Plain => file.take(WATCH_HEAD_BYTES as u64).read_to_end(&mut head)?,
        Encoding::Gzip => MultiGzDecoder::new(file).take(WATCH_HEAD_BYTES as u64).read_to_end(&mut head)?,
    };
    Ok(Some(head))
}

/// Whether a file that begins as the one at `path` goes on otherwise: its last bytes are others than that one has there. Not, where that can't be told.
fn is_other(found: &Found, path: &Path, key: FileKey) -> bool {
    let begin = found.size.saturating_sub(WATCH_TAIL_BYTES);
    let tail = |path: &Path, key| {
        let mut tail = vec![0; (found.size - begin) as usize];
        open_files::open(path, key).ok()??.read_exact_at(&mut tail, begin).ok()?;
        // A copy that is being made may have its length already, and nothing yet at its end.
        tail.iter().any(|byte| *byte != 0).then_some(tail)
    };
    let is_plain = found.encoding == Encoding::Plain;
    is_plain && tail(&found.path, found.key).zip(tail(path, key)).is_some_and(|(is, in_other)| is != in_other)
}

/// A program that writes on where it was in a file that was emptied leaves a hole of NULs before: that is text.
fn is_binary(head: &[u8]) -> bool {
    head.first() != Some(&0) && head.contains(&0)
}
