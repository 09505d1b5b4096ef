use std::fs;

use super::*;
use crate::store::filter::Index;
use crate::store::open::SegmentWriter;
use crate::store::permits::RawPermits;
use crate::store::recover::{self as store_recovery, RecoveryConfig};
use crate::watch::content::{FileKey, Head};
use crate::watch::journal::{FileRecord, Offset};

const LINES: [&str; 3] = ["{\"n\":0}\n", "{\"n\":1}\n", "{\"n\":2}\n"];

fn recovered(dir: &Path) -> Recovered {
    let (disk, permits) = (Disk::new(), RawPermits::new(9));
    let config = RecoveryConfig { disk, dir, shards: 1, accepted: Stream::Collected, index: Index::Off, permits: &permits };
    store_recovery::recover(&config).unwrap()
}

/// A process that stores three lines of one file, a batch each, and the last of them in a second segment.
fn collect(dir: &Path) {
    let disk = Disk::new();
    let mut store = recovered(dir);
    let replayed = recover(&disk, dir, Stream::Collected, Beyond::Cut, &mut store).unwrap();
    let marks = Marks::new(Stream::Collected, vec![std::array::from_fn(|slot| store.writers[0][slot].mark())]);
    let checkpoints = Checkpoints::begin(disk, dir, marks, replayed, Beyond::Cut).unwrap();
    let key = FileKey { dev: 1, ino: 1 };
    checkpoints.append(Entry::File(FileRecord { id: 1, key, head: Head::default(), path: "app.log".into() })).unwrap();
    let [mut writer, _] = store.writers.remove(0);
    let permits = RawPermits::new(9);
    for (n, line) in LINES.iter().enumerate() {
        if writer.needs_permit() {
            writer.give_permit(permits.try_claim().unwrap());
        }
        checkpoints.append(batch(&writer, line, 10 * (n as u64 + 1))).unwrap();
        writer.append(line.as_bytes(), &mut 0).unwrap();
        if n == 1 {
            drop(writer.seal(None).unwrap());
        }
    }
}

fn batch(writer: &SegmentWriter, line: &str, bytes: u64) -> Entry {
    let (from, crc) = (writer.len(), crc32fast::hash(line.as_bytes()));
    let extent = Extent { shard: 0, slot: 0, seq: writer.seq(), from, to: from + line.len() as u64, crc };
    Entry::Batch { extent, is_of_both: true, files: vec![(1, Offset { bytes, is_mid_line: false })] }
}

fn sealed(dir: &Path) -> PathBuf {
    let is_sealed = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("collected_");
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).find(is_sealed).expect("a sealed segment")
}

/// What a crash does to the directory, up to where the file is stored then, and which lines are left.
#[test]
fn what_the_store_holds_counts_and_what_it_holds_beyond_is_cut() {
    type Crash = fn(&Path);
    let crashes: [(&str, Crash, u64, usize); 6] = [
        ("none", |_| (), 30, 3),
        ("a batch that no entry knows", |dir| append(&dir.join("collected.jsonl"), "{\"n\":3}\n{\"n\""), 30, 3),
        ("the open segment was never written", |dir| fs::remove_file(dir.join("collected.jsonl")).unwrap(), 20, 2),
        ("the sealed segment lost its end", |dir| cut(&sealed(dir), 9), 10, 1),
        ("the sealed segment has other bytes", |dir| fs::write(sealed(dir), "{\"n\":0}\n\0\0\0\0\0\0\0\n").unwrap(), 10, 1),
        ("the journal lost its end", |dir| cut(&dir.join("logboom.checkpoints"), u64::MAX), 20, 2),
    ];
    for (what, crash, stored, lines) in crashes {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        collect(dir);
        crash(dir);
        let mut store = recovered(dir);
        let replayed = recover(&Disk::new(), dir, Stream::Collected, Beyond::Cut, &mut store).unwrap();
        // The other stream has nothing, and so has everything of it.
        assert_eq!(replayed.files[&1].1[0].bytes, stored, "{what}");
        let open = fs::read_to_string(dir.join("collected.jsonl")).unwrap_or_default();
        assert_eq!(fs::read_to_string(sealed(dir)).unwrap() + &open, LINES[..lines].concat(), "{what}");
        assert_eq!(store.writers[0][0].len(), open.len() as u64, "{what}");
    }
}

#[test]
fn nothing_is_cut_where_others_write_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    collect(dir);
    share(&Disk::new(), dir).unwrap();
    append(&dir.join("collected.jsonl"), "{\"from\":\"tcp\"}\n");
    let mut store = recovered(dir);
    let replayed = recover(&Disk::new(), dir, Stream::Collected, Beyond::Cut, &mut store).unwrap();
    assert!(replayed.is_shared);
    assert_eq!(fs::read_to_string(dir.join("collected.jsonl")).unwrap(), format!("{}{{\"from\":\"tcp\"}}\n", LINES[2]));
}

fn append(path: &Path, text: &str) {
    fs::write(path, fs::read_to_string(path).unwrap() + text).unwrap();
}

/// To so many bytes, or by one.
fn cut(path: &Path, len: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len.min(file.metadata().unwrap().len() - 1)).unwrap();
}
