//! Reads a stream of the running store, from a place between two lines to the end, and on as more is written.
//!
//! Everything downstream of the disk reads the store through a [`Cursor`] and remembers its [`Positions`]. The lines of a shard come in the order in which it
//! wrote them; between shards there is none. A position outlives what happens to its segment, which is written, renamed, compressed and removed meanwhile:
//!
//! ```text
//! open (logs.s00.jsonl) -> sealed (logs_…_000042.jsonl) -> archived (logs_…_000042.jsonl.gz)      one number, the same bytes
//! ```
//!
//! A raw file that is being read is held open, so its next states need not be looked at. An archive is entered at the block that holds the position. Where a
//! file is gone between the listing and its opening, it is found in its next state; where it is gone for good, deleted unread, its number is passed over and
//! counted.
//!
//! Invariants: only whole lines come out, and only what [`Reach`] allows; never a line twice or out of its shard's order. Memory: one block, or one line if that
//! is longer; one decoder; a listing of the directory; one descriptor per shard, whose file takes its place on disk until it has been read, even if it has been
//! removed meanwhile.
//!
//! Deliberately absent: waiting. [`Cursor::next`] returns nothing where there is nothing, and its owner asks again.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::error::StorageError;
use super::marks::Marks;
use super::name::{Codec, FileName, ShardTag, Stream};
use crate::limits::BLOCK_BYTES;

mod listing;
mod position;
mod source;

use listing::{Listing, Sealed};
pub use position::{NoPosition, Position, Positions};
use source::{Archive, Raw, Source};

/// The running store, for its readers.
#[derive(Debug, Clone)]
pub struct StoreReader {
    /// The way to the files.
    pub disk: Disk,
    /// The data directory, which has been recovered.
    pub dir: PathBuf,
    /// How far the open segments have come.
    pub marks: Arc<Marks>,
}

/// How far a cursor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything that is written: it survives the process.
    Written,
    /// Only what is durable: it survives a power cut, so whoever remembers it elsewhere never has a line that the store has lost.
    Durable,
}

/// Where a cursor begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the oldest line there is.
    Beginning,
    /// Behind what is written now.
    End,
    /// Where another cursor was.
    At(Positions),
}

/// Lines of one shard: whole lines with their newlines, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The shard.
    pub shard: usize,
    /// The segment's number.
    pub seq: u64,
    /// Where the lines begin in the segment, uncompressed.
    pub offset: u64,
    /// The lines.
    pub lines: &'a [u8],
}

impl Chunk<'_> {
    /// The position behind the first `len` bytes of the lines, which end there with a newline.
    pub fn position(&self, len: usize) -> Position {
        Position { seq: self.seq, offset: self.offset + len as u64, fingerprint: position::fingerprint(&self.lines[..len]) }
    }
}

/// What a cursor could not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Segments that were gone before they were read, or read to their end.
    pub gone_segments: u64,
    /// Segments that could not be read to their end, because they are damaged.
    pub damaged_segments: u64,
    /// Shards whose position was not found again: they are read from the beginning of what there is.
    pub positions: u64,
}

/// What is left to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes of the files that are not read to their end, as they are on disk: of an archive its compressed length as a whole.
    pub bytes: u64,
    /// When the oldest segment that is not read to its end was sealed, in seconds since 1970 UTC; none if only open ones are left.
    pub oldest_sealed_at_s: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Cursor {
    store: StoreReader,
    stream: Stream,
    reach: Reach,
    listing: Listing,
    shards: Vec<ShardCursor>,
    /// The shard to read next.
    turn: usize,
    lines: Vec<u8>,
    losses: Losses,
}

/// Where it is in one shard's part.
#[derive(Debug)]
struct ShardCursor {
    shard: usize,
    position: Position,
    source: Option<Source>,
}

/// What became of a segment.
enum Found {
    Source(Source),
    /// It does not exist yet.
    NotYet,
    /// It does not exist any more, or never has; the next one has this number.
    Gone(u64),
}

impl Cursor {
    /// Begins to read `stream` at `start`.
    pub fn new(store: StoreReader, stream: Stream, reach: Reach, start: &Start) -> Result<Cursor, StorageError> {
        let (listing, shards, lines) = (Listing::default(), Vec::new(), Vec::new());
        let mut cursor = Cursor { store, stream, reach, listing, shards, turn: 0, lines, losses: Losses::default() };
        // Before the listing: what is sealed after this has no smaller number.
        let open: Vec<(u64, u64)> =
            (0..cursor.store.marks.shards()).filter_map(|shard| cursor.store.marks.of(stream, shard)).map(|mark| mark.written()).collect();
        cursor.list()?;
        let named = if let Start::At(positions) = start { positions.0.keys().copied().collect() } else { Vec::new() };
        let mut shards: Vec<usize> = (0..open.len()).chain(cursor.listing.shards()).chain(named).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            let position = match start {
                Start::Beginning => cursor.beginning(shard, &open),
                Start::End => match open.get(shard) {
                    Some((seq, written)) => cursor.end(shard, *seq, *written)?,
                    None => Position::start_of(cursor.listing.from(shard, 0).last().map_or(1, |sealed| sealed.id.seq + 1)),
                },
                Start::At(positions) => match positions.0.get(&shard) {
                    Some(position) => cursor.resume(shard, *position, &open)?,
                    None => cursor.beginning(shard, &open),
                },
            };
            cursor.shards.push(ShardCursor { shard, position, source: None });
        }
        Ok(cursor)
    }

    /// The next lines; none, if there are none right now. After an error the same call may be made again.
    #[expect(clippy::should_implement_trait, reason = "an iterator can't lend what it returns")]
    pub fn next(&mut self) -> Result<Option<Chunk<'_>>, StorageError> {
        for _ in 0..self.shards.len() {
            let at = self.turn;
            self.turn = (at + 1) % self.shards.len(); // after an error too
            if let Some(offset) = self.read(at)? {
                // An archive is read to its end before the next one is opened: one decoder is enough.
                if let Some(Source::Archive(_)) = self.shards[at].source {
                    self.turn = at;
                }
                let ShardCursor { shard, position, .. } = self.shards[at];
                let lines = &self.lines[self.lines.len() - (position.offset - offset) as usize..];
                return Ok(Some(Chunk { shard, seq: position.seq, offset, lines }));
            }
        }
        self.lines.clear();
        self.lines.shrink_to(BLOCK_BYTES); // a long line made it large
        Ok(None)
    }

    /// Behind everything that [`next`](Cursor::next) has returned.
    pub fn positions(&self) -> Positions {
        Positions(self.shards.iter().map(|shard| (shard.shard, shard.position)).collect())
    }

    /// What could not be read so far.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// What is left to read. Lists the directory if a sealed segment is left, unless that was done a moment ago.
    pub fn backlog(&mut self) -> Result<Backlog, StorageError> {
        let mut backlog = Backlog::default();
        let open = |store: &StoreReader, shard| store.marks.of(self.stream, shard).map(|mark| mark.written());
        if self.shards.iter().any(|at| open(&self.store, at.shard).is_some_and(|(seq, _)| at.position.seq < seq)) {
            self.listing.refresh_if_rested(&self.store.disk, &self.store.dir, self.stream)?;
        }
        for at in &self.shards {
            let Position { seq, offset, .. } = at.position;
            let (open_seq, written) = open(&self.store, at.shard).unwrap_or((u64::MAX, 0));
            backlog.bytes += if open_seq == seq { written.saturating_sub(offset) } else { written };
            for sealed in self.listing.from(at.shard, seq).take_while(|sealed| sealed.id.seq < open_seq) {
                let read = if sealed.id.seq == seq { offset } else { 0 };
                let left = if sealed.archive.is_some() { sealed.bytes() } else { sealed.bytes().saturating_sub(read) };
                backlog.bytes += left;
                if 0 < left {
                    let at_s = sealed.id.sealed_at_s;
                    backlog.oldest_sealed_at_s = Some(backlog.oldest_sealed_at_s.map_or(at_s, |oldest| oldest.min(at_s)));
                }
            }
        }
        Ok(backlog)
    }

    /// Reads lines of one shard to the end of `self.lines`, and returns the offset at which they begin. The position is behind them then.
    fn read(&mut self, at: usize) -> Result<Option<u64>, StorageError> {
        loop {
            let ShardCursor { shard, position, ref mut source } = self.shards[at];
            let Position { seq, offset, .. } = position;
            let end = match source.take() {
                None => match self.find(shard, seq, offset)? {
                    Found::NotYet => return Ok(None),
                    Found::Source(source) => {
                        self.shards[at].source = Some(source);
                        continue;
                    }
                    Found::Gone(next) => {
                        tracing::warn!(
                            "segment {seq} of {} of shard {shard} was deleted before it was read to its end",
                            self.stream.name()
                        );
                        self.losses.gone_segments += 1;
                        self.shards[at].position = Position::start_of(next);
                        continue;
                    }
                },
                Some(Source::Raw(mut raw)) => {
                    let (limit, is_whole) = self.limit(shard, seq, &mut raw)?;
                    if limit <= offset && !is_whole {
                        self.shards[at].source = Some(Source::Raw(raw));
                        return Ok(None);
                    }
                    if offset < limit { Some(raw.read(offset, limit, &mut self.lines).map(|()| (offset, Source::Raw(raw)))) } else { None }
                }
                Some(Source::Archive(mut archive)) => match archive.next_block(offset, &mut self.lines) {
                    Ok(start) => start.map(|start| Ok((start, Source::Archive(archive)))),
                    Err(error) => Some(Err(archive.error(&self.store.dir, error))),
                },
            };
            match end {
                // `start` is where `lines` begin; of an archive's block some may lie before the position.
                Some(Ok((start, source))) => {
                    let lines = self.lines.len() as u64;
                    let fingerprint = position::fingerprint(&self.lines);
                    self.shards[at].position = Position { seq, offset: start + lines, fingerprint };
                    self.shards[at].source = Some(source);
                    return Ok(Some(offset.max(start)));
                }
                Some(Err(error @ StorageError::Damaged { .. })) => {
                    tracing::warn!("{error}; what follows in this segment is not read");
                    self.losses.damaged_segments += 1;
                    self.shards[at].position = Position::start_of(seq + 1);
                }
                Some(Err(error)) => return Err(error),
                None => self.shards[at].position = Position::start_of(seq + 1),
            }
        }
    }

    /// How far a raw file may be read, and whether that is all there will be.
    fn limit(&mut self, shard: usize, seq: u64, raw: &mut Raw) -> Result<(u64, bool), StorageError> {
        let mark = self.store.marks.of(self.stream, shard);
        let durable = mark.map_or(0, |mark| mark.durable(seq));
        if let Some((open, written)) = mark.map(|mark| mark.written())
            && open == seq
        {
            return Ok((if self.reach == Reach::Written { written } else { durable }, false));
        }
        let len = raw.file.len()?;
        let is_whole = self.reach == Reach::Written || self.is_finished(shard, seq, raw, len)?;
        Ok(if is_whole { (len, true) } else { (durable, false) })
    }

    /// Whether a sealed segment is durable as a whole: it has been removed, which is the last step of archiving, or it stays raw and has its block table.
    fn is_finished(&mut self, shard: usize, seq: u64, raw: &mut Raw, len: u64) -> Result<bool, StorageError> {
        if raw.file.stat()?.nlink() == 0 {
            return Ok(true);
        }
        if raw.id.is_none() {
            if self.listing.get(shard, seq).is_none() {
                self.listing.refresh_if_rested(&self.store.disk, &self.store.dir, self.stream)?;
            }
            raw.id = self.listing.get(shard, seq).map(|sealed| sealed.id);
        }
        let Some(id) = raw.id else { return Ok(false) };
        // Some file systems keep a file that is held open under another name.
        if self.store.disk.len(&id.sealed_name().in_dir(&self.store.dir)).is_err_and(|error| error.is_not_found()) {
            return Ok(true);
        }
        let table = source::table(&self.store.disk, &self.store.dir, id)?;
        Ok(table.is_some_and(|table| table.codec.is_none() && table.archive_bytes() == len))
    }

    /// Opens the segment `seq`, in whatever state it is, to read from `offset` on.
    fn find(&mut self, shard: usize, seq: u64, offset: u64) -> Result<Found, StorageError> {
        let marks = Arc::clone(&self.store.marks);
        let mark = marks.of(self.stream, shard);
        if let Some(mark) = mark {
            let open = mark.seq();
            if open < seq {
                return Ok(Found::NotYet);
            }
            if open == seq {
                let name = FileName::Open(self.stream, ShardTag::of(shard, marks.shards()));
                let file = self.store.disk.open_existing(&name.in_dir(&self.store.dir))?;
                // If it has been sealed meanwhile, the file may be the next one. Where there is none although something is written, it is being sealed right now.
                match (file, mark.written()) {
                    (Some(file), (open, _)) if open == seq => return Ok(Found::Source(Source::Raw(Raw { file, id: None }))),
                    (None, (open, 0)) if open == seq => return Ok(Found::NotYet),
                    _ => {}
                }
            }
        } else if self.listing.from(shard, seq).next().is_none() {
            return Ok(Found::NotYet); // a shard of a former process: all of it was there at the start
        }
        if let Some(source) = self.open_sealed(shard, seq, offset)? {
            return Ok(Found::Source(source));
        }
        // Only what was sealed before the listing must be in it.
        let open = mark.map(|mark| mark.seq());
        // A listing that runs while a raw file gives way to its archive may miss both; the next one does not.
        for _ in 0..2 {
            self.list()?;
            if let Some(source) = self.open_sealed(shard, seq, offset)? {
                return Ok(Found::Source(source));
            }
        }
        if open == Some(seq) {
            return Ok(Found::NotYet);
        }
        let later = self.listing.from(shard, seq + 1).next().map(|sealed| sealed.id.seq);
        Ok(later.into_iter().chain(open).min().map_or(Found::NotYet, Found::Gone))
    }

    /// Opens a segment that is in the listing; none, if it is not, or is in none of the states that follow any more.
    fn open_sealed(&self, shard: usize, seq: u64, offset: u64) -> Result<Option<Source>, StorageError> {
        let StoreReader { disk, dir, .. } = &self.store;
        let Some(Sealed { id, raw_bytes, .. }) = self.listing.get(shard, seq) else { return Ok(None) };
        if raw_bytes.is_some()
            && let Some(file) = disk.open_existing(&id.sealed_name().in_dir(dir))?
        {
            return Ok(Some(Source::Raw(Raw { file, id: Some(id) })));
        }
        for codec in Codec::ALL {
            if let Some(archive) = Archive::enter(disk, dir, id, codec, offset)? {
                return Ok(Some(Source::Archive(archive)));
            }
        }
        Ok(None)
    }

    fn list(&mut self) -> Result<(), StorageError> {
        self.listing.refresh(&self.store.disk, &self.store.dir, self.stream)
    }

    fn beginning(&self, shard: usize, open: &[(u64, u64)]) -> Position {
        let oldest = self.listing.from(shard, 0).next().map(|sealed| sealed.id.seq);
        Position::start_of(oldest.into_iter().chain(open.get(shard).map(|(seq, _)| *seq)).min().unwrap_or(1))
    }

    fn end(&mut self, shard: usize, seq: u64, written: u64) -> Result<Position, StorageError> {
        let fingerprint = self.fingerprint(shard, seq, written)?;
        Ok(fingerprint.map_or(Position::start_of(seq), |fingerprint| Position { seq, offset: written, fingerprint }))
    }

    /// Finds the position of a former cursor again.
    fn resume(&mut self, shard: usize, position: Position, open: &[(u64, u64)]) -> Result<Position, StorageError> {
        let open_seq = open.get(shard).map(|(seq, _)| *seq);
        let is_there = match (position.offset, open_seq) {
            (0, Some(open)) => position.seq <= open,
            (0, None) => true,
            (offset, _) => match self.fingerprint(shard, position.seq, offset) {
                Ok(Some(fingerprint)) => fingerprint == position.fingerprint,
                Err(StorageError::Damaged { .. }) => true, // which is noticed when it is to be read
                Err(error) => return Err(error),
                // Deleted since: likewise.
                Ok(None) => open_seq.is_none_or(|open| position.seq < open) && self.listing.get(shard, position.seq).is_none(),
            },
        };
        if is_there {
            return Ok(position);
        }
        // Where all archives were deleted, numbers have begun anew, and the open segment has another one than before.
        if let Some(open) = open_seq.filter(|open| *open < position.seq && 0 < position.offset)
            && self.fingerprint(shard, open, position.offset)? == Some(position.fingerprint)
        {
            return Ok(Position { seq: open, ..position });
        }
        tracing::warn!(
            "{} of shard {shard}: what was read up to segment {}, byte {}, is not in {} any more; it is read from its beginning",
            self.stream.name(),
            position.seq,
            position.offset,
            self.store.dir.display()
        );
        self.losses.positions += 1;
        Ok(self.beginning(shard, open))
    }

    /// The fingerprint of the line that ends at `offset`, which is not 0; none, if none does.
    fn fingerprint(&mut self, shard: usize, seq: u64, offset: u64) -> Result<Option<u32>, StorageError> {
        if offset == 0 {
            return Ok(None);
        }
        match self.find(shard, seq, offset - 1)? {
            Found::Source(Source::Raw(raw)) => raw.read_before(offset, &mut self.lines)?,
            Found::Source(Source::Archive(mut archive)) => {
                let start = archive.next_block(offset - 1, &mut self.lines).map_err(|error| archive.error(&self.store.dir, error))?;
                let len = start.map_or(0, |start| (offset - start) as usize);
                self.lines.truncate(len);
            }
            Found::NotYet | Found::Gone(_) => return Ok(None),
        }
        Ok(self.lines.ends_with(b"\n").then(|| position::fingerprint(&self.lines)))
    }
}

#[cfg(test)]
mod tests;
