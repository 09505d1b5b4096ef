//! Lines by source: the peer that sent them or the file they were read from.
//!
//! Those with the most lines are shown by name, the rest together. More are counted than shown; a source whose count was given up because others had more
//! begins again at zero, so a count by name may be too low, never too high, and the sum is always right.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::limits::{SOURCE_NAME_BYTES_MAX, SOURCES_COUNTED_MAX, SOURCES_SHOWN_MAX};

/// Counts of a bounded number of names.
#[derive(Debug, Default)]
pub struct SourceCounts {
    by_name: HashMap<Box<str>, u64>,
    other: u64,
}

/// Where the counts of all shards meet.
#[derive(Debug, Default)]
pub struct SourceTotals(Mutex<SourceCounts>);

/// A source's name as it is shown: without what would have to be escaped, and of a long one the end.
pub fn source_name(text: &str) -> Box<str> {
    let plain: String = text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect();
    let mut start = plain.len().saturating_sub(SOURCE_NAME_BYTES_MAX);
    while !plain.is_char_boundary(start) {
        start += 1;
    }
    plain[start..].into()
}

impl SourceCounts {
    /// Counts `lines` lines of `source`, a [`source_name`]. Once per receive, not per line.
    pub fn count(&mut self, source: &str, lines: u64) {
        if lines == 0 {
            return;
        }
        if let Some(count) = self.by_name.get_mut(source) {
            *count += lines;
            return;
        }
        if self.by_name.len() == SOURCES_COUNTED_MAX {
            self.give_up_the_least();
        }
        self.by_name.insert(source.into(), lines);
    }

    /// Keeps as many as are shown.
    fn give_up_the_least(&mut self) {
        let mut counts: Vec<u64> = self.by_name.values().copied().collect();
        let (_, least, _) = counts.select_nth_unstable_by(SOURCES_SHOWN_MAX - 1, |a, b| b.cmp(a));
        let least = *least;
        let mut ties_left = SOURCES_SHOWN_MAX - self.by_name.values().filter(|count| **count > least).count();
        self.by_name.retain(|_, count| {
            let is_tie = *count == least && ties_left > 0;
            ties_left -= usize::from(is_tie);
            let is_kept = *count > least || is_tie;
            self.other += if is_kept { 0 } else { *count };
            is_kept
        });
    }
}

impl SourceTotals {
    /// Adds a shard's counts and makes them zero.
    pub fn publish(&self, counts: &mut SourceCounts) {
        if counts.by_name.is_empty() {
            return;
        }
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.other += std::mem::take(&mut counts.other);
        for (name, count) in counts.by_name.drain() {
            totals.count(&name, count);
        }
    }

    /// The `max` sources with the most lines, the most first, and the lines of all others together.
    pub fn largest(&self, max: usize) -> (Vec<(Box<str>, u64)>, u64) {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name: Vec<(Box<str>, u64)> = totals.by_name.iter().map(|(name, count)| (name.clone(), *count)).collect();
        let other = totals.other;
        drop(totals);
        by_name.sort_unstable_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        let rest = by_name.split_off(max.min(by_name.len()));
        (by_name, other + rest.iter().map(|(_, count)| count).sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_up_and_nothing_goes_uncounted() {
        let totals = SourceTotals::default();
        let mut counts = SourceCounts::default();
        for round in 0..5 {
            for n in 0..3_000 {
                counts.count(&format!("small-{round}-{n}"), 1);
            }
            for n in 0..500 {
                counts.count(&format!("large-{n}"), 1_000);
            }
            totals.publish(&mut counts);
        }
        counts.count("late", 1_000_000);
        totals.publish(&mut counts);
        let (largest, other) = totals.largest(SOURCES_SHOWN_MAX);
        assert_eq!(largest.len(), SOURCES_SHOWN_MAX);
        assert_eq!((&*largest[0].0, largest[0].1), ("late", 1_000_000));
        assert!(largest[1..501].iter().all(|(name, count)| name.starts_with("large-") && *count == 5_000));
        assert_eq!(largest.iter().map(|(_, count)| count).sum::<u64>() + other, 5 * (3_000 + 500_000) + 1_000_000);
    }

    #[test]
    fn names_are_plain_and_short() {
        assert_eq!(&*source_name("192.0.2.1"), "192.0.2.1");
        assert_eq!(&*source_name("/var/log/\"a\\b\n.log"), "/var/log/_a_b_.log");
        let long = source_name(&format!("{}x.log", "é".repeat(100)));
        assert!(long.len() <= SOURCE_NAME_BYTES_MAX && long.ends_with("éx.log"));
    }
}
