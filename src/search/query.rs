//! What is searched for: text to an expression in normal form. Pure.
//!
//! ```text
//! timeout "connection refused" -debug level>=warn (service:auth OR tag:payment) /user=\d+/ path:/admin/
//! ```
//!
//! | written | matches a line |
//! | --- | --- |
//! | `timeout` | in whose text the word occurs, in any case; `time*`, `*out` and `*meou*` also as part of a longer one |
//! | `"connection refused"` | in whose text this occurs, in any case, and begins and ends where words do |
//! | `/regex/` | whose text the regular expression matches (the syntax of the crate regex; `(?i)` ignores case) |
//! | `field:word`, `field:"a phrase"`, `field:/regex/` | whose value of that name does; `a.b` also names `b` within `a`; of an array one element is enough |
//! | `field=value` | whose value is this and nothing else, in any case |
//! | `field>1.5`, `>=`, `<`, `<=` | whose value is such a number |
//! | `level:error`, `level>=warn` | of these levels, however they are spelled |
//! | `service:auth`, `tag:payment` | of that service, with that tag: like `=` |
//! | `a b`, `a AND b`; `a OR b`; `-a`, `NOT a`; `(…)` | both; either; not; `OR` binds weaker than the others |
//! | `*`, or nothing | every line |
//!
//! What a line's text is, and what a word, says [`crate::record::words`].

mod lexer;
mod normal;
mod parser;

use std::fmt;

use crate::record::Level;

/// Which condition a line must meet.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Every line.
    All,
    /// Each of them, two at least.
    And(Vec<Expr>),
    /// One of them, two at least.
    Or(Vec<Expr>),
    /// A condition that is not met. In normal form only of a [`Term`].
    Not(Box<Expr>),
    /// One condition.
    Term(Term),
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// The text holds this.
    Text(Literal),
    /// The text matches this regular expression.
    Regex(String),
    /// The level is one of these.
    Levels(LevelSet),
    /// A value passes a test.
    Field(Field, Test),
}

/// A word or phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// As written, not empty.
    pub text: String,
    /// A longer word may begin before it: `*out`.
    pub open_start: bool,
    /// A longer word may go on after it: `time*`.
    pub open_end: bool,
}

/// Which value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// That of the well-known keys of the service.
    Service,
    /// The elements of `tags`, or `tag`.
    Tag,
    /// That of `message` or `msg`.
    Message,
    /// That of a key; dots may lead into objects.
    Named(String),
}

impl Field {
    /// The field that is called `name` in a query.
    pub fn of(name: &str) -> Self {
        match name {
            "service" => Self::Service,
            "tag" | "tags" => Self::Tag,
            "message" => Self::Message,
            _ => Self::Named(name.to_owned()),
        }
    }

    /// The keys under which its values stand. Those of a service are [`crate::record`]'s.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Service => ("service", None),
            Self::Tag => ("tags", Some("tag")),
            Self::Message => ("message", Some("msg")),
            Self::Named(name) => (&name[..], None),
        };
        [Some(first), second].into_iter().flatten()
    }
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It holds this.
    Has(Literal),
    /// It is this and nothing else.
    Is(Literal),
    /// It matches this regular expression.
    Regex(String),
    /// It is a number that compares so to this one.
    Compare(Compare, f64),
}

/// How numbers and levels compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Compare {
    /// Whether `a` compares so to `b`.
    pub fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// Some levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelSet(u8);

impl LevelSet {
    /// Those levels for which `is_member` holds.
    pub fn of(is_member: impl Fn(Level) -> bool) -> Self {
        Self(Level::ALL.into_iter().filter(|&level| is_member(level)).fold(0, |set, level| set | 1 << level as u8))
    }

    /// Whether `level` is one of them.
    pub fn contains(self, level: Level) -> bool {
        self.0 & 1 << level as u8 != 0
    }
}

/// A query that can't be read: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct QueryError {
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl QueryError {
    /// The query with a mark below the column, for a terminal.
    pub fn pointed_at(&self, query: &str) -> String {
        let shown: String = query.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{}\n  {shown}\n  {:>width$}", self.message, '^', width = self.column)
    }
}

/// Reads a query. The expression is in normal form: nothing but terms is negated, no conjunction is within a conjunction.
pub fn parse(query: &str) -> Result<Expr, QueryError> {
    parser::parse(query).map(Expr::normal)
}

/// As it may be written: reads as the same expression again.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str| {
            parts.iter().enumerate().try_for_each(|(at, part)| {
                f.write_str(if at == 0 { "" } else { between })?;
                if matches!(part, Self::And(_) | Self::Or(_)) { write!(f, "({part})") } else { write!(f, "{part}") }
            })
        };
        match self {
            Self::All => f.write_str("*"),
            Self::And(parts) => list(f, parts, " "),
            Self::Or(parts) => list(f, parts, " OR "),
            Self::Not(part) if matches!(**part, Self::Term(_)) => write!(f, "-{part}"),
            Self::Not(part) => write!(f, "-({part})"),
            Self::Term(term) => write!(f, "{term}"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(literal) => write!(f, "{literal}"),
            Self::Regex(regex) => write_regex(f, regex),
            Self::Levels(set) => {
                let names: Vec<String> =
                    Level::ALL.into_iter().filter(|&level| set.contains(level)).map(|level| format!("level:{}", level.name())).collect();
                match &names[..] {
                    [] => f.write_str("(level:TRACE -level:TRACE)"),
                    [one] => f.write_str(one),
                    _ => write!(f, "({})", names.join(" OR ")),
                }
            }
            Self::Field(field, test) => {
                f.write_str(match field {
                    Field::Service => "service",
                    Field::Tag => "tag",
                    Field::Message => "message",
                    Field::Named(name) => name,
                })?;
                match test {
                    Test::Has(literal) => write!(f, ":{literal}"),
                    Test::Is(literal) => write!(f, "={literal}"),
                    Test::Regex(regex) => f.write_str(":").and_then(|()| write_regex(f, regex)),
                    Test::Compare(compare, number) => write!(f, "{}{number}", compare.sign()),
                }
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = |open| if open { "*" } else { "" };
        let escaped = self.text.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{}\"{escaped}\"{}", star(self.open_start), star(self.open_end))
    }
}

fn write_regex(f: &mut fmt::Formatter<'_>, regex: &str) -> fmt::Result {
    write!(f, "/{}/", regex.replace('/', "\\/"))
}

#[cfg(test)]
mod tests;
