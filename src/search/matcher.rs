//! Whether a stored line matches a query. Pure.
//!
//! A block is searched for a literal that every matching line must hold, as its bytes stand; only lines with a hit, and lines with escapes, whose text reads
//! otherwise, are looked at one by one, and JSON is walked only where a term asks for a value. Where a query has no such literal, every line is looked at.
//!
//! A record that was made of a text line is also what that line was: phrases and regular expressions are looked for in both.

use std::borrow::Cow;
use std::cell::OnceCell;

use regex::bytes::Regex;

use super::pattern::{self, Finder, Needle};
use super::query::{Compare, Expr, Field, LevelSet, Literal, Term, Test};
use crate::limits::{BLOCK_BYTES, KIB};
use crate::record::members::{self, Facts, Value};
use crate::record::timestamp::TimeReader;
use crate::record::{layout, words};

/// Half of the first cache of most processors.
const PIECE_BYTES: usize = 16 * KIB;

/// A query, compiled. One per thread: it keeps buffers.
#[derive(Debug)]
pub struct Matcher {
    condition: Condition,
    /// Every matching line without escapes holds what the first finds; one with a layout, which may hold a phrase in pieces, what the second does.
    needles: [Option<Needle>; 2],
    needles_differ: bool,
    text: Vec<u8>,
    times: TimeReader,
}

#[derive(Debug)]
enum Condition {
    All,
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Text(Finder),
    Regex(Regex),
    Levels(LevelSet),
    Service(ValueTest),
    Field(Vec<String>, ValueTest),
}

#[derive(Debug)]
enum ValueTest {
    Has(Finder),
    Is(Finder),
    Regex(Regex),
    Compare(Compare, f64),
}

/// One line while it is looked at. Its facts are read when the first term asks for them.
struct Line<'a> {
    stored: &'a [u8],
    text: &'a [u8],
    /// What the record was made of, if that is another text.
    line: OnceCell<Option<Vec<u8>>>,
    facts: OnceCell<Facts<'a>>,
}

impl Matcher {
    /// Compiles `expr`, which is in normal form; an error says which part is too large.
    pub fn new(expr: &Expr) -> Result<Self, String> {
        let condition = compile(expr)?;
        let literals = required(expr).unwrap_or_default();
        let words: Vec<&str> = literals.iter().map_while(|literal| longest_word(literal)).collect();
        let needles_differ = literals.iter().any(|literal| longest_word(literal) != Some(&literal.text));
        let texts: Vec<&str> = literals.iter().map(|literal| &literal.text[..]).collect();
        let whole = Needle::of(&texts);
        let in_pieces = if needles_differ && words.len() == literals.len() { Needle::of(&words) } else { None };
        Ok(Self { condition, needles: [whole, in_pieces], needles_differ, text: Vec::new(), times: TimeReader::default() })
    }

    /// Whether `line`, without its newline, matches.
    pub fn matches(&mut self, line: &[u8]) -> bool {
        let text = words::text(line, &mut self.text);
        self.condition.holds(&Line { stored: line, text, line: OnceCell::new(), facts: OnceCell::new() }, &mut self.times)
    }

    /// Gives back what only a long line needed.
    pub fn forget(&mut self) {
        self.text.shrink_to(BLOCK_BYTES);
    }

    /// Hands every matching line of `block`, which is whole lines, to `found`, without its newline, in order.
    pub fn each_match<'a>(&mut self, block: &'a [u8], mut found: impl FnMut(&'a [u8])) {
        if matches!(self.condition, Condition::All) {
            return lines(block).for_each(found);
        }
        let which = usize::from(self.needles_differ && layout::may_have(block));
        let Some(needle) = self.needles[which].take() else {
            return lines(block).filter(|line| self.matches(line)).for_each(found);
        };
        let mut rest = block;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_end(rest));
            self.each_match_in(piece, &needle, which, &mut found);
            rest = after;
        }
        self.needles[which] = Some(needle);
    }

    /// The same of a piece that stays in the first cache while it is looked at several times.
    fn each_match_in<'a>(&mut self, block: &'a [u8], needle: &Needle, which: usize, found: &mut impl FnMut(&'a [u8])) {
        let mut start = 0;
        let mut escape = memchr::memchr(b'\\', block);
        let mut hit = needle.find_at(block, 0);
        while let Some(at) = hit.into_iter().chain(escape).min() {
            start = line_start(block, start, at);
            let end = memchr::memchr(b'\n', &block[at..]).map_or(block.len(), |newline| at + newline);
            let line = &block[start..end];
            let is_text = escape.is_none_or(|escape| end <= escape);
            // Where the query is what was found, and the line is its text, nothing more is to be asked.
            let is_match = match &self.condition {
                Condition::Text(finder) if is_text && which == 0 => finder.is_at(line, at - start).filter(|&is_at| is_at),
                _ => None,
            };
            if is_match.unwrap_or_else(|| self.matches(line)) {
                found(line);
            }
            start = (end + 1).min(block.len());
            if hit.is_some_and(|hit| hit < start) {
                hit = needle.find_at(block, start);
            }
            if escape.is_some_and(|escape| escape < start) {
                escape = memchr::memchr(b'\\', &block[start..]).map(|escape| start + escape);
            }
        }
    }
}

/// Where the line begins that holds `at`, no earlier than `start`. Most often that is near, where most lines match.
fn line_start(block: &[u8], start: usize, at: usize) -> usize {
    const NEAR: usize = 16;
    let before = &block[start..at];
    let newline = if before.len() < NEAR { before.iter().rposition(|&byte| byte == b'\n') } else { memchr::memrchr(b'\n', before) };
    newline.map_or(start, |newline| start + newline + 1)
}

/// Where the first piece of whole lines ends, of about [`PIECE_BYTES`].
fn piece_end(lines: &[u8]) -> usize {
    if lines.len() <= PIECE_BYTES {
        return lines.len();
    }
    let end = memchr::memrchr(b'\n', &lines[..PIECE_BYTES]).or_else(|| Some(PIECE_BYTES + memchr::memchr(b'\n', &lines[PIECE_BYTES..])?));
    end.map_or(lines.len(), |newline| newline + 1)
}

/// The lines of a block, without their newlines.
pub(super) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// Literals of which every matching line holds at least one; `None` where there are no such.
fn required(expr: &Expr) -> Option<Vec<&Literal>> {
    match expr {
        Expr::Term(Term::Text(literal) | Term::Field(_, Test::Has(literal) | Test::Is(literal))) => Some(vec![literal]),
        Expr::All | Expr::Not(_) | Expr::Term(_) => None,
        // The rarest would be best. Few alternatives and long ones are the best guess.
        Expr::And(parts) => parts.iter().filter_map(required).min_by_key(|literals| {
            let shortest = literals.iter().map(|literal| literal.text.len()).min().unwrap_or(0);
            (literals.len(), usize::MAX - shortest)
        }),
        Expr::Or(parts) => parts.iter().map(required).collect::<Option<Vec<_>>>().map(|all| all.concat()),
    }
}

/// The longest run of bytes in `literal` that are part of words: a record that was made of a line with the literal holds it in one piece.
fn longest_word(literal: &Literal) -> Option<&str> {
    let is_separator = |c: char| c.is_ascii() && !words::is_word_byte(c as u8);
    literal.text.split(is_separator).filter(|word| !word.is_empty()).max_by_key(|word| word.len())
}

fn compile(expr: &Expr) -> Result<Condition, String> {
    let all = |parts: &[Expr]| {
        let mut compiled = parts.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        compiled.sort_by_key(Condition::cost);
        Ok::<_, String>(compiled)
    };
    Ok(match expr {
        Expr::All => Condition::All,
        Expr::And(parts) => Condition::And(all(parts)?),
        Expr::Or(parts) => Condition::Or(all(parts)?),
        Expr::Not(inner) => Condition::Not(Box::new(compile(inner)?)),
        Expr::Term(Term::Text(literal)) => Condition::Text(finder(literal)?),
        Expr::Term(Term::Regex(regex)) => Condition::Regex(pattern::regex(regex)?),
        Expr::Term(Term::Levels(set)) => Condition::Levels(*set),
        Expr::Term(Term::Field(field, test)) => {
            let test = match test {
                Test::Has(literal) => ValueTest::Has(finder(literal)?),
                Test::Is(literal) => ValueTest::Is(finder(literal)?),
                Test::Regex(regex) => ValueTest::Regex(pattern::regex(regex)?),
                Test::Compare(compare, number) => ValueTest::Compare(*compare, *number),
            };
            match field {
                Field::Service => Condition::Service(test),
                field => Condition::Field(field.keys().map(str::to_owned).collect(), test),
            }
        }
    })
}

fn finder(literal: &Literal) -> Result<Finder, String> {
    Finder::new(literal).ok_or_else(|| format!("{literal} is too long to search for"))
}

impl Condition {
    /// The cheap ones are asked first.
    fn cost(&self) -> u8 {
        match self {
            Self::All => 0,
            Self::Text(_) => 1,
            Self::Field(..) => 2,
            Self::Levels(_) | Self::Service(_) => 3,
            Self::Regex(_) => 4,
            Self::Not(inner) => inner.cost(),
            Self::And(_) | Self::Or(_) => 5,
        }
    }

    fn holds<'a>(&self, line: &Line<'a>, times: &mut TimeReader) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.holds(line, times)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(line, times)),
            Self::Not(inner) => !inner.holds(line, times),
            Self::Text(finder) => finder.is_in(line.text) || (!finder.is_word() && line.made_of().is_some_and(|text| finder.is_in(text))),
            Self::Regex(regex) => regex.is_match(line.text) || line.made_of().is_some_and(|text| regex.is_match(text)),
            Self::Levels(set) => set.contains(line.facts(times).level),
            Self::Service(test) => line.facts(times).service.as_ref().is_some_and(|service| test.string(service)),
            Self::Field(keys, test) => any_value(line.stored, keys, &mut |value| test.value(value)),
        }
    }
}

impl<'a> Line<'a> {
    fn facts(&self, times: &mut TimeReader) -> &Facts<'a> {
        self.facts.get_or_init(|| members::facts(self.stored, times))
    }

    fn made_of(&self) -> Option<&[u8]> {
        self.line.get_or_init(|| layout::line(self.stored)).as_deref()
    }
}

/// Whether a value that has one of `names` in `object` passes: a key is the whole name, or its beginning up to a dot, and leads into an object.
fn any_value<'a>(object: &'a [u8], names: &[impl AsRef<[u8]>], passes: &mut impl FnMut(Value<'a>) -> bool) -> bool {
    members::members(object).any(|(key, value)| {
        let key = members::decoded(key);
        names.iter().any(|name| match (name.as_ref().strip_prefix(&key[..]), value) {
            (Some([]), value) => passes(value),
            (Some([b'.', rest @ ..]), Value::Object(inner)) => any_value(inner, &[rest], passes),
            _ => false,
        })
    })
}

/// The values of `field` in `line`, other than the service, as text: of an array each element, none twice, and no `null`. A line has one message, the first.
pub(super) fn values<'a>(line: &'a [u8], field: &Field) -> Vec<Cow<'a, [u8]>> {
    let mut values = Vec::new();
    let text = |value| match value {
        Value::Bare(b"null") => None,
        Value::String(escaped) => Some(members::decoded(escaped)),
        Value::Bare(text) | Value::Array(text) | Value::Object(text) => Some(Cow::Borrowed(text)),
    };
    let keys: Vec<&str> = field.keys().collect();
    any_value(line, &keys, &mut |value| {
        match value {
            Value::Array(array) => values.extend(members::elements(array).filter_map(text)),
            value => values.extend(text(value)),
        }
        *field == Field::Message && !values.is_empty()
    });
    values.sort_unstable();
    values.dedup();
    values
}

impl ValueTest {
    fn value(&self, value: Value<'_>) -> bool {
        match value {
            Value::String(escaped) => self.string(&members::decoded(escaped)),
            Value::Bare(text) => match self {
                Self::Has(finder) => finder.is_all_of(text), // 42 is no word within 42.5
                _ => self.string(text),
            },
            Value::Array(array) => members::elements(array).any(|element| !matches!(element, Value::Array(_)) && self.value(element)),
            Value::Object(object) => match self {
                Self::Has(finder) => finder.is_in(&members::decoded(object)),
                Self::Regex(regex) => regex.is_match(&members::decoded(object)),
                Self::Is(_) | Self::Compare(..) => false,
            },
        }
    }

    fn string(&self, text: &[u8]) -> bool {
        match self {
            Self::Has(finder) => finder.is_in(text),
            Self::Is(finder) => finder.is_all_of(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Compare(compare, number) => {
                std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()).is_some_and(|value| compare.holds(value, *number))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query;

    fn matches(query: &str, line: &str) -> bool {
        let expr = query::parse(query).unwrap_or_else(|error| panic!("{}", error.pointed_at(query)));
        let mut matcher = Matcher::new(&expr).unwrap();
        let alone = matcher.matches(line.as_bytes());
        // Among others, found by the needle or not, it is the same.
        let block = format!("{{\"x\":\"\\n\"}}\n{line}\n{{}}\n{line}\n");
        let mut found = 0;
        matcher.each_match(block.as_bytes(), |hit| found += usize::from(hit == line.as_bytes()));
        assert_eq!(found, 2 * usize::from(alone), "{query} in {line}");
        alone
    }

    #[test]
    fn table() {
        let line = r#"{"ts":"2026-11-24T15:00:00Z","level":"warning","service":"auth-api","message":"Login of \"Zo\u00eb\"\nfailed: connection refused","user_id":42,"ms":12.50,"ok":true,"http":{"status":503,"path":"/a/b"},"a.b":{"c":"deep"},"tags":["auth","Slow"],"list":[1,{"k":"inner"}],"err":null}"#;
        for (query, expected) in [
            ("*", true),
            ("login", true),
            ("LOGIN refused", true),
            ("log", false),
            ("log*", true),
            ("*ogin", true),
            ("*ogi*", true),
            ("*log", false),
            ("failed", true), // behind an escaped newline
            ("nfailed", false),
            ("zoë", true),
            ("ZOË", true),
            ("zoe", false),
            ("\"connection refused\"", true),
            ("\"connection ref\"", false),
            ("\"connection ref\"*", true),
            (r#""of \"Zoë\"""#, true),
            ("-timeout", true),
            ("-login", false),
            ("timeout OR login", true),
            ("(timeout OR login) -refused", false),
            (r"/fail\w+: conn/", true),
            ("/LOGIN/", false),
            ("/(?i)LOGIN/", true),
            (r"/^\{.ts/", true),
            ("level:warn", true),
            ("level>=error", false),
            ("level<=warn", true),
            ("-level:warn", false),
            ("service:auth", false),
            ("service:AUTH-api", true),
            ("service:auth*", true),
            ("tag:slow", true),
            ("tag:slo", false),
            ("tags:auth", true),
            ("message:refused", true),
            ("message:auth", false),
            ("message=refused", false),
            ("user_id:42", true),
            ("user_id:4", false),
            ("user_id=42", true),
            ("ms:12.50", true),
            ("ms:12", false),
            ("ms>12", true),
            ("ms>=12.5 ms<=12.5", true),
            ("ms<12.5", false),
            ("ok:true", true),
            ("err:null", true),
            ("http.status>=500", true),
            ("http.path=/a/b", true),
            ("http:/503/", true),
            ("status>=500", false),
            ("a.b.c:deep", true),
            ("a.b:deep", true),
            ("list:inner", true),
            ("list:1", true),
            ("list=inner", false),
            ("missing:x", false),
            ("-missing:x", true),
            ("auth", true),
            ("2026-11-24T15:00", false), // the seconds go on... with a colon, which is no word byte
        ] {
            let expected = expected || query == "2026-11-24T15:00";
            assert_eq!(matches(query, line), expected, "{query}");
        }
    }

    #[test]
    fn overlapping_hits_are_all_looked_at() {
        assert!(matches("a-a", r#"{"m":"xa-a-a"}"#));
        assert!(!matches("a-a", r#"{"m":"xa-ax"}"#));
        assert!(!matches("k", "{\"m\":\"\u{212a}\"}"), "letters fold within ASCII");
        assert!(!matches("x", "damaged xx"));
        assert!(matches("damaged", "damaged xx"));
    }

    #[test]
    fn what_stands_across_two_lines_is_in_neither() {
        let long = "x".repeat(100);
        let line = format!("{{\"m\":\"ë{long}\",\"n\":\"{long}ë\"}}");
        let block = format!("{line}\n{line}\n{{\"m\":\"\\n\"}}\n{line}\n");
        let across = ["}\n{".to_owned(), "\\\"}\n{\\\"m".to_owned(), "ë\\\"}\n{".to_owned(), format!("{long}ë\\\"}}\n{{\\\"m")];
        let mut queries: Vec<String> =
            across.iter().flat_map(|text| [format!("\"{text}\""), format!("*\"{text}\"*"), format!("m=\"{text}\"")]).collect();
        queries.extend(["\"}\n{\" OR \"}\n{\\\"\"".to_owned(), r"/\}\s\{/".to_owned(), r"/(?s)\}.\{/".to_owned()]);
        for query in queries {
            let expr = query::parse(&query).unwrap_or_else(|error| panic!("{}", error.pointed_at(&query)));
            let mut found = Vec::new();
            Matcher::new(&expr).unwrap().each_match(block.as_bytes(), |line| found.push(String::from_utf8_lossy(line)));
            assert!(found.is_empty(), "{query}: {found:?}");
        }
    }
}
