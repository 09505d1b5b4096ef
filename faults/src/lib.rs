//! What the tests of this crate need: disks that misbehave by a script, a journal of what was done to a disk, and an oracle.
//!
//! `logboom-faulty` is the whole daemon, on such a disk. The daemon that users run has no way to get one: it is another binary, which passes another
//! [`Disk`] to the same library.
//!
//! - [`script`]: the n-th operation of a kind fails, comes short, is slow, or is the last one
//! - [`journal`]: what was done to the disk, in order, with its bytes
//! - [`power`]: every state that a power cut could have left, from a journal
//! - [`oracle`]: what is in a directory, by stock tools, against what was acknowledged

pub mod journal;
pub mod oracle;
pub mod power;
pub mod script;

use std::io;
use std::path::Path;
use std::sync::Arc;

use logboom::store::disk::{Disk, Done, FileHook, Op};

use journal::Recorder;
use script::Script;

/// A disk that follows a script, and keeps a journal.
#[derive(Default)]
pub struct Faults {
    script: Script,
    journal: Option<Recorder>,
}

impl Faults {
    /// With a journal where there is a recorder.
    pub fn new(script: Script, journal: Option<Recorder>) -> Faults {
        Faults { script, journal }
    }

    /// The disk.
    pub fn disk(self) -> Disk {
        Disk::with_hook(Arc::new(self))
    }
}

impl FileHook for Faults {
    fn before(&self, op: Op, path: &Path) -> io::Result<()> {
        self.before_write_or_other(op, path, 1).map(drop)
    }

    fn before_write(&self, path: &Path, len: usize) -> io::Result<usize> {
        self.before_write_or_other(Op::Write, path, len)
    }

    fn after(&self, done: &Done<'_>) {
        if let Some(journal) = &self.journal {
            journal.after(done);
        }
        script::after(done);
    }
}

impl Faults {
    fn before_write_or_other(&self, op: Op, path: &Path, len: usize) -> io::Result<usize> {
        let len = self.script.before(op, path, len)?;
        if let Some(journal) = &self.journal {
            journal.before(op);
        }
        Ok(len)
    }
}
