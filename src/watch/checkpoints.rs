//! The journal of checkpoints on disk: read and made true at the start, appended to before each batch, synced before the store is, written anew when it has grown.
//!
//! Invariants: an entry is in the journal before the bytes that it speaks of are in the store, and durable before they are; so after a crash of the process or of the
//! machine some entry says exactly what the store holds, or what it can be cut back to. An entry that the store holds durably becomes part of the base, which is what a new journal begins with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::beyond::{self, Beyond};
use super::journal::{self, Entry, Extent, FileRecord, Held, Journal, Replayed};
use crate::limits::WATCH_JOURNAL_BYTES;
use crate::store::catalog;
use crate::store::disk::{Disk, DiskFile, Op};
use crate::store::durable::{self, Written};
use crate::store::error::StorageError;
use crate::store::marks::Marks;
use crate::store::name::{FileName, Stream};
use crate::store::open::SegmentWriter;
use crate::store::recover::Recovered;

/// See the module.
#[derive(Debug)]
pub struct Checkpoints {
    disk: Disk,
    dir: PathBuf,
    marks: Arc<Marks>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Arc<DiskFile>,
    /// Entries that are not in the file, and how much of them is: the disk was full.
    unwritten: Vec<u8>,
    done: usize,
    /// Of the file; when it began; and what of it is durable.
    len: u64,
    begun_len: u64,
    durable_len: u64,
    /// What is durable in the store, too.
    base: Replayed,
    /// The entries since, in order.
    pending: VecDeque<Entry>,
    /// Segments whose archives are durable: shard, stream, number.
    archived: BTreeSet<(usize, Stream, u64)>,
}

/// Reads the journal of `dir`; empty if there is none.
pub fn read(disk: &Disk, dir: &Path) -> Result<Journal, StorageError> {
    let path = FileName::Checkpoints.in_dir(dir);
    let mut bytes = Vec::new();
    match disk.open(&path) {
        Err(error) if error.is_not_found() => {}
        opened => drop(opened?.read_to_end(&mut bytes).map_err(|error| StorageError::io(Op::Read, &path, error))?),
    }
    Ok(Journal::parse(&bytes))
}

/// Brings a journal and the store of `dir` together. `has` tells whether a file still has what is before an offset; none where files are not the only source, which
/// leaves everything in the store.
pub fn recover(
    disk: &Disk,
    dir: &Path,
    journal: Journal,
    has: Option<impl FnMut(&FileRecord, u64) -> bool>,
    recovered: &mut Recovered,
) -> Result<Replayed, StorageError> {
    let is_damaged = journal.is_damaged;
    let in_store = InStore::new(disk, dir, recovered)?;
    let mut replayed = journal::replay(journal.entries, |extent| in_store.look(extent))?;
    let has = has.filter(|_| !is_damaged && !replayed.is_shared);
    let Beyond { cut_bytes, kept_bytes } = beyond::take_back(disk, dir, &replayed, recovered, has)?;
    if 0 < cut_bytes {
        tracing::info!("{cut_bytes} bytes of a batch that was not stored whole were cut: their files give them again");
    }
    let why = match (is_damaged, kept_bytes) {
        (true, _) => Some("a line of them is damaged"),
        (_, 1..) => Some("a batch was not stored whole, and its files may not give it again"),
        _ if beyond::has_unknown(disk, dir, &replayed, recovered)? => Some("the store has lines that they do not know"),
        _ => None,
    };
    if let Some(why) = why {
        tracing::warn!("{}: {why}; everything is kept: lines of files may be there twice", FileName::Checkpoints.in_dir(dir).display());
    }
    recovered.make_durable(disk, dir)?;
    replayed.begin_anew(ends(recovered).into_iter());
    Ok(replayed)
}

/// Where the open segments end.
fn ends(recovered: &Recovered) -> Vec<((usize, Stream), (u64, u64))> {
    let of_shard = |(shard, slots): (usize, &[SegmentWriter; Stream::SLOTS])| {
        slots.each_ref().map(|writer| ((shard, writer.stream()), (writer.seq(), writer.len())))
    };
    recovered.writers.iter().enumerate().flat_map(of_shard).collect()
}

/// The store as recovery left it.
struct InStore<'a> {
    disk: &'a Disk,
    dir: &'a Path,
    recovered: &'a Recovered,
    /// Sealed segments that have an archive, or stay raw: by stream, shard and number.
    finished: BTreeMap<(Stream, usize, u64), Option<PathBuf>>,
}

impl<'a> InStore<'a> {
    fn new(disk: &'a Disk, dir: &'a Path, recovered: &'a Recovered) -> Result<Self, StorageError> {
        let mut finished = BTreeMap::new();
        for file in catalog::files(disk, dir)? {
            match file.name {
                FileName::Archive(id, _) => drop(finished.entry((id.stream, id.shard.index(), id.seq)).or_insert(None)),
                FileName::Sealed(id) => drop(finished.insert((id.stream, id.shard.index(), id.seq), Some(file.name.in_dir(dir)))),
                _ => {}
            }
        }
        Ok(Self { disk, dir, recovered, finished })
    }

    /// What is archived was durable first, and so was all before it.
    fn look(&self, extent: &Extent) -> Result<Held, StorageError> {
        let Extent { shard, stream, seq, from, to, crc } = *extent;
        let raw = self.recovered.raw(self.dir, stream, shard, seq).map(|(path, _)| path);
        match raw.or_else(|| self.finished.get(&(stream, shard, seq))?.clone()) {
            Some(path) if self.crc(&path, from, to)? == Some(crc) => Ok(Held::Whole),
            Some(_) => Ok(Held::Otherwise),
            None if self.finished.contains_key(&(stream, shard, seq)) => Ok(Held::Whole),
            None => Ok(Held::Gone),
        }
    }

    fn crc(&self, path: &Path, from: u64, to: u64) -> Result<Option<u32>, StorageError> {
        let file = self.disk.open(path)?;
        if file.len()? < to {
            return Ok(None);
        }
        let (mut hasher, mut at, mut buffer) = (crc32fast::Hasher::new(), from, vec![0; crate::limits::OUTPUT_BUFFER_BYTES]);
        while at < to {
            let piece = (to - at).min(buffer.len() as u64) as usize;
            file.read_exact_at(&mut buffer[..piece], at)?;
            hasher.update(&buffer[..piece]);
            at += piece as u64;
        }
        Ok(Some(hasher.finalize()))
    }
}

impl Checkpoints {
    /// Begins a journal with what was true of the one before, where that [ends](recover); everything in the store is durable. With `is_shared`, others write to the store besides.
    pub fn begin(disk: Disk, dir: &Path, marks: Arc<Marks>, mut base: Replayed, is_shared: bool) -> Result<Arc<Self>, StorageError> {
        base.is_shared = is_shared;
        let (file, len) = write_anew(&disk, dir, &base, &VecDeque::new())?;
        let state = State {
            file: Arc::new(file),
            unwritten: Vec::new(),
            done: 0,
            len,
            begun_len: len,
            durable_len: len,
            base,
            pending: VecDeque::new(),
            archived: BTreeSet::new(),
        };
        Ok(Arc::new(Self { disk, dir: dir.to_owned(), marks, state: Mutex::new(state) }))
    }

    /// Appends an entry; after an error, call [`flush`](Self::flush) until it is written.
    pub fn append(&self, entry: Entry) -> Result<(), StorageError> {
        let mut state = self.state();
        entry.write(&mut state.unwritten);
        state.pending.push_back(entry);
        state.flush()
    }

    /// Writes what could not be written.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.state().flush()
    }

    /// Makes every entry durable. To be called before the store is made durable.
    pub fn sync(&self) -> Result<(), StorageError> {
        let (file, len) = {
            let state = self.state();
            if state.durable_len == state.len {
                return Ok(());
            }
            (state.file.clone(), state.len)
        };
        file.fdatasync()?;
        let mut state = self.state();
        if Arc::ptr_eq(&state.file, &file) {
            state.durable_len = state.durable_len.max(len);
        }
        Ok(())
    }

    /// The archive of a segment is durable: from now on it may be deleted. Where that can't be noted, the next start may take its lines for lost, and reads them again.
    pub fn archived(&self, shard: usize, stream: Stream, seq: u64) {
        self.state().archived.insert((shard, stream, seq));
        let _ = self.append(Entry::Archived(shard, stream, seq)); // the next flush goes on with it, or says what is wrong
    }

    /// Writes the journal anew if it has grown. Not for the path of a line: it may take a while.
    pub fn tidy(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        state.fold(&self.marks);
        if state.len < 2 * state.begun_len + WATCH_JOURNAL_BYTES || !state.unwritten.is_empty() {
            return Ok(());
        }
        let (file, len) = write_anew(&self.disk, &self.dir, &state.base, &state.pending)?;
        (state.file, state.len, state.begun_len, state.durable_len) = (Arc::new(file), len, len, len);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn flush(&mut self) -> Result<(), StorageError> {
        let before = self.done;
        let outcome = self.file.write_from(&self.unwritten, &mut self.done);
        self.len += (self.done - before) as u64;
        if outcome.is_ok() {
            self.unwritten.clear();
            self.done = 0;
        }
        outcome
    }

    /// Makes entries part of the base that the store holds durably.
    fn fold(&mut self, marks: &Marks) {
        while self.pending.front().is_some_and(|entry| self.is_durable(entry, marks)) {
            let entry = self.pending.pop_front().expect("there is one");
            if let Entry::Batch { extent: Extent { shard, stream, seq, .. }, .. } = entry {
                self.archived.retain(|(of_shard, of_stream, archived)| (*of_shard, *of_stream) != (shard, stream) || seq <= *archived);
            }
            self.base.apply(entry, true);
        }
    }

    fn is_durable(&self, entry: &Entry, marks: &Marks) -> bool {
        let Entry::Batch { extent: Extent { shard, stream, seq, to, .. }, .. } = entry else { return true };
        let synced = marks.of(*stream, *shard).map_or(0, |mark| mark.durable(*seq));
        *to <= synced || self.archived.contains(&(*shard, *stream, *seq))
    }
}

/// Leaves in the journal of `dir` what is true of it, for whoever follows files next: until then others write to the store.
pub fn settle(disk: &Disk, dir: &Path, replayed: &Replayed) -> Result<(), StorageError> {
    write_anew(disk, dir, replayed, &VecDeque::new()).map(drop)
}

/// Replaces the journal: `base`, and what is pending. Durable on return.
fn write_anew(disk: &Disk, dir: &Path, base: &Replayed, pending: &VecDeque<Entry>) -> Result<(DiskFile, u64), StorageError> {
    let mut bytes = Vec::new();
    for (id, (record, offsets)) in &base.files {
        Entry::File(record.clone()).write(&mut bytes);
        Entry::Read(*id, *offsets).write(&mut bytes);
    }
    for ((shard, stream), (seq, offset)) in &base.ends {
        Entry::At(*shard, *stream, *seq, *offset).write(&mut bytes);
    }
    if base.is_shared {
        Entry::Shared.write(&mut bytes);
    }
    pending.iter().for_each(|entry| entry.write(&mut bytes));
    let name = FileName::Checkpoints;
    let file = disk.create(&name.clone().temporary().in_dir(dir))?;
    file.write_all(&bytes)?;
    let named = Written::new(file, dir, name.clone()).sync()?.rename(disk)?;
    durable::settle(disk, dir, vec![named])?;
    let mut file = disk.open_for_writing(&name.in_dir(dir))?;
    file.seek_to(bytes.len() as u64)?;
    Ok((file, bytes.len() as u64))
}

#[cfg(test)]
mod tests;
