//! Listings as tables and properties, and directories with real files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::store::cursor::{Position, Positions};
use crate::store::disk::{FileHook, Op};
use crate::store::meta::Meta;
use crate::store::name::tests::any_segment_id;
use crate::store::name::{Codec, ShardTag, Stream};
use crate::store::segment::BlockStats;
use crate::store::unread::ReadMark;

/// 24 November 2026, 15:00:00.
const SEALED_AT_S: u64 = 1_795_532_400;

fn listing(files: &[(&str, u64)]) -> Vec<StoreFile> {
    files.iter().map(|(name, len)| StoreFile { name: FileName::parse(name).unwrap_or_else(|| panic!("{name}")), len: *len }).collect()
}

fn limits(bytes_max: Option<u64>, age_s_max: Option<u64>) -> RetainLimits {
    RetainLimits { bytes_max, age_max: age_s_max.map(Duration::from_secs) }
}

fn exactly(bytes: u64) -> Missing {
    Missing { needed_bytes: bytes, wanted_bytes: bytes }
}

/// `1 size`, for every segment of the plan.
fn text(plan: &[Deletion]) -> Vec<String> {
    plan.iter().map(|deletion| format!("{} {}", deletion.id.seq, deletion.reason.name())).collect()
}

#[test]
fn the_oldest_go_first_until_the_limits_hold() {
    let files = listing(&[
        ("logs.s00.jsonl", 50),
        ("logs_20261124_150000_s00_000001.jsonl.gz", 10),
        ("logs_20261124_150000_s00_000001.meta", 1),
        ("logs_20261124_150010_s01_000002.jsonl.zst", 10),
        ("rejected_20261124_150005_s00_000003.jsonl.gz", 10), // sealed before number 2, of another stream
        ("logs_20261124_150020_s00_000004.jsonl.gz", 10),
        ("logs_20261124_150030_s00_000005.jsonl.gz.tmp", 5),
        ("logboom.format", 4),
    ]);
    for (bytes_max, age_s_max, missing, expected) in [
        (None, None, 0, &[][..]),
        (None, None, 1, &[]), // without a limit nothing is ever deleted
        (Some(100), None, 0, &[]),
        (Some(99), None, 0, &["1 size"]),
        (Some(89), None, 0, &["1 size"]),
        (Some(88), None, 0, &["1 size", "3 size"]),
        (Some(0), None, 0, &["1 size", "3 size", "2 size", "4 size"]), // more there is not
        (None, Some(101), 0, &[]),
        (None, Some(100), 0, &["1 age"]),
        (None, Some(90), 0, &["1 age", "3 age", "2 age"]),
        (Some(88), Some(100), 0, &["1 age", "3 size"]),
        (Some(1_000), None, 1, &["1 min_free"]),
        (Some(1_000), None, 12, &["1 min_free", "3 min_free"]),
        (Some(99), None, 12, &["1 size", "3 min_free"]),
        (Some(1_000), None, 41, &["1 min_free", "3 min_free", "2 min_free", "4 min_free"]),
        (Some(1_000), None, 42, &[]), // it would be lost for nothing
        (Some(99), None, 42, &["1 size"]),
    ] {
        let plan = plan(&files, &limits(bytes_max, age_s_max), SEALED_AT_S + 100, exactly(missing), |_, _| panic!("nothing is raw"));
        assert_eq!(text(&plan), expected, "{bytes_max:?} bytes, {age_s_max:?} s, {missing} missing");
    }
}

#[test]
fn more_than_is_needed_goes_only_where_there_is_more() {
    let files = listing(&[
        ("logs_20261124_150000_000001.jsonl.gz", 10),
        ("logs_20261124_150000_000002.jsonl.gz", 10),
        ("logs_20261124_150000_000003.jsonl.gz", 10),
    ]);
    for (needed_bytes, wanted_bytes, expected) in [(1, 11, 2), (10, 20, 2), (21, 40, 3), (30, 31, 3), (31, 40, 0), (0, 0, 0)] {
        let missing = Missing { needed_bytes, wanted_bytes };
        let plan = plan(&files, &limits(Some(1_000), None), SEALED_AT_S, missing, |_, _| panic!("nothing is raw"));
        assert_eq!(plan.len(), expected, "{missing:?}");
    }
}

#[test]
fn only_what_is_finished_goes_and_its_lines_before_its_table() {
    for (names, is_finished, expected) in [
        (&["logs.jsonl"][..], true, &[][..]),
        (&["logs_20261124_150000_000001.jsonl"], true, &[]), // waits for its archive
        (&["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.jsonl.gz.tmp"], true, &[]),
        (&["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.jsonl.gz"], true, &[]), // not durable yet
        (&["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.jsonl.gz", "logs_20261124_150000_000001.meta"], true, &[]),
        (&["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.meta"], false, &[]), // the table is of something else
        (
            &["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.meta"],
            true,
            &["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.meta"],
        ),
        (&["logs_20261124_150000_000001.meta"], true, &[]), // recovery's business
        (&["logs_20261124_150000_000001.jsonl.gz"], true, &["logs_20261124_150000_000001.jsonl.gz"]), // damaged, perhaps
        (
            &["logs_20261124_150000_000001.meta", "logs_20261124_150000_000001.jsonl.gz", "logs_20261124_150000_000001.jsonl.zst"],
            true,
            &["logs_20261124_150000_000001.jsonl.gz", "logs_20261124_150000_000001.jsonl.zst", "logs_20261124_150000_000001.meta"],
        ),
        // One shard's and shard 0 of many are different segments.
        (
            &["logs_20261124_150000_000001.jsonl", "logs_20261124_150000_s00_000001.jsonl.gz"],
            true,
            &["logs_20261124_150000_s00_000001.jsonl.gz"],
        ),
    ] {
        let files = listing(&names.iter().map(|name| (*name, 10)).collect::<Vec<_>>());
        let plan = plan(&files, &limits(Some(0), None), SEALED_AT_S, Missing::default(), |_, bytes| is_finished && bytes == 10);
        let planned: Vec<String> = plan.iter().flat_map(|deletion| &deletion.files).map(FileName::to_string).collect();
        assert_eq!(planned, expected, "{names:?}");
        let whole = plan.iter().map(|deletion| deletion.bytes).sum::<u64>();
        assert_eq!(whole, 10 * planned.len() as u64);
    }
}

#[test]
fn a_clock_that_is_wrong_does_not_overflow() {
    let files = listing(&[("logs_99991231_235959_000001.jsonl.gz", 10)]);
    for now_s in [0, SEALED_AT_S, u64::MAX] {
        for age in [1, u64::MAX] {
            let plan = plan(&files, &limits(None, Some(age)), now_s, Missing::default(), |_, _| true);
            assert_eq!(plan.is_empty(), now_s != u64::MAX, "{now_s} {age}");
        }
    }
}

/// What of a segment is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Raw,
    RawAndArchive,
    Archive,
    ArchiveAndTable,
    FinishedRaw,
    RawWithUntrueTable,
    Table,
    Temporary,
}

impl State {
    fn names(self, id: SegmentId) -> Vec<FileName> {
        let archive = id.archive_name(Some(Codec::Gzip));
        match self {
            State::Open => vec![FileName::Open(id.stream, id.shard)],
            State::Raw => vec![id.sealed_name()],
            State::RawAndArchive => vec![id.sealed_name(), archive, id.meta_name()],
            State::Archive => vec![archive],
            State::ArchiveAndTable => vec![archive, id.meta_name()],
            State::FinishedRaw | State::RawWithUntrueTable => vec![id.sealed_name(), id.meta_name()],
            State::Table => vec![id.meta_name()],
            State::Temporary => vec![archive.temporary()],
        }
    }

    fn may_go(self) -> bool {
        matches!(self, State::Archive | State::ArchiveAndTable | State::FinishedRaw)
    }
}

fn any_directory() -> impl Strategy<Value = Vec<(SegmentId, State, u64)>> {
    use State::{Archive, ArchiveAndTable, FinishedRaw, Open, Raw, RawAndArchive, RawWithUntrueTable, Table, Temporary};
    let states = vec![Open, Raw, RawAndArchive, Archive, ArchiveAndTable, FinishedRaw, RawWithUntrueTable, Table, Temporary];
    let segment = (any_segment_id(), 0..100u64, prop::sample::select(states), 0..1_000u64).prop_map(|(id, sealed_at_s, state, len)| {
        // Close to each other, so that all limits matter.
        (SegmentId { sealed_at_s, ..id }, state, len)
    });
    prop::collection::vec(segment, 0..40).prop_map(|mut segments| {
        let mut seen = BTreeSet::new();
        segments.retain(|(id, ..)| seen.insert(id.to_string()));
        segments
    })
}

proptest! {
    #[test]
    fn the_limits_hold_or_nothing_more_may_go(
        segments in any_directory(),
        bytes_max in prop::option::of(0..20_000u64),
        age_s_max in prop::option::of(1..100u64),
        needed_bytes in prop_oneof![Just(0), 0..20_000u64],
        more_bytes in prop_oneof![Just(0), 0..5_000u64],
    ) {
        let now_s = 100;
        let limits = limits(bytes_max, age_s_max);
        let files: Vec<StoreFile> =
            segments.iter().flat_map(|(id, state, len)| state.names(*id).into_iter().map(|name| StoreFile { name, len: *len })).collect();
        let is_finished = |id, len| segments.contains(&(id, State::FinishedRaw, len));
        let wanted_bytes = needed_bytes + more_bytes;
        let plan = plan(&files, &limits, now_s, Missing { needed_bytes, wanted_bytes }, is_finished);

        // Never what is open, raw or not finished; and of what goes, every file.
        for deletion in &plan {
            let (_, state, len) = segments.iter().find(|(id, ..)| *id == deletion.id).expect("a segment of the listing");
            prop_assert!(state.may_go(), "{state:?}");
            let names: BTreeSet<_> = state.names(deletion.id).into_iter().collect();
            prop_assert_eq!(deletion.bytes, len * names.len() as u64);
            prop_assert!(deletion.files.iter().rev().skip(1).all(|name| !matches!(name, FileName::Meta(_))));
            prop_assert_eq!(deletion.files.iter().cloned().collect::<BTreeSet<_>>(), names);
        }
        prop_assert!(limits.is_set() || plan.is_empty());

        // Oldest first.
        let key = |id: &SegmentId| (id.sealed_at_s, id.seq, id.stream, id.shard);
        let gone: BTreeSet<_> = plan.iter().map(|deletion| key(&deletion.id)).collect();
        prop_assert_eq!(gone.iter().copied().collect::<Vec<_>>(), plan.iter().map(|deletion| key(&deletion.id)).collect::<Vec<_>>());
        let kept: Vec<_> = segments.iter().filter(|(id, state, _)| state.may_go() && !gone.contains(&key(id))).collect();
        prop_assert!(kept.iter().all(|(id, ..)| gone.last().is_none_or(|newest| *newest < key(id))));

        // The limits hold, or there is no more to delete.
        let total = files.iter().map(|file| file.len).sum::<u64>();
        let freed = plan.iter().map(|deletion| deletion.bytes).sum::<u64>();
        if !kept.is_empty() {
            prop_assert!(bytes_max.is_none_or(|max| total - freed <= max));
            prop_assert!(age_s_max.is_none_or(|age| kept.iter().all(|(id, ..)| now_s < id.sealed_at_s + age)));
        }

        // Nothing goes in vain: each was too old, or the limits did not hold before it went.
        let mut before = 0;
        for deletion in &plan {
            match deletion.reason {
                Reason::Age => prop_assert!(deletion.id.sealed_at_s + age_s_max.unwrap() <= now_s),
                Reason::Size => prop_assert!(bytes_max.unwrap() < total - before),
                Reason::MinFree => prop_assert!(before < wanted_bytes && needed_bytes <= freed),
            }
            before += deletion.bytes;
        }
    }
}

fn id(seq: u64) -> SegmentId {
    SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: SEALED_AT_S + seq, seq }
}

fn put(dir: &Path, name: &FileName, bytes: &[u8]) {
    std::fs::write(name.in_dir(dir), bytes).unwrap();
}

/// Archives 1 to `archives`, 100 bytes each with their tables, and what never goes.
fn directory(archives: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for seq in 1..=archives {
        put(dir.path(), &id(seq).archive_name(Some(Codec::Gzip)), &[b'x'; 90]);
        put(dir.path(), &id(seq).meta_name(), &[b'x'; 10]);
    }
    put(dir.path(), &FileName::Open(Stream::Logs, ShardTag::SINGLE), b"{}\n");
    put(dir.path(), &id(1_000).sealed_name(), b"{}\n");
    std::fs::write(dir.path().join("notes.txt"), [b'x'; 5_000]).unwrap();
    dir
}

fn retention(disk: Disk, dir: &Path, bytes_max: u64) -> Retention {
    Retention::new(disk, dir.to_owned(), limits(Some(bytes_max), None), Arc::default())
}

fn numbers_left(dir: &Path) -> Vec<u64> {
    let files = catalog::files(&Disk::new(), dir).unwrap();
    let archives = files.iter().filter_map(|file| if let FileName::Archive(id, _) = file.name { Some(id.seq) } else { None });
    let archives: Vec<u64> = archives.collect();
    let tables = files.iter().filter_map(|file| if let FileName::Meta(id) = file.name { Some(id.seq) } else { None });
    assert_eq!(archives, tables.collect::<Vec<_>>(), "a table goes with its archive");
    archives
}

#[test]
fn what_goes_is_gone_and_counted_and_everything_else_stays() {
    let dir = directory(10);
    let mut retention = retention(Disk::new(), dir.path(), 500);
    assert_eq!(retention.round(SEALED_AT_S, Missing::default(), || true), 6);
    assert_eq!(numbers_left(dir.path()), [7, 8, 9, 10]); // 400 bytes, and 6 that may not go
    let stats = &retention.stats;
    assert_eq!((stats.segments(Reason::Size), stats.bytes(Reason::Size), stats.segments(Reason::Age), stats.failures()), (6, 600, 0, 0));
    retention.round(SEALED_AT_S, exactly(150), || true);
    assert_eq!(numbers_left(dir.path()), [9, 10]);
    assert_eq!((stats_of(&retention, Reason::MinFree), stats_of(&retention, Reason::Size)), ((2, 200), (6, 600)));
    assert!(dir.path().join("notes.txt").exists() && dir.path().join("logs.jsonl").exists());
    assert!(id(1_000).sealed_name().in_dir(dir.path()).exists());
}

fn stats_of(retention: &Retention, reason: Reason) -> (u64, u64) {
    (retention.stats.segments(reason), retention.stats.bytes(reason))
}

#[test]
fn what_is_unread_stays_and_nothing_younger_goes_instead() {
    let dir = directory(10);
    let (mark, stats) = (ReadMark::new(Stream::Logs), Arc::<RetentionStats>::default());
    let retention = Retention::new(Disk::new(), dir.path().to_owned(), limits(Some(500), None), stats.clone());
    let mut retention = retention.leaving(Unread(vec![mark.clone()]));
    assert_eq!(retention.round(SEALED_AT_S, Missing::default(), || true), 0);
    assert_eq!((numbers_left(dir.path()).len(), stats.held()), (10, (6, 600)));
    mark.set(Positions([(0, Position::start_of(3))].into()));
    assert_eq!(retention.round(SEALED_AT_S, Missing::default(), || true), 2);
    assert_eq!((numbers_left(dir.path()).first(), stats.held()), (Some(&3), (4, 400)));
    mark.set(Positions([(0, Position::start_of(1_001))].into()));
    assert_eq!(retention.round(SEALED_AT_S, exactly(700), || true), 7, "and for the sake of space");
    assert_eq!(stats.held(), (0, 0));
}

#[test]
fn short_ages_are_looked_at_more_often() {
    for (age_s_max, seconds) in [(None, 10), (Some(1), 1), (Some(30), 3), (Some(86_400), 10)] {
        let retention = Retention::new(Disk::new(), PathBuf::new(), limits(None, age_s_max), Arc::default());
        assert_eq!(retention.interval(), Duration::from_secs(seconds), "{age_s_max:?}");
    }
}

#[test]
fn a_round_ends_when_the_process_stops() {
    let dir = directory(3);
    let left = std::cell::Cell::new(2);
    retention(Disk::new(), dir.path(), 0).round(SEALED_AT_S, Missing::default(), || left.replace(left.get() - 1) != 0);
    assert_eq!(numbers_left(dir.path()), [3]);
}

#[test]
fn a_raw_segment_goes_only_if_its_table_says_that_it_stays_raw() {
    let dir = tempfile::tempdir().unwrap();
    let table = |codec, raw_len| {
        let mut meta = Meta::new(codec);
        meta.push(raw_len, None, BlockStats { raw_len, ..BlockStats::default() });
        meta.encode()
    };
    for (seq, bytes) in [(1, table(None, 3)), (2, table(None, 4)), (3, table(Some(Codec::Gzip), 3)), (4, b"garbage".to_vec())] {
        put(dir.path(), &id(seq).sealed_name(), b"{}\n");
        put(dir.path(), &id(seq).meta_name(), &bytes);
    }
    let mut retention = retention(Disk::new(), dir.path(), 0);
    retention.round(SEALED_AT_S, Missing::default(), || true);
    let left: Vec<bool> = (1..=4).map(|seq| id(seq).sealed_name().in_dir(dir.path()).exists()).collect();
    assert_eq!(left, [false, true, true, true]);
    assert!(!id(1).meta_name().in_dir(dir.path()).exists());
    assert_eq!(retention.stats.segments(Reason::Size), 1);
}

/// Fails to remove what is named.
struct Refuses(&'static [(&'static str, io::ErrorKind)]);

impl FileHook for Refuses {
    fn before(&self, op: Op, path: &Path) -> io::Result<()> {
        let refused = self.0.iter().find(|(part, _)| op == Op::Remove && path.to_str().unwrap().contains(part));
        refused.map_or(Ok(()), |(_, kind)| Err((*kind).into()))
    }
}

#[test]
fn what_cannot_be_deleted_stays_with_its_table_and_the_rest_goes() {
    let dir = directory(4);
    let refuses: &[_] = &[("000002.jsonl.gz", io::ErrorKind::PermissionDenied), ("000003.meta", io::ErrorKind::PermissionDenied)];
    let mut retention = retention(Disk::with_hook(Arc::new(Refuses(refuses))), dir.path(), 0);
    for failures in [2, 3] {
        retention.round(SEALED_AT_S, Missing::default(), || true);
        assert_eq!(retention.stats.failures(), failures);
        assert!(retention.failing);
    }
    let left = |name: FileName| name.in_dir(dir.path()).exists();
    assert!(left(id(2).archive_name(Some(Codec::Gzip))) && left(id(2).meta_name()));
    assert!(!left(id(3).archive_name(Some(Codec::Gzip))) && left(id(3).meta_name())); // recovery removes a table of nothing
    assert!(!left(id(4).archive_name(Some(Codec::Gzip))));
    assert_eq!(retention.stats.segments(Reason::Size), 3, "the lines of 1, 3 and 4 are gone");
    retention.disk = Disk::new();
    retention.round(SEALED_AT_S, Missing::default(), || true);
    assert!(!retention.failing);
    assert_eq!(retention.stats.segments(Reason::Size), 4);
}

#[test]
fn what_somebody_else_has_moved_away_is_no_failure_and_not_counted() {
    let dir = directory(2);
    let moved: &[_] = &[("000001", io::ErrorKind::NotFound)];
    let mut retention = retention(Disk::with_hook(Arc::new(Refuses(moved))), dir.path(), 0);
    retention.round(SEALED_AT_S, Missing::default(), || true);
    assert_eq!((retention.stats.segments(Reason::Size), retention.stats.failures()), (1, 0));
}

#[test]
fn a_directory_that_cannot_be_listed_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut retention = retention(Disk::new(), &dir.path().join("missing"), 0);
    retention.round(SEALED_AT_S, Missing::default(), || true);
    assert_eq!(retention.stats.failures(), 1);
}
