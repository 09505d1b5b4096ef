//! One piece of one followed file, from where it was left to its end: the same way as a connection's lines, from the receive buffer to the batch.
//!
//! A shard reads a file that it is handed, and hands it back with a report. It takes its turn at the receive buffer like a connection, so memory is bounded, and where the store can't keep up
//! the file just waits. Up to where its files are stored, each batch tells the checkpoints (`shard/writer.rs`).

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;

use futures_lite::AsyncRead;

use super::Shard;
use super::blocking::blocking;
use super::core::{Progress, ShardCore, Source};
use super::file_stream::{Beginning, FetchTurn, GzipStream, LastError, PlainStream, aside, fetch, read_at_once};
use super::intake::Intake;
use super::lane::Arrival;
use super::moved::MovedFiles;
use super::stored_lines::StoredLines;
use super::turn::Received;
use crate::limits::{CSV_HEADER_BYTES_MAX, RECEIVE_BYTES, WATCH_TASK_BYTES};
use crate::metrics::counters::Closed;
use crate::record::detect::Format;
use crate::record::framer::{Chunk, Frame, Framer, LinePlace, PADDING};
use crate::record::multiline::{Continuations, Joined, Joiner, Pushed};
use crate::store::name::Stream;
use crate::watch::checkpoints::Checkpoints;
use crate::watch::content::{FileId, Head};
use crate::watch::journal::{Entry, Offset};
use crate::watch::task::{Encoding, Ending, ReadOutcome, ReadReport, ReadTask};

/// What a shard that reads files has to do with it.
#[derive(Clone)]
pub struct ShardFiles {
    /// Told how far they are stored.
    pub checkpoints: Arc<Checkpoints>,
    /// Which lines belong to the record before them, if any do.
    pub continuations: Option<Continuations>,
    /// Where reports go. Has room for one of each task that is handed out.
    pub reports: crossbeam_channel::Sender<ReadReport>,
}

/// The same, of one shard.
pub(super) struct Files {
    pub(super) shared: ShardFiles,
    pub(super) moved: RefCell<MovedFiles>,
    is_telling: Cell<bool>,
    fetching: Rc<FetchTurn>,
}

impl Files {
    pub(super) fn new(shared: ShardFiles) -> Self {
        Self { shared, moved: RefCell::default(), is_telling: Cell::new(false), fetching: Rc::default() }
    }

    /// The same on a task of its own, unless one is at it.
    pub(super) fn tell_idle_aside(&self, shard: &Rc<Shard>) {
        if self.moved.borrow().is_empty() || self.is_telling.replace(true) {
            return;
        }
        let shard = shard.clone();
        let telling = async move {
            if let Some(files) = &shard.files {
                files.tell_idle(&shard).await;
                files.is_telling.set(false);
            }
        };
        glommio::spawn_local(telling).detach();
    }

    /// Tells of files whose lines left nothing in the store, once everything else is written.
    pub(super) async fn tell_idle(&self, shard: &Shard) {
        let is_written = Stream::BY_SLOT.iter().all(|stream| shard.is_written(*stream));
        if !is_written || self.moved.borrow().is_empty() {
            return;
        }
        let entry = Entry::Idle(shard.id, self.moved.borrow_mut().take(0, true));
        let checkpoints = self.shared.checkpoints.clone();
        // A full disk is met by the next batch or scan as well, and a failure of the disk.
        let _ = blocking(move || checkpoints.append(entry)).await;
    }
}

/// Reads what `task` says, and reports.
pub(super) async fn read(shard: Rc<Shard>, task: ReadTask) {
    let Some(reports) = shard.files.as_ref().map(|files| files.shared.reports.clone()) else { return };
    let mut reader = Reader::new(shard, task);
    let outcome = reader.read().await;
    let _ = reports.send(reader.report(outcome)); // nobody wants to know any more
}

struct Reader {
    shard: Rc<Shard>,
    id: FileId,
    file: Arc<File>,
    encoding: Encoding,
    head: Head,
    ending: Ending,
    intake: Intake<Box<dyn AsyncRead + Unpin>>,
    turn: Rc<FetchTurn>,
    beginning: Beginning,
    error: LastError,
    lines: Lines,
}

/// Its lines, and how far they are taken.
struct Lines {
    id: FileId,
    framer: Framer,
    source: Source,
    /// Joins lines to records.
    joiner: Option<Joiner>,
    /// Where the next bytes begin, and before where every record is taken.
    at: u64,
    offset: Offset,
    stored: Option<StoredLines>,
}

impl Reader {
    fn new(shard: Rc<Shard>, task: ReadTask) -> Self {
        let ReadTask { id, file, path, encoding, offset, is_mid_line, stored, head, ending } = task;
        let reading = &shard.config.reading;
        let joins = shard.files.as_ref().is_some_and(|files| files.shared.continuations.is_some());
        let framer = Framer::for_file(reading.format, shard.config.line_bytes_max);
        let mut framer = if joins { framer.keeping_empty_lines() } else { framer };
        if is_mid_line {
            framer.skip_line();
        }
        let turn = shard.files.as_ref().map(|files| files.fetching.clone()).unwrap_or_default();
        let (beginning, error) = (Beginning::default(), LastError::default());
        let stream: Box<dyn AsyncRead + Unpin> = match encoding {
            Encoding::Plain => Box::new(PlainStream::new(file.clone(), offset, beginning.clone(), turn.clone(), error.clone())),
            Encoding::Gzip => Box::new(GzipStream::new(file.clone(), offset, turn.clone(), error.clone())),
        };
        let lines = Lines {
            id,
            framer,
            source: Source::file(&path.to_string_lossy(), reading),
            joiner: joins.then(|| Joiner::new(shard.config.line_bytes_max)),
            at: offset,
            offset: Offset { bytes: offset, is_mid_line },
            stored: StoredLines::beyond(offset, stored, &shard),
        };
        Self { id, file, encoding, head, ending, intake: Intake::new(shard.clone(), stream), turn, beginning, error, lines, shard }
    }

    async fn read(&mut self) -> ReadOutcome {
        let begun = self.lines.offset;
        if let Err(error) = self.learn_header().await {
            return ReadOutcome::Failed(error);
        }
        let outcome = loop {
            if self.shard.stop.is_requested() {
                break ReadOutcome::Stopped;
            }
            if self.has_had_its_turn(begun) {
                break ReadOutcome::More;
            }
            match self.intake.receive(self.lines.framer.partial_len(), RECEIVE_BYTES).await {
                Ok(received) => {
                    let is_unknown = self.encoding == Encoding::Plain && self.head.len == 0;
                    if !self.is_same() {
                        break ReadOutcome::Rewritten;
                    }
                    // The journal is told how it begins before any of its lines is stored: after a crash it may be in a copy, to be known by that alone.
                    if is_unknown && 0 < self.head.len {
                        break ReadOutcome::More;
                    }
                    self.take(received).await;
                }
                Err(Closed::ByPeer) => break self.end().await,
                Err(Closed::Reset) => break ReadOutcome::Failed(self.error.take().unwrap_or_else(|| io::ErrorKind::Other.into())),
                Err(Closed::LongLine) => break ReadOutcome::More,
                Err(_) => break ReadOutcome::Stopped,
            }
        };
        self.intake.leave();
        self.shard.flush();
        outcome
    }

    /// Whether what was read is of the same content: a file may have been emptied and written anew meanwhile. Its beginning is looked at after each read, so
    /// what was read before was of the content that begins so.
    fn is_same(&mut self) -> bool {
        let first = &*self.beginning.borrow();
        let is_same = self.encoding == Encoding::Gzip || self.head.is_of(first);
        if is_same && self.encoding == Encoding::Plain && !self.head.is_full() {
            self.head = Head::of(first);
        }
        is_same
    }

    /// Whether others are to go on, after what was read since `begun`. What ends before a line does has to be read again: it must get on.
    fn has_had_its_turn(&self, begun: Offset) -> bool {
        self.encoding == Encoding::Plain && begun < self.lines.offset && WATCH_TASK_BYTES <= self.lines.at - begun.bytes
    }

    /// The columns of CSV lines stand at the beginning.
    async fn learn_header(&mut self) -> io::Result<()> {
        let reading = &self.shard.config.reading;
        if reading.format != Format::Csv || reading.csv_columns.is_some() || self.lines.at == 0 {
            return Ok(());
        }
        let (file, encoding) = (self.file.clone(), self.encoding);
        let mut bytes = aside(self.turn.clone(), move || first_bytes(file, encoding)).await?;
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        let mut framer = Framer::for_file(Format::Csv, CSV_HEADER_BYTES_MAX);
        if let Some(frame) = framer.next(&mut Chunk::new(&mut bytes, len)) {
            self.shard.core.borrow_mut().learn_header(frame.line(), &mut self.lines.source);
        }
        Ok(())
    }

    /// Hands the received bytes to the core, waiting for the writer where batches are full.
    async fn take(&mut self, mut received: Received) {
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        let unfinished_len = self.lines.framer.partial_len() + received.len();
        let len = received.len() as u64;
        let mut chunk = received.chunk();
        while self.lines.take(&shard, &mut chunk, arrival) == Progress::Full {
            shard.room().await;
        }
        self.lines.at += len;
        shard.publish_taken();
        let partial_len = self.lines.framer.partial_len();
        self.intake.taken(partial_len, partial_len == unfinished_len);
    }

    /// At the end of the file.
    async fn end(&mut self) -> ReadOutcome {
        if !self.is_same() || self.encoding == Encoding::Plain && self.is_shorter().await {
            return ReadOutcome::Rewritten;
        }
        let shard = self.shard.clone();
        let arrival = shard.clock.arrival();
        while self.lines.end(self.ending, &shard, arrival) == Progress::Full {
            shard.room().await;
        }
        shard.publish_taken();
        ReadOutcome::AtEnd
    }

    /// Whether it is shorter than it was read: emptied, and perhaps written anew. Its last byte tells, mostly without waiting for anybody.
    async fn is_shorter(&self) -> bool {
        let Some(last) = self.lines.offset.bytes.checked_sub(1) else { return false };
        let is_there = match read_at_once(&self.file, &mut [0], last) {
            Ok(Some(read)) => Ok(0 < read),
            _ => {
                let file = self.file.clone();
                aside(self.turn.clone(), move || Ok(!fetch(&file, last, 1)?.is_empty())).await
            }
        };
        is_there.is_ok_and(|is_there| !is_there)
    }

    fn report(&self, outcome: ReadOutcome) -> ReadReport {
        let Offset { bytes, is_mid_line } = self.lines.offset;
        ReadReport { id: self.id, offset: bytes, is_mid_line, end: self.lines.at, head: self.head, outcome }
    }
}

impl Lines {
    /// Takes the lines of `chunk` until it is used up or a batch is full.
    fn take(&mut self, shard: &Shard, chunk: &mut Chunk<'_>, arrival: Arrival) -> Progress {
        let core = &mut *shard.core.borrow_mut();
        let before = core.taken_lines();
        let progress = loop {
            if core.is_full() {
                break Progress::Full;
            }
            if self.take_joined(shard, core, arrival) {
                continue;
            }
            let Self { framer, joiner, .. } = self;
            let Some((frame, LinePlace { used, kept, len })) = framer.next_with_place(chunk) else {
                self.passed(self.at + chunk.used_len() as u64);
                break Progress::Drained;
            };
            let end = self.at + used as u64 - kept as u64;
            let place = end - len as u64..end;
            let now_ms = arrival.received_ns / 1_000_000;
            if is_alone(joiner, shard, &frame, &place, now_ms) {
                hand_over(&mut self.source, &mut self.stored, frame, &place, core, arrival);
                self.taken_to(end, shard, core);
            }
        };
        self.told(shard, core, before);
        progress
    }

    /// Takes what is left at the end of the file, as far as that is the end of anything.
    fn end(&mut self, ending: Ending, shard: &Shard, arrival: Arrival) -> Progress {
        let core = &mut *shard.core.borrow_mut();
        let before = core.taken_lines();
        let now_ms = arrival.received_ns / 1_000_000;
        let progress = loop {
            if core.is_full() {
                break Progress::Full;
            }
            if self.take_joined(shard, core, arrival) {
                continue;
            }
            let place = self.at - self.framer.kept_len() as u64..self.at;
            if ending == Ending::Line
                && let Some(frame) = self.framer.finish()
            {
                if is_alone(&mut self.joiner, shard, &frame, &place, now_ms) {
                    hand_over(&mut self.source, &mut self.stored, frame, &place, core, arrival);
                    self.taken_to(self.at, shard, core);
                }
            } else if ending != Ending::Open
                && let Some(joiner) = self.joiner.as_mut().filter(|joiner| joiner.due_ms().is_some())
            {
                joiner.flush();
            } else {
                self.passed(self.at);
                break Progress::Drained;
            }
        };
        self.told(shard, core, before);
        progress
    }

    /// Takes a record that is complete. Returns whether there was one.
    fn take_joined(&mut self, shard: &Shard, core: &mut ShardCore, arrival: Arrival) -> bool {
        let Some(Joined { frame, place }) = self.joiner.as_mut().and_then(Joiner::take) else { return false };
        hand_over(&mut self.source, &mut self.stored, frame, &place, core, arrival);
        self.taken_to(place.end, shard, core);
        true
    }

    /// Every record that ends up to `end` is taken.
    fn taken_to(&mut self, end: u64, shard: &Shard, core: &ShardCore) {
        let begun = self.offset;
        let is_mid_line = self.framer.is_skipping() && !self.holds();
        self.offset = Offset { bytes: end, is_mid_line };
        self.note_held(shard, core, begun);
    }

    /// Everything up to `end` is taken or passed over, but what the framer and the joiner keep.
    fn passed(&mut self, end: u64) {
        if !self.holds() {
            self.offset = Offset { bytes: end - self.framer.kept_len() as u64, is_mid_line: self.framer.is_skipping() };
        }
    }

    /// Whether the joiner keeps a record.
    fn holds(&self) -> bool {
        self.joiner.as_ref().is_some_and(|joiner| joiner.due_ms().is_some())
    }

    /// A line that begins at `begun` may wait for the next segment.
    fn note_held(&self, shard: &Shard, core: &ShardCore, begun: Offset) {
        let Some(files) = shard.files.as_ref().filter(|_| core.is_full()) else { return };
        for stream in Stream::BY_SLOT {
            if core.lane(stream).is_holding() {
                files.moved.borrow_mut().hold(stream.slot(), self.id, begun);
            }
        }
    }

    fn told(&mut self, shard: &Shard, core: &mut ShardCore, before: u64) {
        let lines = core.taken_lines() - before;
        core.sources.count(&self.source.name, lines);
        if let Some(split) = self.joiner.as_mut().map(Joiner::take_split).filter(|split| *split > 0) {
            shard.counters().records_split.add(split);
        }
        if let Some(files) = &shard.files {
            files.moved.borrow_mut().advance(self.id, self.offset);
        }
    }
}

/// Whether a line is a record; else the joiner keeps it.
fn is_alone(joiner: &mut Option<Joiner>, shard: &Shard, frame: &Frame<'_>, place: &Range<u64>, now_ms: u64) -> bool {
    let continuations = shard.files.as_ref().and_then(|files| files.shared.continuations.as_ref());
    match joiner.as_mut().zip(continuations) {
        Some((joiner, continuations)) => joiner.push(continuations, frame, place.clone(), now_ms) == Pushed::Alone,
        None => true,
    }
}

/// Hands a record, which lies at `place` of its file, to the core, unless it is stored already.
fn hand_over(
    source: &mut Source,
    stored: &mut Option<StoredLines>,
    frame: Frame<'_>,
    place: &Range<u64>,
    core: &mut ShardCore,
    arrival: Arrival,
) {
    source.offset = Some(place.start);
    match stored {
        None => drop(core.line(frame, arrival, source)),
        Some(stored) => {
            stored.keep(frame);
            stored.line(place.end, core, arrival, source);
        }
    }
}

/// As much of a file's beginning as a CSV header may take.
fn first_bytes(file: Arc<File>, encoding: Encoding) -> io::Result<Vec<u8>> {
    let len = CSV_HEADER_BYTES_MAX + 2;
    let mut bytes = vec![0; len];
    let read = match encoding {
        Encoding::Plain => file.read_at(&mut bytes, 0)?,
        Encoding::Gzip => super::file_stream::gunzip_first(file, &mut bytes)?,
    };
    bytes.truncate(read);
    Ok(bytes)
}
