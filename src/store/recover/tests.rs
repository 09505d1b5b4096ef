//! Directories as a stop may leave them, recovered and compared with what was put in.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::disk::{FileHook, Op};
use crate::store::meta::Meta;
use crate::store::name::Codec;

pub(super) mod lines;
mod pool;

use lines::{Crash, archive, lines, raw_table, snapshot};

const FOREIGN: [(&str, &[u8]); 4] =
    [("notes.txt", b"mine"), ("x.tmp", b"mine"), ("logs.json", b"no newline"), ("logs_20261124_150000_1.jsonl.gz", b"not decoded")];

fn recovered(disk: Disk, dir: &Path, shards: usize) -> Result<(Recovered, Arc<RawPermits>), StorageError> {
    let permits = RawPermits::new(4);
    recover(&RecoveryConfig { disk, dir, shards, accepted: Stream::Logs, index: Index::On, numbers: BTreeMap::new(), permits: &permits })
        .map(|recovered| (recovered, permits))
}

/// What one segment's files are after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Sealed,
    FinishedRaw,
    Archived(Codec),
    /// The archive has its name, and the raw file is still there.
    Both(Codec),
    /// The same after a power cut: the raw file, never synced, is shorter.
    BothShort(Codec),
    /// The archive can't be decoded to its end, but the raw file is there.
    BothDamaged(Codec),
    /// The archive is damaged, and nothing else is left.
    Damaged(Codec),
    /// Only the table.
    Nothing,
}

/// What the table beside it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableState {
    Missing,
    True,
    Garbage,
    Empty,
    OfAnother,
}

#[derive(Debug, Clone)]
struct Left {
    stream: Stream,
    tag: ShardTag,
    state: State,
    table: TableState,
    lines: usize,
    torn: usize,
    temporary: bool,
}

fn any_left() -> impl Strategy<Value = Left> {
    let codec = prop::sample::select(&Codec::ALL[..]);
    let state = prop_oneof![
        Just(State::Open),
        Just(State::Sealed),
        Just(State::FinishedRaw),
        codec.clone().prop_map(State::Archived),
        codec.clone().prop_map(State::Both),
        codec.clone().prop_map(State::BothShort),
        codec.clone().prop_map(State::BothDamaged),
        codec.prop_map(State::Damaged),
        Just(State::Nothing),
    ];
    use TableState::{Empty, Garbage, Missing, OfAnother, True};
    let table = prop::sample::select(vec![Missing, True, Garbage, Empty, OfAnother]);
    let tag = prop::sample::select(vec![ShardTag::SINGLE, ShardTag::of(0, 2), ShardTag::of(1, 2), ShardTag::of(2, 3)]);
    (prop::sample::select(&Stream::ALL[..]), tag, state, table, 0..6usize, 0..9usize, any::<bool>())
        .prop_map(|(stream, tag, state, table, lines, torn, temporary)| Left { stream, tag, state, table, lines, torn, temporary })
}

/// What is to come out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    lines: Vec<String>,
    torn_bytes: u64,
    damaged: usize,
    raw_removed: u64,
}

/// Puts the files of `left` into `dir`, number `seq`.
fn put(dir: &Path, left: &Left, seq: u64, expected: &mut Expected) {
    let id = SegmentId { stream: left.stream, shard: left.tag, sealed_at_s: 1_795_532_400, seq };
    let write = |name: FileName, bytes: &[u8]| fs::write(name.in_dir(dir), bytes).unwrap();
    // Long enough for an archive to be cut within its last block.
    let all: Vec<String> = (0..left.lines)
        .map(|n| format!("{{\"level\":\"INFO\",\"time\":{seq},\"line\":\"{seq}/{n}\",\"filler\":\"{}\"}}", n * 7919))
        .collect();
    let text: String = all.iter().map(|line| format!("{line}\n")).collect();
    let torn = [text.as_bytes(), &b"{\"torn\":\0\0"[..left.torn]].concat();
    let mut true_table = None;
    let mut put_archive = |codec: Codec, text: &str, damaged: bool| {
        let (mut bytes, meta) = archive(codec, text.as_bytes());
        if damaged {
            bytes.truncate(bytes.len() - 5);
        } else {
            true_table = Some(meta);
        }
        write(id.archive_name(Some(codec)), &bytes);
    };
    let mut survive = all.clone();
    let full = if text.is_empty() { "{\"only\":1}\n".repeat(3) } else { text.clone() };
    match left.state {
        State::Open => {
            write(FileName::Open(left.stream, left.tag), &torn);
            expected.torn_bytes += left.torn as u64;
        }
        State::Sealed => {
            write(id.sealed_name(), &torn);
            expected.torn_bytes += left.torn as u64;
        }
        State::FinishedRaw => {
            write(id.sealed_name(), text.as_bytes());
            if left.table == TableState::True {
                write(id.meta_name(), &raw_table(text.as_bytes()).encode());
            }
        }
        State::Archived(codec) => {
            put_archive(codec, &full, false);
            survive = full.lines().map(str::to_owned).collect();
        }
        State::Both(codec) => {
            put_archive(codec, &full, false);
            write(id.sealed_name(), full.as_bytes());
            expected.raw_removed += 1;
            survive = full.lines().map(str::to_owned).collect();
        }
        State::BothShort(codec) => {
            put_archive(codec, &full, false);
            let len = full.len() / 2;
            write(id.sealed_name(), &[&full.as_bytes()[..len], &b"{\"torn\":\0\0"[..left.torn]].concat());
            expected.raw_removed += 1;
            survive = full.lines().map(str::to_owned).collect();
        }
        State::BothDamaged(codec) => {
            put_archive(codec, &full, true);
            write(id.sealed_name(), full.as_bytes());
            survive = full.lines().map(str::to_owned).collect();
        }
        State::Damaged(codec) => {
            put_archive(codec, &full, true);
            expected.damaged += 1;
            survive.clear();
        }
        State::Nothing => survive.clear(),
    }
    let another = Meta::new(Some(Codec::Gzip)).encode();
    match left.table {
        TableState::Missing => {}
        TableState::True => {
            if let Some(meta) = true_table {
                write(id.meta_name(), &meta.encode());
            }
        }
        TableState::Garbage => write(id.meta_name(), b"garbage"),
        TableState::Empty => write(id.meta_name(), b""),
        TableState::OfAnother => write(id.meta_name(), &another),
    }
    if left.temporary {
        write(id.archive_name(Some(Codec::Gzip)).temporary(), b"half");
        write(id.meta_name().temporary(), b"");
    }
    expected.lines.extend(survive);
}

/// A directory with all of `left`; of several open segments of one name, the first.
fn directory(left: &[Left]) -> (tempfile::TempDir, Expected) {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Expected::default();
    let mut open = std::collections::HashSet::new();
    for (seq, left) in left.iter().enumerate() {
        if left.state != State::Open || open.insert((left.stream, left.tag)) {
            put(dir.path(), left, seq as u64 + 1, &mut expected);
        }
    }
    for (name, bytes) in FOREIGN {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    expected.lines.sort();
    (dir, expected)
}

/// Everything that must hold after any recovery.
fn check(dir: &Path, expected: &Expected) {
    let files = snapshot(dir);
    for (name, bytes) in FOREIGN {
        assert_eq!(files.get(name).map(Vec::as_slice), Some(bytes), "{name} is nobody's business");
    }
    assert!(!files.keys().any(|name| name != "x.tmp" && name.ends_with(".tmp")), "{:?}", files.keys());
    assert_eq!(lines(dir), expected.lines);
    for (name, bytes) in &files {
        let Some(FileName::Archive(id, codec)) = FileName::parse(name) else { continue };
        let Ok(text) = lines::decoded(codec, bytes) else { continue };
        let meta = Meta::decode(&files[&id.meta_name().to_string()]).unwrap();
        assert_eq!((meta.codec, meta.archive_bytes(), meta.raw_bytes()), (Some(codec), bytes.len() as u64, text.len() as u64));
        assert_eq!(meta.totals().lines, text.iter().filter(|&&byte| byte == b'\n').count() as u64);
    }
}

proptest! {
    #[test]
    fn no_line_is_lost_or_doubled_and_twice_is_once(left in prop::collection::vec(any_left(), 0..12), shards in 1..4usize) {
        let (dir, expected) = directory(&left);
        let (first, permits) = recovered(Disk::new(), dir.path(), shards).unwrap();
        check(dir.path(), &expected);
        prop_assert_eq!(first.report.torn_bytes, expected.torn_bytes);
        prop_assert_eq!(first.report.raw_removed, expected.raw_removed);
        prop_assert_eq!(first.report.archives_damaged.len(), expected.damaged);
        prop_assert!(first.report.kept_twice.is_empty());
        let open = first.writers.iter().flatten().filter(|writer| !writer.is_empty()).count();
        prop_assert_eq!(permits.in_use(), open + first.sealed.len());
        prop_assert_eq!((open as u64, first.sealed.len() as u64), (first.report.resumed, first.report.to_archive));
        let once = snapshot(dir.path());
        let (second, _) = recovered(Disk::new(), dir.path(), shards).unwrap();
        prop_assert_eq!(snapshot(dir.path()), once);
        let ids = |recovered: &Recovered| recovered.sealed.iter().map(|segment| (segment.id, segment.raw_bytes)).collect::<Vec<_>>();
        prop_assert_eq!(ids(&first), ids(&second));
        prop_assert_eq!((second.report.torn_files, second.report.garbage_removed, second.report.metas_rebuilt), (0, 0, 0));
    }
}

/// One of everything.
fn everything() -> Vec<Left> {
    use State::{Archived, Both, BothDamaged, BothShort, Damaged, FinishedRaw, Nothing, Open, Sealed};
    use TableState::{Garbage, Missing, True};
    let left = |state, table, tag| Left { stream: Stream::Logs, tag, state, table, lines: 4, torn: 6, temporary: false };
    let (gzip, zstd) = (Codec::Gzip, Codec::Zstd);
    let (single, first, second, third) = (ShardTag::SINGLE, ShardTag::of(0, 2), ShardTag::of(1, 2), ShardTag::of(2, 3));
    vec![
        left(Open, Missing, first),
        Left { lines: 0, ..left(Open, Missing, second) },
        left(Open, Missing, single),
        left(Open, Missing, third),
        left(Sealed, Missing, first),
        left(FinishedRaw, True, first),
        left(FinishedRaw, Missing, first),
        Left { temporary: true, ..left(Archived(gzip), True, first) },
        left(Archived(zstd), Missing, second),
        left(Archived(gzip), Garbage, second),
        left(Both(gzip), Missing, first),
        left(Both(zstd), True, third),
        left(BothShort(gzip), Missing, first),
        left(BothDamaged(gzip), Missing, first),
        left(Damaged(zstd), Garbage, first),
        left(Nothing, Garbage, first),
        Left { stream: Stream::Rejected, ..left(Open, Missing, first) },
    ]
}

#[test]
fn a_recovery_may_be_stopped_after_any_operation() {
    let mut stops = 0;
    loop {
        let (dir, expected) = directory(&everything());
        let crash = Crash::after(stops);
        let outcome = recovered(crash.disk(), dir.path(), 2);
        let torn_before = outcome.as_ref().map_or(0, |(recovered, _)| recovered.report.torn_bytes);
        drop(outcome);
        let (again, _) = recovered(Disk::new(), dir.path(), 2).unwrap();
        check(dir.path(), &expected);
        assert!(again.report.torn_bytes + torn_before <= expected.torn_bytes, "torn tails are cut once");
        if !crash.has_happened() {
            break;
        }
        stops += 1;
    }
    assert!(30 < stops, "only {stops} operations");
}

#[test]
fn resumed_segments_go_on_after_their_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("logs.s01.jsonl"), b"{\"n\":1}\n{\"n\":2}\n{\"torn").unwrap();
    fs::write(dir.path().join("logs_20261124_150000_s01_000041.meta.tmp"), b"").unwrap();
    let (mut recovered, permits) = recovered(Disk::new(), dir.path(), 2).unwrap();
    let writer = &mut recovered.writers[1][Stream::Logs.slot()];
    assert_eq!(writer.len(), 16);
    assert!(!writer.needs_permit() && recovered.writers[0][Stream::Logs.slot()].needs_permit());
    let writer = &mut recovered.writers[1][Stream::Logs.slot()];
    writer.append(b"{\"n\":3}\n", &mut 0).unwrap();
    let sealed = writer.seal(None).unwrap();
    assert_eq!((sealed.id.seq, sealed.raw_bytes, permits.in_use()), (42, 24, 1));
    assert_eq!(fs::read(&sealed.path).unwrap(), b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

/// Nothing that is not known to be elsewhere goes, even where that leaves lines twice; but then it is said.
#[test]
fn files_that_do_not_agree_are_both_kept() {
    const RAW: &str = "logs_20261124_150000_000007.jsonl";
    let (bytes, meta) = archive(Codec::Gzip, b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
    let cut = &bytes[..bytes.len() - 4];
    for (archived, raw, table) in [
        (&bytes[..], &b"{\"n\":1}\n{\"n\":7}\n"[..], None),
        (cut, b"{\"n\":1}\n{\"n\":2}\n", None),
        (cut, b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", Some(&meta)), // the table knows that the archive held more
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(RAW), raw).unwrap();
        fs::write(dir.path().join(format!("{RAW}.gz")), archived).unwrap();
        if let Some(meta) = table {
            fs::write(dir.path().join(RAW.replace(".jsonl", ".meta")), meta.encode()).unwrap();
        }
        let (recovered, _) = recovered(Disk::new(), dir.path(), 1).unwrap();
        let moved = "logs_20261124_150000_000008.jsonl";
        assert_eq!(fs::read(dir.path().join(moved)).unwrap(), raw);
        assert_eq!(fs::read(dir.path().join(format!("{RAW}.gz"))).unwrap(), archived);
        assert_eq!(recovered.report.kept_twice, [moved]);
        assert_eq!(recovered.sealed.iter().map(|segment| segment.id.to_string()).collect::<Vec<_>>(), ["logs_20261124_150000_000008"]);
    }
}

/// A disk on which nothing new fits.
struct Full;

impl FileHook for Full {
    fn before(&self, op: Op, _: &Path) -> std::io::Result<()> {
        if matches!(op, Op::Create | Op::Write) { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(()) }
    }
}

#[test]
fn a_full_disk_stops_only_what_needs_space() {
    let (dir, expected) = directory(&everything());
    let full = || Disk::with_hook(Arc::new(Full));
    let error = recovered(full(), dir.path(), 2).unwrap_err();
    assert!(matches!(&error, StorageError::Unusable { what, .. } if what.contains("disk is full")), "{error}");
    format::check(&Disk::new(), dir.path()).unwrap();
    let (first, _) = recovered(full(), dir.path(), 2).unwrap();
    assert_eq!((first.report.torn_bytes, first.report.raw_removed), (expected.torn_bytes, expected.raw_removed));
    assert_eq!((first.report.metas_rebuilt, first.report.metas_skipped), (0, 4));
    assert_eq!(lines(dir.path()), expected.lines);
    let (second, _) = recovered(Disk::new(), dir.path(), 2).unwrap();
    assert_eq!((second.report.metas_rebuilt, second.report.metas_skipped), (4, 0));
    check(dir.path(), &expected);
}

/// Notes what changes the disk.
#[derive(Default)]
struct Log(std::sync::Mutex<Vec<String>>);

impl FileHook for Log {
    fn before(&self, op: Op, path: &Path) -> std::io::Result<()> {
        if op.changes() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.0.lock().unwrap().push(format!("{op} {name}"));
        }
        Ok(())
    }
}

/// What survives a power cut depends on the order, which no test of the files' contents sees.
#[test]
fn what_replaces_a_file_is_durable_before_the_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    format::check(&Disk::new(), dir.path()).unwrap();
    let (bytes, meta) = archive(Codec::Gzip, b"{}\n{}\n");
    fs::write(dir.path().join("logs_20261124_150000_000007.jsonl.gz"), bytes).unwrap();
    fs::write(dir.path().join("logs_20261124_150000_000007.meta"), meta.encode()).unwrap();
    fs::write(dir.path().join("logs_20261124_150000_000007.jsonl"), b"{}\n{}\n").unwrap();
    fs::write(dir.path().join("logs_20261124_150000_000008.jsonl.gz.tmp"), b"").unwrap();
    fs::write(dir.path().join("logs.jsonl"), b"{}\n{").unwrap();
    fs::write(dir.path().join("rejected.jsonl"), b"{").unwrap();
    fs::write(dir.path().join("logs.s03.jsonl"), b"{}\n").unwrap();
    let log = Arc::new(Log::default());
    recovered(Disk::with_hook(log.clone()), dir.path(), 1).unwrap();
    let directory = dir.path().file_name().unwrap().to_string_lossy();
    let expected = [
        "remove logs_20261124_150000_000008.jsonl.gz.tmp",
        &format!("fsync directory {directory}"),
        "remove logs_20261124_150000_000007.jsonl",
        "truncate logs.jsonl",
        "fdatasync logs.jsonl",
        "truncate rejected.jsonl",
        "remove rejected.jsonl",
        "fdatasync logs.s03.jsonl",
        "rename logs.s03.jsonl",
    ];
    assert_eq!(*log.0.lock().unwrap(), expected);
}

#[test]
fn a_newer_format_is_left_untouched() {
    let (dir, _) = directory(&everything());
    fs::write(dir.path().join("logboom.format"), "logboom data directory\nformat = 999\n").unwrap();
    let before = snapshot(dir.path());
    let error = recovered(Disk::new(), dir.path(), 2).unwrap_err().to_string();
    assert!(error.contains("999") && error.contains("format 1"), "{error}");
    assert_eq!(snapshot(dir.path()), before);
}
