//! Lines and what they become. Pure: bytes in, values and bytes out; no clock, no files, no sockets, no runtime.
//!
//! A *line* is bytes without their terminator; a *record* is a line that was accepted. In the order in which a line meets them: [`framer`] cuts it (or
//! [`relp`], from a peer that wants to be answered; in a file [`multiline`] joins what belongs together), [`detect`] tells its format, [`json`], [`syslog`], [`csv`] or [`text`] reads it, [`rejected`] keeps what can't be accepted,
//! [`stored`] reads it again from a segment, [`members`] some of it, and [`layout`] rebuilds it; [`words`] says what a search finds in it.

pub mod csv;
pub mod detect;
pub mod framer;
pub mod json;
pub mod layout;
pub mod level;
pub mod members;
pub mod multiline;
pub mod regex;
pub mod rejected;
pub mod relp;
pub mod stored;
pub mod syslog;
pub mod tags;
pub mod text;
pub mod timestamp;
pub mod words;

pub use level::Level;
pub use timestamp::Timestamp;

/// What is read from an accepted line, for counting and for the time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordMeta<'a> {
    /// How serious it is.
    pub level: Level,
    /// When it says that it happened.
    pub time: Option<Timestamp>,
    /// Which program wrote it.
    pub service: Option<&'a str>,
}

/// What an accepted line carries, by name, for whoever looks for something in it. [`level`](Level::name) is there as it came and as it is normalised;
/// `service`, `message` and `timestamp` whatever the line calls them.
pub trait Fields {
    /// Hands every value of the field `name` to `found`.
    fn visit(&self, name: &str, found: &mut dyn FnMut(&str));
}

/// What the well-known names of fields mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownKey {
    /// When.
    Time,
    /// How serious.
    Level,
    /// Which program.
    Service,
    /// What.
    Message,
}

impl KnownKey {
    /// What rules ask for by one name, whatever the line calls it: see [`Fields`].
    fn of_field(name: &str) -> Option<Self> {
        Some(match name {
            "level" => Self::Level,
            "service" => Self::Service,
            "message" => Self::Message,
            "timestamp" => Self::Time,
            _ => return None,
        })
    }
}

/// What `key` means, if it is a well-known name.
pub fn known_key(key: &str) -> Option<KnownKey> {
    if matches!(key, "message" | "msg") { Some(KnownKey::Message) } else { counted_key(key) }
}

/// What `key` means for what is counted and for the time index. Asked for every member of every JSON line: with the names of the message among these, a line of
/// twelve members costs 30 ns more.
#[inline]
fn counted_key(key: &str) -> Option<KnownKey> {
    Some(match key {
        "level" | "severity" | "lvl" | "log.level" => KnownKey::Level,
        "timestamp" | "@timestamp" | "ts" | "time" => KnownKey::Time,
        "service" | "service.name" | "app" | "logger" => KnownKey::Service,
        _ => return None,
    })
}

/// How lines come over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One after the other, each with its end.
    Tcp,
    /// In frames that are answered.
    Relp,
}

impl Protocol {
    /// The scheme of `--listen`, and the name in the `ready` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Relp => "relp",
        }
    }
}

/// Why a line was not accepted. A fixed list: each is a counter and a value of the `rejected` stream's `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RejectReason {
    /// It begins like JSON and is none (RFC 8259).
    InvalidJson = 0,
    /// It is JSON, but no object.
    NotAnObject,
    /// It is not UTF-8.
    InvalidUtf8,
    /// It is longer than `--line-max`.
    LineTooLong,
    /// A CSV record has more or fewer fields than there are columns.
    CsvRagged,
    /// A CSV header has more or longer names than are kept; or there is no other for the lines after it.
    CsvHeader,
}

impl RejectReason {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] =
        [Self::InvalidJson, Self::NotAnObject, Self::InvalidUtf8, Self::LineTooLong, Self::CsvRagged, Self::CsvHeader];

    /// The name in metrics and in the `rejected` stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LineTooLong => "line_too_long",
            Self::CsvRagged => "csv_ragged",
            Self::CsvHeader => "csv_header",
        }
    }
}
