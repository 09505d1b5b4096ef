//! What rules did: records by tag, and lines left out by exclusion. All shards together.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::limits::RULE_SHOWN_BYTES_MAX;
use crate::rules::{RuleCounts, Rules};

/// Where the counts of all shards meet.
#[derive(Debug, Default)]
pub struct RuleTotals {
    names: OnceLock<RuleNames>,
    counts: Mutex<RuleCounts>,
}

/// What the counts are called.
#[derive(Debug, Default)]
struct RuleNames {
    excludes: Vec<String>,
    tags: Vec<Box<str>>,
}

impl RuleTotals {
    /// Tells the names: the exclusions as they were typed, of long ones the beginning, and the tags. Once.
    pub fn name(&self, excludes: Vec<String>, rules: &Rules) {
        let shown = |mut text: String| {
            text.truncate(text.floor_char_boundary(RULE_SHOWN_BYTES_MAX));
            text
        };
        let excludes = excludes.into_iter().map(shown).collect();
        let names = RuleNames { excludes, tags: rules.tag_names().to_vec() };
        assert!(self.names.set(names).is_ok(), "rules are named once");
    }

    /// Adds a shard's counts and makes them zero.
    pub fn publish(&self, rules: &mut Rules) {
        if !rules.is_empty() {
            rules.publish(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Records by tag.
    pub fn tags(&self) -> Vec<(&str, u64)> {
        let counts = self.counts();
        let names = self.names.get().map_or(&[][..], |names| &names.tags);
        names.iter().enumerate().map(|(n, name)| (&**name, counts.tagged.get(n).copied().unwrap_or(0))).collect()
    }

    /// Lines that rules left out, by exclusion.
    pub fn excluded(&self) -> Vec<(&str, u64)> {
        let counts = self.counts();
        let names = self.names.get().map_or(&[][..], |names| &names.excludes);
        names.iter().enumerate().map(|(n, name)| (name.as_str(), counts.excluded.get(n).copied().unwrap_or(0))).collect()
    }

    /// Lines that no filter matched.
    pub fn unmatched(&self) -> u64 {
        self.counts().unmatched
    }

    fn counts(&self) -> RuleCounts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
