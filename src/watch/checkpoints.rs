//! The journal of checkpoints on disk: read and made true at the start, appended to before each batch, synced before the store is, written anew when it has grown.
//!
//! Invariants: an entry is in the journal before the bytes that it speaks of are in the store, and durable before they are; so after a crash of the process or of the
//! machine some entry says exactly what the store holds, or what it can be cut back to. An entry that the store holds durably becomes part of the base, which is what a new journal begins with.

use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::journal::{self, Entry, Extent, Replayed, Stored};
use crate::limits::WATCH_JOURNAL_BYTES;
use crate::store::disk::{Disk, DiskFile};
use crate::store::durable::{self, Written};
use crate::store::error::StorageError;
use crate::store::marks::Marks;
use crate::store::name::{FileName, ShardTag, Stream};
use crate::store::recover::Recovered;

/// What may be done with lines that the store holds and no checkpoint knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// They are taken back: files are the only source, and give them again.
    Cut,
    /// They stay: others may have sent them. Those of files are there twice then, a batch of each shard at most.
    Keep,
}

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
    /// Segments whose archives are durable: shard, slot, number.
    archived: BTreeSet<(usize, usize, u64)>,
}

/// Reads the journal of `dir`, and brings it and the store together.
pub fn recover(disk: &Disk, dir: &Path, accepted: Stream, beyond: Beyond, recovered: &mut Recovered) -> Result<Replayed, StorageError> {
    let bytes = read(disk, dir)?;
    let replayed = journal::replay(journal::entries(&bytes), &mut InStore { disk, dir, accepted, recovered });
    if beyond == Beyond::Cut && !replayed.is_shared {
        for ((shard, slot), (seq, offset)) in &replayed.ends {
            let stream = if *slot == 0 { accepted } else { Stream::Rejected };
            let cut_bytes = recovered.cut_back(disk, dir, stream, *shard, *seq, *offset)?;
            if 0 < cut_bytes {
                tracing::info!("{cut_bytes} bytes of {} beyond the last checkpoint were cut: their files give them again", stream.name());
            }
        }
    }
    recovered.make_durable(disk, dir)?;
    Ok(replayed)
}

/// Notes in the journal of `dir`, if there is one, that lines come from elsewhere: none of them may be taken back.
pub fn share(disk: &Disk, dir: &Path) -> Result<(), StorageError> {
    let bytes = read(disk, dir)?;
    if bytes.is_empty() || journal::entries(&bytes).any(|entry| entry == Entry::Shared) {
        return Ok(());
    }
    let whole_len = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let mut file = disk.open_for_writing(&FileName::Checkpoints.in_dir(dir))?;
    file.truncate(whole_len as u64)?;
    file.seek_to(whole_len as u64)?;
    let mut line = Vec::new();
    Entry::Shared.write(&mut line);
    file.write_all(&line)?;
    file.fdatasync()
}

fn read(disk: &Disk, dir: &Path) -> Result<Vec<u8>, StorageError> {
    let path = FileName::Checkpoints.in_dir(dir);
    let mut bytes = Vec::new();
    match disk.open(&path) {
        Err(error) if error.is_not_found() => {}
        opened => drop(opened?.read_to_end(&mut bytes).map_err(|error| StorageError::io(crate::store::disk::Op::Read, &path, error))?),
    }
    Ok(bytes)
}

/// The store as recovery left it.
struct InStore<'a> {
    disk: &'a Disk,
    dir: &'a Path,
    accepted: Stream,
    recovered: &'a Recovered,
}

impl InStore<'_> {
    /// The raw file that holds segment `seq`, if it is raw.
    fn raw(&self, shard: usize, slot: usize, seq: u64) -> Option<PathBuf> {
        let Recovered { writers, sealed, .. } = self.recovered;
        let stream = if slot == 0 { self.accepted } else { Stream::Rejected };
        let is_it = |id: &crate::store::name::SegmentId| id.stream == stream && id.shard.index() == shard && id.seq == seq;
        let sealed = sealed.iter().find(|segment| is_it(&segment.id)).map(|segment| segment.path.clone());
        sealed.or_else(|| {
            let writer = writers.get(shard).map(|slots| &slots[slot]).filter(|writer| writer.seq() == seq && !writer.is_empty());
            writer.map(|_| FileName::Open(stream, ShardTag::of(shard, writers.len())).in_dir(self.dir))
        })
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

impl Stored for InStore<'_> {
    /// What is archived was durable first, and so was all before it; what is gone was archived.
    fn holds(&mut self, extent: &Extent) -> bool {
        let Extent { shard, slot, seq, from, to, crc } = *extent;
        match self.raw(shard, slot, seq) {
            Some(path) => self.crc(&path, from, to).is_ok_and(|found| found == Some(crc)),
            None => self.recovered.writers.get(shard).is_none_or(|slots| seq < slots[slot].seq()),
        }
    }
}

/// All of it: what a base is made of.
struct Everything;

impl Stored for Everything {
    fn holds(&mut self, _: &Extent) -> bool {
        true
    }
}

impl Checkpoints {
    /// Begins a journal with what was true of the one before; everything in the store is durable.
    pub fn begin(disk: Disk, dir: &Path, marks: Arc<Marks>, mut base: Replayed, beyond: Beyond) -> Result<Arc<Self>, StorageError> {
        base.begin_anew((0..marks.shards()).flat_map(|shard| Stream::BY_SLOT.map(|stream| (shard, stream.slot()))).map(|(shard, slot)| {
            let stream = if slot == 0 { marks.accepted() } else { Stream::Rejected };
            ((shard, slot), marks.of(stream, shard).expect("a stream of this process").written())
        }));
        base.is_shared = beyond == Beyond::Keep;
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

    /// The archive of a segment is durable.
    pub fn archived(&self, shard: usize, slot: usize, seq: u64) {
        self.state().archived.insert((shard, slot, seq));
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
            if let Entry::Batch { extent: Extent { shard, slot, seq, .. }, .. } = &entry {
                let (shard, slot, seq) = (*shard, *slot, *seq);
                self.archived.retain(|(of_shard, of_slot, archived)| (*of_shard, *of_slot) != (shard, slot) || seq <= *archived);
            }
            self.base.apply(entry, &mut Everything);
        }
    }

    fn is_durable(&self, entry: &Entry, marks: &Marks) -> bool {
        let Entry::Batch { extent: Extent { shard, slot, seq, to, .. }, .. } = entry else { return true };
        let stream = if *slot == 0 { marks.accepted() } else { Stream::Rejected };
        let synced = marks.of(stream, *shard).map_or(0, |mark| mark.durable(*seq));
        *to <= synced || self.archived.contains(&(*shard, *slot, *seq))
    }
}

/// Replaces the journal: `base`, and what is pending. Durable on return.
fn write_anew(disk: &Disk, dir: &Path, base: &Replayed, pending: &VecDeque<Entry>) -> Result<(DiskFile, u64), StorageError> {
    let mut bytes = Vec::new();
    for (id, (record, offsets)) in &base.files {
        Entry::File(record.clone()).write(&mut bytes);
        Entry::Read(*id, *offsets).write(&mut bytes);
    }
    for ((shard, slot), (seq, offset)) in &base.ends {
        Entry::At(*shard, *slot, *seq, *offset).write(&mut bytes);
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
