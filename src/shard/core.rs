//! What happens to a line: framed, validated, counted, appended to a stream's batch. Pure: bytes and times in, batches and counts out.
//!
//! No allocation, no clock, no system call per record. A line is appended to the batch first and then scanned where it was received, because simd-json
//! rewrites its input; what is invalid is rolled back and goes to the rejected stream with its bytes.

use crate::metrics::services::ServiceCounts;
use crate::record::csv::{CsvReader, Header};
use crate::record::detect::{Format, Reading, Shape, detect};
use crate::record::framer::{Chunk, Frame, FrameKind, Framer};
use crate::record::json::{JsonScanner, put_on_one_line};
use crate::record::rejected::write_rejected;
use crate::record::relp::Due;
use crate::record::syslog::SyslogReader;
use crate::record::{Level, RecordMeta, RejectReason, text};
use crate::store::name::Stream;

use super::lane::{Arrival, Lane, RecordFacts};

/// Whether a chunk was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Every line of the chunk has been taken.
    Drained,
    /// A batch is full: call again with the same chunk once the writer has taken it.
    Full,
}

/// Where lines come from, and what is known of it from line to line.
#[derive(Debug)]
pub struct Source {
    /// Its address, as it appears in the rejected stream.
    pub peer: String,
    /// The columns of its CSV lines.
    csv_header: Header,
}

impl Source {
    /// A source that has sent nothing yet and is read as `reading` says.
    pub fn new(peer: String, reading: &Reading) -> Self {
        Self { peer, csv_header: Header::new(reading.csv_columns.as_ref()) }
    }
}

/// The two streams of a shard and the parsers they share.
pub struct ShardCore {
    format: Format,
    scanner: JsonScanner,
    syslog: SyslogReader,
    csv: CsvReader,
    /// Accepted records.
    logs: Lane,
    /// What could not be accepted.
    rejected: Lane,
    /// Accepted records by service.
    pub services: ServiceCounts,
}

impl ShardCore {
    /// A core that reads every line as `reading` says.
    pub fn new(reading: &Reading, logs: Lane, rejected: Lane) -> Self {
        Self {
            format: reading.format,
            scanner: JsonScanner::default(),
            syslog: SyslogReader::new(reading.zone.clone()),
            csv: CsvReader::default(),
            logs,
            rejected,
            services: ServiceCounts::default(),
        }
    }

    /// Takes the lines of `chunk` until it is used up or a batch is full.
    pub fn take(&mut self, framer: &mut Framer, chunk: &mut Chunk<'_>, arrival: Arrival, source: &mut Source) -> Progress {
        loop {
            if self.is_full() {
                return Progress::Full;
            }
            let Some(frame) = framer.next(chunk) else { return Progress::Drained };
            self.line(frame, arrival, source);
        }
    }

    /// Takes what the framer still holds when its peer has closed: a last line without a newline is a line.
    pub fn finish(&mut self, framer: &mut Framer, arrival: Arrival, source: &mut Source) -> Progress {
        loop {
            if self.is_full() {
                return Progress::Full;
            }
            let Some(frame) = framer.finish() else { return Progress::Drained };
            self.line(frame, arrival, source);
        }
    }

    /// Lines taken since the start: records of either stream.
    pub fn appended_records(&self) -> u64 {
        self.logs.appended_records() + self.rejected.appended_records()
    }

    /// The lane of `stream`.
    pub fn lane(&self, stream: Stream) -> &Lane {
        match stream {
            Stream::Logs => &self.logs,
            Stream::Rejected => &self.rejected,
        }
    }

    /// The lane of `stream`.
    pub fn lane_mut(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::Logs => &mut self.logs,
            Stream::Rejected => &mut self.rejected,
        }
    }

    /// Whether no line may be taken before a writer has taken a batch.
    pub fn is_full(&self) -> bool {
        self.logs.is_full() || self.rejected.is_full()
    }

    /// Takes one line, and tells which record of which stream it became; a CSV header is none, and is as safe as the last one. There must be room: see
    /// [`is_full`](Self::is_full).
    pub fn line(&mut self, frame: Frame<'_>, arrival: Arrival, source: &mut Source) -> Due {
        let stream = match frame.kind {
            FrameKind::TooLong => self.reject(frame.line(), RejectReason::LineTooLong, arrival, &source.peer),
            FrameKind::Whole => match detect(self.format, frame.line()) {
                Shape::Json => self.json(frame, arrival, &source.peer),
                Shape::Text => self.text(frame.line(), arrival, &source.peer),
                Shape::Syslog => self.syslog(frame.line(), arrival, &source.peer),
                Shape::Csv => self.csv(frame.line(), arrival, source),
            },
        };
        Due { stream: stream as u8, record: self.lane(stream).appended_records() }
    }

    fn json(&mut self, mut frame: Frame<'_>, arrival: Arrival, peer: &str) -> Stream {
        let mark = self.logs.mark();
        let buffer = self.logs.buffer();
        buffer.extend_from_slice(frame.line());
        buffer.push(b'\n');
        let original = &self.logs.pending(mark)[..frame.line_len()];
        let services = &mut self.services;
        let len = frame.line_len();
        let scanned = self.scanner.scan(frame.padded(), len, original, |meta| {
            services.count(meta.service);
            facts(&meta, arrival)
        });
        match scanned {
            Ok(facts) => {
                if frame.may_hold_newlines {
                    put_on_one_line(&mut self.logs.pending_mut(mark)[..len]);
                }
                self.logs.commit(mark, facts, arrival);
                Stream::Logs
            }
            Err(reason) => {
                reject(&mut self.rejected, original, reason, arrival, peer);
                self.logs.roll_back(mark);
                Stream::Rejected
            }
        }
    }

    fn text(&mut self, line: &[u8], arrival: Arrival, peer: &str) -> Stream {
        let mark = self.logs.mark();
        match text::write_record(self.logs.buffer(), line, arrival.wall) {
            Ok(meta) => self.written(mark, meta, arrival),
            Err(reason) => self.reject(line, reason, arrival, peer),
        }
    }

    fn syslog(&mut self, line: &[u8], arrival: Arrival, peer: &str) -> Stream {
        let mark = self.logs.mark();
        match self.syslog.write_record(self.logs.buffer(), line, arrival.wall) {
            Ok(meta) => self.written(mark, meta, arrival),
            Err(reason) => self.reject(line, reason, arrival, peer),
        }
    }

    fn csv(&mut self, line: &[u8], arrival: Arrival, source: &mut Source) -> Stream {
        let Self { csv, logs, services, .. } = self;
        let mark = logs.mark();
        match csv.write_record(logs.buffer(), line, &mut source.csv_header, arrival.wall) {
            Ok(Some(meta)) => commit_written(logs, services, mark, &meta, arrival),
            Ok(None) => Stream::Logs,
            Err(reason) => self.reject(line, reason, arrival, &source.peer),
        }
    }

    /// Commits the record that was written from `mark` on.
    fn written(&mut self, mark: usize, meta: RecordMeta<'_>, arrival: Arrival) -> Stream {
        commit_written(&mut self.logs, &mut self.services, mark, &meta, arrival)
    }

    fn reject(&mut self, line: &[u8], reason: RejectReason, arrival: Arrival, peer: &str) -> Stream {
        reject(&mut self.rejected, line, reason, arrival, peer);
        Stream::Rejected
    }
}

fn commit_written(logs: &mut Lane, services: &mut ServiceCounts, mark: usize, meta: &RecordMeta<'_>, arrival: Arrival) -> Stream {
    logs.buffer().push(b'\n');
    services.count(meta.service);
    logs.commit(mark, facts(meta, arrival), arrival);
    Stream::Logs
}

fn facts(meta: &RecordMeta<'_>, arrival: Arrival) -> RecordFacts {
    RecordFacts { level: meta.level, time: meta.time.unwrap_or(arrival.wall), rejected: None }
}

fn reject(lane: &mut Lane, line: &[u8], reason: RejectReason, arrival: Arrival, peer: &str) {
    let mark = lane.mark();
    write_rejected(lane.buffer(), line, reason, peer, arrival.wall);
    lane.buffer().push(b'\n');
    let facts = RecordFacts { level: Level::Unknown, time: arrival.wall, rejected: Some(reason) };
    lane.commit(mark, facts, arrival);
}
