//! Which file is read before which. Those that rotation made of one file are a series: none is begun before the one that was written before it was read to its end.
//!
//! The order follows from names and times alone, and each scan looks at all of them, so it does not matter in which order they turn up: what has the name of the series is the last; of the others,
//! those with dates in their names come in that order; then the time counts at which each was written to last, and, where two have the same, their numbers. What may yet be a copy has its place too,
//! and is waited for until that is decided.
//!
//! Nothing waits for ever. A file that can't be read is passed over. One that is still written to holds up the next one until everything is taken that it held when that one was seen to hold something; and how
//! it begins any file may tell at any time, since no line is taken by that.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::file::Tracked;
use super::{Phase, Tracker};
use crate::watch::content::{FileId, FileKey};
use crate::watch::journal::Offset;
use crate::watch::rotated::Place;

/// When it is a file's turn. Tasks are numbered, from 1.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// What comes before it in its series.
    after: Option<FileKey>,
    /// The last task before it was seen to hold something.
    filled: Option<u64>,
    /// The last task of its own.
    task: u64,
    /// The last task of which everything was taken, to the end that it came to.
    taken: u64,
    /// A task that came to this end, of which not everything is taken: a line or a record may go on.
    reached: Option<(u64, u64)>,
}

impl Turn {
    /// A task begins to read it.
    pub(super) fn begin(&mut self, task: u64) {
        self.task = task;
    }

    /// The task has ended, at the file's `end` if it came to that. Everything before `offset` is taken.
    pub(super) fn done(&mut self, end: Option<u64>, offset: u64) {
        if let Some(end) = end {
            self.reached.get_or_insert((self.task, end));
        }
        if let Some((task, _)) = self.reached.take_if(|(_, end)| *end <= offset) {
            self.taken = task;
        }
    }
}

/// A file of a series.
struct Member<'a> {
    key: FileKey,
    place: &'a Place,
    is_last: bool,
    modified_ns: i128,
}

impl Tracker {
    /// Finds out what comes before each file, and looks once more at what is waited for.
    pub(super) fn put_in_order(&mut self) {
        let waiting: Vec<FileId> = self.files.iter().filter(|(_, file)| is_waiting(file)).map(|(id, _)| *id).collect();
        if waiting.is_empty() {
            return;
        }
        let mut order = Vec::new();
        for mut members in self.series().into_values() {
            put_in_order(&mut members);
            let before = std::iter::once(None).chain(members.iter().map(|member| Some(member.key)));
            order.extend(members.iter().map(|member| member.key).zip(before));
        }
        for (key, before) in order {
            if let Some(id) = self.by_key.get(&key) {
                self.files.get_mut(id).expect("a key belongs to a file").turn.after = before;
            }
        }
        for id in waiting {
            self.note_filled(id);
            self.look_before(id);
        }
    }

    fn series(&self) -> HashMap<&Path, Vec<Member<'_>>> {
        let mut series: HashMap<&Path, Vec<Member<'_>>> = HashMap::new();
        for (id, file) in self.files.iter().filter(|(_, file)| file.phase != Phase::Gone) {
            // Who had the name before may still be seen by it.
            let has_name = file.path.to_string_lossy() == file.place.series.to_string_lossy();
            let is_last = has_name && self.by_path.get(&file.path) == Some(id);
            let (key, place, modified_ns) = (file.record.key, &file.place, file.modified_ns);
            series.entry(&place.series).or_default().push(Member { key, place, is_last, modified_ns });
        }
        for (key, undecided) in &self.undecided {
            let (key, place, modified_ns) = (*key, &undecided.place, undecided.modified_ns);
            series.entry(&place.series).or_default().push(Member { key, place, is_last: false, modified_ns });
        }
        series
    }

    /// `before`, whose name `id` took, is of the same series, wherever it is now.
    pub(super) fn join(&mut self, before: FileId, id: FileId) {
        let series: PathBuf = self.files[&id].place.series.clone();
        self.files.get_mut(&before).expect("known").place.series = series;
    }

    /// If it holds something for the first time: what comes before it is looked at once more, since it was written before.
    pub(super) fn note_filled(&mut self, id: FileId) {
        let tasks = self.tasks;
        let file = self.files.get_mut(&id).expect("known");
        if 0 < file.size && file.turn.filled.is_none() {
            file.turn.filled = Some(tasks);
            self.look_before(id);
        }
    }

    /// Up to the first one that holds something: there may be many before it that are empty.
    fn look_before(&mut self, id: FileId) {
        let file = &self.files[&id];
        let Some(filled) = file.turn.filled.filter(|_| is_waiting(file)) else { return };
        let (mut due, mut at) = (Vec::new(), file);
        while due.len() < self.files.len()
            && let Some(before) = at.turn.after.and_then(|key| self.by_key.get(&key)).copied()
        {
            at = &self.files[&before];
            if at.turn.taken <= filled && at.failed_ms.is_none() {
                due.push(before);
            }
            if 0 < at.size {
                break;
            }
        }
        due.into_iter().for_each(|before| self.enqueue(before));
    }

    /// Whether it is a file's turn.
    pub(super) fn may_begin(&self, id: FileId) -> bool {
        let file = &self.files[&id];
        file.is_untold() || !is_waiting(file) || self.waits_for(file).is_none()
    }

    /// What must be decided or read before `file` is begun: what comes before it, and whatever was begun before that and is not at its end.
    fn waits_for(&self, file: &Tracked) -> Option<FileKey> {
        let (mut at, mut is_behind) = (file, false);
        for _ in 0..self.files.len() {
            let key = at.turn.after?;
            let Some(before) = self.by_key.get(&key).map(|id| &self.files[id]) else {
                return self.undecided.contains_key(&key).then_some(key);
            };
            let is_read = file.turn.filled.is_some_and(|filled| filled < before.turn.taken);
            let is_passed = is_read || before.failed_ms.is_some() || is_behind && (before.is_at_end || is_waiting(before));
            if !is_passed {
                return Some(key);
            }
            is_behind |= is_read && !is_waiting(before);
            at = before;
        }
        None
    }
}

/// Whether nothing was read of it.
fn is_waiting(file: &Tracked) -> bool {
    file.phase != Phase::Gone && file.offset == Offset::default()
}

/// The first one first.
fn put_in_order(members: &mut [Member<'_>]) {
    let numbered = || members.iter().filter(|member| member.place.number.is_some());
    let ends = numbered().min_by_key(|member| member.modified_ns).zip(numbered().max_by_key(|member| member.modified_ns));
    let counts_up = ends.is_some_and(|(first, last)| first.modified_ns < last.modified_ns && first.place.number < last.place.number);
    members.sort_by_key(|member| {
        let number = member.place.number;
        // Most rotation numbers the newest one 1.
        let numbers = if counts_up { (number, Reverse(None)) } else { (None, Reverse(number)) };
        (member.is_last, member.place.date, member.modified_ns, numbers, member.key)
    });
}
