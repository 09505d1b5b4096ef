//! What is counted, and how it is shown.

use std::fmt;

use serde::Serialize;

use super::Verdict;
use crate::cli::Duplicates;

/// Counts of one shard, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines of the run, each counted once.
    pub found: u64,
    /// Further copies of a line.
    pub duplicate: u64,
    /// Those of them that the run explains: it sent the line again that often.
    pub duplicate_explained: u64,
    /// Lines that are not what was sent.
    pub altered: u64,
    /// Lines that follow a later line of the same client in their shard's files.
    pub reordered: u64,
    /// Lines with a number or client that the run never reached.
    pub unexpected: u64,
    /// Header lines.
    pub headers: u64,
    /// CSV lines that are stored as objects of their columns, those that are found more than once each time.
    pub by_column: u64,
    /// Lines that don't name the run.
    pub other: u64,
    /// Open segments whose last line had no newline yet; it is not judged.
    pub torn: u64,
}

impl Counts {
    /// Adds another shard's.
    pub fn add(&mut self, more: &Counts) {
        let Counts { found, duplicate, duplicate_explained, altered, reordered, unexpected, headers, by_column, other, torn } = more;
        self.found += found;
        self.duplicate += duplicate;
        self.duplicate_explained += duplicate_explained;
        self.altered += altered;
        self.reordered += reordered;
        self.unexpected += unexpected;
        self.headers += headers;
        self.by_column += by_column;
        self.other += other;
        self.torn += torn;
    }

    /// Whether nothing that was read is wrong, given which duplicates are accepted.
    pub fn is_clean(&self, accepted: Duplicates) -> bool {
        let duplicates_are_right = match accepted {
            Duplicates::Allowed => true,
            Duplicates::Explained => self.duplicate == self.duplicate_explained,
            Duplicates::None => self.duplicate == 0,
        };
        duplicates_are_right && self.altered == 0 && self.reordered == 0 && self.unexpected == 0
    }
}

/// How many examples of one kind are kept.
const EXAMPLES_MAX: usize = 5;

/// The first differences of each kind.
#[derive(Debug, Default)]
pub struct Examples(Vec<(&'static str, String)>);

impl Examples {
    /// Keeps an example, if there are not enough of its kind.
    pub fn add(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        if self.0.iter().filter(|(of, _)| *of == kind).count() < EXAMPLES_MAX {
            self.0.push((kind, text()));
        }
    }

    /// Takes over another shard's.
    pub fn merge(&mut self, more: Examples) {
        for (kind, text) in more.0 {
            self.add(kind, || text);
        }
    }

    /// As lines.
    pub fn into_lines(self) -> Vec<String> {
        self.0.into_iter().map(|(kind, text)| format!("{kind}: {text}")).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { found, duplicate, duplicate_explained, altered, reordered, unexpected, headers, by_column, other, torn } = self.counts;
        writeln!(f, "run         {}", self.run)?;
        writeln!(f, "required    {} ({}; {} were sent, {} refused)", self.required, self.required_because, self.sent, self.refused)?;
        writeln!(f, "found       {found}")?;
        writeln!(f, "missing     {}", self.missing)?;
        writeln!(
            f,
            "duplicate   {duplicate}, {duplicate_explained} explained by a resend, {} unexplained",
            duplicate - duplicate_explained
        )?;
        for (kind, count) in [("altered", altered), ("reordered", reordered), ("unexpected", unexpected)] {
            writeln!(f, "{kind:<11} {count}")?;
        }
        if 0 < self.headers_required || 0 < headers {
            writeln!(f, "headers     {headers}, {} required", self.headers_required)?;
        }
        if 0 < by_column {
            writeln!(f, "by column   {by_column}")?;
        }
        writeln!(f, "other       {other} (lines that do not name this run)")?;
        writeln!(f, "files       {}, {} damaged", self.files, self.damaged.len())?;
        if 0 < torn {
            writeln!(f, "torn        {torn} open segments end within a line, which was not judged")?;
        }
        writeln!(f, "time        {:.2} s, {:.0} lines/s", self.seconds, self.rate)?;
        self.damaged.iter().try_for_each(|file| writeln!(f, "  damaged: {file}"))?;
        self.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))?;
        f.write_str(match () {
            () if !self.good => "DIFFERENT",
            () if 0 < duplicate => "GOOD: every required line is there, unaltered, in order, some more than once",
            () => "GOOD: every required line is there once, unaltered, in order",
        })
    }
}
