//! What a block's table entry says about a query before the block is read. Pure.

use super::query::{Expr, Field, Literal, Term, Test};
use crate::record::{Level, words};
use crate::store::filter::Filter;
use crate::store::segment::{BlockStats, TimeRange};

/// Which of a block's lines match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// None.
    None,
    /// Nobody knows without reading it.
    Some,
    /// All.
    All,
}

/// A query as far as block tables can answer it.
#[derive(Debug)]
pub(super) struct Pruner {
    condition: Condition,
    range: TimeRange,
}

#[derive(Debug)]
enum Condition {
    All,
    Unknown,
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Levels([bool; Level::COUNT]),
    /// Words that every matching line holds.
    Words(Vec<u64>),
}

impl Pruner {
    /// For the lines that match `expr` and whose time is within `range`, both ends included.
    pub(super) fn new(expr: &Expr, range: TimeRange) -> Self {
        Self { condition: condition(expr), range }
    }

    /// Whether a line at `time_us` is within the range.
    pub(super) fn is_within(&self, time_us: i64) -> bool {
        (self.range.min_us..=self.range.max_us).contains(&time_us)
    }

    /// The verdict on a block whose lines are all between the ends of `time`.
    pub(super) fn verdict(&self, stats: &BlockStats, time: TimeRange, filter: Option<&Filter>) -> Verdict {
        if self.range.max_us < time.min_us || time.max_us < self.range.min_us {
            return Verdict::None;
        }
        match self.condition.verdict(stats, filter) {
            Verdict::All if !(self.is_within(time.min_us) && self.is_within(time.max_us)) => Verdict::Some,
            verdict => verdict,
        }
    }
}

fn condition(expr: &Expr) -> Condition {
    match expr {
        Expr::All => Condition::All,
        Expr::And(parts) => Condition::And(parts.iter().map(condition).collect()),
        Expr::Or(parts) => Condition::Or(parts.iter().map(condition).collect()),
        Expr::Not(inner) => Condition::Not(Box::new(condition(inner))),
        Expr::Term(Term::Levels(set)) => Condition::Levels(Level::ALL.map(|level| set.contains(level))),
        Expr::Term(Term::Text(literal)) => Condition::Words(hashes(literal)),
        Expr::Term(Term::Field(field, test)) => {
            let mut hashes = match test {
                Test::Has(literal) | Test::Is(literal) => hashes(literal),
                Test::Regex(_) | Test::Compare(..) => Vec::new(),
            };
            if let Field::Named(name) = field {
                words::for_each_hash(name.as_bytes(), |hash| hashes.push(hash)); // a key stands in the text too
            }
            Condition::Words(hashes)
        }
        Expr::Term(Term::Regex(_)) => Condition::Unknown,
    }
}

/// The words of `literal` that stand whole in every text that holds it: not those that may be part of longer ones.
fn hashes(literal: &Literal) -> Vec<u64> {
    let mut text = literal.text.as_bytes();
    let is_word = |byte: &u8| words::is_word_byte(*byte);
    if literal.open_start {
        text = &text[text.iter().position(|byte| !is_word(byte)).unwrap_or(text.len())..];
    }
    if literal.open_end {
        text = &text[..text.iter().rposition(|byte| !is_word(byte)).map_or(0, |last| last + 1)];
    }
    let mut hashes = Vec::new();
    words::for_each_hash(text, |hash| hashes.push(hash));
    hashes
}

impl Condition {
    fn verdict(&self, stats: &BlockStats, filter: Option<&Filter>) -> Verdict {
        match self {
            Self::All => Verdict::All,
            Self::Unknown => Verdict::Some,
            Self::Not(inner) => match inner.verdict(stats, filter) {
                Verdict::None => Verdict::All,
                Verdict::Some => Verdict::Some,
                Verdict::All => Verdict::None,
            },
            Self::And(parts) => all(parts.iter().map(|part| part.verdict(stats, filter)), Verdict::None, Verdict::All),
            Self::Or(parts) => all(parts.iter().map(|part| part.verdict(stats, filter)), Verdict::All, Verdict::None),
            Self::Levels(wanted) => {
                let lines: u64 = stats.levels.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(lines, _)| lines).sum();
                match lines {
                    0 => Verdict::None,
                    lines if lines == stats.lines => Verdict::All,
                    _ => Verdict::Some,
                }
            }
            Self::Words(hashes) => match filter {
                Some(filter) if !hashes.iter().all(|&hash| filter.may_hold(hash)) => Verdict::None,
                _ => Verdict::Some,
            },
        }
    }
}

/// `strong` where one part is; `weak` where all are.
fn all(mut verdicts: impl Iterator<Item = Verdict>, strong: Verdict, weak: Verdict) -> Verdict {
    let mut joined = weak;
    verdicts
        .find_map(|verdict| {
            if verdict == Verdict::Some {
                joined = Verdict::Some;
            }
            (verdict == strong).then_some(strong)
        })
        .unwrap_or(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query;
    use crate::store::filter::FilterBuilder;

    #[test]
    fn table() {
        let text = b"{\"level\":\"warn\",\"service\":\"auth\",\"message\":\"connection refused by 10.0.0.1\"}\n";
        let stats = BlockStats { raw_len: 1, lines: 3, time: None, levels: [0, 0, 0, 3, 0, 0, 0] };
        let mixed = BlockStats { levels: [0, 0, 1, 2, 0, 0, 0], ..stats.clone() };
        let filter = FilterBuilder::default().build(text, 100_000).unwrap();
        let (min_us, max_us) = (100, 200);
        let everything = TimeRange { min_us: i64::MIN, max_us: i64::MAX };
        let verdict = |query: &str, range, stats: &BlockStats, filter| {
            Pruner::new(&query::parse(query).unwrap(), range).verdict(stats, TimeRange { min_us, max_us }, filter)
        };
        for (query, expected) in [
            ("*", Verdict::All),
            ("level:warn", Verdict::All),
            ("-level:warn", Verdict::None),
            ("level>=error", Verdict::None),
            ("level>=error OR level:warn", Verdict::All),
            ("refused", Verdict::Some),
            ("timeout", Verdict::None),
            ("-timeout", Verdict::All),
            ("time*", Verdict::Some),
            ("*refused*", Verdict::Some),
            ("\"refused timeout\"", Verdict::None),
            ("*\"xx timeout\"", Verdict::None),
            ("*\"timeout xx\"", Verdict::Some),
            ("refused OR timeout", Verdict::Some),
            ("refused timeout", Verdict::None),
            ("service:auth", Verdict::Some),
            ("service:payment", Verdict::None),
            ("message:refused", Verdict::Some),
            ("duration>5", Verdict::None), // no key of that name
            ("/timeout/", Verdict::Some),
        ] {
            assert_eq!(verdict(query, everything, &stats, Some(&filter)), expected, "{query}");
        }
        assert_eq!(verdict("timeout", everything, &stats, None), Verdict::Some);
        assert_eq!(verdict("level:warn", everything, &mixed, None), Verdict::Some);
        for (min_us, max_us, expected) in [
            (201, 300, Verdict::None),
            (0, 99, Verdict::None),
            (100, 200, Verdict::All),
            (101, 300, Verdict::Some),
            (0, 150, Verdict::Some),
        ] {
            assert_eq!(verdict("*", TimeRange { min_us, max_us }, &stats, None), expected, "{min_us} to {max_us}");
        }
    }
}
