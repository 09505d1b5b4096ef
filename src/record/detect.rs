//! What a line is.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::csv::Columns;
use super::syslog::Priority;

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Each line as what it looks like.
    #[default]
    Auto,
    /// Every line is a JSON object, or rejected.
    Json,
    /// Every line is text.
    Text,
    /// Every line is a CSV record, the first of a connection its header unless columns are configured.
    Csv,
    /// Every line is a syslog message, with `<PRI>` or without.
    Syslog,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Json, Self::Text, Self::Csv, Self::Syslog];

    /// The value of `--format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Syslog => "syslog",
        }
    }
}

/// How lines are read, and what they do not say themselves.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The format.
    pub format: Format,
    /// The zone of times that have none.
    pub zone: TimeZone,
    /// The columns of CSV lines, if no header names them.
    pub csv_columns: Option<Arc<Columns>>,
}

impl From<Format> for Reading {
    /// With UTC, and CSV headers.
    fn from(format: Format) -> Self {
        Self { format, zone: TimeZone::UTC, csv_columns: None }
    }
}

/// What one line is to be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// Text.
    Text,
    /// A CSV record.
    Csv,
    /// A syslog message.
    Syslog,
}

/// The shape of `line` under `format`. By itself a line is JSON if its first byte after white space is `{`, and syslog if it begins with a `<PRI>`. A byte order mark is content: a line that begins
/// with one is text, and so is kept.
pub fn detect(format: Format, line: &[u8]) -> Shape {
    match format {
        Format::Json => Shape::Json,
        Format::Text => Shape::Text,
        Format::Csv => Shape::Csv,
        Format::Syslog => Shape::Syslog,
        Format::Auto if line.first() == Some(&b'{') || line.trim_ascii_start().first() == Some(&b'{') => Shape::Json,
        Format::Auto if Priority::split(line).is_some() => Shape::Syslog,
        Format::Auto => Shape::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_first_byte() {
        for (line, shape) in [
            ("{}", Shape::Json),
            (" \t{", Shape::Json),
            ("[1]", Shape::Text),
            ("", Shape::Text),
            ("\u{feff}{}", Shape::Text),
            ("<13>x", Shape::Syslog),
            ("<192>x", Shape::Text),
            ("<x>", Shape::Text),
        ] {
            assert_eq!(detect(Format::Auto, line.as_bytes()), shape, "{line:?}");
        }
        assert_eq!(detect(Format::Json, b"text"), Shape::Json);
        assert_eq!(detect(Format::Text, b"{}"), Shape::Text);
        assert_eq!(detect(Format::Csv, b"<13>x"), Shape::Csv);
        assert_eq!(detect(Format::Syslog, b"{}"), Shape::Syslog);
    }
}
