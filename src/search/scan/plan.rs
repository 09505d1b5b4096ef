//! Reads every table and keeps what its blocks can't be passed over for; what the tables can count is counted here.

use std::ops::ControlFlow;
use std::sync::Mutex;

use super::{Search, SearchError, Stats};
use crate::search::block::Unit;
use crate::search::count::{By, Counts, Part};
use crate::search::prune::Verdict;
use crate::search::segments::Tables;
use crate::store::meta::Meta;
use crate::store::segment::TimeRange;

/// What is left to do.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) units: Vec<Unit>,
    pub(super) stats: Stats,
}

/// By what lines are counted, and what one thread has counted.
type Counting<'a> = (Option<&'a By>, Part<'a>);

/// Goes through the tables on several threads. `counting` tells that lines are counted, by what, and where.
pub(super) fn plan(search: &Search<'_>, counting: Option<(Option<&By>, &Mutex<Counts>)>) -> Result<Plan, SearchError> {
    let mut plan = Plan { stats: Stats { segments: search.sources.len(), ..Stats::default() }, ..Plan::default() };
    let begin = || (Tables::default(), Plan::default(), counting.map(|(by, counts)| (by, Part::of(counts))));
    let work = |(tables, part, counting): &mut (Tables, Plan, Option<Counting<'_>>), at: usize| {
        match tables.of(&search.request.disk, search.request.dir, &search.sources[at]) {
            Ok(Some(table)) => part.add(search, at, &table, counting.as_mut()),
            Ok(None) => {} // deleted meanwhile
            Err(error) => part.stats.add_damage(error.to_string()),
        }
        if search.request.blocks_max < part.units.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    search.share(search.sources.len(), begin, work, |(_, part, counting)| {
        plan.join(part);
        if let Some((_, mut counts)) = counting {
            counts.hand_over();
        }
    });
    if search.request.blocks_max < plan.units.len() { Err(SearchError::TooMuch) } else { Ok(plan) }
}

impl Plan {
    fn add(&mut self, search: &Search<'_>, source: usize, table: &Meta, mut counting: Option<&mut Counting<'_>>) {
        for block in table.blocks.iter().filter(|block| block.stats.lines > 0) {
            self.stats.blocks += 1;
            let latest_us = search.sources[source].latest_us;
            let time = block.stats.time.unwrap_or(TimeRange { min_us: latest_us, max_us: latest_us });
            let verdict = search.pruner.verdict(&block.stats, time, block.filter.as_ref());
            let is_counted = match (verdict, &mut counting) {
                (Verdict::None, _) => continue,
                (Verdict::All, Some((by, counts))) => counts.add_block(*by, &block.stats, time),
                _ => false,
            };
            if !is_counted {
                // What is too long for that is longer than any block, and is found to be damaged when it is read.
                let [source, len, raw_len] =
                    [source as u64, block.len, block.stats.raw_len].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
                self.units.push(Unit { source, offset: block.offset, len, raw_len, time });
            }
        }
    }

    fn join(&mut self, other: Plan) {
        if self.units.is_empty() {
            self.units = other.units;
        } else {
            self.units.extend(other.units);
        }
        self.stats.blocks += other.stats.blocks;
        other.stats.damaged.into_iter().for_each(|what| self.stats.add_damage(what));
    }
}
