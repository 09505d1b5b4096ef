//! The writing end of one stream of one shard: the open segment, from its creation to its seal.
//!
//! Synchronous; the shard runs it on a helper thread. Invariant: a raw file exists only while its permit is held, here or in a [`SealedSegment`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::{Disk, DiskFile};
use super::error::StorageError;
use super::marks::OpenMark;
use super::name::{FileName, ShardTag, Stream};
use super::permits::RawPermit;
use super::segment::{BlockStats, SealedSegment, Sequence};

/// Where one shard's lines of one stream go.
#[derive(Debug)]
pub struct SegmentWriter {
    disk: Disk,
    dir: PathBuf,
    open_path: PathBuf,
    sequence: Sequence,
    permit: Option<Arc<RawPermit>>,
    open: Option<OpenFile>,
    /// Tells readers how far it has come.
    mark: Arc<OpenMark>,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<DiskFile>,
    /// Bytes written, all of them whole lines between two appends.
    len: u64,
    /// Whether a power cut would leave the file its name.
    has_durable_name: Arc<AtomicBool>,
}

/// An open segment that may be made durable from another thread while it is written.
#[derive(Debug, Clone)]
pub struct SyncTarget {
    disk: Disk,
    dir: PathBuf,
    file: Arc<DiskFile>,
    /// The segment's number.
    seq: u64,
    mark: Arc<OpenMark>,
    has_durable_name: Arc<AtomicBool>,
    /// The file may be sealed, archived and removed meanwhile, but it takes its place on disk until this is dropped.
    _permit: Option<Arc<RawPermit>>,
}

impl SegmentWriter {
    /// Writes to `dir`, beginning with a new segment at the first append.
    pub fn new(disk: Disk, dir: &Path, stream: Stream, shard: ShardTag, sequence: Sequence) -> Self {
        let open_path = FileName::Open(stream, shard).in_dir(dir);
        let mark = Arc::new(OpenMark::new(sequence.seq_next()));
        Self { disk, dir: dir.to_path_buf(), open_path, sequence, permit: None, open: None, mark }
    }

    /// Goes on with the open segment that a former process left, `len` bytes of whole lines, all of them durable.
    pub fn resume(&mut self, file: DiskFile, len: u64, permit: RawPermit) {
        self.mark.set_written(len);
        self.mark.set_durable(self.sequence.seq_next(), len);
        self.open = Some(OpenFile { file: Arc::new(file), len, has_durable_name: Arc::default() });
        self.permit = Some(Arc::new(permit));
    }

    /// Bytes of the open segment.
    pub fn len(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.len)
    }

    /// What it writes.
    pub fn stream(&self) -> Stream {
        self.sequence.stream()
    }

    /// The number that the open segment will have.
    pub fn seq(&self) -> u64 {
        self.sequence.seq_next()
    }

    /// Cuts what a former process left to `len` bytes, whole lines, durably. Only before anything is appended.
    pub fn cut_back(&mut self, len: u64) -> Result<(), StorageError> {
        let Some(open) = self.open.as_mut().filter(|open| len < open.len) else { return Ok(()) };
        if len == 0 {
            (self.open, self.permit) = (None, None);
            self.disk.remove(&self.open_path)?;
            self.disk.sync_dir(&self.dir)?;
        } else {
            let file = Arc::get_mut(&mut open.file).expect("nobody else uses it yet");
            file.truncate(len)?;
            file.fdatasync()?;
            file.seek_to(len)?;
            open.len = len;
        }
        self.mark.set_durable(self.sequence.seq_next(), len);
        self.mark.set_written(len);
        Ok(())
    }

    /// Where readers see how far it has come.
    pub fn mark(&self) -> Arc<OpenMark> {
        Arc::clone(&self.mark)
    }

    /// Whether there is no open segment, or an empty one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a permit must be given before the next append.
    pub fn needs_permit(&self) -> bool {
        self.permit.is_none()
    }

    /// Gives the right to open the next segment.
    pub fn give_permit(&mut self, permit: RawPermit) {
        assert!(self.permit.is_none());
        self.permit = Some(Arc::new(permit));
    }

    /// Appends `bytes[*done..]`, whole lines, opening the segment where there is none. `done` counts what has been written: after an error, the same call
    /// goes on where it stopped.
    pub fn append(&mut self, bytes: &[u8], done: &mut usize) -> Result<(), StorageError> {
        assert!(self.permit.is_some(), "a segment opens with a permit");
        if self.open.is_none() {
            // Recovery has resumed, sealed or removed what was there; anything else is not ours to empty.
            let file = Arc::new(self.disk.create_new(&self.open_path)?);
            self.open = Some(OpenFile { file, len: 0, has_durable_name: Arc::default() });
        }
        let open = self.open.as_mut().expect("opened above");
        let before = *done;
        let outcome = open.file.write_from(bytes, done);
        open.len += (*done - before) as u64;
        if outcome.is_ok() {
            self.mark.set_written(open.len);
        }
        outcome
    }

    /// Gives the open segment its sealed name. It is not synced: its archive will be, before the raw file goes. After an error it is still open.
    pub fn seal(&mut self, blocks: Option<&[BlockStats]>) -> Result<SealedSegment, StorageError> {
        assert!(self.open.is_some(), "only what was appended to is sealed");
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = self.sequence.id(now_s);
        let path = FileName::Sealed(id).in_dir(&self.dir);
        self.disk.rename(&self.open_path, &path)?;
        self.sequence.advance();
        self.mark.set_sealed(self.sequence.seq_next());
        let (open, permit) = self.open.take().zip(self.permit.take()).expect("an open segment holds a permit");
        Ok(SealedSegment { id, path, raw_bytes: open.len, blocks: blocks.map(<[BlockStats]>::to_vec), on_durable: None, permit })
    }

    /// What to sync so that everything appended so far is durable.
    pub fn sync_target(&self) -> Option<SyncTarget> {
        let open = self.open.as_ref()?;
        Some(SyncTarget {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            file: open.file.clone(),
            seq: self.sequence.seq_next(),
            mark: self.mark(),
            has_durable_name: open.has_durable_name.clone(),
            _permit: self.permit.clone(),
        })
    }
}

impl SyncTarget {
    /// Makes what has been written durable, and the file's name with it. Never retried: after a failure nothing is known about the bytes.
    pub fn sync(&self) -> Result<(), StorageError> {
        let (seq, written) = self.mark.written();
        self.file.fdatasync()?;
        if !self.has_durable_name.load(Ordering::Relaxed) {
            self.disk.sync_dir(&self.dir)?;
            self.has_durable_name.store(true, Ordering::Relaxed);
        }
        if seq == self.seq {
            self.mark.set_durable(seq, written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::permits::RawPermits;

    #[test]
    fn a_file_that_is_there_already_is_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("elsewhere"), b"{}\n").unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("logs.jsonl")).unwrap();
        let sequence = Sequence::new(Stream::Logs, ShardTag::SINGLE, 1);
        let mut writer = SegmentWriter::new(Disk::new(), dir.path(), Stream::Logs, ShardTag::SINGLE, sequence);
        writer.give_permit(RawPermits::new(1).try_claim().unwrap());
        let error = writer.append(b"{}\n", &mut 0).unwrap_err();
        assert!(error.to_string().contains("logs.jsonl"), "{error}");
        assert_eq!(std::fs::read(dir.path().join("elsewhere")).unwrap(), b"{}\n");
    }
}
