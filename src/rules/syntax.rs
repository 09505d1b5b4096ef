//! How rules are written: `[FIELD=]REGEX`, and `NAME=` before it for a tag.
//!
//! `FIELD:REGEX` is the same as `FIELD=REGEX` and reads better behind a tag's name. A field's name begins with a letter, `_` or `@` and goes on with letters,
//! digits, `_`, `-`, `.`, `@`. What follows its `=` or `:` directly must not be white space, `/`, `:` or `=`, so that `ERROR: disk`, `https://`, `a::b` and `a==b`
//! are looked for in the line. Any other text that looks like a field is looked for in the line behind `line=`: `line=user=42`.

use crate::record::regex;

/// One rule: a regex, and where it is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The field, or none for the whole line.
    pub field: Option<String>,
    /// The regex, valid.
    pub regex: String,
}

/// A rule that marks what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRule {
    /// The tag.
    pub name: String,
    /// What it is for.
    pub matcher: Matcher,
}

/// The longest name of a tag.
const TAG_NAME_BYTES_MAX: usize = 64;

impl Matcher {
    /// Reads a filter or an exclusion; or says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, 0)
    }

    /// Reads what stands `offset` characters behind the beginning of what was typed.
    fn parse_at(text: &str, offset: usize) -> Result<Self, String> {
        let (field, pattern) = match split_field(text) {
            Some(("line", pattern)) => (None, pattern),
            Some((field, pattern)) => (Some(field.to_owned()), pattern),
            None => (None, text),
        };
        if pattern.is_empty() {
            return Err("expected [FIELD=]REGEX: the regex is empty, and would match everything".to_owned());
        }
        let before = offset + text[..text.len() - pattern.len()].chars().count();
        regex::compile(&[pattern]).map_err(|error| error.shifted(before))?;
        Ok(Self { field, regex: pattern.to_owned() })
    }
}

impl TagRule {
    /// Reads `NAME=[FIELD:]REGEX`; or says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((name, rest)) = text.split_once('=').filter(|(name, _)| is_tag(name)) else {
            return Err(format!("expected NAME=[FIELD:]REGEX with a name of 1 to {TAG_NAME_BYTES_MAX} letters, digits, or _ - . : /"));
        };
        let matcher = Matcher::parse_at(rest, name.chars().count() + 1)?;
        Ok(Self { name: name.to_owned(), matcher })
    }
}

/// The well-known field that `field` is one letter away from: one more, one less, another one, or two that changed places. Short names have too many neighbours.
pub(super) fn nearly_known(field: &str) -> Option<&'static str> {
    const KNOWN: [&str; 6] = ["level", "severity", "service", "logger", "message", "timestamp"];
    let is_near = |known: &str| {
        let (a, b) = (field.as_bytes(), known.as_bytes());
        let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let (a, b) = (&a[start..], &b[start..]);
        match (a, b) {
            ([], [_]) | ([_], []) => true,
            ([a0, a1, rest_a @ ..], [b0, b1, rest_b @ ..]) if a0 == b1 && a1 == b0 && rest_a == rest_b => true,
            ([_, rest_a @ ..], [_, rest_b @ ..]) => rest_a == rest_b || rest_a == b || a == rest_b,
            _ => false,
        }
    };
    KNOWN.into_iter().find(|known| is_near(known))
}

fn is_tag(name: &str) -> bool {
    (1..=TAG_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

fn split_field(text: &str) -> Option<(&str, &str)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    let at = text.bytes().position(|byte| !is_name(byte))?;
    let (field, rest) = text.split_at(at);
    let pattern = rest.strip_prefix(['=', ':'])?;
    let begins = field.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || b"_@".contains(&byte));
    let goes_on = !pattern.starts_with(|c: char| c.is_whitespace() || "/:=".contains(c));
    (begins && goes_on).then_some((field, pattern))
}
