//! What lines are counted by.

use super::*;
use crate::limits::SEARCH_GROUPS_MAX;

#[test]
fn groups_that_are_named_have_all_their_lines() {
    const BEYOND: usize = 500;
    let values = SEARCH_GROUPS_MAX + BEYOND;
    let line = |n: usize| format!("{{\"ts\":{n},\"user\":\"u{n}\"}}");
    let archived = State::Archived(Codec::Zstd, Table::Plain);
    let dir = store(&[(archived, (0..values).map(line).collect()), (archived, (0..values).rev().map(line).collect())]);
    let (expr, stop) = (query::parse("*").unwrap(), AtomicBool::new(false));
    for threads in [1, 2] {
        let request = Request { threads, ..request(dir.path(), &expr, EVERYTHING, &stop) };
        for by in ["user", "1s"] {
            let (counts, _) = count(&request, Some(&By::parse(by).unwrap())).unwrap();
            assert_eq!(counts.total, 2 * values as u64);
            let mut groups = counts.groups(usize::MAX);
            assert_eq!(groups.pop(), Some(("(other)".to_owned(), 2 * BEYOND as u64)), "{by} on {threads} threads");
            assert_eq!(groups.len(), SEARCH_GROUPS_MAX);
            assert!(groups.iter().all(|(_, lines)| *lines == 2), "{by} on {threads} threads");
            let few = counts.groups(3);
            assert_eq!((few.len(), &*few[2].0, few[2].1), (3, "(other)", 2 * (values as u64 - 2)));
        }
    }
}

#[test]
fn a_line_counts_once_by_a_field_and_once_by_each_tag() {
    let lines = [
        r#"{"message":"a","msg":"b","tags":["x","y","x"],"tag":"y","user":null}"#,
        r#"{"msg":null,"message":"b","tag":["z",null],"user":"null"}"#,
        r#"{"message":null,"tags":[],"user":"u"}"#,
    ];
    let dir = store(&[(State::Archived(Codec::Zstd, Table::Plain), lines.map(str::to_owned).to_vec())]);
    let (expr, stop) = (query::parse("*").unwrap(), AtomicBool::new(false));
    for (by, expected) in [
        ("message", vec![("(none)", 1), ("a", 1), ("b", 1)]),
        ("tag", vec![("(none)", 1), ("x", 1), ("y", 1), ("z", 1)]),
        ("user", vec![("(none)", 1), ("null", 1), ("u", 1)]),
    ] {
        let (counts, _) = count(&request(dir.path(), &expr, EVERYTHING, &stop), Some(&By::parse(by).unwrap())).unwrap();
        let mut groups = counts.groups(usize::MAX);
        groups.sort();
        let groups: Vec<(&str, u64)> = groups.iter().map(|(name, lines)| (&**name, *lines)).collect();
        assert_eq!(groups, expected, "{by}");
    }
}
