//! Own shapes: regexes with named groups, from the configuration.
//!
//! The groups `timestamp`, `level`, `service` and `message` (or what else names those in JSON lines) are what they say; others become members under their names.
//! Patterns are tried in their order, before the usual shapes. Their cost is theirs alone: without one there is none.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::parts::{Kind, Member, Name, Parts, Span};
use crate::limits::{PATTERNS_MAX, REGEX_BYTES_MAX, TEXT_MEMBERS_MAX};
use crate::record::timestamp::forms;
use crate::record::{KnownKey, known_key, regex};

/// One pattern.
#[derive(Debug, Clone)]
struct Pattern {
    regex: Regex,
    /// Of the last match; reused.
    captures: Captures,
    /// By group, from 1.
    groups: Vec<Option<(Group, Box<str>)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Known(KnownKey),
    Member,
}

/// The patterns of a configuration, compiled.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Compiles `regex` and adds it; or says what is wrong with it, and where.
    pub fn add(&mut self, pattern: &str) -> Result<(), String> {
        if self.0.len() == PATTERNS_MAX {
            return Err(format!("expected at most {PATTERNS_MAX} patterns"));
        }
        let regex = regex::compile(&[pattern])?;
        let names = regex.group_info().pattern_names(regex_automata::PatternID::ZERO);
        let mut groups = Vec::new();
        let mut known = Vec::new();
        for name in names.skip(1) {
            let Some(name) = name else {
                groups.push(None);
                continue;
            };
            let group = known_key(name).map_or(Group::Member, Group::Known);
            if matches!(name, "layout" | "tags") {
                return Err(format!("expected another name than {name} for a group: logboom's own member has it"));
            }
            if group != Group::Member && known.contains(&group) {
                return Err(format!("expected one group that means what {name} means"));
            }
            known.push(group);
            groups.push(Some((group, name.into())));
        }
        let named = groups.iter().flatten().count();
        if named == 0 || named > TEXT_MEMBERS_MAX {
            return Err(format!("expected 1 to {TEXT_MEMBERS_MAX} named groups, such as (?<message>.*)"));
        }
        debug_assert!(pattern.len() <= REGEX_BYTES_MAX);
        self.0.push(Pattern { captures: regex.create_captures(), regex, groups });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a group that is a member.
    pub(super) fn group_name(&self, pattern: u16, group: u16) -> &str {
        self.0[usize::from(pattern)].groups[usize::from(group)].as_ref().map_or("", |(_, name)| name)
    }

    /// Reads `line` by the first pattern that matches. Whether one does.
    pub(super) fn read(&mut self, line: &str, parts: &mut Parts) -> bool {
        self.0.iter_mut().enumerate().any(|(at, pattern)| pattern.read(line, at as u16, parts))
    }
}

impl Pattern {
    fn read(&mut self, line: &str, at: u16, parts: &mut Parts) -> bool {
        self.regex.captures(line, &mut self.captures);
        if !self.captures.is_match() {
            return false;
        }
        // Groups within groups repeat bytes of the line: twice at most, so that records stay bounded.
        let mut bytes_left = 2 * line.len();
        for (n, group) in self.groups.iter().enumerate() {
            let (Some((group, _)), Some(found)) = (group, self.captures.get_group(n + 1)) else { continue };
            let span = Span::new(found.start, found.end);
            let Some(left) = bytes_left.checked_sub(found.len()) else { continue };
            bytes_left = left;
            match group {
                Group::Known(KnownKey::Time) => {
                    // A time that is not understood stays in the line's layout; the record has the time it was received.
                    if let Some(time) = forms::whole(span.of(line)) {
                        parts.set_time(time, found.start, true);
                    }
                }
                Group::Known(KnownKey::Level) => parts.set_level(line.as_bytes(), span),
                Group::Known(KnownKey::Service) => parts.service = Some(span),
                Group::Known(KnownKey::Message) => parts.message = span,
                Group::Member => parts.push(Member { name: Name::Group { pattern: at, group: n as u16 }, span, kind: Kind::Text }),
            }
        }
        true
    }
}
