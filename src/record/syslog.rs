//! syslog: RFC 5424, and what is sent in the manner of RFC 3164.
//!
//! A message becomes `{"timestamp":…,"level":…,"service":…,"message":…}` and then what its header carried, by the names in docs/FORMAT.md. A header is taken apart as
//! far as it can be told; from where it can't on, everything is the message. So a message is never rejected for its shape, and nothing of its text is lost.
//!
//! A time with its zone is stored as it came. One without year or zone is completed: the year that puts it nearest to now, the zone that is configured.

mod clock;
mod legacy;
mod priority;
mod rfc5424;
mod structured;

use jiff::tz::TimeZone;

use self::clock::{CivilTime, Clock};
use self::structured::StructuredData;
use super::text::write_member;
use super::timestamp::TimeReader;
use super::{Level, RecordMeta, RejectReason, Timestamp};

pub use self::priority::Priority;

/// A message taken apart; all parts lie in its line.
#[derive(Debug, Default, PartialEq)]
struct Message<'a> {
    time: Time<'a>,
    host: Option<&'a str>,
    app: Option<&'a str>,
    procid: Option<&'a str>,
    msgid: Option<&'a str>,
    /// Cisco's count of messages.
    sequence: Option<&'a str>,
    /// Whether the reader holds its structured data.
    has_data: bool,
    text: &'a str,
}

/// When a message says that it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Time<'a> {
    #[default]
    Unknown,
    /// With its zone.
    Full(&'a str, Timestamp),
    /// Without year or zone, and its fraction of a second with the point, or nothing.
    Civil(CivilTime, &'a str),
}

/// Reads messages, reusing its buffers.
#[derive(Debug)]
pub struct SyslogReader {
    times: TimeReader,
    clock: Clock,
    data: StructuredData,
}

impl SyslogReader {
    /// For messages whose times without a zone are of `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { times: TimeReader::default(), clock: Clock::new(zone), data: StructuredData::default() }
    }

    /// Appends the record of `line`, received at `received`, without a newline. What is not UTF-8 is rejected, and `out` left as it was.
    pub fn write_record<'a>(&mut self, out: &mut Vec<u8>, line: &'a [u8], received: Timestamp) -> Result<RecordMeta<'a>, RejectReason> {
        let line = simdutf8::basic::from_utf8(line).map_err(|_| RejectReason::InvalidUtf8)?;
        let (priority, rest) = match Priority::split(line.as_bytes()) {
            Some((priority, len)) => (Some(priority), &line[len..]),
            None => (None, line),
        };
        let message = match priority.and_then(|_| rfc5424::parse(rest, &mut self.times, &mut self.data)) {
            Some(message) => message,
            None => legacy::parse(rest, &mut self.times),
        };
        let level = priority.map_or(Level::Unknown, Priority::level);
        out.extend_from_slice(b"{\"timestamp\":\"");
        let time = self.write_time(out, &message, received);
        out.push(b'"');
        if priority.is_some() {
            write_member(out, "level", level.name());
        }
        write_some(out, "service", message.app);
        write_member(out, "message", message.text);
        write_some(out, "facility", priority.map(Priority::facility));
        write_some(out, "severity", priority.map(Priority::severity));
        write_some(out, "host", message.host);
        write_some(out, "procid", message.procid);
        write_some(out, "msgid", message.msgid);
        write_some(out, "sequence", message.sequence);
        if message.has_data {
            out.extend_from_slice(b",\"structured_data\":");
            self.data.write(out, line);
        }
        out.push(b'}');
        Ok(RecordMeta { level, time: Some(time), service: message.app })
    }

    /// Appends the time of `message`, or the one when it was received, and returns it.
    fn write_time(&mut self, out: &mut Vec<u8>, message: &Message<'_>, received: Timestamp) -> Timestamp {
        match message.time {
            Time::Full(text, time) => {
                out.extend_from_slice(text.as_bytes());
                return time;
            }
            Time::Civil(civil, fraction) => {
                if let Some(time) = self.clock.write(out, civil, fraction, received) {
                    return time;
                }
            }
            Time::Unknown => {}
        }
        received.write_rfc3339(out);
        received
    }
}

/// Appends the member `name`, if it has a value.
fn write_some(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        write_member(out, name, value);
    }
}

/// What precedes the next space, and what follows it; all of it if there is none.
fn word(text: &str) -> (&str, &str) {
    match memchr::memchr(b' ', text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests;
