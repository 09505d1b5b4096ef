//! What the user typed and what it means: settings as text from a TOML file and from flags, resolved to one validated [`Config`].
//!
//! Flags win over the file, the file over the defaults. Every value keeps where it came from. docs/CONFIGURATION.md is the reference; a test holds it to the
//! keys that exist.

mod parse;
mod settings;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits;
use crate::outputs::{self, Target};
use crate::record::Protocol;
use crate::record::detect::{Format, Reading};
use crate::record::multiline::Continuations;
use crate::record::text::pattern::Patterns;
use crate::rules::syntax::{Matcher, TagRule};
use crate::rules::{RuleTexts, Rules};
use crate::store::filter::Index;
use crate::store::level::LevelChoice;
use crate::store::name::{Codec, Stream};
use crate::store::policy::Ack;
use crate::store::retention::RetainLimits;
use crate::watch::patterns::{Archives, Pattern};
use crate::watch::tracker::From;

pub use settings::{PatternSettings, Settings, Word};

/// A value that can't be used: what is wrong, where, and what is allowed. One line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML, or has a key that does not exist.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// In TOML's words.
        message: String,
    },
    /// A value is not what its setting takes.
    #[error("{place}: {value:?}: {expected}")]
    Value {
        /// The flag, or the key and its file.
        place: String,
        /// What was typed.
        value: String,
        /// What is allowed.
        expected: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The TOML file.
    File,
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Flag => "flag",
        })
    }
}

/// One setting as it was resolved, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// `section.key`.
    pub key: String,
    /// As typed, or the default.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The daemon, which takes lines over the network and perhaps from files.
    Serve,
    /// The collector, which takes them from files alone.
    Collect {
        /// Where its store is, and its outputs.
        dir: PathBuf,
        /// Kinds of outputs beside the store.
        kinds: Vec<outputs::Kind>,
        /// Everything is read to its end once.
        is_once: bool,
    },
}

impl Role {
    /// What the stream of accepted records is called.
    pub fn accepted(&self) -> Stream {
        match self {
            Self::Serve => Stream::Logs,
            Self::Collect { .. } => Stream::Collected,
        }
    }
}

/// Everything the daemon is told, resolved and validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is run.
    pub role: Role,
    /// Files to follow.
    pub watch: Vec<Pattern>,
    /// Where files begin that are there at the first start.
    pub from: From,
    /// Whether archives are read.
    pub archives: Archives,
    /// Which of their lines belong to the record before them, if any do.
    pub continuations: Option<Continuations>,
    /// Where lines are taken in, and how they come.
    pub listen: Vec<(Protocol, SocketAddr)>,
    /// Where HTTP is served.
    pub http: Option<SocketAddr>,
    /// How many shards.
    pub shards: usize,
    /// How lines are read.
    pub reading: Reading,
    /// The longest line, in bytes.
    pub line_max: usize,
    /// Connections over all shards.
    pub max_connections: usize,
    /// After how long without a byte a connection is closed.
    pub idle_timeout: Option<Duration>,
    /// How long a stop may take.
    pub drain_timeout: Duration,
    /// How often rate and latency are printed.
    pub metrics_interval: Duration,
    /// Where segments are.
    pub data_dir: PathBuf,
    /// A segment's raw bytes.
    pub rotate_size: u64,
    /// A segment's age.
    pub rotate_age: Duration,
    /// How sealed segments are compressed.
    pub compression: Option<Codec>,
    /// How hard.
    pub compression_level: LevelChoice,
    /// Whether compressed blocks get token filters.
    pub index: Index,
    /// Compress threads.
    pub compress_threads: usize,
    /// The cores they are pinned to; empty leaves them unpinned.
    pub compress_cores: Vec<usize>,
    /// Raw segments on disk at once.
    pub raw_segments: usize,
    /// When an acknowledgement may be sent.
    pub ack: Ack,
    /// How long written bytes may wait to be made durable when their segment does not fill.
    pub sync_interval: Duration,
    /// What may be kept.
    pub retain: RetainLimits,
    /// Whether what outputs have not read stays, whatever `retain` says.
    pub retain_unread: bool,
    /// Outputs beside the segments.
    pub outputs: Vec<Target>,
    /// Intake pauses when fewer bytes are free; 0 if it does not.
    pub min_free: u64,
    /// Filters and tags, compiled.
    pub rules: Rules,
    /// The exclusions as they were typed.
    pub excludes: Vec<String>,
    /// Own shapes of text lines, compiled.
    pub patterns: Patterns,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Every setting, in the order of the reference.
    pub resolved: Vec<Resolved>,
}

impl Config {
    /// Reads the file, if there is one, and resolves it with the flags on a machine with the given cores.
    pub fn load(role: Role, file: Option<&Path>, flags: &Settings, cores: &[usize]) -> Result<Self, ConfigError> {
        let settings = file.map(Settings::read).transpose()?.unwrap_or_default();
        Self::resolve(role, Resolver { file_path: file, file: &settings, flags, resolved: Vec::new() }, cores)
    }

    fn resolve(role: Role, mut from: Resolver<'_>, cores: &[usize]) -> Result<Self, ConfigError> {
        let is_serve = role == Role::Serve;
        let listen = if is_serve { from.list("server.listen", &["tcp://127.0.0.1:7171"], parse::listen)? } else { Vec::new() };
        let http = from.one("server.http", if is_serve { "127.0.0.1:7180" } else { "off" }, parse::address_or_off)?;
        // One file is read by one shard, and one shard writes one file.
        let shards = from.one("server.shards", if is_serve { "auto" } else { "1" }, |text| {
            parse::count_or_auto(text, cores.len().min(limits::SHARDS_MAX), 1, limits::SHARDS_MAX)
        })?;
        let format = from.one("server.format", "auto", parse::format)?;
        let zone = from.one("server.timezone", "local", parse::timezone)?;
        let csv_columns = from.one("server.csv_columns", "header", |text| {
            let columns = parse::csv_columns(text)?;
            let is_relp = listen.iter().any(|(protocol, _)| *protocol == Protocol::Relp);
            // The recognition of resends relies on this too: it takes the same bytes for the same record, which a header would decide anew in each session.
            if format == Format::Csv && is_relp && columns.is_none() {
                return Err("expected the columns by name: a RELP client that reconnects does not send its first line again".to_owned());
            }
            Ok(columns)
        })?;
        let line_max = from.one("server.line_max", "1MiB", |text| {
            parse::size(text, limits::LINE_MAX_BYTES_MIN as u64, limits::LINE_MAX_BYTES_MAX as u64)
        })?;
        let max_connections =
            if is_serve { from.one("server.max_connections", "10000", |text| parse::count(text, 1, limits::CONNECTIONS_MAX))? } else { 0 };
        let idle_timeout = from.one("server.idle_timeout", "off", |text| parse::duration_or_off(text, Duration::from_millis(1)))?;
        let drain_timeout = from.one("server.drain_timeout", "10s", |text| parse::duration(text, Duration::from_millis(1)))?;
        let metrics_interval = from.one("server.metrics_interval", "1s", |text| parse::duration(text, limits::METRICS_INTERVAL_MIN))?;
        let data_dir = match &role {
            Role::Serve => from.one("store.data_dir", "./data", |text| Ok(PathBuf::from(text)))?,
            Role::Collect { dir, .. } => dir.clone(),
        };
        let rotate_size =
            from.one("store.rotate_size", "5MB", |text| parse::size(text, limits::ROTATE_BYTES_MIN, limits::ROTATE_BYTES_MAX))?;
        let rotate_age = from.one("store.rotate_age", "1h", |text| parse::duration(text, Duration::from_secs(1)))?;
        let compression = from.one("store.compression", "gzip", parse::compression)?;
        let compression_level = from.one("store.compression_level", "auto", |text| parse::level(text, compression))?;
        let index = from.one("store.index", "on", parse::index)?;
        let compress_threads =
            from.one("store.compress_threads", "auto", |text| parse::count_or_auto(text, cores.len().div_ceil(2).max(2), 1, 256))?;
        let compress_cores = from.one("store.compress_cores", "off", |text| parse::cores(text, cores))?;
        let (raw_min, mut raw_auto) = limits::raw_segments(shards, compress_threads);
        if compression.is_none() {
            raw_auto = raw_auto.max(limits::raw_segments_uncompressed(rotate_size));
        }
        let raw_segments = from.one("store.raw_segments", "auto", |text| parse::count_or_auto(text, raw_auto, raw_min, 100_000))?;
        let ack = from.one("store.ack", "synced", parse::ack)?;
        let sync_interval = from.one("store.sync_interval", "1s", |text| parse::duration(text, Duration::from_millis(10)))?;
        let bytes_max =
            from.one("store.retain_size", "off", |text| parse::size_or_off(text, limits::RETAIN_BYTES_MIN, limits::MIN_FREE_BYTES_MAX))?;
        let age_max = from.one("store.retain_age", "off", |text| parse::duration_or_off(text, Duration::from_secs(1)))?;
        let retain_unread = from.one("store.retain_unread", "keep", parse::keep_or_delete)?;
        let min_free = from.one("store.min_free", "256MiB", |text| parse::size_or_off(text, 0, limits::MIN_FREE_BYTES_MAX))?;
        let outputs = match &role {
            Role::Serve => from.outputs(&data_dir)?,
            Role::Collect { kinds, .. } => kinds.iter().map(|kind| Target::collected(*kind, &data_dir)).collect(),
        };
        let watch = from.some("watch.watch", str::parse::<Pattern>)?;
        let begin = from.one("files.from", "beginning", parse::from)?;
        let archives = from.one("files.read_gzip", "off", parse::read_gzip)?;
        let continuations = from.one("files.multiline", "on", |text| parse::multiline(text, format))?;
        if !is_serve && watch.is_empty() {
            return Err(from.refused("--watch", "expected at least one file, folder or glob to follow".to_owned()));
        }
        let filters = from.some("rules.filter", Matcher::parse)?;
        let excludes = from.some("rules.exclude", Matcher::parse)?;
        let tags = from.some("rules.tag", TagRule::parse)?;
        let exclude_texts = from.typed("rules.exclude");
        let rules = Rules::compile(&RuleTexts { filters, excludes, tags }).map_err(|expected| from.refused("rules", expected))?;
        let patterns = from.patterns()?;
        Ok(Self {
            role,
            watch,
            from: begin,
            archives,
            continuations,
            rules,
            excludes: exclude_texts,
            patterns,
            listen,
            http,
            shards,
            reading: Reading { format, zone, csv_columns },
            line_max: line_max as usize,
            max_connections,
            idle_timeout,
            drain_timeout,
            metrics_interval,
            data_dir,
            rotate_size,
            rotate_age,
            compression,
            compression_level,
            index,
            compress_threads,
            compress_cores,
            raw_segments,
            ack,
            sync_interval,
            retain: RetainLimits { bytes_max, age_max },
            retain_unread,
            outputs,
            min_free: min_free.unwrap_or(0),
            file: from.file_path.map(Path::to_owned),
            resolved: from.resolved,
        })
    }
}

/// Picks each setting's value and remembers where it came from.
struct Resolver<'a> {
    file_path: Option<&'a Path>,
    file: &'a Settings,
    flags: &'a Settings,
    resolved: Vec<Resolved>,
}

impl Resolver<'_> {
    fn one<T>(&mut self, key: &str, default: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        Ok(self.list(key, &[default], parse)?.pop().expect("a setting has a value"))
    }

    fn list<T>(&mut self, key: &str, default: &[&str], parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
        let (values, source) = match (self.flags.get(key), self.file.get(key)) {
            (Some(values), _) => (values, Source::Flag),
            (None, Some(values)) => (values, Source::File),
            (None, None) => (default.iter().map(|text| (*text).to_owned()).collect(), Source::Default),
        };
        if values.is_empty() && !default.is_empty() {
            return Err(ConfigError::Value {
                place: self.place(key, source),
                value: "[]".to_owned(),
                expected: "expected at least one address".to_owned(),
            });
        }
        let parsed = values.iter().map(|text| {
            parse(text).map_err(|expected| ConfigError::Value { place: self.place(key, source), value: text.clone(), expected })
        });
        let parsed = parsed.collect::<Result<Vec<T>, _>>()?;
        let value = if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        self.resolved.push(Resolved { key: key.to_owned(), value, source });
        Ok(parsed)
    }

    /// A list that may be empty.
    fn some<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
        self.list(key, &[], parse)
    }

    /// A list as it was typed.
    fn typed(&self, key: &str) -> Vec<String> {
        self.flags.get(key).or_else(|| self.file.get(key)).unwrap_or_default()
    }

    fn refused(&self, place: &str, expected: String) -> ConfigError {
        ConfigError::Value { place: place.to_owned(), value: String::new(), expected }
    }

    /// The outputs, none of which takes a file of another or of the store.
    fn outputs(&mut self, data_dir: &Path) -> Result<Vec<Target>, ConfigError> {
        let outputs = self.some("output.output", str::parse::<Target>)?;
        for (at, output) in outputs.iter().enumerate() {
            if let Some(expected) = outputs::clash(output, &outputs[..at], data_dir) {
                return Err(ConfigError::Value { place: "--output".to_owned(), value: output.to_string(), expected });
            }
        }
        Ok(outputs)
    }

    /// The file's `[[pattern]]` tables, compiled.
    fn patterns(&mut self) -> Result<Patterns, ConfigError> {
        let mut patterns = Patterns::default();
        for PatternSettings { name, regex } in self.file.patterns() {
            let key = format!("pattern {name:?}");
            patterns.add(regex).map_err(|expected| {
                let file = self.file_path.map_or_else(String::new, |path| format!(" in {}", path.display()));
                ConfigError::Value { place: format!("{key}{file}"), value: regex.clone(), expected }
            })?;
            self.resolved.push(Resolved { key, value: regex.clone(), source: Source::File });
        }
        Ok(patterns)
    }

    fn place(&self, key: &str, source: Source) -> String {
        let (_, name) = key.split_once('.').expect("section.key");
        match (source, self.file_path) {
            (Source::File, Some(path)) => format!("{key} in {}", path.display()),
            _ => format!("--{}", name.replace('_', "-")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser as _};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn load(toml: &str, flags: &[&str]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logboom.toml");
        std::fs::write(&path, toml).unwrap();
        let line = Line::try_parse_from(["logboom"].iter().chain(flags)).unwrap();
        Config::load(Role::Serve, Some(&path), &line.settings, &[0, 1])
    }

    #[test]
    fn defaults() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.listen, [(Protocol::Tcp, "127.0.0.1:7171".parse().unwrap())]);
        assert_eq!((config.shards, config.rotate_size, config.line_max), (2, 5_000_000, 1 << 20));
        assert_eq!(config.compression, Some(Codec::Gzip));
        assert_eq!((config.min_free, config.retain.is_set()), (256 << 20, false));
        assert!(config.resolved.iter().all(|setting| setting.source == Source::Default));
    }

    #[test]
    fn more_raw_segments_may_wait_where_only_the_disk_is_waited_for() {
        let raw_segments = |flags: &[&str]| load("", flags).unwrap().raw_segments;
        assert_eq!(raw_segments(&[]), 24);
        assert_eq!(raw_segments(&["--compression", "none"]), 102);
        assert_eq!(raw_segments(&["--compression", "none", "--rotate-size", "4KiB"]), 128);
        assert_eq!(raw_segments(&["--compression", "none", "--rotate-size", "1GB"]), 24);
        assert_eq!(raw_segments(&["--compression", "none", "--raw-segments", "9"]), 9);
    }

    #[test]
    fn flags_win_over_the_file() {
        let toml = "[server]\nlisten = ['0.0.0.0:1', 'relp://[::1]:2']\nshards = 1\n[store]\nrotate_size = '5MiB'\ncompression = 'zstd'\n";
        let config = load(toml, &["--rotate-size", "7kB", "--shards", "auto"]).unwrap();
        assert_eq!(config.listen.iter().map(|(protocol, _)| *protocol).collect::<Vec<_>>(), [Protocol::Tcp, Protocol::Relp]);
        assert_eq!((config.shards, config.rotate_size, config.compression), (2, 7_000, Some(Codec::Zstd)));
        let source = |key: &str| config.resolved.iter().find(|setting| setting.key == key).unwrap().source;
        assert_eq!(source("store.rotate_size"), Source::Flag);
        assert_eq!(source("server.listen"), Source::File);
        assert_eq!(source("store.rotate_age"), Source::Default);
    }

    #[test]
    fn outputs_are_typed_as_flags_or_tables() {
        let toml = "[[output]]\ntype = 'csv'\npath = 'x.csv'\n[[output]]\ntype = 'sqlite'\npath = 'x.db'\n";
        let names = |flags: &[&str]| load(toml, flags).unwrap().outputs.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["csv:x.csv", "sqlite:x.db"]);
        assert_eq!(names(&["--output", "sqlite:y.db"]), ["sqlite:y.db"]);
    }

    #[test]
    fn errors_say_what_where_and_what_is_allowed() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("[store]\nrotate_sise = '5MB'\n", &[], &["logboom.toml:2:1", "rotate_sise"]),
            ("[nonsense]\n", &[], &["logboom.toml:1:", "nonsense"]),
            ("[server]\nlisten = []\n", &[], &["server.listen in", "at least one address"]),
            ("[store]\nrotate_size = 'lots'\n", &[], &["store.rotate_size", "lots", "5MB"]),
            ("", &["--listen", "udp://127.0.0.1:1"], &["--listen", "udp", "tcp://"]),
            ("", &["--compression", "gzip", "--compression-level", "12"], &["--compression-level", "12", "9"]),
            ("", &["--compress-cores", "0,9"], &["--compress-cores", "9"]),
            ("", &["--raw-segments", "1"], &["--raw-segments"]),
            ("", &["--retain-size", "10"], &["--retain-size", "1000000", "off"]), // a forgotten unit deletes nothing
            ("", &["--retain-age", "10ms"], &["--retain-age", "1s", "off"]),
            ("[store]\nmin_free = 'some'\n", &[], &["store.min_free", "some", "off"]),
            ("", &["--format", "csv", "--listen", "relp://127.0.0.1:1"], &["--csv-columns", "header", "reconnects"]),
            ("", &["--filter", "level=a(b"], &["--filter", "level=a(b", "unclosed group", "at character 8"]),
            ("", &["--tag", "slow"], &["--tag", "NAME="]),
            ("[rules]\nexclude = ['ok', '*']\n", &[], &["rules.exclude in", "at character 1"]),
            ("[[pattern]]\nname = 'pump'\nregex = '(?<unit>['\n", &[], &["pattern \"pump\" in", "logboom.toml", "at character 9"]),
            ("[[pattern]]\nregex = '(?<unit>.)'\n", &[], &["logboom.toml:", "name"]),
            ("", &["--output", "parquet:x"], &["--output", "parquet:x", "csv:PATH"]),
            ("", &["--output", "csv:x", "--output", "sqlite:./x"], &["--output", "sqlite:./x", "csv:x as well"]),
            ("", &["--output", "csv:data/logs.jsonl"], &["--output", "csv:data/logs.jsonl", "the store's own"]),
            ("[[output]]\ntype = 'csv'\n", &[], &["logboom.toml:1:", "path"]),
            ("[[output]]\ntype = 'x'\npath = 'y'\n", &[], &["output.output in", "x:y", "csv:PATH"]),
            ("", &["--retain-unread", "no"], &["--retain-unread", "keep or delete"]),
            ("", &["--watch", "logs/[a"], &["--watch", "logs/[a", "at character"]),
            ("[[watch]]\npath = ''\n", &[], &["watch.watch in", "a folder"]),
            ("[[watch]]\n", &[], &["logboom.toml:1:", "path"]),
            ("", &["--from", "middle"], &["--from", "middle", "beginning or end"]),
            ("", &["--multiline", "a(b"], &["--multiline", "a(b", "unclosed group"]),
            ("[files]\nread_gzip = 'yes'\n", &[], &["files.read_gzip in", "on or off"]),
            ("", &["--idle-timeout", "soon"], &["--idle-timeout", "soon", "off"]),
        ];
        for (toml, flags, words) in table {
            let said = load(toml, flags).unwrap_err().to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn the_reference_lists_exactly_the_settings_that_exist() {
        let reference = include_str!("../docs/CONFIGURATION.md");
        let config = load("", &[]).unwrap();
        let mut listed: Vec<&str> =
            reference.lines().filter_map(|line| line.strip_prefix("| `--")).map(|line| line.split('`').next().unwrap()).collect();
        listed.sort_unstable();
        let command = Line::command();
        let mut flags: Vec<&str> =
            command.get_arguments().filter_map(|arg| arg.get_long()).filter(|name| !matches!(*name, "help")).collect();
        flags.sort_unstable();
        assert_eq!(listed, flags);
        for setting in &config.resolved {
            assert!(reference.contains(&format!("`{}`", setting.key)), "{} is not in the reference", setting.key);
            assert!(
                reference.contains(&format!("`{}`", setting.value)),
                "the default {} of {} is not in the reference",
                setting.value,
                setting.key
            );
        }
        assert_eq!(config.resolved.len(), flags.len());
    }
}
