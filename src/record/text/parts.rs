//! What was found in a line: pieces of it, each under a name.

use super::pattern::Patterns;
use crate::limits::TEXT_MEMBERS_MAX;
use crate::record::timestamp::zone::Zone;
use crate::record::words::is_word_byte;
use crate::record::{Fields, Level, RecordMeta, Timestamp};

/// A piece of the line. Lines are shorter than 4 GiB (`limits.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        Self { start: start as u32, end: end as u32 }
    }

    pub(super) fn of(self, line: &str) -> &str {
        &line[self.start as usize..self.end as usize]
    }

    pub(super) fn bytes(self, line: &[u8]) -> &[u8] {
        &line[self.start as usize..self.end as usize]
    }
}

/// A member's name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    Fixed(&'static str),
    /// A piece of the line itself: the key of `key=value`.
    Key(Span),
    /// A group of a pattern of the configuration.
    Group {
        pattern: u16,
        group: u16,
    },
}

/// How a member's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As a string.
    Text,
    /// As a number, if it is one that every reader gives back as it stood.
    Number,
    /// As a string that stands in the line with JSON's escapes: copied as it is.
    Escaped,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub name: Name,
    pub span: Span,
    pub kind: Kind,
}

/// A time that the line names.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimePart {
    pub span: Span,
    pub time: Timestamp,
    /// Whether the text alone says when: it names the date, and its zone if that is not UTC.
    pub is_full: bool,
    /// It names no zone.
    pub is_civil: bool,
}

/// A level that the line names.
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelPart {
    pub span: Span,
    pub level: Level,
}

/// What was found in one line.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub time: Option<TimePart>,
    pub level: Option<LevelPart>,
    pub service: Option<Span>,
    pub message: Span,
    /// Whether the message stands with JSON's escapes.
    pub is_message_escaped: bool,
    /// At most [`TEXT_MEMBERS_MAX`].
    pub members: Vec<Member>,
}

/// A member's value where it stands in the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub span: Span,
    pub name: &'a str,
}

/// More than there can be: the members, and the four that have fields of their own.
const PLACES_MAX: usize = TEXT_MEMBERS_MAX + 4;

/// The places of a line in their order, none within another.
pub(super) struct Places<'a> {
    places: [Place<'a>; PLACES_MAX],
    len: usize,
}

impl<'a> Places<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Place<'a>> {
        self.places[..self.len].iter().copied()
    }

    /// Inserts a place in its order. The longer of two that begin alike comes first.
    fn insert(&mut self, span: Span, name: &'a str) {
        let key = |span: Span| (span.start, std::cmp::Reverse(span.end));
        let at = self.places[..self.len].iter().rposition(|place| key(place.span) <= key(span)).map_or(0, |at| at + 1);
        self.places.copy_within(at..self.len, at + 1);
        self.places[at] = Place { span, name };
        self.len += 1;
    }

    /// Drops what lies within the place before it.
    fn drop_nested(&mut self) {
        let (mut kept, mut end) = (0, 0);
        for at in 0..self.len {
            let place = self.places[at];
            if place.span.start >= end {
                end = place.span.end;
                self.places[kept] = place;
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Places<'_> {
    /// Drops what begins or ends within a word of the line: whoever looks for the word shall find it.
    fn drop_cutting_words(&mut self, line: &[u8]) {
        let is_within = |at: u32| {
            let at = at as usize;
            at > 0 && is_word_byte(line[at - 1]) && line.get(at).is_some_and(|&byte| is_word_byte(byte))
        };
        let mut kept = 0;
        for at in 0..self.len {
            let place = self.places[at];
            if !is_within(place.span.start) && !is_within(place.span.end) {
                self.places[kept] = place;
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Parts {
    /// Nothing but a line of `line_len` bytes as the message.
    pub(super) fn clear(&mut self, line_len: usize) {
        let Self { time, level, service, message, is_message_escaped, members } = self;
        (*time, *level, *service, *is_message_escaped) = (None, None, None, false);
        *message = Span::new(0, line_len);
        members.clear();
    }

    /// The time is of `zone`, if it names none. What is written down without a zone is read as UTC: where that is another time, the text alone does not say when.
    pub(super) fn set_zone(&mut self, zone: &mut Zone) {
        if let Some(part) = self.time.as_mut().filter(|part| part.is_civil) {
            let time = zone.time(part.time);
            part.is_full &= time == part.time;
            part.time = time;
        }
    }

    /// What follows the first line, of `first_len` bytes, belongs to the message: to its end, or, where it ends before that line does, to the line as a whole.
    pub(super) fn continue_message(&mut self, first_len: usize, line_len: usize) {
        let start = if self.message.end as usize == first_len { self.message.start as usize } else { 0 };
        self.message = Span::new(start, line_len);
        self.is_message_escaped = false;
    }

    /// Adds a member, unless there are too many; what is left out stands in `layout`.
    pub(super) fn add(&mut self, name: &'static str, span: Span) {
        self.push(Member { name: Name::Fixed(name), span, kind: Kind::Text });
    }

    /// Adds a member that is a number.
    pub(super) fn add_number(&mut self, name: &'static str, span: Span) {
        self.push(Member { name: Name::Fixed(name), span, kind: Kind::Number });
    }

    /// Adds a member; of two with one name the first.
    pub(super) fn push(&mut self, member: Member) {
        let is_taken = matches!(member.name, Name::Fixed(name) if self.has(name));
        if self.members.len() < TEXT_MEMBERS_MAX && !is_taken {
            self.members.push(member);
        }
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| matches!(member.name, Name::Fixed(fixed) if fixed == name))
    }

    /// The parts with what their names and pieces refer to.
    pub(super) fn view<'a>(&'a self, line: &'a str, patterns: &'a Patterns) -> View<'a> {
        View { parts: self, line, patterns }
    }
}

/// The parts of a line with its text.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub parts: &'a Parts,
    pub line: &'a str,
    patterns: &'a Patterns,
}

impl<'a> View<'a> {
    pub(super) fn name(&self, member: &Member) -> &'a str {
        match member.name {
            Name::Fixed(name) => name,
            Name::Key(span) => span.of(self.line),
            Name::Group { pattern, group } => self.patterns.group_name(pattern, group),
        }
    }

    /// The level as it came.
    pub(super) fn level_text(&self) -> Option<&'a str> {
        self.parts.level.map(|part| part.span.of(self.line))
    }

    pub(super) fn level(&self) -> Level {
        self.parts.level.map_or(Level::Unknown, |part| part.level)
    }

    pub(super) fn service(&self) -> Option<&'a str> {
        self.parts.service.map(|span| span.of(self.line)).filter(|name| !name.is_empty())
    }

    pub(super) fn meta(&self, received: Timestamp) -> RecordMeta<'a> {
        let time = self.parts.time.map_or(received, |part| part.time);
        RecordMeta { level: self.level(), time: Some(time), service: self.service() }
    }

    /// Where the values stand that `layout` names.
    pub(super) fn places(&self) -> Places<'a> {
        let Parts { time, level, service, message, is_message_escaped, members } = self.parts;
        let mut places = Places { places: [Place { span: Span::default(), name: "" }; PLACES_MAX], len: 0 };
        if let Some(time) = time.filter(|time| time.is_full) {
            places.insert(time.span, "timestamp");
        }
        // A level is stored by its normalised name; where that is not what came, what came stays where it is.
        if let Some(part) = level.filter(|part| part.level == Level::Unknown || part.span.of(self.line) == part.level.name()) {
            places.insert(part.span, "level");
        }
        if let Some(span) = *service {
            places.insert(span, "service");
        }
        if !is_message_escaped {
            places.insert(*message, "message");
        }
        for member in members.iter().filter(|member| member.kind != Kind::Escaped) {
            places.insert(member.span, self.name(member));
        }
        places.drop_nested();
        places.drop_cutting_words(self.line.as_bytes());
        places
    }
}

impl Fields for View<'_> {
    fn visit(&self, name: &str, found: &mut dyn FnMut(&str)) {
        match name {
            "level" => {
                found(self.level().name());
                self.level_text().into_iter().for_each(found);
            }
            "service" => self.service().into_iter().for_each(found),
            "message" => found(self.parts.message.of(self.line)),
            "timestamp" => self.parts.time.into_iter().for_each(|part| found(part.span.of(self.line))),
            _ => self.parts.members.iter().filter(|member| self.name(member) == name).for_each(|member| found(member.span.of(self.line))),
        }
    }
}
