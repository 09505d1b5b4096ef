//! Characters to tokens, each with its column.

use super::{Compare, Literal, QueryError};

/// What a query is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Or,
    And,
    Not,
    /// `field:`, `field=`, `field>=` …; what it applies to follows.
    Field(String, Relation),
    Literal(Literal),
    Regex(String),
    /// `*` alone.
    Star,
}

/// What stands between a field and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Has,
    Is,
    Compare(Compare),
}

/// A token and the column where it begins, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) column: usize,
}

pub(super) struct Lexer {
    chars: Vec<char>,
    at: usize,
    tokens: Vec<Placed>,
}

pub(super) fn tokens(query: &str) -> Result<Vec<Placed>, QueryError> {
    let mut lexer = Lexer { chars: query.chars().collect(), at: 0, tokens: Vec::new() };
    while let Some(char) = lexer.peek() {
        if char.is_whitespace() {
            lexer.at += 1;
        } else {
            lexer.token(char)?;
        }
    }
    Ok(lexer.tokens)
}

pub(super) fn error<T>(column: usize, message: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError { column, message: message.into() })
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn push(&mut self, token: Token, from: usize) {
        self.tokens.push(Placed { token, column: from + 1 });
    }

    fn token(&mut self, char: char) -> Result<(), QueryError> {
        let from = self.at;
        match char {
            '(' | ')' => {
                self.at += 1;
                self.push(if char == '(' { Token::Open } else { Token::Close }, from);
            }
            '-' => {
                self.at += 1;
                if self.peek().is_none_or(char::is_whitespace) {
                    return error(from + 1, "- negates what follows it without a space; a dash is searched for as \"-\"");
                }
                self.push(Token::Not, from);
            }
            _ => {
                let field = self.field();
                // Only behind a colon, or alone, a slash begins a regular expression: path=/a/b is a path.
                let may_be_regex = field.as_ref().is_none_or(|(_, relation, _)| *relation == Relation::Has);
                if let Some((name, relation, len)) = field {
                    self.at += len;
                    self.push(Token::Field(name, relation), from);
                }
                self.value(from, may_be_regex)?;
            }
        }
        Ok(())
    }

    /// The name and relation that begin here, and how long they are. A name begins with a letter, `_` or `@`.
    fn field(&self) -> Option<(String, Relation, usize)> {
        let rest = &self.chars[self.at..];
        let is_first = |c: char| c.is_alphabetic() || matches!(c, '_' | '@');
        let is_next = |c: char| c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | '-' | '/' | '$');
        let len = rest.iter().take_while(|&&c| is_next(c)).count();
        if len == 0 || !is_first(rest[0]) {
            return None;
        }
        let next_is_equal = rest.get(len + 1) == Some(&'=');
        let (relation, sign_len) = match rest.get(len)? {
            ':' => (Relation::Has, 1),
            '=' => (Relation::Is, 1),
            '<' if next_is_equal => (Relation::Compare(Compare::LessOrEqual), 2),
            '<' => (Relation::Compare(Compare::Less), 1),
            '>' if next_is_equal => (Relation::Compare(Compare::GreaterOrEqual), 2),
            '>' => (Relation::Compare(Compare::Greater), 1),
            _ => return None,
        };
        Some((rest[..len].iter().collect(), relation, len + sign_len))
    }

    /// A word, phrase or regular expression. `from` is where its field began.
    fn value(&mut self, from: usize, may_be_regex: bool) -> Result<(), QueryError> {
        let begun = self.at;
        let is_of_field = begun != from;
        let open_start = self.star();
        let text = match self.peek() {
            Some('/') if may_be_regex && !open_start => {
                let regex = self.regex()?;
                self.push(Token::Regex(regex), begun);
                return Ok(());
            }
            Some('"') => self.quoted()?,
            _ => self.bare(),
        };
        let open_end = self.star();
        if text.is_empty() {
            if open_start {
                self.push(Token::Star, begun);
                return Ok(());
            }
            if is_of_field && self.peek() != Some('(') {
                return error(from + 1, "a value must follow: field:word, field:\"a phrase\", field:/regex/");
            }
            if is_of_field {
                return error(begun + 1, "a field takes one value; write (field:a OR field:b)");
            }
        }
        if let Some(next) = self.peek().filter(|&next| !next.is_whitespace() && next != ')') {
            return error(self.at + 1, format!("a space must stand before {next:?}, or all of it in quotes"));
        }
        let token = match &text[..] {
            "OR" if !is_of_field && self.is_bare(begun) => Token::Or,
            "AND" if !is_of_field && self.is_bare(begun) => Token::And,
            "NOT" if !is_of_field && self.is_bare(begun) => Token::Not,
            _ => Token::Literal(Literal { text, open_start, open_end }),
        };
        self.push(token, begun);
        Ok(())
    }

    fn is_bare(&self, begun: usize) -> bool {
        self.chars[begun] != '"' && self.chars[begun] != '*'
    }

    fn star(&mut self) -> bool {
        let is_star = self.peek() == Some('*');
        self.at += usize::from(is_star);
        is_star
    }

    /// Up to white space, a parenthesis, a quote or a star at its end.
    fn bare(&mut self) -> String {
        let rest = &self.chars[self.at..];
        let mut len = rest.iter().take_while(|&&c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"')).count();
        if len > 0 && rest[len - 1] == '*' {
            len -= 1;
        }
        self.at += len;
        rest[..len].iter().collect()
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let from = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let char = self.peek();
            self.at += 1;
            match char {
                None => return error(from + 1, "this quote is never closed"),
                Some('"') if text.is_empty() => return error(from + 1, "there is nothing between these quotes"),
                Some('"') => return Ok(text),
                Some('\\') if matches!(self.peek(), Some('"' | '\\')) => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                Some(char) => text.push(char),
            }
        }
    }

    fn regex(&mut self) -> Result<String, QueryError> {
        let from = self.at;
        let mut regex = String::new();
        self.at += 1;
        loop {
            let char = self.peek();
            self.at += 1;
            match char {
                None => {
                    return error(
                        from + 1,
                        "this / begins a regular expression that is never closed by another; to search for a slash, put it in quotes",
                    );
                }
                Some('/') if regex.is_empty() => {
                    return error(from + 1, "an empty regular expression; to search for slashes, put them in quotes");
                }
                Some('/') => break,
                Some('\\') if self.peek() == Some('/') => {
                    regex.push('/');
                    self.at += 1;
                }
                Some('\\') => {
                    regex.push('\\');
                    regex.extend(self.peek());
                    self.at += 1;
                }
                Some(char) => regex.push(char),
            }
        }
        match self.peek() {
            Some(next) if !next.is_whitespace() && next != ')' => error(
                self.at + 1,
                "a space must stand after a regular expression; a slash within it is written \\/; to search for a path, put it in quotes",
            ),
            _ => Ok(regex),
        }
    }
}
