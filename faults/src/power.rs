//! Power cuts, modelled: every directory that one could have left, from a journal.
//!
//! What was durable stays: bytes that an fdatasync of their file covered, names that an fsync of the directory covered. Of everything else:
//!
//! - Each write is there, missing (later ones may leave a hole of zeros where it was), zeroed, or there for its first half, the rest missing or zeroed.
//!   A file that was cut has its old length or its new one. Each file for itself.
//! - Names: with [`Names::Ordered`], what was done to the directory happened up to some point and not beyond, as on every file system with a journal (ext4,
//!   XFS, btrfs). With [`Names::Loose`], each operation on its own is there or lost, but those on one name keep their order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::journal::Entry;

/// A directory: its files, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Which names a power cut may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The last ones.
    Ordered,
    /// Any.
    Loose,
}

/// What becomes of one write that was not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Missing,
    Zeroed,
    HalfThenMissing,
    HalfThenZeros,
}

const FATES: [Fate; 5] = [Fate::Kept, Fate::Missing, Fate::Zeroed, Fate::HalfThenMissing, Fate::HalfThenZeros];

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// One file, from its creation on.
#[derive(Debug, Default)]
struct History {
    before: Vec<u8>,
    /// With the place in the journal.
    changes: Vec<(usize, Change)>,
    /// Where each sync ended, and where it began.
    syncs: Vec<(usize, usize)>,
}

/// One change of the directory, by files' places in [`Model::files`].
#[derive(Debug)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

/// A journal, made ready for cuts.
#[derive(Debug)]
pub struct Model {
    before: BTreeMap<String, usize>,
    files: Vec<History>,
    names: Vec<(usize, NameChange)>,
    dir_syncs: Vec<(usize, usize)>,
    len: usize,
}

impl Model {
    /// From a journal that began with the directory `before`, all of it durable.
    pub fn new(before: &Files, journal: &[Entry]) -> Model {
        let mut files: Vec<History> = before.values().map(|bytes| History { before: bytes.clone(), ..History::default() }).collect();
        let start: BTreeMap<String, usize> = before.keys().cloned().zip(0..).collect();
        let mut now = start.clone();
        let mut by_inode = HashMap::new();
        let (mut names, mut dir_syncs) = (Vec::new(), Vec::new());
        for (place, entry) in journal.iter().enumerate() {
            match entry {
                Entry::Open { name, inode } => drop(now.get(name).map(|file| by_inode.insert(*inode, *file))),
                Entry::Create { name, inode } => {
                    files.push(History::default());
                    let file = files.len() - 1;
                    by_inode.insert(*inode, file);
                    now.insert(name.clone(), file);
                    names.push((place, NameChange::Create(name.clone(), file)));
                }
                Entry::Write { inode, at, bytes } => {
                    files[by_inode[inode]].changes.push((place, Change::Write(*at, Entry::decoded(bytes))));
                }
                Entry::Truncate { inode, len } => files[by_inode[inode]].changes.push((place, Change::Truncate(*len))),
                Entry::Sync { inode, began } => files[by_inode[inode]].syncs.push((place, *began)),
                Entry::SyncDir { began } => dir_syncs.push((place, *began)),
                Entry::Rename { from, to } => {
                    let file = now.remove(from).expect("what is renamed is there");
                    now.insert(to.clone(), file);
                    names.push((place, NameChange::Rename(from.clone(), to.clone(), file)));
                }
                Entry::Remove { name } => {
                    now.remove(name).expect("what is removed is there");
                    names.push((place, NameChange::Remove(name.clone())));
                }
            }
        }
        Model { before: start, files, names, dir_syncs, len: journal.len() }
    }

    /// How many operations there are: a cut is after 0 to so many of them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The directories that a cut after `cut` operations could have left: for every choice of names, the uniform fates of the bytes, and `random` mixed ones.
    /// With [`Names::Loose`], `random` choices of names.
    pub fn states(&self, cut: usize, names: Names, random: usize, seed: u64) -> Vec<Files> {
        let mut dice = Dice(seed ^ (cut as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let durable = covered(&self.dir_syncs, cut);
        let pending: Vec<&NameChange> =
            self.names.iter().filter(|(place, _)| durable <= *place && *place < cut).map(|(_, change)| change).collect();
        let choices: Vec<Vec<bool>> = match names {
            Names::Ordered => (0..=pending.len()).map(|kept| (0..pending.len()).map(|at| at < kept).collect()).collect(),
            Names::Loose => (0..random).map(|_| keep_order(&pending, &mut dice)).collect(),
        };
        let mut states = Vec::new();
        for choice in choices {
            let directory = self.directory(durable, &pending, &choice);
            for uniform in FATES {
                states.push(self.contents(&directory, cut, || uniform));
            }
            for _ in 0..random {
                states.push(self.contents(&directory, cut, || FATES[dice.roll(FATES.len())]));
            }
        }
        states.sort();
        states.dedup();
        states
    }

    fn directory(&self, durable: usize, pending: &[&NameChange], kept: &[bool]) -> BTreeMap<String, usize> {
        let mut directory = self.before.clone();
        let happened = self.names.iter().filter(|(place, _)| *place < durable).map(|(_, change)| change);
        let kept = pending.iter().zip(kept).filter(|(_, kept)| **kept).map(|(change, _)| *change);
        for change in happened.chain(kept) {
            match change {
                NameChange::Create(name, file) => drop(directory.insert(name.clone(), *file)),
                NameChange::Rename(from, to, file) => {
                    directory.remove(from);
                    directory.insert(to.clone(), *file);
                }
                NameChange::Remove(name) => drop(directory.remove(name)),
            }
        }
        directory
    }

    fn contents(&self, directory: &BTreeMap<String, usize>, cut: usize, mut fate: impl FnMut() -> Fate) -> Files {
        directory.iter().map(|(name, file)| (name.clone(), self.files[*file].bytes(cut, &mut fate))).collect()
    }
}

/// Up to where a cut after `cut` operations finds everything durable.
fn covered(syncs: &[(usize, usize)], cut: usize) -> usize {
    syncs.iter().filter(|(ended, _)| *ended < cut).map(|(_, began)| *began).max().unwrap_or(0)
}

impl History {
    fn bytes(&self, cut: usize, fate: &mut impl FnMut() -> Fate) -> Vec<u8> {
        let durable = covered(&self.syncs, cut);
        let mut bytes = self.before.clone();
        for (place, change) in self.changes.iter().filter(|(place, _)| *place < cut) {
            let fate = if *place < durable { Fate::Kept } else { fate() };
            match (change, fate) {
                (Change::Truncate(_), Fate::Missing) | (Change::Write(..), Fate::Missing) => {}
                (Change::Truncate(len), _) => bytes.resize(*len as usize, 0),
                (Change::Write(at, written), fate) => {
                    let half = written.len() / 2;
                    let (kept, len) = match fate {
                        Fate::Zeroed => (0, written.len()),
                        Fate::HalfThenMissing => (half, half),
                        Fate::HalfThenZeros => (half, written.len()),
                        Fate::Kept | Fate::Missing => (written.len(), written.len()),
                    };
                    let at = *at as usize;
                    bytes.resize(bytes.len().max(at + len), 0);
                    bytes[at..at + len].fill(0);
                    bytes[at..at + kept].copy_from_slice(&written[..kept]);
                }
            }
        }
        bytes
    }
}

/// Keeps or loses each change by chance, but nothing after a lost change of the same name.
fn keep_order(pending: &[&NameChange], dice: &mut Dice) -> Vec<bool> {
    let mut lost = BTreeSet::<&str>::new();
    let mut choice = Vec::with_capacity(pending.len());
    for change in pending.iter().copied() {
        let names: Vec<&str> = match change {
            NameChange::Create(name, _) | NameChange::Remove(name) => vec![name],
            NameChange::Rename(from, to, _) => vec![from, to],
        };
        let keep = dice.roll(3) != 0 && !names.iter().any(|name| lost.contains(name));
        if !keep {
            lost.extend(names);
        }
        choice.push(keep);
    }
    choice
}

/// Numbers that look random, the same for the same seed (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(named: &[(&str, &[u8])]) -> Files {
        named.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
    }

    fn write(inode: u64, at: u64, bytes: &[u8]) -> Entry {
        use base64::Engine as _;
        Entry::Write { inode, at, bytes: base64::prelude::BASE64_STANDARD.encode(bytes) }
    }

    fn journal() -> Vec<Entry> {
        vec![
            Entry::Create { name: "a".to_owned(), inode: 1 },           // 0
            write(1, 0, b"abcd"),                                       // 1
            Entry::Sync { inode: 1, began: 2 },                         // 2
            Entry::SyncDir { began: 3 },                                // 3
            write(1, 4, b"efgh"),                                       // 4
            Entry::Rename { from: "a".to_owned(), to: "b".to_owned() }, // 5
            Entry::Create { name: "a".to_owned(), inode: 2 },           // 6
        ]
    }

    #[test]
    fn what_was_synced_stays_and_everything_else_may_go() {
        let model = Model::new(&Files::new(), &journal());
        let states = |cut| model.states(cut, Names::Ordered, 4, 1);
        assert_eq!(states(0), [Files::new()]);
        assert_eq!(states(3), [Files::new(), files(&[("a", b"abcd")])], "a name without an fsync");
        assert_eq!(states(4), [files(&[("a", b"abcd")])]);
        let tails: [&[u8]; 5] = [b"abcd", b"abcd\0\0\0\0", b"abcdef", b"abcdef\0\0", b"abcdefgh"];
        assert_eq!(states(5), tails.map(|bytes| files(&[("a", bytes)])));
        let last = states(7);
        for bytes in tails {
            assert!(last.contains(&files(&[("a", bytes)])) && last.contains(&files(&[("b", bytes)])));
            assert!(last.contains(&files(&[("a", b""), ("b", bytes)])));
        }
        assert_eq!(last.len(), 15);
        for state in model.states(7, Names::Loose, 50, 1) {
            assert!(last.contains(&state), "operations on one name keep their order");
        }
    }

    /// What is written while a sync runs is not covered by it.
    #[test]
    fn a_sync_covers_what_had_ended_when_it_began() {
        let journal = [
            Entry::Create { name: "a".to_owned(), inode: 1 },
            write(1, 0, b"ab"),
            Entry::SyncDir { began: 1 },
            Entry::Sync { inode: 1, began: 1 },
        ];
        let states = Model::new(&Files::new(), &journal).states(4, Names::Ordered, 0, 1);
        assert!(states.contains(&files(&[("a", b"")])), "{states:?}");
    }

    #[test]
    fn what_was_there_before_can_be_written_cut_and_removed() {
        let journal =
            [Entry::Open { name: "a".to_owned(), inode: 7 }, Entry::Truncate { inode: 7, len: 1 }, Entry::Remove { name: "b".to_owned() }];
        let before = files(&[("a", b"xyz"), ("b", b"")]);
        let states = Model::new(&before, &journal).states(3, Names::Ordered, 0, 1);
        let expected = [files(&[("a", b"x")]), files(&[("a", b"x"), ("b", b"")]), files(&[("a", b"xyz")]), before];
        assert_eq!(states, expected);
    }
}
