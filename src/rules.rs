//! Filters, exclusions and tags: which records are kept, and what they are marked with. Pure.
//!
//! A *rule* is a regex on the whole line or on one field ([`syntax`]). Those on the same target are one set, so each target is matched once however many rules
//! there are. A record is kept if any filter matches, or there is none, and no exclusion does. Each shard has its own copy and shares nothing.

pub mod syntax;

use regex_automata::meta::Regex;
use regex_automata::{Input, PatternSet};

use crate::limits::RULES_MAX;
use crate::record::{Fields, regex};

use self::syntax::{Matcher, TagRule};

/// Rules as they were read.
#[derive(Debug, Clone, Default)]
pub struct RuleTexts {
    /// Any must match.
    pub filters: Vec<Matcher>,
    /// None may.
    pub excludes: Vec<Matcher>,
    /// What a record that matches is marked with.
    pub tags: Vec<TagRule>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept, with these tags: bits, by [`Rules::tag_names`].
    Kept(u64),
    /// No filter matches it.
    Unmatched,
    /// The exclusion with this number matches it.
    Excluded(usize),
}

/// What rules did, since somebody last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Lines that no filter matched.
    pub unmatched: u64,
    /// Lines left out, by exclusion.
    pub excluded: Vec<u64>,
    /// Records kept, by tag.
    pub tagged: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Filter,
    Exclude(usize),
    Tag(usize),
}

/// The rules on one target.
#[derive(Debug, Clone)]
struct Target {
    /// None: the whole line.
    field: Option<Box<str>>,
    regex: Regex,
    /// By pattern of the regex.
    roles: Vec<Role>,
    /// Reused.
    matched: PatternSet,
}

/// Compiled rules.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    targets: Vec<Target>,
    has_filter: bool,
    tag_names: Vec<Box<str>>,
    counts: RuleCounts,
}

/// What the rules that match say.
#[derive(Default)]
struct Said {
    is_filter_met: bool,
    excluded_by: Option<usize>,
    tags: u64,
}

impl Rules {
    /// Compiles them: each alone is valid already, so what may fail is only that they are too many or too large together.
    pub fn compile(texts: &RuleTexts) -> Result<Self, String> {
        let RuleTexts { filters, excludes, tags } = texts;
        if [filters.len(), excludes.len(), tags.len()].iter().any(|count| *count > RULES_MAX) {
            return Err(format!("expected at most {RULES_MAX} rules of each kind"));
        }
        let mut rules = Self { has_filter: !filters.is_empty(), ..Self::default() };
        let mut all: Vec<(&Matcher, Role)> = filters.iter().map(|filter| (filter, Role::Filter)).collect();
        all.extend(excludes.iter().enumerate().map(|(n, exclude)| (exclude, Role::Exclude(n))));
        for TagRule { name, matcher } in tags {
            let tag = rules.tag_names.iter().position(|known| **known == **name).unwrap_or_else(|| {
                rules.tag_names.push(name.as_str().into());
                rules.tag_names.len() - 1
            });
            all.push((matcher, Role::Tag(tag)));
        }
        while let Some((first, _)) = all.first() {
            let field = first.field.clone();
            let (here, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(matcher, _)| matcher.field == field);
            all = rest;
            let regexes: Vec<&str> = here.iter().map(|(matcher, _)| matcher.regex.as_str()).collect();
            let regex = regex::compile(&regexes)?;
            let (matched, roles) = (PatternSet::new(regexes.len()), here.iter().map(|(_, role)| *role).collect());
            rules.targets.push(Target { field: field.map(Into::into), regex, roles, matched });
        }
        rules.counts = RuleCounts { unmatched: 0, excluded: vec![0; excludes.len()], tagged: vec![0; rules.tag_names.len()] };
        Ok(rules)
    }

    /// Fields of rules that are one slip of the keyboard away from a well-known one: as written, and what may be meant.
    pub fn doubtful_fields(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let fields = self.targets.iter().filter_map(|target| target.field.as_deref());
        fields.filter_map(|field| syntax::nearly_known(field).map(|known| (field, known)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// How many sets of regexes there are.
    pub fn sets(&self) -> usize {
        self.targets.len()
    }

    /// The tags, each once, in the order in which they were given.
    pub fn tag_names(&self) -> &[Box<str>] {
        &self.tag_names
    }

    /// The names of the tags in `bits`.
    pub fn tags(&self, bits: u64) -> impl Iterator<Item = &str> + Clone {
        self.tag_names.iter().enumerate().filter(move |(n, _)| bits & 1 << n != 0).map(|(_, name)| &**name)
    }

    /// Judges a record by its line and its fields, and counts what becomes of it.
    pub fn judge(&mut self, line: &[u8], fields: &dyn Fields) -> Verdict {
        let mut said = Said::default();
        for target in &mut self.targets {
            let Target { field, regex, roles, matched } = target;
            let mut look = |text: &[u8]| said.look(regex, roles, matched, text);
            match field {
                None => look(line),
                Some(field) => fields.visit(field, &mut |value| look(value.as_bytes())),
            }
        }
        if let Some(exclude) = said.excluded_by {
            self.counts.excluded[exclude] += 1;
            return Verdict::Excluded(exclude);
        }
        if self.has_filter && !said.is_filter_met {
            self.counts.unmatched += 1;
            return Verdict::Unmatched;
        }
        for (n, count) in self.counts.tagged.iter_mut().enumerate() {
            *count += said.tags >> n & 1;
        }
        Verdict::Kept(said.tags)
    }

    /// What was counted since the last call is added to `totals`.
    pub fn publish(&mut self, totals: &mut RuleCounts) {
        let RuleCounts { unmatched, excluded, tagged } = &mut self.counts;
        totals.unmatched += std::mem::take(unmatched);
        for (counts, totals) in [(excluded, &mut totals.excluded), (tagged, &mut totals.tagged)] {
            totals.resize(counts.len().max(totals.len()), 0);
            for (count, total) in counts.iter_mut().zip(totals) {
                *total += std::mem::take(count);
            }
        }
    }
}

impl Said {
    fn look(&mut self, regex: &Regex, roles: &[Role], matched: &mut PatternSet, text: &[u8]) {
        if let [role] = roles {
            if regex.is_match(text) {
                self.add(*role);
            }
            return;
        }
        matched.clear();
        regex.which_overlapping_matches(&Input::new(text), matched);
        for pattern in matched.iter() {
            self.add(roles[pattern.as_usize()]);
        }
    }

    fn add(&mut self, role: Role) {
        match role {
            Role::Filter => self.is_filter_met = true,
            Role::Exclude(n) => self.excluded_by = Some(self.excluded_by.map_or(n, |first| first.min(n))),
            Role::Tag(n) => self.tags |= 1 << n,
        }
    }
}

#[cfg(test)]
mod tests;
