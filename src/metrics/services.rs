//! Records by service: the first names seen are counted by name, up to a limit, the rest together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::limits::{SERVICE_NAME_BYTES_MAX, SERVICES_MAX};

/// A shard's own counts. Allocates only at a name's first record.
#[derive(Debug, Default)]
pub struct ServiceCounts {
    by_name: HashMap<Box<str>, u64>,
    other: u64,
}

impl ServiceCounts {
    /// Counts one record; those without a service are not counted.
    pub fn count(&mut self, service: Option<&str>) {
        let Some(name) = service else { return };
        if let Some(count) = self.by_name.get_mut(name) {
            *count += 1;
        } else if self.by_name.len() < SERVICES_MAX && name.len() <= SERVICE_NAME_BYTES_MAX {
            self.by_name.insert(name.into(), 1);
        } else {
            self.other += 1;
        }
    }
}

/// Where the counts of all shards meet.
#[derive(Debug, Default)]
pub struct ServiceTotals(Mutex<Totals>);

#[derive(Debug, Default)]
struct Totals {
    by_name: BTreeMap<Box<str>, u64>,
    other: u64,
}

impl ServiceTotals {
    /// Adds a shard's counts and makes them zero.
    pub fn publish(&self, counts: &mut ServiceCounts) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = &mut *guard;
        totals.other += std::mem::take(&mut counts.other);
        for (name, count) in &mut counts.by_name {
            let count = std::mem::take(count);
            if count == 0 {
                continue;
            }
            if let Some(total) = totals.by_name.get_mut(name) {
                *total += count;
            } else if totals.by_name.len() < SERVICES_MAX {
                totals.by_name.insert(name.clone(), count);
            } else {
                totals.other += count;
            }
        }
    }

    /// The counts by name, and those of all other names together.
    pub fn snapshot(&self) -> (BTreeMap<Box<str>, u64>, u64) {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (totals.by_name.clone(), totals.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_nothing_goes_uncounted() {
        let totals = ServiceTotals::default();
        let mut counts = ServiceCounts::default();
        for n in 0..1_000 {
            counts.count(Some(&format!("service-{n}")));
        }
        counts.count(Some(&"x".repeat(SERVICE_NAME_BYTES_MAX + 1)));
        counts.count(None);
        totals.publish(&mut counts);
        counts.count(Some("service-0"));
        totals.publish(&mut counts);
        totals.publish(&mut counts);
        let (by_name, other) = totals.snapshot();
        assert_eq!(by_name.len(), SERVICES_MAX);
        assert_eq!(by_name["service-0"], 2);
        assert_eq!(by_name.values().sum::<u64>() + other, 1_002);
    }
}
