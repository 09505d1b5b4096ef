//! Regexes of the configuration: compiled as sets, within bounds, and what is wrong with one said in one line with its position.
//!
//! The syntax is that of the crate `regex`. Matching takes time linear in the text, whatever the regex.

use regex_automata::MatchKind;
use regex_automata::meta::{BuildError, Config, Regex};

use crate::limits::{REGEX_BYTES_MAX, REGEX_CACHE_BYTES, REGEX_PROGRAM_BYTES_MAX};

/// What is wrong with a regex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError {
    what: String,
    /// Where, in characters from 1.
    character: Option<usize>,
}

impl RegexError {
    /// The same, of a regex that stands behind `before` characters of what was typed; for people to read.
    pub fn shifted(self, before: usize) -> String {
        match self.character {
            Some(character) => format!("expected a regex: {}, at character {}", self.what, before + character),
            None => format!("expected a regex: {}", self.what),
        }
    }
}

impl From<RegexError> for String {
    fn from(error: RegexError) -> Self {
        error.shifted(0)
    }
}

/// Compiles `patterns` as one set: all that match can be found in one pass. An error is of the first that is wrong.
pub fn compile(patterns: &[&str]) -> Result<Regex, RegexError> {
    if patterns.iter().any(|pattern| pattern.len() > REGEX_BYTES_MAX) {
        return Err(RegexError { what: format!("it has more than {REGEX_BYTES_MAX} bytes"), character: None });
    }
    // One regex finds the first match and captures; several are asked which of them match at all.
    let kind = if patterns.len() == 1 { MatchKind::LeftmostFirst } else { MatchKind::All };
    let config = Config::new().match_kind(kind).nfa_size_limit(Some(REGEX_PROGRAM_BYTES_MAX)).hybrid_cache_capacity(REGEX_CACHE_BYTES);
    Regex::builder().configure(config).build_many(patterns).map_err(|error| explain(&error))
}

fn explain(error: &BuildError) -> RegexError {
    let (what, character) = match error.syntax_error() {
        Some(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), Some(error.span().start.column)),
        Some(regex_syntax::Error::Translate(error)) => (error.kind().to_string(), Some(error.span().start.column)),
        Some(_) => ("it is malformed".to_owned(), None),
        None if error.size_limit().is_some() => (format!("it needs more than {REGEX_PROGRAM_BYTES_MAX} bytes compiled"), None),
        None => (error.to_string(), None),
    };
    RegexError { what: what.replace('\n', " "), character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_with_a_position() {
        let table = [
            ("a(b", "character 2"),
            ("a{2,1}", "character 2"),
            ("é[z-a]", "character 3"),
            (r"\p{Nope}", "character 1"),
            ("*", "character 1"),
        ];
        for (pattern, position) in table {
            let said = String::from(compile(&[pattern]).unwrap_err());
            assert!(said.contains(position) && !said.contains('\n'), "{pattern}: {said}");
        }
        assert!(String::from(compile(&[r"\w{5000}"]).unwrap_err()).contains("compiled"));
        assert!(compile(&[&"a".repeat(REGEX_BYTES_MAX + 1)]).is_err());
        assert!(compile(&["a", "b|c"]).is_ok());
    }
}
