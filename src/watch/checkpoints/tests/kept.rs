//! What must never be lost: where anything is in doubt, the store keeps it.

use std::io;

use super::*;

/// Every file of the store, but the journal.
fn store_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_of_store = |path: &PathBuf| path.to_string_lossy().contains(".jsonl");
    files.filter(is_of_store).map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn nothing_is_removed_on_the_word_of_a_damaged_or_old_journal() {
    type Harm = fn(&Path, &[u8]);
    let harms: [(&str, Harm); 7] = [
        ("its first batch is damaged", |dir, _| spoil(dir, "batch")),
        ("what it knows of the file is damaged", |dir, _| spoil(dir, "file")),
        ("where it began is damaged", |dir, _| spoil(dir, " at ")),
        ("it is that of an earlier day", |dir, old| fs::write(journal(dir), old).unwrap()),
        ("it lost its end", |dir, _| cut(&journal(dir), u64::MAX)),
        ("it is empty", |dir, _| fs::write(journal(dir), "").unwrap()),
        ("others wrote on", |dir, _| append(&open(dir), "{\"n\":3}\n")),
    ];
    for (what, harm) in harms {
        for is_archived in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            let (store, replayed) = start(dir);
            drop(begin(dir, &store, replayed));
            let old = fs::read(journal(dir)).unwrap();
            collect(dir);
            if is_archived {
                archive(dir);
            }
            harm(dir, &old);
            let before = store_files(dir);
            assert!(!before.is_empty());
            start(dir);
            assert_eq!(store_files(dir), before, "{what}, archived: {is_archived}");
        }
    }
}

/// A damaged line takes nothing with it but what it said.
#[test]
fn what_is_behind_a_damaged_line_counts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    spoil(dir, "batch");
    assert_eq!(start(dir).1.files[&1].1[0].bytes, 30);
}

#[test]
fn what_is_damaged_beyond_an_untrue_entry_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    fs::write(open(dir), "{}\n").unwrap();
    spoil(dir, " at ");
    let (_, replayed) = start(dir);
    assert_eq!((replayed.files[&1].1[0].bytes, fs::read_to_string(open(dir)).unwrap().as_str()), (20, "{}\n"));
}

#[test]
fn what_no_file_gives_again_is_kept() {
    for has in [Some(false), None] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        collect(dir);
        fs::write(open(dir), "{}\n").unwrap();
        let (store, replayed) = Start { has, ..Start::default() }.run(dir).unwrap();
        assert_eq!(replayed.files[&1].1[0].bytes, 20);
        assert_eq!((fs::read_to_string(open(dir)).unwrap().as_str(), store.writers[0][0].len()), ("{}\n", 3), "{has:?}");
        // Nor later: a new journal begins behind it.
        drop(begin(dir, &store, replayed));
        drop(store);
        start(dir);
        assert_eq!(fs::read_to_string(open(dir)).unwrap(), "{}\n");
    }
}

#[test]
fn what_others_wrote_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    fs::write(open(dir), "{}\n").unwrap();
    // `serve` without files: it does not follow them, but knows the journal.
    let (store, replayed) = Start { accepted: Stream::Logs, has: None, ..Start::default() }.run(dir).unwrap();
    settle(&Disk::new(), dir, &replayed).unwrap();
    drop(store);
    let before = store_files(dir);
    start(dir);
    assert_eq!(store_files(dir), before);
}

/// Reads of one file fail.
struct Unreadable(PathBuf, Op);

impl FileHook for Unreadable {
    fn before(&self, op: Op, path: &Path) -> io::Result<()> {
        let is_it = path == self.0 && op == self.1;
        if is_it { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

#[test]
fn what_cannot_be_read_stops_the_start() {
    for of in [open, sealed, journal] {
        for op in [Op::Open, Op::Read] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            collect(dir);
            let before = store_files(dir);
            let disk = Disk::with_hook(Arc::new(Unreadable(of(dir), op)));
            let error = Start { disk, ..Start::default() }.run(dir).unwrap_err();
            assert!(error.to_string().contains("os error 5"), "{error}");
            assert_eq!(store_files(dir), before);
        }
    }
}

/// The number of shards changes after a crash: an entry of a shard that is gone is as true as its segment.
#[test]
fn entries_of_former_shards_are_looked_up_too() {
    for shards in [1, 2, 3, 4] {
        for (is_written, stored) in [(true, 30), (false, 20)] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            collect_on(dir, 3);
            if !is_written {
                fs::remove_file(dir.join("collected.s02.jsonl")).unwrap();
            }
            let (_, replayed) = Start { shards, ..Start::default() }.run(dir).unwrap();
            assert_eq!(replayed.files[&1].1[0].bytes, stored, "{shards} shards");
        }
    }
}

/// What another command would call the stream is another stream.
#[test]
fn entries_are_of_the_stream_that_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    fs::remove_file(open(dir)).unwrap();
    let mut names = Vec::new();
    for seq in 1..9 {
        let id = crate::store::name::SegmentId { stream: Stream::Logs, shard: ShardTag::SINGLE, sealed_at_s: 0, seq };
        names.push(id.archive_name(Some(Codec::Gzip)));
    }
    names.iter().for_each(|name| fs::write(name.in_dir(dir), "").unwrap());
    let (_, replayed) = Start { accepted: Stream::Logs, has: None, ..Start::default() }.run(dir).unwrap();
    assert_eq!(replayed.files[&1].1[0].bytes, 20);
}

#[test]
fn what_was_archived_and_deleted_is_not_read_again_and_its_number_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    let (store, replayed) = start(dir);
    assert_eq!((store.sealed.len(), store.writers[0][0].seq()), (1, 2));
    let checkpoints = begin(dir, &store, replayed);
    let [mut writer, _] = { store }.writers.remove(0);
    let line = "{\"n\":3}\n";
    checkpoints.append(batch(&writer, 0, line, 40)).unwrap();
    writer.append(line.as_bytes(), &mut 0).unwrap();
    drop(writer.seal(None).unwrap());
    checkpoints.archived(0, STREAM, 2);
    drop((writer, checkpoints));
    while fs::read_dir(dir).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("collected_")) {
        fs::remove_file(sealed(dir)).unwrap(); // retention
    }
    for _ in 0..3 {
        let (store, replayed) = start(dir);
        assert_eq!((replayed.files[&1].1[0].bytes, store.writers[0][0].seq()), (40, 3));
        drop(begin(dir, &store, replayed));
    }
}
