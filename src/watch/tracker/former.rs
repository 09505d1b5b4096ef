//! Contents that are gone, found by what a file that turns up may have in common with them: there may be as many of one as of the other.

use std::collections::HashMap;

use super::file::Tracked;
use super::{Found, Phase, Tracker, copies};
use crate::watch::content::FileId;

/// Of the contents that were gone when it was made.
#[derive(Default)]
pub(super) struct FormerIndex {
    by_ino: HashMap<u64, Vec<FileId>>,
    by_name: HashMap<String, Vec<FileId>>,
}

impl FormerIndex {
    /// Of what `tracker` knows now.
    pub(super) fn new(tracker: &Tracker) -> Self {
        let (mut by_ino, mut by_name): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for id in &tracker.former {
            let file = &tracker.files[id];
            by_ino.entry(file.record.key.ino).or_default().push(*id);
            copies::names(&file.path).into_iter().for_each(|name| by_name.entry(name).or_default().push(*id));
        }
        Self { by_ino, by_name }
    }

    /// What was where `found` is, and is it for all that is known.
    pub(super) fn by_inode(&self, tracker: &Tracker, found: &Found, head: &[u8]) -> Option<FileId> {
        let is_it = |file: &Tracked| file.record.key == found.key && file.record.head.is_of(head) && file.is_within(found);
        best(tracker, self.of_ino(found), is_it)
    }

    /// What goes on in `found`: its device has another number, or it is a copy.
    pub(super) fn by_content(&self, tracker: &Tracker, found: &Found, head: &[u8]) -> Option<FileId> {
        let moved = best(tracker, self.of_ino(found), |file| file.is_certainly(head) && file.is_within(found));
        let name = found.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let named = copies::beginnings(&name).filter_map(|name| self.by_name.get(name)).flatten();
        moved.or_else(|| best(tracker, named, |file| file.may_go_on_in(found, head)))
    }

    fn of_ino(&self, found: &Found) -> &[FileId] {
        self.by_ino.get(&found.key.ino).map_or(&[], Vec::as_slice)
    }
}

/// Of those that are gone still, the one of which most is known.
fn best<'a>(tracker: &Tracker, ids: impl IntoIterator<Item = &'a FileId>, is_it: impl Fn(&Tracked) -> bool) -> Option<FileId> {
    let known = ids.into_iter().filter_map(|id| Some((id, tracker.files.get(id)?)));
    let of_it = known.filter(|(_, file)| file.phase == Phase::Gone && is_it(file));
    of_it.max_by_key(|(id, file)| (file.record.head.len, **id)).map(|(id, _)| *id)
}
