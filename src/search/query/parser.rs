//! Tokens to an expression: a disjunction of conjunctions of factors.

use super::lexer::{self, Placed, Relation, Token, error};
use super::{Compare, Expr, Field, LevelSet, Literal, QueryError, Term, Test};
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_REGEXES_MAX, QUERY_TERMS_MAX};
use crate::record::Level;
use crate::search::pattern;

struct Parser {
    tokens: std::vec::IntoIter<Placed>,
    terms: usize,
    regexes: usize,
    /// Where the query ends.
    end: usize,
}

pub(super) fn parse(query: &str) -> Result<Expr, QueryError> {
    if QUERY_BYTES_MAX < query.len() {
        return error(1, format!("a query has at most {QUERY_BYTES_MAX} bytes"));
    }
    let tokens = lexer::tokens(query)?;
    let mut parser = Parser { tokens: tokens.into_iter(), terms: 0, regexes: 0, end: query.chars().count() + 1 };
    if parser.tokens.as_slice().is_empty() {
        return Ok(Expr::All);
    }
    let expr = parser.either(0)?;
    match parser.tokens.next() {
        Some(Placed { column, .. }) => error(column, "this parenthesis closes none"),
        None => Ok(expr),
    }
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.as_slice().first().map(|placed| &placed.token)
    }

    fn column(&self) -> usize {
        self.tokens.as_slice().first().map_or(self.end, |placed| placed.column)
    }

    fn either(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut parts = vec![self.all(depth)?];
        while self.peek() == Some(&Token::Or) {
            self.tokens.next();
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut parts = vec![self.factor(depth)?];
        loop {
            match self.peek() {
                None | Some(Token::Close | Token::Or) => break,
                Some(Token::And) => drop(self.tokens.next()),
                Some(_) => {}
            }
            parts.push(self.factor(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn factor(&mut self, depth: usize) -> Result<Expr, QueryError> {
        if QUERY_DEPTH_MAX < depth {
            return error(self.column(), format!("parentheses and negations nest at most {QUERY_DEPTH_MAX} deep"));
        }
        let Some(Placed { token, column }) = self.tokens.next() else {
            return error(self.end, "something to search for must follow");
        };
        match token {
            Token::Open => {
                let inner = self.either(depth + 1)?;
                match self.tokens.next() {
                    Some(_) => Ok(inner), // `either` stops at nothing else
                    None => error(column, "this parenthesis is never closed"),
                }
            }
            Token::Not => Ok(Expr::Not(Box::new(self.factor(depth + 1)?))),
            Token::Star => Ok(Expr::All),
            Token::Close => error(column, "something to search for must stand before this parenthesis"),
            Token::Or | Token::And => {
                error(column, "something to search for must stand on both sides; the word itself is searched for in quotes")
            }
            Token::Literal(literal) => self.term(Term::Text(literal), column),
            Token::Regex(regex) => {
                check_regex(&regex, column)?;
                self.term(Term::Regex(regex), column)
            }
            Token::Field(name, relation) => {
                let value = self.tokens.next().expect("the lexer puts a value behind a field");
                let term = field(name, column, relation, value)?;
                self.term(term, column)
            }
        }
    }

    fn term(&mut self, term: Term, column: usize) -> Result<Expr, QueryError> {
        self.terms += 1;
        if QUERY_TERMS_MAX < self.terms {
            return error(column, format!("a query has at most {QUERY_TERMS_MAX} conditions"));
        }
        self.regexes += usize::from(matches!(term, Term::Regex(_) | Term::Field(_, Test::Regex(_))));
        if QUERY_REGEXES_MAX < self.regexes {
            return error(column, format!("a query has at most {QUERY_REGEXES_MAX} regular expressions; one can hold several: /a|b/"));
        }
        Ok(Expr::Term(term))
    }
}

fn field(name: String, column: usize, relation: Relation, value: Placed) -> Result<Term, QueryError> {
    let Placed { token, column: value_column } = value;
    let is_level = name == "level";
    let field = Field::of(&name);
    let test = match (relation, token) {
        (Relation::Has | Relation::Is, Token::Literal(literal)) if is_level => {
            let wanted = level(&literal, value_column)?;
            return Ok(Term::Levels(LevelSet::of(|level| level == wanted)));
        }
        (Relation::Compare(compare), Token::Literal(literal)) if is_level => {
            let wanted = level(&literal, value_column)?;
            return Ok(Term::Levels(at_levels(compare, wanted)));
        }
        (_, Token::Star) => return error(value_column, "a star alone is no value; a word may begin or end with one"),
        (_, Token::Regex(_)) if is_level => {
            return error(value_column, "a level is a name; write (level:warn OR level:error) or level>=warn");
        }
        (Relation::Has, Token::Regex(regex)) => {
            check_regex(&regex, value_column)?;
            Test::Regex(regex)
        }
        (Relation::Has, Token::Literal(literal)) if matches!(field, Field::Service | Field::Tag) => Test::Is(literal),
        (Relation::Has, Token::Literal(literal)) => Test::Has(literal),
        (Relation::Is, Token::Literal(literal)) => Test::Is(literal),
        (Relation::Compare(compare), Token::Literal(literal)) => match literal.text.parse::<f64>() {
            Ok(number) if number.is_finite() && !literal.open_start && !literal.open_end => Test::Compare(compare, number),
            _ => return error(value_column, "expected a number; only numbers and levels compare"),
        },
        _ => return error(column, "a value must follow"),
    };
    Ok(Term::Field(field, test))
}

fn level(literal: &Literal, column: usize) -> Result<Level, QueryError> {
    let found = Level::parse(literal.text.as_bytes());
    let is_named = found != Level::Unknown || literal.text.eq_ignore_ascii_case("unknown");
    if is_named && !literal.open_start && !literal.open_end {
        return Ok(found);
    }
    error(column, "no level; there are trace, debug, info, warn, error, fatal and unknown")
}

/// What has no known level is on no side of any other.
fn at_levels(compare: Compare, wanted: Level) -> LevelSet {
    LevelSet::of(|level| level != Level::Unknown && wanted != Level::Unknown && compare.holds(level as u8, wanted as u8))
}

fn check_regex(regex: &str, column: usize) -> Result<(), QueryError> {
    match pattern::regex(regex) {
        Ok(_) => Ok(()),
        Err(what) => error(column, what),
    }
}
