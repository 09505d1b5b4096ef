//! Settings as they were typed: one set of text values, from flags or from a TOML file.

use std::path::Path;

use clap::Args;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::ConfigError;

/// A value as text. TOML may write numbers without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(pub String);

impl std::str::FromStr for Word {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;
        impl Visitor<'_> for AsText {
            type Value = Word;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        deserializer.deserialize_any(AsText)
    }
}

/// Everything that can be set. As flags they stand side by side, in a file in sections.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    #[command(flatten)]
    server: ServerSettings,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    rules: RuleSettings,
    /// The flags' outputs.
    #[command(flatten)]
    #[serde(skip)]
    outputs: OutputFlags,
    /// The file's.
    #[arg(skip)]
    output: Vec<OutputSettings>,
    #[command(flatten)]
    files: FileSettings,
    /// The flags' files to follow.
    #[command(flatten)]
    #[serde(skip)]
    watches: WatchFlags,
    /// The file's.
    #[arg(skip)]
    watch: Vec<WatchSettings>,
    /// Own shapes of text lines; in a file only.
    #[arg(skip)]
    pattern: Vec<PatternSettings>,
}

/// One `[[pattern]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternSettings {
    /// What it is called, for people.
    pub name: String,
    /// Its groups are the members of a record.
    pub regex: String,
}

/// Files to follow.
#[derive(Debug, Default, Clone, Args)]
struct WatchFlags {
    /// Follow this file, the files in this folder, or what this glob matches: 'logs/*.log'. Repeatable
    #[arg(long, value_name = "PATH|GLOB")]
    watch: Option<Vec<Word>>,
}

/// One `[[watch]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchSettings {
    path: String,
}

/// How files are followed.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSettings {
    /// Where files begin that are there at the first start: beginning or end. Later ones are read from their beginning [default: beginning]
    #[arg(long, value_name = "beginning|end")]
    from: Option<Word>,
    /// Read files that end with .gz once: on or off [default: off]
    #[arg(long, value_name = "on|off")]
    read_gzip: Option<Word>,
    /// Join stack traces and indented lines to the record before them: on, off, or a regex that names more such lines [default: on]
    #[arg(long, value_name = "on|off|REGEX")]
    multiline: Option<Word>,
}

/// Outputs beside the segments.
#[derive(Debug, Default, Clone, Args)]
struct OutputFlags {
    /// Keep the records in CSV files or an SQLite database besides: csv:PATH, sqlite:PATH. Repeatable
    #[arg(long, value_name = "KIND:PATH")]
    output: Option<Vec<Word>>,
}

/// One `[[output]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputSettings {
    r#type: String,
    path: String,
}

/// Intake.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerSettings {
    /// Take lines in here: tcp://HOST:PORT (or HOST:PORT), relp://HOST:PORT; port 0 picks one. Repeatable [default: tcp://127.0.0.1:7171]
    #[arg(long, value_name = "URI")]
    listen: Option<Vec<Word>>,
    /// Serve metrics and the API here, or off [default: 127.0.0.1:7180]
    #[arg(long, value_name = "ADDR|off")]
    http: Option<Word>,
    /// Shards, one pinned thread each [default: auto, one per core]
    #[arg(long, value_name = "N|auto")]
    shards: Option<Word>,
    /// How lines are read: auto, json, text, csv or syslog [default: auto]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Word>,
    /// The zone of times in syslog and text lines that have none: an IANA name, UTC, or local [default: local]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Word>,
    /// The columns of --format csv, or header: each connection's first line names them [default: header]
    #[arg(long, value_name = "NAMES|header")]
    csv_columns: Option<Word>,
    /// The longest line; longer ones are rejected [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    line_max: Option<Word>,
    /// Connections at once; more are refused [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<Word>,
    /// Close a connection that has sent nothing for so long [default: off]
    #[arg(long, value_name = "DURATION|off")]
    idle_timeout: Option<Word>,
    /// How long a stop may take; past it, lines not yet written are lost, and it exits with 3 [default: 10s]
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<Word>,
    /// How often rate and latency are printed [default: 1s]
    #[arg(long, value_name = "DURATION")]
    metrics_interval: Option<Word>,
}

/// Segments and archives.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreSettings {
    /// Where segments and archives are [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<Word>,
    /// A segment ends at this size: 5MB is 5,000,000 bytes, 5MiB is 5,242,880 [default: 5MB]
    #[arg(long, value_name = "SIZE")]
    rotate_size: Option<Word>,
    /// A segment ends at this age [default: 1h]
    #[arg(long, value_name = "DURATION")]
    rotate_age: Option<Word>,
    /// How sealed segments are compressed: gzip, zstd or none [default: gzip]
    #[arg(long, value_name = "CODEC")]
    compression: Option<Word>,
    /// How hard: gzip 1 to 9, zstd 1 to 19, or auto, the best ratio that the backlog allows [default: auto]
    #[arg(long, value_name = "N|auto")]
    compression_level: Option<Word>,
    /// Build a token filter for each compressed block, so that a search reads few of them: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    index: Option<Word>,
    /// Threads that compress [default: auto, half the cores and at least 2]
    #[arg(long, value_name = "N|auto")]
    compress_threads: Option<Word>,
    /// Pin them to these cores, for example 2,3 [default: off]
    #[arg(long, value_name = "LIST|off")]
    compress_cores: Option<Word>,
    /// Raw segments on disk at once; beyond, senders wait [default: auto]
    #[arg(long, value_name = "N|auto")]
    raw_segments: Option<Word>,
    /// Acknowledge a RELP frame when its record is written (to the kernel) or synced (to the disk) [default: synced]
    #[arg(long, value_name = "WHEN")]
    ack: Option<Word>,
    /// Sync the open segment at least this often while it has unsynced lines [default: 1s]
    #[arg(long, value_name = "DURATION")]
    sync_interval: Option<Word>,
    /// Delete the oldest archives beyond so many bytes in the data directory [default: off]
    #[arg(long, value_name = "SIZE|off")]
    retain_size: Option<Word>,
    /// Delete archives that were sealed so long ago [default: off]
    #[arg(long, value_name = "DURATION|off")]
    retain_age: Option<Word>,
    /// Archives that --output has not read yet: keep them, or delete them when --retain-size or --retain-age says so [default: keep]
    #[arg(long, value_name = "keep|delete")]
    retain_unread: Option<Word>,
    /// Pause intake when less space is free; senders wait, and intake resumes by itself [default: 256MiB]
    #[arg(long, value_name = "SIZE|off")]
    min_free: Option<Word>,
}

/// Filters and tags.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RuleSettings {
    /// Keep only records that this matches, in the whole line or in one field (level=ERROR|FATAL). Repeatable: any must match
    #[arg(long, value_name = "[FIELD=]REGEX")]
    filter: Option<Vec<Word>>,
    /// Leave out records that this matches. Repeatable: none may match
    #[arg(long, value_name = "[FIELD=]REGEX")]
    exclude: Option<Vec<Word>>,
    /// Mark records that this matches (payment=service:pay.*) in their member tags. Repeatable
    #[arg(long, value_name = "NAME=[FIELD:]REGEX")]
    tag: Option<Vec<Word>>,
}

impl Settings {
    /// The `[[pattern]]` tables.
    pub fn patterns(&self) -> &[PatternSettings] {
        &self.pattern
    }

    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = &text.as_bytes()[..at];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1) + 1;
            ConfigError::Toml { path: path.to_owned(), line, column, message: error.message().replace('\n', " ") }
        })
    }

    /// The values of `section.key`, if it was set.
    pub fn get(&self, key: &str) -> Option<Vec<String>> {
        let Self { server, store, rules, outputs, output, files, watches, watch, .. } = self;
        let typed = |output: &OutputSettings| format!("{}:{}", output.r#type, output.path);
        let list = |words: &Option<Vec<Word>>| words.as_ref().map(|words| words.iter().map(|word| word.0.clone()).collect());
        let word = match key {
            "server.listen" => return list(&server.listen),
            "output.output" => return list(&outputs.output).or_else(|| (!output.is_empty()).then(|| output.iter().map(typed).collect())),
            "watch.watch" => {
                return list(&watches.watch)
                    .or_else(|| (!watch.is_empty()).then(|| watch.iter().map(|watch| watch.path.clone()).collect()));
            }
            "rules.filter" => return list(&rules.filter),
            "rules.exclude" => return list(&rules.exclude),
            "rules.tag" => return list(&rules.tag),
            "server.http" => &server.http,
            "server.shards" => &server.shards,
            "server.format" => &server.format,
            "server.timezone" => &server.timezone,
            "server.csv_columns" => &server.csv_columns,
            "server.line_max" => &server.line_max,
            "server.max_connections" => &server.max_connections,
            "server.idle_timeout" => &server.idle_timeout,
            "server.drain_timeout" => &server.drain_timeout,
            "server.metrics_interval" => &server.metrics_interval,
            "store.data_dir" => &store.data_dir,
            "store.rotate_size" => &store.rotate_size,
            "store.rotate_age" => &store.rotate_age,
            "store.compression" => &store.compression,
            "store.compression_level" => &store.compression_level,
            "store.index" => &store.index,
            "store.compress_threads" => &store.compress_threads,
            "store.compress_cores" => &store.compress_cores,
            "store.raw_segments" => &store.raw_segments,
            "store.ack" => &store.ack,
            "store.sync_interval" => &store.sync_interval,
            "store.retain_size" => &store.retain_size,
            "store.retain_age" => &store.retain_age,
            "store.retain_unread" => &store.retain_unread,
            "store.min_free" => &store.min_free,
            "files.from" => &files.from,
            "files.read_gzip" => &files.read_gzip,
            "files.multiline" => &files.multiline,
            _ => unreachable!("{key} is no setting"),
        };
        word.as_ref().map(|word| vec![word.0.clone()])
    }
}
