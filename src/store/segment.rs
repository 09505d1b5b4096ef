//! What a shard hands to the compress pool.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StorageError;
use super::name::{SegmentId, ShardTag, Stream};
use super::permits::RawPermit;
use crate::record::{Level, Timestamp};

/// The earliest and the latest time of some lines, in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest.
    pub min_us: i64,
    /// The latest.
    pub max_us: i64,
}

impl TimeRange {
    /// The smallest range that holds both.
    pub fn union(self, other: TimeRange) -> TimeRange {
        TimeRange { min_us: self.min_us.min(other.min_us), max_us: self.max_us.max(other.max_us) }
    }
}

/// What the lines of one block sum up to. A block is whole lines, at most [`BLOCK_BYTES`](crate::limits::BLOCK_BYTES) unless one line is longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockStats {
    /// Raw bytes, newlines included.
    pub raw_len: u64,
    /// How many lines.
    pub lines: u64,
    /// The times of those lines that have one.
    pub time: Option<TimeRange>,
    /// Lines by level; sums up to `lines`.
    pub levels: [u64; Level::COUNT],
}

impl BlockStats {
    /// Adds one line of `raw_len` bytes, its newline included.
    pub fn add_line(&mut self, raw_len: u64, level: Level, time: Option<Timestamp>) {
        self.raw_len += raw_len;
        self.lines += 1;
        self.levels[level as usize] += 1;
        if let Some(Timestamp(us)) = time {
            self.add_time(TimeRange { min_us: us, max_us: us });
        }
    }

    /// Adds everything that `other` sums up.
    pub fn add(&mut self, other: &BlockStats) {
        self.raw_len += other.raw_len;
        self.lines += other.lines;
        for (mine, theirs) in self.levels.iter_mut().zip(other.levels) {
            *mine += theirs;
        }
        if let Some(range) = other.time {
            self.add_time(range);
        }
    }

    fn add_time(&mut self, range: TimeRange) {
        self.time = Some(self.time.map_or(range, |mine| mine.union(range)));
    }
}

/// What must be durable before a segment's archive is: called first, perhaps more than once.
pub type BeforeDurable = Arc<dyn Fn() -> Result<(), StorageError> + Send + Sync>;

/// Who wants to know of a segment's archive.
pub struct OnDurable {
    /// Called before it has its name.
    pub before: Option<BeforeDurable>,
    /// Called once, when it is durable.
    pub told: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for OnDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDurable")
    }
}

/// A sealed raw segment on its way to its archive. Owns the right to be on disk.
#[derive(Debug)]
pub struct SealedSegment {
    /// Its name.
    pub id: SegmentId,
    /// The sealed raw file.
    pub path: PathBuf,
    /// The file's length.
    pub raw_bytes: u64,
    /// The blocks in file order, as the shard cut them; `None` after a recovery, where the pool scans the file itself.
    pub blocks: Option<Vec<BlockStats>>,
    /// Told when its lines are durable, if somebody wants to know.
    pub on_durable: Option<OnDurable>,
    /// Released when the raw file is gone.
    pub permit: Arc<RawPermit>,
}

/// The sequence numbers of one stream and shard. One writer owns it; numbers are never used twice, over restarts too, because recovery starts it
/// past every number on disk, and every one that the checkpoints name.
#[derive(Debug)]
pub struct Sequence {
    stream: Stream,
    shard: ShardTag,
    seq_next: u64,
}

impl Sequence {
    /// Starts at `seq_next`.
    pub fn new(stream: Stream, shard: ShardTag, seq_next: u64) -> Sequence {
        Sequence { stream, shard, seq_next }
    }

    /// Whose numbers.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// The next segment's number.
    pub fn seq_next(&self) -> u64 {
        self.seq_next
    }

    /// Names the next segment, which is sealed at `sealed_at_s`, seconds since 1970 UTC.
    pub fn id(&self, sealed_at_s: u64) -> SegmentId {
        SegmentId { stream: self.stream, shard: self.shard, sealed_at_s, seq: self.seq_next }
    }

    /// A segment has got that name.
    pub fn advance(&mut self) {
        self.seq_next += 1;
    }
}
