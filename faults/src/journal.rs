//! Journals: what was done to a disk, in order, with its bytes. One JSON object per line, in a file that a test may read while it is written.
//!
//! An entry stands where the operation ended. A sync says as well how long the journal was when it began: it makes durable what had ended by then.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use logboom::store::disk::{Done, Effect, Op};
use serde::{Deserialize, Serialize};

/// One operation that has succeeded. Names are those within the directory; inode numbers are used again once a file is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A file that was there.
    Open {
        /// Its name.
        name: String,
        /// Its number.
        inode: u64,
    },
    /// A new file, or one that was emptied.
    Create {
        /// Its name.
        name: String,
        /// Its number.
        inode: u64,
    },
    /// Bytes.
    Write {
        /// Of which file.
        inode: u64,
        /// From where.
        at: u64,
        /// In base64.
        bytes: String,
    },
    /// A new length.
    Truncate {
        /// Of which file.
        inode: u64,
        /// Bytes.
        len: u64,
    },
    /// Durable bytes.
    Sync {
        /// Of which file.
        inode: u64,
        /// How many entries there were when it began.
        began: usize,
    },
    /// Durable names.
    SyncDir {
        /// How many entries there were when it began.
        began: usize,
    },
    /// A new name.
    Rename {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A name less.
    Remove {
        /// Which.
        name: String,
    },
}

impl Entry {
    /// The bytes of a write.
    pub fn decoded(bytes: &str) -> Vec<u8> {
        BASE64_STANDARD.decode(bytes).expect("base64")
    }
}

/// Writes a journal.
#[derive(Debug)]
pub struct Recorder(Mutex<(File, usize)>);

thread_local! {
    /// How many entries there were when this thread's operation began.
    static BEGAN: Cell<usize> = const { Cell::new(0) };
}

impl Recorder {
    /// Begins one in the file `path`.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        Ok(Recorder(Mutex::new((File::create(path)?, 0))))
    }

    /// To be called before an operation.
    pub fn before(&self, _: Op) {
        BEGAN.set(self.0.lock().unwrap_or_else(PoisonError::into_inner).1);
    }

    /// To be called after it, on the same thread.
    pub fn after(&self, done: &Done<'_>) {
        let Some(entry) = entry(done) else { return };
        let mut line = serde_json::to_vec(&entry).expect("JSON");
        line.push(b'\n');
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.0.write_all(&line).expect("the journal's own disk works");
        journal.1 += 1;
    }
}

fn entry(done: &Done<'_>) -> Option<Entry> {
    let name = |path: &Path| path.file_name().expect("a file's path").to_str().expect("UTF-8").to_owned();
    let inode = |file: &File| file.metadata().expect("an open file").ino();
    Some(match (done.op, done.effect) {
        (Op::Open, Effect::File(file)) => Entry::Open { name: name(done.path), inode: inode(file) },
        (Op::Create, Effect::File(file)) => Entry::Create { name: name(done.path), inode: inode(file) },
        (Op::Write, Effect::Bytes(mut file, bytes)) => {
            let end = file.stream_position().expect("a position");
            Entry::Write { inode: inode(file), at: end - bytes.len() as u64, bytes: BASE64_STANDARD.encode(bytes) }
        }
        (Op::Truncate, Effect::File(file)) => Entry::Truncate { inode: inode(file), len: file.metadata().expect("an open file").len() },
        (Op::Fdatasync, Effect::File(file)) => Entry::Sync { inode: inode(file), began: BEGAN.get() },
        (Op::SyncDir, _) => Entry::SyncDir { began: BEGAN.get() },
        (Op::Rename, Effect::Name(to)) => Entry::Rename { from: name(done.path), to: name(to) },
        (Op::Remove, _) => Entry::Remove { name: name(done.path) },
        _ => return None,
    })
}

/// Reads the journal `path`: its entries, and where each begins, in bytes.
pub fn read(path: &Path) -> Vec<(u64, Entry)> {
    let text = std::fs::read_to_string(path).expect("a journal");
    let mut at = 0;
    let mut entries = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        entries.push((at, serde_json::from_str(line).expect("an entry")));
        at += line.len() as u64;
    }
    entries
}
