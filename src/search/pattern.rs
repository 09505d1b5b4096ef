//! Literals and regular expressions of a query as automata over bytes. Pure.

use regex::bytes::{Regex, RegexBuilder};

use super::folded::Folded;
use super::query::Literal;
use crate::limits::{LITERAL_AUTOMATON_BYTES_MAX, QUERY_REGEX_BYTES_MAX};
use crate::record::words::is_word_byte;

/// Compiles a regular expression as the user wrote it, or says in one line why it is none.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    built(pattern, QUERY_REGEX_BYTES_MAX)
}

fn built(pattern: &str, automaton_bytes_max: usize) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(QUERY_REGEX_BYTES_MAX).dfa_size_limit(automaton_bytes_max).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or("it can't be read");
            format!("no regular expression: {}", reason.trim_start_matches("error: "))
        }
    })
}

/// A pattern for `text` in any case: ASCII letters fold among themselves, others as Unicode folds them.
fn folded(text: &str) -> String {
    text.chars()
        .map(|char| {
            let escaped = regex::escape(char.encode_utf8(&mut [0; 4]));
            if char.is_ascii() { format!("(?i-u:{escaped})") } else { format!("(?i:{escaped})") }
        })
        .collect()
}

/// Where one of some literals stands, in any case.
#[derive(Debug)]
pub(super) enum Needle {
    One(Folded),
    Any(Regex),
}

impl Needle {
    /// For `literals`; nothing can find one of none, or of too many.
    pub(super) fn of(literals: &[&str]) -> Option<Self> {
        if let [one] = literals
            && let Some(folded) = Folded::new(one)
        {
            return Some(Self::One(folded));
        }
        let patterns: Vec<String> = literals.iter().map(|literal| folded(literal)).collect();
        if patterns.is_empty() { None } else { regex(&patterns.join("|")).ok().map(Self::Any) }
    }

    /// Where the first from `from` on begins.
    pub(super) fn find_at(&self, text: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::One(folded) => folded.find_at(text, from),
            Self::Any(regex) => regex.find_at(text, from).map(|found| found.start()),
        }
    }
}

/// A literal that is looked for in texts.
#[derive(Debug)]
pub(super) struct Finder {
    literal: Finding,
    start_is_word: bool,
    end_is_word: bool,
    open_start: bool,
    open_end: bool,
    is_word: bool,
}

#[derive(Debug)]
enum Finding {
    /// ASCII, and how long it is.
    Folded(Folded, usize),
    Regex(Regex),
}

impl Finding {
    /// Where it first stands in `text` so that its start and its end are `right`.
    fn find_where(&self, text: &[u8], is_right: impl Fn(usize, usize) -> bool) -> Option<(usize, usize)> {
        match self {
            Self::Folded(folded, len) => folded.find_where(text, 0, |start| is_right(start, start + len)).map(|start| (start, start + len)),
            Self::Regex(regex) => {
                let mut from = 0;
                while let Some(found) = regex.find_at(text, from) {
                    if is_right(found.start(), found.end()) {
                        return Some((found.start(), found.end()));
                    }
                    from = found.start() + 1;
                }
                None
            }
        }
    }
}

impl Finder {
    /// Compiles `literal`; `None` if it is too long for that.
    pub(super) fn new(literal: &Literal) -> Option<Self> {
        let bytes = literal.text.as_bytes();
        Some(Self {
            literal: match Folded::new(&literal.text) {
                Some(folded) => Finding::Folded(folded, bytes.len()),
                None => Finding::Regex(built(&folded(&literal.text), LITERAL_AUTOMATON_BYTES_MAX).ok()?),
            },
            start_is_word: bytes.first().is_some_and(|&byte| is_word_byte(byte)),
            end_is_word: bytes.last().is_some_and(|&byte| is_word_byte(byte)),
            open_start: literal.open_start,
            open_end: literal.open_end,
            is_word: bytes.iter().all(|&byte| is_word_byte(byte)),
        })
    }

    /// Whether it is within one word, wherever it is.
    pub(super) fn is_word(&self) -> bool {
        self.is_word
    }

    /// Whether `text` holds the literal, beginning and ending where words do.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        self.literal.find_where(text, |start, end| self.is_whole(text, start, end)).is_some()
    }

    /// Whether what was found at `start`, of `text` or beyond its end, is within it, and begins and ends where words do. `None` if only a search can tell.
    pub(super) fn is_at(&self, text: &[u8], start: usize) -> Option<bool> {
        match self.literal {
            Finding::Folded(_, len) => Some(start + len <= text.len() && self.is_whole(text, start, start + len)),
            Finding::Regex(_) => None,
        }
    }

    fn is_whole(&self, text: &[u8], start: usize, end: usize) -> bool {
        let cuts_start = self.start_is_word && !self.open_start && start > 0 && is_word_byte(text[start - 1]);
        let cuts_end = self.end_is_word && !self.open_end && text.get(end).is_some_and(|&byte| is_word_byte(byte));
        !cuts_start && !cuts_end
    }

    /// Whether `text` is the literal, with anything at its open ends.
    pub(super) fn is_all_of(&self, text: &[u8]) -> bool {
        let is_end = |end| self.open_end || end == text.len();
        if self.open_start {
            return self.literal.find_where(text, |_, end| is_end(end)).is_some();
        }
        // It can't match at the start in two lengths: each of its characters matches one.
        self.literal.find_where(text, |_, _| true).is_some_and(|(start, end)| start == 0 && is_end(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_look_for_is_not_too_large() {
        for pattern in [
            r"\w+@\w+\.\w+",
            r"(?i)failed|error|panic|timed? ?out|refused|Zoë",
            r"user=\d+ .*took=\d{4,}ms",
            r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            r"\p{L}+\s\p{Lu}",
        ] {
            assert!(regex(pattern).is_ok(), "{pattern}: {:?}", regex(pattern));
        }
        assert_eq!(regex(r"\w{100}").unwrap_err(), "this regular expression is too large");
        let words = ["connection refused", "ÄÖÜ ß", "Ελλάδα", &"x".repeat(1_000)];
        for text in words {
            let literal = Literal { text: text.to_owned(), open_start: false, open_end: false };
            assert!(Finder::new(&literal).is_some_and(|finder| finder.is_in(text.to_uppercase().as_bytes()) || text == "ÄÖÜ ß"), "{text}");
        }
        assert!(Needle::of(&words).is_some());
    }
}
