//! The columns of CSV records: their names, and which of them are a record's time, level, service and message.

use crate::limits::{CSV_COLUMNS_MAX, CSV_HEADER_BYTES_MAX};

/// What a record has a place for, whatever the column's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Time,
    Level,
    Service,
    Message,
}

/// By [`Known`], the names that mean it, the first found first.
const NAMES: [&[&str]; 4] = [
    &["timestamp", "@timestamp", "ts", "time"],
    &["level", "severity", "lvl", "log.level"],
    &["service", "service.name", "app", "logger"],
    &["message", "msg"],
];

/// Names of columns, all different.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    /// One behind the other.
    names: String,
    ends: Vec<u16>,
    /// By [`Known`].
    known: [Option<u16>; NAMES.len()],
}

impl Columns {
    /// Columns of these names. White space around a name is none of it; one without a name is `column_3` by its place, and a name that was there before gets its
    /// place too, as `name_3`. An error says what is wrong with them.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut columns = Self { names: String::new(), ends: Vec::new(), known: [None; NAMES.len()] };
        for (at, name) in names.enumerate() {
            let name = name.trim();
            let name = if name.is_empty() { "column" } else { name };
            if at == CSV_COLUMNS_MAX || columns.names.len() + name.len() > CSV_HEADER_BYTES_MAX {
                return Err(format!("expected at most {CSV_COLUMNS_MAX} columns and {CSV_HEADER_BYTES_MAX} bytes of names"));
            }
            let is_new = |name: &str| columns.names().all(|other| other != name);
            let mut numbered = None;
            let mut number = at + 1;
            if name == "column" || !is_new(name) {
                numbered = Some(format!("{name}_{number}"));
                while numbered.as_deref().is_some_and(|name| !is_new(name)) {
                    number += 1;
                    numbered = Some(format!("{name}_{number}"));
                }
            }
            columns.names.push_str(numbered.as_deref().unwrap_or(name));
            columns.ends.push(columns.names.len() as u16);
        }
        for (known, names) in columns.known.iter_mut().zip(NAMES) {
            let at = |name: &&str| (0..columns.ends.len()).find(|at| name_at(&columns.names, &columns.ends, *at) == *name);
            *known = names.iter().find_map(at).map(|at| at as u16);
        }
        Ok(columns)
    }

    /// How many.
    #[allow(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The column that is a record's `known`.
    pub(super) fn known(&self, known: Known) -> Option<usize> {
        self.known[known as usize].map(usize::from)
    }

    /// The places and names of all others.
    pub(super) fn others(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names().enumerate().filter(|(at, _)| !self.known.contains(&Some(*at as u16)))
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| name_at(&self.names, &self.ends, at))
    }
}

fn name_at<'a>(names: &'a str, ends: &[u16], at: usize) -> &'a str {
    let start = if at == 0 { 0 } else { usize::from(ends[at - 1]) };
    &names[start..usize::from(ends[at])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_known() {
        let columns = Columns::new(["time", " ts ", "", "a", "a", "a_5", "message", "MESSAGE"].into_iter()).unwrap();
        let names: Vec<&str> = columns.names().collect();
        assert_eq!(names, ["time", "ts", "column_3", "a", "a_5", "a_5_6", "message", "MESSAGE"]);
        assert_eq!((columns.known(Known::Time), columns.known(Known::Level)), (Some(1), None), "ts comes before time");
        assert_eq!(columns.known(Known::Message), Some(6));
        assert_eq!(columns.others().map(|(at, _)| at).collect::<Vec<_>>(), [0, 2, 3, 4, 5, 7]);
        assert!(Columns::new(vec!["x"; CSV_COLUMNS_MAX].into_iter()).is_ok());
        assert!(Columns::new(vec!["x"; CSV_COLUMNS_MAX + 1].into_iter()).is_err());
        assert!(Columns::new(["x".repeat(CSV_HEADER_BYTES_MAX + 1).as_str()].into_iter()).is_err());
    }
}
