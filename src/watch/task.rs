//! What the thread that watches and the shards tell each other: one piece of one file to read, and what came of it.
//!
//! A file that is being read belongs to the shard that reads it, and to nobody else.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::content::{FileId, Head};
use crate::store::name::Stream;

/// A piece of a file to read.
#[derive(Debug)]
pub struct ReadTask {
    /// Which content.
    pub id: FileId,
    /// The file, open for reading.
    pub file: Arc<File>,
    /// Where it was found.
    pub path: Arc<Path>,
    /// How it is read.
    pub encoding: Encoding,
    /// From which byte, where a line begins; unless [`is_mid_line`](Self::is_mid_line).
    pub offset: u64,
    /// The rest of the line is to be passed over: its beginning was too long, or is none of ours.
    pub is_mid_line: bool,
    /// By slot: lines that end up to here are stored already.
    pub stored: [u64; Stream::SLOTS],
    /// How the file begins, as far as that is known.
    pub head: Head,
    /// What its end ends.
    pub ending: Ending,
}

/// What the end of a file is the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Nothing: more may follow at once.
    Open,
    /// Records of several lines: nothing came for a while that could belong to the last one.
    Record,
    /// The last line too, even without its newline.
    Line,
}

/// How a file's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Plain,
    /// Compressed by gzip. Offsets count what comes out.
    Gzip,
}

/// What came of a task.
#[derive(Debug)]
pub struct ReadReport {
    /// Which content.
    pub id: FileId,
    /// Every line before is taken.
    pub offset: u64,
    /// See [`ReadTask::is_mid_line`].
    pub is_mid_line: bool,
    /// Behind the last byte that was read. Between the two are a line or a record that may go on.
    pub end: u64,
    /// How the file begins.
    pub head: Head,
    /// Why it ended.
    pub outcome: ReadOutcome,
}

/// Why a task ended.
#[derive(Debug)]
pub enum ReadOutcome {
    /// At the end of the file.
    AtEnd,
    /// There is more: others may want to be read as well.
    More,
    /// It does not begin as it did: it was emptied and written anew.
    Rewritten,
    /// It can't be read, in the system's words.
    Failed(std::io::Error),
    /// The daemon stops.
    Stopped,
}
