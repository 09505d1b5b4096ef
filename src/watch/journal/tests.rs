use std::convert::Infallible;

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
    let segment = || (0..100usize, prop::sample::select(&Stream::ALL[..]), 0..=SEQUENCE_MAX);
    let batch = (segment(), any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>(), moved());
    prop_oneof![
        (any::<[u64; 3]>(), any::<(u32, u32)>(), path).prop_map(|([id, dev, ino], (len, crc), path)| Entry::File(FileRecord {
            id,
            key: FileKey { dev, ino },
            head: Head { len, crc, ..Head::default() },
            path
        })),
        (any::<u64>(), any_offset(), any_offset()).prop_map(|(id, a, b)| Entry::Read(id, [a, b])),
        (segment(), any::<u64>()).prop_map(|((shard, stream, seq), offset)| Entry::At(shard, stream, seq, offset)),
        segment().prop_map(|(shard, stream, seq)| Entry::Archived(shard, stream, seq)),
        batch.prop_map(|((shard, stream, seq), from, to, crc, is_of_both, files)| Entry::Batch {
            extent: Extent { shard, stream, seq, from, to, crc },
            is_of_both,
            files
        }),
        (0..100usize, moved()).prop_map(|(shard, files)| Entry::Idle(shard, files)),
        any::<u64>().prop_map(Entry::Gone),
        Just(Entry::Shared),
    ]
}

fn written(all: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    all.iter().for_each(|entry| entry.write(&mut bytes));
    bytes
}

proptest! {
    #[test]
    fn entries_come_back_and_a_torn_one_is_passed_over(all in prop::collection::vec(any_entry(), 1..6), torn in 1..30usize) {
        let mut bytes = written(&all);
        prop_assert_eq!(Journal::parse(&bytes), Journal { entries: all.clone(), is_damaged: false });
        let last_bytes = written(&all[all.len() - 1..]).len();
        bytes.truncate(bytes.len() - torn.min(last_bytes - 1));
        prop_assert_eq!(Journal::parse(&bytes), Journal { entries: all[..all.len() - 1].to_vec(), is_damaged: false });
    }

    /// One bit of one line before the last, unless it says the same still: the others are read, and nobody takes it for whole.
    #[test]
    fn damage_is_noticed(all in prop::collection::vec(any_entry(), 3..6), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = written(&all);
        let damageable = written(&all[..all.len() - 2]).len();
        bytes[at.index(damageable)] ^= 1 << bit;
        let journal = Journal::parse(&bytes);
        prop_assert!(journal.is_damaged || journal.entries == all);
        prop_assert!(journal.entries.iter().all(|entry| all.contains(entry)));
        prop_assert_eq!(journal.entries.last(), all.last());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Journal::parse(&bytes);
    }
}

/// A store that holds the bytes up to here of each slot of shard 0, and nothing of other segments than the first.
fn holding(held: [u64; 2]) -> impl FnMut(&Extent) -> Result<Held, Infallible> {
    move |extent| Ok(if extent.seq == 1 && extent.to <= held[extent.stream.slot()] { Held::Whole } else { Held::Otherwise })
}

fn replayed(journal: &[Entry], look: impl FnMut(&Extent) -> Result<Held, Infallible>) -> Replayed {
    replay(journal.to_vec(), look).unwrap_or_else(|never| match never {})
}

fn file(id: FileId) -> Entry {
    Entry::File(FileRecord { id, key: FileKey { dev: 1, ino: id }, head: Head::default(), path: "x".into() })
}

fn batch(slot: usize, to: u64, is_of_both: bool, files: &[(FileId, u64)]) -> Entry {
    let files = files.iter().map(|(id, bytes)| (*id, at(*bytes))).collect();
    Entry::Batch { extent: Extent { shard: 0, stream: Stream::BY_SLOT[slot], seq: 1, from: 0, to, crc: 0 }, is_of_both, files }
}

fn offsets(replayed: &Replayed, id: FileId) -> [u64; 2] {
    replayed.files[&id].1.map(|offset| offset.bytes)
}

/// What a power cut leaves: the journal is ahead of the store, by any number of batches.
#[test]
fn the_last_entry_that_the_store_holds_counts() {
    let journal = [
        file(1),
        Entry::At(0, Stream::Logs, 1, 0),
        batch(0, 10, true, &[(1, 100)]),
        batch(0, 20, true, &[(1, 200)]),
        batch(0, 30, true, &[(1, 300)]),
    ];
    for (held, untrue, expected) in [(0, 3, 0), (10, 2, 100), (19, 2, 100), (20, 1, 200), (99, 0, 300)] {
        let replayed = replayed(&journal, holding([held, 0]));
        assert_eq!((replayed.untrue.len(), offsets(&replayed, 1)[0]), (untrue, expected), "{held} bytes are held");
        assert_eq!(replayed.ends[&(0, Stream::Logs)], (1, 30));
    }
}

#[test]
fn what_follows_an_entry_that_is_not_true_is_not_true_either() {
    let journal = [file(1), batch(0, 10, true, &[(1, 100)]), batch(0, 20, true, &[(1, 200)]), batch(0, 30, true, &[(1, 300)])];
    let replayed = replayed(&journal, |extent| Ok(if extent.to == 20 { Held::Otherwise } else { Held::Whole }));
    let untrue: Vec<u64> = replayed.untrue.iter().map(|(extent, _)| extent.to).collect();
    assert_eq!((offsets(&replayed, 1)[0], untrue), (100, vec![20, 30]));
}

/// Of a segment that is gone: it was never written, unless it was archived or something later is there.
#[test]
fn what_is_gone_was_there_if_that_can_be_shown() {
    let gone_up_to = |to: u64| move |extent: &Extent| Ok(if extent.to <= to { Held::Gone } else { Held::Whole });
    let journal = [file(1), batch(0, 10, true, &[(1, 100)]), batch(0, 20, true, &[(1, 200)]), batch(1, 9, false, &[])];
    assert_eq!(offsets(&replayed(&journal, gone_up_to(10)), 1)[0], 200);
    assert_eq!(offsets(&replayed(&journal, gone_up_to(20)), 1)[0], 0, "of another stream nothing is shown");
    let archived = [&journal[..], &[Entry::Archived(0, Stream::Logs, 1)]].concat();
    assert_eq!(offsets(&replayed(&archived, gone_up_to(20)), 1)[0], 200);
    let of_another = [&journal[..], &[Entry::Archived(0, Stream::Collected, 1), Entry::Archived(1, Stream::Logs, 1)]].concat();
    assert_eq!(offsets(&replayed(&of_another, gone_up_to(20)), 1)[0], 0);
}

#[test]
fn an_error_ends_the_replay() {
    let failed = replay(vec![file(1), batch(0, 10, true, &[(1, 100)])], |_| Err("EIO"));
    assert_eq!(failed, Err("EIO"));
}

#[test]
fn numbers_are_those_that_segments_have_had() {
    let journal = |entries: &[Entry]| Journal { entries: entries.to_vec(), is_damaged: false }.numbers();
    let of = |stream, seq| BTreeMap::from([((stream, 0), seq)]);
    assert_eq!(journal(&[Entry::At(0, Stream::Logs, 8, 0)]), of(Stream::Logs, 7), "the next one is not begun");
    assert_eq!(journal(&[Entry::At(0, Stream::Logs, 8, 1)]), of(Stream::Logs, 8));
    assert_eq!(
        journal(&[batch(1, 10, true, &[]), Entry::Archived(0, Stream::Rejected, 9), batch(1, 10, true, &[])]),
        of(Stream::Rejected, 9)
    );
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
    let replayed = |held| replayed(&journal, holding(held));
    assert_eq!(offsets(&replayed([20, 9]), 1), [200, 200]);
    assert_eq!(offsets(&replayed([10, 9]), 1), [100, 200], "the other slot had all of it when the batch was taken");
    assert_eq!(offsets(&replayed([20, 5]), 1), [200, 90], "what the journal says of the other slot is no more true than the other slot is");
    assert_eq!(offsets(&replayed([0, 0]), 1), [0, 0]);
}

#[test]
fn files_that_left_nothing_are_known_and_gone_ones_are_not() {
    let journal = [file(1), file(2), Entry::Idle(0, vec![(1, at(7)), (2, at(8))]), Entry::Gone(2), Entry::Read(1, [at(3), at(9)])];
    let replayed = replayed(&journal, holding([0, 0]));
    assert_eq!(replayed.files.len(), 1);
    assert_eq!(offsets(&replayed, 1), [7, 9]);
}
