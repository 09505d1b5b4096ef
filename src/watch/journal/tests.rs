use super::*;
use proptest::prelude::*;

fn at(bytes: u64) -> Offset {
    Offset { bytes, is_mid_line: false }
}

fn any_offset() -> impl Strategy<Value = Offset> {
    (any::<u64>(), any::<bool>()).prop_map(|(bytes, is_mid_line)| Offset { bytes, is_mid_line })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let moved = || prop::collection::vec((any::<u64>(), any_offset()), 0..4);
    let path = prop::collection::vec(1..=255u8, 1..20).prop_map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
    let numbers = (0..100usize, 0..2usize, any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    prop_oneof![
        (any::<[u64; 3]>(), any::<(u32, u32)>(), path).prop_map(|([id, dev, ino], (len, crc), path)| Entry::File(FileRecord {
            id,
            key: FileKey { dev, ino },
            head: Head { len, crc, ..Head::default() },
            path
        })),
        (any::<u64>(), any_offset(), any_offset()).prop_map(|(id, a, b)| Entry::Read(id, [a, b])),
        (0..100usize, 0..2usize, any::<u64>(), any::<u64>()).prop_map(|(shard, slot, seq, offset)| Entry::At(shard, slot, seq, offset)),
        (numbers, any::<bool>(), moved()).prop_map(|((shard, slot, seq, from, to, crc), is_of_both, files)| Entry::Batch {
            extent: Extent { shard, slot, seq, from, to, crc },
            is_of_both,
            files
        }),
        (0..100usize, moved()).prop_map(|(shard, files)| Entry::Idle(shard, files)),
        any::<u64>().prop_map(Entry::Gone),
        Just(Entry::Shared),
    ]
}

proptest! {
    #[test]
    fn entries_come_back_and_a_torn_one_ends_them(all in prop::collection::vec(any_entry(), 1..6), torn in 1..30usize) {
        let mut bytes = Vec::new();
        all.iter().for_each(|entry| entry.write(&mut bytes));
        prop_assert_eq!(&entries(&bytes).collect::<Vec<_>>(), &all);
        bytes.truncate(bytes.len().saturating_sub(torn));
        let whole: Vec<_> = entries(&bytes).collect();
        prop_assert!(whole.len() < all.len() && whole == all[..whole.len()]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = entries(&bytes).count();
    }
}

/// Holds the bytes up to here of each slot of shard 0; nothing of other segments than the first.
struct Holds([u64; 2]);

impl Stored for Holds {
    fn holds(&mut self, extent: &Extent) -> bool {
        extent.seq == 1 && extent.to <= self.0[extent.slot]
    }
}

fn file(id: FileId) -> Entry {
    Entry::File(FileRecord { id, key: FileKey { dev: 1, ino: id }, head: Head::default(), path: "x".into() })
}

fn batch(slot: usize, to: u64, is_of_both: bool, files: &[(FileId, u64)]) -> Entry {
    let files = files.iter().map(|(id, bytes)| (*id, at(*bytes))).collect();
    Entry::Batch { extent: Extent { shard: 0, slot, seq: 1, from: 0, to, crc: 0 }, is_of_both, files }
}

fn offsets(replayed: &Replayed, id: FileId) -> [u64; 2] {
    replayed.files[&id].1.map(|offset| offset.bytes)
}

/// What a power cut leaves: the journal is ahead of the store, by any number of batches.
#[test]
fn the_last_entry_that_the_store_holds_counts() {
    let journal =
        [file(1), Entry::At(0, 0, 1, 0), batch(0, 10, true, &[(1, 100)]), batch(0, 20, true, &[(1, 200)]), batch(0, 30, true, &[(1, 300)])];
    for (held, end, expected) in [(0, (1, 0), 0), (10, (1, 10), 100), (19, (1, 10), 100), (20, (1, 20), 200), (99, (1, 30), 300)] {
        let replayed = replay(journal.iter().cloned(), &mut Holds([held, 0]));
        assert_eq!((replayed.ends[&(0, 0)], offsets(&replayed, 1)[0]), (end, expected), "{held} bytes are held");
    }
}

#[test]
fn what_follows_an_entry_that_is_not_true_is_not_true_either() {
    struct NotTheSecond;
    impl Stored for NotTheSecond {
        fn holds(&mut self, extent: &Extent) -> bool {
            extent.to != 20
        }
    }
    let journal = [file(1), batch(0, 10, true, &[(1, 100)]), batch(0, 20, true, &[(1, 200)]), batch(0, 30, true, &[(1, 300)])];
    let replayed = replay(journal.into_iter(), &mut NotTheSecond);
    assert_eq!((offsets(&replayed, 1)[0], replayed.ends[&(0, 0)], replayed.untrue), (100, (1, 10), 2));
}

#[test]
fn each_slot_counts_for_itself() {
    let journal = [
        file(1),
        batch(1, 5, false, &[(1, 90)]),
        batch(0, 10, false, &[(1, 100)]),
        batch(1, 9, false, &[(1, 150)]),
        batch(0, 20, true, &[(1, 200)]),
    ];
    let replayed = |held| replay(journal.iter().cloned(), &mut Holds(held));
    assert_eq!(offsets(&replayed([20, 9]), 1), [200, 200]);
    assert_eq!(offsets(&replayed([10, 9]), 1), [100, 200], "the other slot had all of it when the batch was taken");
    assert_eq!(offsets(&replayed([20, 5]), 1), [200, 90], "what the journal says of the other slot is no more true than the other slot is");
    assert_eq!(offsets(&replayed([0, 0]), 1), [0, 0]);
}

#[test]
fn files_that_left_nothing_are_known_and_gone_ones_are_not() {
    let journal = [file(1), file(2), Entry::Idle(0, vec![(1, at(7)), (2, at(8))]), Entry::Gone(2), Entry::Read(1, [at(3), at(9)])];
    let replayed = replay(journal.into_iter(), &mut Holds([0, 0]));
    assert_eq!(replayed.files.len(), 1);
    assert_eq!(offsets(&replayed, 1), [7, 9]);
}
