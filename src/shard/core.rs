//! What happens to a line: framed, validated, counted, appended to a stream's batch. Pure: bytes and times in, batches and counts out.
//!
//! No allocation, no clock, no system call per record. A line is appended to the batch first and then scanned where it was received, because simd-json
//! rewrites its input; what is invalid is rolled back and goes to the rejected stream with its bytes.

use std::net::SocketAddr;

use crate::metrics::services::ServiceCounts;
use crate::metrics::sources::{SourceCounts, source_name};
use crate::record::csv::{CsvReader, Header};
use crate::record::detect::{Format, Reading, Shape, detect};
use crate::record::framer::{Chunk, Frame, FrameKind, Framer, PADDING};
use crate::record::json::{JsonScanner, put_on_one_line};
use crate::record::rejected::{Origin, write_rejected};
use crate::record::relp::Due;
use crate::record::syslog::SyslogReader;
use crate::record::tags::add_tags;
use crate::record::text::TextReader;
use crate::record::text::pattern::Patterns;
use crate::record::{Fields, Level, RecordMeta, RejectReason, Timestamp};
use crate::rules::{Rules, Verdict};
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
#[derive(Debug, Clone)]
pub struct Source {
    /// Its address or path, as it appears in the rejected stream.
    pub peer: String,
    /// The name under which its lines are counted.
    pub name: Box<str>,
    /// Where in the file the next line begins, if it is one.
    pub offset: Option<u64>,
    /// The columns of its CSV lines.
    csv_header: Header,
}

impl Source {
    /// A source that has sent nothing yet and is read as `reading` says.
    pub fn new(peer: String, reading: &Reading) -> Self {
        // A client's port is a new one for each connection.
        let name = peer.parse().map_or_else(|_| source_name(&peer), |address: SocketAddr| source_name(&address.ip().to_string()));
        Self { peer, name, offset: None, csv_header: Header::new(reading.csv_columns.as_ref()) }
    }

    /// The file `path`, of which nothing was read yet.
    pub fn file(path: &str, reading: &Reading) -> Self {
        Self { peer: path.to_owned(), name: source_name(path), offset: Some(0), csv_header: Header::new(reading.csv_columns.as_ref()) }
    }

    fn origin(&self) -> Origin<'_> {
        Origin { name: &self.peer, offset: self.offset }
    }
}

/// The two streams of a shard and the parsers they share.
pub struct ShardCore {
    format: Format,
    scanner: JsonScanner,
    syslog: SyslogReader,
    csv: CsvReader,
    text: TextReader,
    /// What was written for a line, to look at its fields; filled only where there are rules.
    written: Vec<u8>,
    /// Accepted records.
    logs: Lane,
    /// What could not be accepted.
    rejected: Lane,
    /// Accepted records by service.
    pub services: ServiceCounts,
    /// Filters and tags, and what they did.
    pub rules: Rules,
    /// Lines by source.
    pub sources: SourceCounts,
    /// Lines that rules left out, since the start and not yet told.
    filtered: u64,
    filtered_untold: u64,
}

impl ShardCore {
    /// A core that reads every line as `reading` says.
    pub fn new(reading: &Reading, logs: Lane, rejected: Lane) -> Self {
        Self {
            format: reading.format,
            scanner: JsonScanner::default(),
            syslog: SyslogReader::new(reading.zone.clone()),
            csv: CsvReader::default(),
            text: TextReader::new(reading.zone.clone()),
            written: Vec::new(),
            logs,
            rejected,
            services: ServiceCounts::default(),
            rules: Rules::default(),
            sources: SourceCounts::default(),
            filtered: 0,
            filtered_untold: 0,
        }
    }

    /// The same core with `rules`, and with own `patterns` for text lines.
    pub fn with_rules(self, rules: Rules, patterns: Patterns) -> Self {
        Self { rules, text: self.text.with_patterns(patterns), ..self }
    }

    /// Takes the lines of `chunk` until it is used up or a batch is full.
    pub fn take(&mut self, framer: &mut Framer, chunk: &mut Chunk<'_>, arrival: Arrival, source: &mut Source) -> Progress {
        let before = self.taken_lines();
        let progress = loop {
            if self.is_full() {
                break Progress::Full;
            }
            let Some(frame) = framer.next(chunk) else { break Progress::Drained };
            self.line(frame, arrival, source);
        };
        self.sources.count(&source.name, self.taken_lines() - before);
        progress
    }

    /// Takes what the framer still holds when its peer has closed: a last line without a newline is a line.
    pub fn finish(&mut self, framer: &mut Framer, arrival: Arrival, source: &mut Source) -> Progress {
        let before = self.taken_lines();
        let progress = loop {
            if self.is_full() {
                break Progress::Full;
            }
            let Some(frame) = framer.finish() else { break Progress::Drained };
            self.line(frame, arrival, source);
        };
        self.sources.count(&source.name, self.taken_lines() - before);
        progress
    }

    /// Lines taken since the start: records of either stream, and what rules left out.
    pub fn taken_lines(&self) -> u64 {
        self.logs.appended_records() + self.rejected.appended_records() + self.filtered
    }

    /// Lines that rules left out since the last call.
    pub fn take_filtered(&mut self) -> u64 {
        std::mem::take(&mut self.filtered_untold)
    }

    /// The lane of `stream`.
    pub fn lane(&self, stream: Stream) -> &Lane {
        match stream {
            Stream::Logs | Stream::Collected => &self.logs,
            Stream::Rejected => &self.rejected,
        }
    }

    /// The lane of `stream`.
    pub fn lane_mut(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::Logs | Stream::Collected => &mut self.logs,
            Stream::Rejected => &mut self.rejected,
        }
    }

    /// Learns the columns of CSV lines from a header that was read before.
    pub fn learn_header(&mut self, line: &[u8], source: &mut Source) {
        self.written.clear();
        let _ = self.csv.write_record(&mut self.written, line, &mut source.csv_header, Timestamp(0)); // one that is none was rejected then
    }

    /// Whether no line may be taken before a writer has taken a batch.
    pub fn is_full(&self) -> bool {
        self.logs.is_full() || self.rejected.is_full()
    }

    /// Takes one line, and tells which record of which stream it became; none if a rule left it out. A CSV header is no record, and is as safe as the last one.
    /// There must be room: see [`is_full`](Self::is_full).
    pub fn line(&mut self, frame: Frame<'_>, arrival: Arrival, source: &mut Source) -> Option<Due> {
        let stream = match frame.kind {
            FrameKind::TooLong => self.reject(frame.line(), RejectReason::LineTooLong, arrival, source.origin()),
            FrameKind::Whole => match detect(self.format, frame.line()) {
                Shape::Json => self.json(frame, arrival, source.origin()),
                Shape::Text => self.text(frame.line(), arrival, source.origin()),
                Shape::Syslog => self.syslog(frame.line(), arrival, source.origin()),
                Shape::Csv => self.csv(frame.line(), arrival, source),
            },
        };
        let Some(stream) = stream else {
            self.filtered += 1;
            self.filtered_untold += 1;
            return None;
        };
        Some(Due { stream: stream as u8, record: self.lane(stream).appended_records() })
    }

    /// None if a rule leaves it out; so are the others.
    fn json(&mut self, mut frame: Frame<'_>, arrival: Arrival, origin: Origin<'_>) -> Option<Stream> {
        let mark = self.logs.mark();
        let buffer = self.logs.buffer();
        buffer.extend_from_slice(frame.line());
        buffer.push(b'\n');
        let original = &self.logs.pending(mark)[..frame.line_len()];
        let Self { services, rules, .. } = self;
        let len = frame.line_len();
        let scanned = self.scanner.scan_fields(frame.padded(), len, original, |meta, fields| {
            judge(rules, services, original, &meta, fields).map(|tags| (facts(&meta, arrival), tags))
        });
        match scanned {
            Ok(kept) => {
                if frame.may_hold_newlines {
                    put_on_one_line(&mut self.logs.pending_mut(mark)[..len]);
                }
                self.commit(mark, kept, arrival)
            }
            Err(reason) => {
                reject(&mut self.rejected, original, reason, arrival, origin);
                self.logs.roll_back(mark);
                Some(Stream::Rejected)
            }
        }
    }

    fn text(&mut self, line: &[u8], arrival: Arrival, origin: Origin<'_>) -> Option<Stream> {
        let mark = self.logs.mark();
        let Self { services, rules, .. } = self;
        let written = self.text.write_record(self.logs.buffer(), line, arrival.wall, |meta, fields| {
            judge(rules, services, line, &meta, fields).map(|tags| (facts(&meta, arrival), tags))
        });
        match written {
            Ok(kept) => {
                self.logs.buffer().push(b'\n');
                self.commit(mark, kept, arrival)
            }
            Err(reason) => self.reject(line, reason, arrival, origin),
        }
    }

    fn syslog(&mut self, line: &[u8], arrival: Arrival, origin: Origin<'_>) -> Option<Stream> {
        let Self { syslog, logs, services, rules, scanner, written, .. } = self;
        let mark = logs.mark();
        match syslog.write_record(logs.buffer(), line, arrival.wall) {
            Ok(meta) => {
                let kept = judge_written(rules, services, line, &meta, scanner, written, logs.pending(mark))
                    .map(|tags| (facts(&meta, arrival), tags));
                logs.buffer().push(b'\n');
                self.commit(mark, kept, arrival)
            }
            Err(reason) => self.reject(line, reason, arrival, origin),
        }
    }

    fn csv(&mut self, line: &[u8], arrival: Arrival, source: &mut Source) -> Option<Stream> {
        let Self { csv, logs, services, rules, scanner, written, .. } = self;
        let mark = logs.mark();
        match csv.write_record(logs.buffer(), line, &mut source.csv_header, arrival.wall) {
            Ok(Some(meta)) => {
                let kept = judge_written(rules, services, line, &meta, scanner, written, logs.pending(mark))
                    .map(|tags| (facts(&meta, arrival), tags));
                logs.buffer().push(b'\n');
                self.commit(mark, kept, arrival)
            }
            Ok(None) => Some(Stream::Logs),
            Err(reason) => self.reject(line, reason, arrival, source.origin()),
        }
    }

    /// Commits the record that was written from `mark` on, with its newline, and its tags; or takes it back.
    fn commit(&mut self, mark: usize, kept: Option<(RecordFacts, u64)>, arrival: Arrival) -> Option<Stream> {
        let Some((facts, tags)) = kept else {
            self.logs.roll_back(mark);
            return None;
        };
        if tags != 0 {
            let buffer = self.logs.buffer();
            buffer.pop();
            add_tags(buffer, mark, self.rules.tags(tags));
            buffer.push(b'\n');
        }
        self.logs.commit(mark, facts, arrival);
        Some(Stream::Logs)
    }

    fn reject(&mut self, line: &[u8], reason: RejectReason, arrival: Arrival, origin: Origin<'_>) -> Option<Stream> {
        reject(&mut self.rejected, line, reason, arrival, origin);
        Some(Stream::Rejected)
    }
}

/// The tags of a record that is kept, which is counted by its service; none if a rule leaves it out. Without rules this costs one look.
#[inline]
fn judge(rules: &mut Rules, services: &mut ServiceCounts, line: &[u8], meta: &RecordMeta<'_>, fields: &dyn Fields) -> Option<u64> {
    let tags = if rules.is_empty() {
        0
    } else {
        match rules.judge(line, fields) {
            Verdict::Kept(tags) => tags,
            Verdict::Unmatched | Verdict::Excluded(_) => return None,
        }
    };
    services.count(meta.service);
    Some(tags)
}

/// Like [`judge`], of a line that became `record`: its fields are read from that, so that rules need to know no format.
fn judge_written(
    rules: &mut Rules,
    services: &mut ServiceCounts,
    line: &[u8],
    meta: &RecordMeta<'_>,
    scanner: &mut JsonScanner,
    written: &mut Vec<u8>,
    record: &[u8],
) -> Option<u64> {
    if rules.is_empty() {
        services.count(meta.service);
        return Some(0);
    }
    written.clear();
    written.extend_from_slice(record);
    written.resize(record.len() + PADDING, 0);
    let judged = scanner.scan_fields(written, record.len(), record, |_, fields| judge(rules, services, line, meta, fields));
    judged.unwrap_or(Some(0))
}

fn facts(meta: &RecordMeta<'_>, arrival: Arrival) -> RecordFacts {
    RecordFacts { level: meta.level, time: meta.time.unwrap_or(arrival.wall), rejected: None }
}

fn reject(lane: &mut Lane, line: &[u8], reason: RejectReason, arrival: Arrival, origin: Origin<'_>) {
    let mark = lane.mark();
    write_rejected(lane.buffer(), line, reason, origin, arrival.wall);
    lane.buffer().push(b'\n');
    let facts = RecordFacts { level: Level::Unknown, time: arrival.wall, rejected: Some(reason) };
    lane.commit(mark, facts, arrival);
}
