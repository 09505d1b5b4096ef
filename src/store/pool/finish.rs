//! The finisher: makes archives durable in groups, then lets their raw files go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use super::late::Lacking;
use super::{SealedSegment, Shared};
use crate::limits::FINISH_GROUP_MAX;
use crate::store::disk::DiskFile;
use crate::store::durable::{self, Durable, Named, Written};
use crate::store::error::StorageError;
use crate::store::meta::Meta;
use crate::store::segment::OnDurable;

/// A segment that waits for the disk.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) segment: SealedSegment,
    pub(super) output: Output,
    pub(super) meta: Meta,
}

/// What is to be made durable.
#[derive(Debug)]
pub(super) enum Output {
    /// An archive, which replaces the raw file, and the first of its blocks that might have a filter and has none.
    Archive { written: Written, first_unindexed: Option<u32> },
    /// The raw file itself.
    Raw(DiskFile),
}

pub(super) struct Finisher {
    shared: Arc<Shared>,
}

/// A member of the group whose bytes are durable.
struct Member {
    segment: SealedSegment,
    meta: Meta,
    archive: Option<Named>,
    first_unindexed: Option<u32>,
}

impl Finisher {
    pub(super) fn new(shared: Arc<Shared>) -> Finisher {
        Finisher { shared }
    }

    /// Works until the last compress thread has ended and everything is finished, or the pool has stopped.
    pub(super) fn run(self, ready: &Receiver<Ready>) {
        let mut group = Vec::with_capacity(FINISH_GROUP_MAX);
        while let Ok(first) = ready.recv() {
            group.push(first);
            group.extend(ready.try_iter().take(FINISH_GROUP_MAX - 1));
            self.shared.stats().finishing.fetch_sub(group.len(), Ordering::Relaxed);
            if self.shared.is_stopped() {
                return; // they stay raw; recovery removes the temporary files
            }
            if let Err(error) = self.finish(&mut group) {
                return self.shared.fail(error);
            }
        }
    }

    /// Finishes a group, or puts back those of it that met a full disk. An error is a failure.
    fn finish(&self, group: &mut Vec<Ready>) -> Result<(), StorageError> {
        let mut members = Vec::with_capacity(group.len());
        for ready in group.drain(..) {
            let Ready { segment, output, meta } = ready;
            let first_unindexed = if let Output::Archive { first_unindexed, .. } = output { first_unindexed } else { None };
            let before = segment.on_durable.as_ref().and_then(|on_durable| on_durable.before.clone());
            match before.map_or(Ok(()), |before| before()).and_then(|()| self.name(output)) {
                Ok(archive) => members.push(Member { segment, meta, archive, first_unindexed }),
                Err(error) => self.put_back([segment], error)?,
            }
        }
        if members.is_empty() {
            return Ok(());
        }
        let named = members.iter_mut().filter_map(|member| member.archive.take()).collect();
        match durable::settle(&self.shared.disk, &self.shared.dir, named) {
            Ok(durable) if durable.is_empty() => members.into_iter().try_for_each(|member| self.release(member, None)),
            Ok(durable) => members.into_iter().zip(durable).try_for_each(|(member, durable)| self.release(member, Some(durable))),
            Err(error) => self.put_back(members.into_iter().map(|member| member.segment), error),
        }
    }

    /// Makes the bytes durable, and gives an archive its name.
    fn name(&self, output: Output) -> Result<Option<Named>, StorageError> {
        match output {
            Output::Archive { written, .. } => written.sync()?.rename(&self.shared.disk).map(Some),
            Output::Raw(file) => file.fdatasync().map(|()| None),
        }
    }

    /// Lets segments be compressed again, from their raw files, if `error` says that the disk is full.
    fn put_back(&self, segments: impl IntoIterator<Item = SealedSegment>, error: StorageError) -> Result<(), StorageError> {
        if !error.is_full() {
            return Err(error);
        }
        self.shared.pause(&error);
        for segment in segments {
            if let Some(codec) = self.shared.codec {
                durable::discard(&self.shared.disk, &self.shared.dir, segment.id.archive_name(Some(codec)));
            }
            self.shared.again(segment);
        }
        Ok(())
    }

    /// The archive is durable: writes its table, removes what it replaces, and gives the permit back.
    fn release(&self, member: Member, archive: Option<Durable>) -> Result<(), StorageError> {
        let Member { segment, meta, archive: _, first_unindexed } = member;
        let bytes = meta.encode();
        let write_meta = || durable::write_rebuildable(&self.shared.disk, &self.shared.dir, segment.id.meta_name(), &bytes);
        let written = write_meta();
        if let Some(archive) = archive {
            archive.remove_source(&self.shared.disk, &segment.path)?;
        }
        // With the raw file gone there may be space for the table now; without it, the next start rebuilds it.
        match written.or_else(|error| if error.is_full() { write_meta() } else { Err(error) }) {
            Ok(()) => {
                if let Some(from) = first_unindexed {
                    self.shared.late.push(Lacking { id: segment.id, from }, false);
                }
            }
            Err(error) if error.is_full() => {
                durable::discard(&self.shared.disk, &self.shared.dir, segment.id.meta_name());
                self.shared.stats().metas_skipped.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => return Err(error),
        }
        self.shared.finished(meta.raw_bytes(), meta.archive_bytes());
        if let Some(OnDurable { told, .. }) = segment.on_durable {
            told();
        }
        drop(segment.permit);
        Ok(())
    }
}
