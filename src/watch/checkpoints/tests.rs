use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::store::disk::FileHook;
use crate::store::filter::Index;
use crate::store::name::{Codec, ShardTag};
use crate::store::permits::RawPermits;
use crate::store::recover::{self as store_recovery, RecoveryConfig};
use crate::watch::content::{FileKey, Head};
use crate::watch::journal::Offset;

mod kept;

const LINES: [&str; 3] = ["{\"n\":0}\n", "{\"n\":1}\n", "{\"n\":2}\n"];
const STREAM: Stream = Stream::Collected;

/// What the start of a process does.
struct Start {
    shards: usize,
    accepted: Stream,
    disk: Disk,
    /// Whether the file is still there; none where others write to the store.
    has: Option<bool>,
}

impl Default for Start {
    fn default() -> Self {
        Self { shards: 1, accepted: STREAM, disk: Disk::new(), has: Some(true) }
    }
}

impl Start {
    fn run(self, dir: &Path) -> Result<(Recovered, Replayed), StorageError> {
        let Self { shards, accepted, disk, has } = self;
        let journal = read(&disk, dir)?;
        let permits = RawPermits::new(9);
        let numbers = journal.numbers();
        let config = RecoveryConfig { disk: Disk::new(), dir, shards, accepted, index: Index::Off, numbers, permits: &permits };
        let mut store = store_recovery::recover(&config).unwrap();
        let has = has.map(|has| move |record: &FileRecord, _: u64| has && record.id == 1);
        recover(&disk, dir, journal, has, &mut store).map(|replayed| (store, replayed))
    }
}

fn start(dir: &Path) -> (Recovered, Replayed) {
    Start::default().run(dir).unwrap()
}

fn begin(dir: &Path, store: &Recovered, replayed: Replayed) -> Arc<Checkpoints> {
    let marks = store.writers.iter().map(|slots| slots.each_ref().map(SegmentWriter::mark)).collect();
    Checkpoints::begin(Disk::new(), dir, Marks::new(STREAM, marks), replayed, false).unwrap()
}

/// A process that stores three lines of one file, a batch each, and the last of them in a second segment; the last shard does it.
fn collect_on(dir: &Path, shards: usize) {
    let (mut store, replayed) = Start { shards, ..Start::default() }.run(dir).unwrap();
    let checkpoints = begin(dir, &store, replayed);
    checkpoints.append(file()).unwrap();
    let [mut writer, _] = store.writers.remove(shards - 1);
    let permits = RawPermits::new(9);
    for (n, line) in LINES.iter().enumerate() {
        if writer.needs_permit() {
            writer.give_permit(permits.try_claim().unwrap());
        }
        checkpoints.append(batch(&writer, shards - 1, line, 10 * (n as u64 + 1))).unwrap();
        writer.append(line.as_bytes(), &mut 0).unwrap();
        if n == 1 {
            drop(writer.seal(None).unwrap());
        }
    }
}

fn collect(dir: &Path) {
    collect_on(dir, 1);
}

fn file() -> Entry {
    Entry::File(FileRecord { id: 1, key: FileKey { dev: 1, ino: 1 }, head: Head::default(), path: "app.log".into() })
}

fn batch(writer: &SegmentWriter, shard: usize, line: &str, bytes: u64) -> Entry {
    let (from, crc) = (writer.len(), crc32fast::hash(line.as_bytes()));
    let extent = Extent { shard, stream: writer.stream(), seq: writer.seq(), from, to: from + line.len() as u64, crc };
    Entry::Batch { extent, is_of_both: true, files: vec![(1, Offset { bytes, is_mid_line: false })] }
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("logboom.checkpoints")
}

fn open(dir: &Path) -> PathBuf {
    dir.join("collected.jsonl")
}

fn sealed(dir: &Path) -> PathBuf {
    let is_sealed = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("collected_");
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).find(is_sealed).expect("a sealed segment")
}

/// Archives the sealed segment, as the pool does it.
fn archive(dir: &Path) -> PathBuf {
    let from = sealed(dir);
    let to = from.with_extension("jsonl.gz");
    let file = fs::File::create(&to).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::copy(&mut fs::File::open(&from).unwrap(), &mut gz).unwrap();
    gz.finish().unwrap();
    fs::remove_file(from).unwrap();
    to
}

fn append(path: &Path, text: &str) {
    fs::write(path, fs::read_to_string(path).unwrap() + text).unwrap();
}

/// To so many bytes, or by one.
fn cut(path: &Path, len: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len.min(file.metadata().unwrap().len() - 1)).unwrap();
}

/// Spoils the line of the journal that begins with this.
fn spoil(dir: &Path, kind: &str) {
    let text = fs::read_to_string(journal(dir)).unwrap();
    assert!(text.contains(kind), "{text}");
    fs::write(journal(dir), text.replacen(kind, "spoiled", 1)).unwrap();
}

/// What a crash does to the directory, up to where the file is stored then, and which lines are left.
#[test]
fn what_the_store_holds_counts_and_what_was_not_stored_whole_is_cut() {
    type Crash = fn(&Path);
    let crashes: [(&str, Crash, u64, usize); 5] = [
        ("none", |_| (), 30, 3),
        ("the open segment was never written", |dir| fs::remove_file(open(dir)).unwrap(), 20, 2),
        ("the open segment has other bytes", |dir| fs::write(open(dir), "{}\n").unwrap(), 20, 2),
        ("the sealed segment lost its end", |dir| cut(&sealed(dir), 9), 10, 1),
        ("the sealed segment has other bytes", |dir| fs::write(sealed(dir), "{\"n\":0}\n\0\0\0\0\0\0\0\n").unwrap(), 10, 1),
    ];
    for (what, crash, stored, lines) in crashes {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        collect(dir);
        crash(dir);
        // The second time it finds what the first one left, if that was killed before it began a new journal.
        for round in 0..2 {
            let (store, replayed) = start(dir);
            // The other stream has nothing, and so has everything of it.
            assert_eq!(replayed.files[&1].1[0].bytes, stored, "{what}, {round}");
            let text = fs::read_to_string(open(dir)).unwrap_or_default();
            assert_eq!(fs::read_to_string(sealed(dir)).unwrap() + &text, LINES[..lines].concat(), "{what}, {round}");
            assert_eq!(store.writers[0][0].len(), text.len() as u64, "{what}, {round}");
        }
    }
}

#[test]
fn after_a_cut_everything_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    fs::write(open(dir), "{}\n").unwrap();
    let (mut store, replayed) = start(dir);
    let checkpoints = begin(dir, &store, replayed);
    let mut writer = store.writers.remove(0).into_iter().next().unwrap();
    if writer.needs_permit() {
        writer.give_permit(RawPermits::new(9).try_claim().unwrap());
    }
    checkpoints.append(batch(&writer, 0, LINES[2], 30)).unwrap();
    writer.append(LINES[2].as_bytes(), &mut 0).unwrap();
    drop((writer, checkpoints));
    let (_, replayed) = start(dir);
    assert_eq!(replayed.files[&1].1[0].bytes, 30);
    assert_eq!(fs::read_to_string(sealed(dir)).unwrap() + &fs::read_to_string(open(dir)).unwrap(), LINES.concat());
}
