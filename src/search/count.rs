//! Matching lines, counted. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use super::matcher;
use super::query::Field;
use crate::limits::{SEARCH_GROUP_NAME_BYTES_MAX, SEARCH_GROUPS_MAX};
use crate::record::timestamp::TimeReader;
use crate::record::{Level, Timestamp, members};
use crate::store::segment::{BlockStats, TimeRange};

/// By what lines are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The level.
    Level,
    /// The value of a field. Of an array each element, once: a line with two tags is counted by both. `null` is no value.
    Field(Field),
    /// Spans of so many microseconds, from 1970 UTC on.
    Time(i64),
    /// The same, and by level within each.
    TimeAndLevel(i64),
}

const MINUTE_US: i64 = 60_000_000;
/// The shortest span of time.
const SPAN_US_MIN: i64 = 1_000;

impl By {
    /// Reads `level`, `minute`, a span of time such as `10s` or `1h`, or the name of any field, as queries have it. An error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        match (text, text.parse::<jiff::SignedDuration>()) {
            ("", _) => Err("expected level, service, tag, minute, a span of time such as 10s, or the name of a field".to_owned()),
            ("level", _) => Ok(Self::Level),
            ("minute", _) => Ok(Self::Time(MINUTE_US)),
            (_, Ok(span)) => match i64::try_from(span.as_micros()) {
                Ok(span_us) if SPAN_US_MIN <= span_us => Ok(Self::Time(span_us)),
                _ => Err(format!("{text:?}: expected a span of at least 1ms, such as 10s")),
            },
            (name, Err(_)) => Ok(Self::Field(Field::of(name))),
        }
    }
}

/// What lines have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Group {
    Level(u8),
    Text(Vec<u8>),
    /// When a span begins.
    Time(i64),
    /// The same, and a level.
    TimeAndLevel(i64, u8),
    /// Without a value of the field.
    None,
}

/// Numbers of lines.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    groups: HashMap<Group, u64>,
    /// Those of the groups that are not kept apart.
    other: u64,
}

impl Counts {
    /// The groups by name, the largest first; spans of time by time, and levels by level. Those that come after the first `max` are one.
    pub fn groups(&self, max: usize) -> Vec<(String, u64)> {
        let mut groups: Vec<(&Group, u64)> = self.groups.iter().map(|(group, &lines)| (group, lines)).collect();
        groups.sort_unstable_by(|(a, a_lines), (b, b_lines)| match (a, b) {
            (Group::Text(_), _) | (_, Group::Text(_)) => b_lines.cmp(a_lines).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        });
        let mut other = self.other;
        if max < groups.len() + usize::from(0 < other) {
            other += groups.drain(max.saturating_sub(1)..).map(|(_, lines)| lines).sum::<u64>();
        }
        let named = groups.into_iter().map(|(group, lines)| (group.name(), lines));
        named.chain((0 < other).then(|| ("(other)".to_owned(), other))).collect()
    }

    /// Spans of time that were counted by level, the first `max` of them: when each begins, and its lines by level.
    pub fn times_by_level(&self, max: usize) -> Vec<(String, [u64; Level::COUNT])> {
        let mut times = BTreeMap::<i64, [u64; Level::COUNT]>::new();
        for (group, &lines) in &self.groups {
            if let Group::TimeAndLevel(begin_us, level) = group {
                times.entry(*begin_us).or_default()[usize::from(*level)] += lines;
            }
        }
        times.into_iter().take(max).map(|(begin_us, levels)| (Timestamp(begin_us).to_rfc3339(), levels)).collect()
    }

    /// Groups get their places as they come, and keep them: one that has a place has all its lines.
    fn add_to(&mut self, group: Group, lines: u64) {
        if self.groups.len() < SEARCH_GROUPS_MAX {
            *self.groups.entry(group).or_default() += lines;
        } else {
            *self.groups.get_mut(&group).unwrap_or(&mut self.other) += lines;
        }
    }
}

/// What one of several threads has counted since it last added that to what all of them count.
///
/// Invariant: no more than [`SEARCH_GROUPS_MAX`] groups are held back, and none of them is refused a place here.
#[derive(Debug)]
pub(super) struct Part<'a> {
    all: &'a Mutex<Counts>,
    own: Counts,
}

impl<'a> Part<'a> {
    pub(super) fn of(all: &'a Mutex<Counts>) -> Self {
        Self { all, own: Counts::default() }
    }

    /// Counts a line.
    pub(super) fn add(&mut self, by: Option<&By>, line: &[u8], time_us: i64, times: &mut TimeReader) {
        self.own.total += 1;
        match by {
            None => {}
            Some(By::Level) => self.add_to(Group::Level(members::facts(line, times).level as u8), 1),
            Some(&By::Time(span_us)) => self.add_to(Group::Time(begin(time_us, span_us)), 1),
            Some(&By::TimeAndLevel(span_us)) => {
                let level = members::facts(line, times).level;
                self.add_to(Group::TimeAndLevel(begin(time_us, span_us), level as u8), 1);
            }
            Some(By::Field(Field::Service)) => {
                let service = members::facts(line, times).service;
                self.add_to(service.map_or(Group::None, |service| Group::Text(service.into_owned())), 1);
            }
            Some(By::Field(field)) => {
                let values = matcher::values(line, field);
                if values.is_empty() {
                    self.add_to(Group::None, 1);
                }
                values.into_iter().for_each(|value| self.add_to(Group::Text(value.into_owned()), 1));
            }
        }
    }

    /// Counts all lines of a block, if its table tells enough; returns whether it does.
    pub(super) fn add_block(&mut self, by: Option<&By>, stats: &BlockStats, time: TimeRange) -> bool {
        match by {
            None => {}
            Some(By::Level) => {
                for level in Level::ALL {
                    let lines = stats.levels[level as usize];
                    if lines > 0 {
                        self.add_to(Group::Level(level as u8), lines);
                    }
                }
            }
            Some(&By::Time(span_us)) if begin(time.min_us, span_us) == begin(time.max_us, span_us) => {
                self.add_to(Group::Time(begin(time.min_us, span_us)), stats.lines);
            }
            Some(&By::TimeAndLevel(span_us)) if begin(time.min_us, span_us) == begin(time.max_us, span_us) => {
                for level in Level::ALL {
                    let lines = stats.levels[level as usize];
                    if lines > 0 {
                        self.add_to(Group::TimeAndLevel(begin(time.min_us, span_us), level as u8), lines);
                    }
                }
            }
            Some(By::Time(_) | By::TimeAndLevel(_) | By::Field(_)) => return false,
        }
        self.own.total += stats.lines;
        true
    }

    fn add_to(&mut self, group: Group, lines: u64) {
        if matches!(&group, Group::Text(name) if SEARCH_GROUP_NAME_BYTES_MAX < name.len()) {
            self.own.other += lines;
            return;
        }
        if self.own.groups.len() == SEARCH_GROUPS_MAX {
            self.hand_over();
        }
        self.own.add_to(group, lines);
    }

    /// Adds what was counted to what all count.
    pub(super) fn hand_over(&mut self) {
        // Numbers that a panic elsewhere left half added are of a search that ends with it.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.total += std::mem::take(&mut self.own.total);
        all.other += std::mem::take(&mut self.own.other);
        self.own.groups.drain().for_each(|(group, lines)| all.add_to(group, lines));
    }
}

impl Group {
    fn name(&self) -> String {
        match self {
            Self::Level(level) => Level::ALL[usize::from(*level)].name().to_owned(),
            Self::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Time(begin_us) => Timestamp(*begin_us).to_rfc3339(),
            Self::TimeAndLevel(begin_us, level) => {
                format!("{} {}", Timestamp(*begin_us).to_rfc3339(), Level::ALL[usize::from(*level)].name())
            }
            Self::None => "(none)".to_owned(),
        }
    }
}

/// When the span begins that holds `time_us`.
fn begin(time_us: i64, span_us: i64) -> i64 {
    time_us.saturating_sub(time_us.rem_euclid(span_us))
}
