//! What a shard counts. One block per shard, written by its shard alone and read by anyone.
//!
//! Invariant: in every [`Ledger`] a reader takes, `received = written + filtered + rejected`. A line is counted as received together with what became of
//! it, when the write that stored it has completed; what has been taken in but not written yet is `in_flight`. The ledger is published under a sequence
//! lock: the writer never waits, a reader that met an update looks again.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use crate::record::relp::RelpError;
use crate::record::{Level, RejectReason};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Closed {
    /// The peer ended it.
    ByPeer,
    /// It was reset, or failed.
    Reset,
    /// It sent nothing for `--idle-timeout`.
    Idle,
    /// The daemon stopped.
    Stopped,
    /// The daemon stopped before everything could be taken in that the peer had sent.
    CutOff,
    /// Its unfinished line kept the others waiting for too long.
    LongLine,
}

impl Closed {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 6] = [Self::ByPeer, Self::Reset, Self::Idle, Self::Stopped, Self::CutOff, Self::LongLine];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByPeer => "by_peer",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::Stopped => "stopped",
            Self::CutOff => "cut_off",
            Self::LongLine => "long_line",
        }
    }
}

/// Why intake waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Pause {
    /// Both batches were full: the disk is slower than the senders.
    Writer,
    /// As many raw segments on disk as are allowed: compression is slower than the senders.
    RawSegments,
    /// As many unfinished long lines as there is memory for.
    LongLines,
    /// The disk or a quota is full.
    DiskFull,
    /// A RELP client does not read its answers, or their records are not safe yet.
    Answers,
    /// The disk guard keeps intake shut: too little space is free, or somebody met a full disk.
    DiskGuard,
}

impl Pause {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 6] = [Self::Writer, Self::RawSegments, Self::LongLines, Self::DiskFull, Self::Answers, Self::DiskGuard];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::RawSegments => "raw_segments",
            Self::LongLines => "long_lines",
            Self::DiskFull => "disk_full",
            Self::Answers => "answers",
            Self::DiskGuard => "disk_guard",
        }
    }
}

/// What became of the lines that came in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// Lines whose fate is known.
    pub received: u64,
    /// Records in the `logs` stream.
    pub written: u64,
    /// Lines that rules left out.
    pub filtered: u64,
    /// Lines in the `rejected` stream, by reason.
    pub rejected: [u64; RejectReason::COUNT],
    /// Records by level.
    pub levels: [u64; Level::COUNT],
    /// Bytes written to the `logs` stream, newlines included.
    pub written_bytes: u64,
    /// Bytes written to the `rejected` stream.
    pub rejected_bytes: u64,
}

impl Ledger {
    /// Lines in the `rejected` stream.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Whether every received line is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.received == self.written + self.filtered + self.rejected_total()
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        let mut words = self.to_words();
        for (mine, theirs) in words.iter_mut().zip(other.to_words()) {
            *mine += theirs;
        }
        *self = Self::from_words(words);
    }

    fn to_words(self) -> [u64; LEDGER_WORDS] {
        let mut words = [0; LEDGER_WORDS];
        words[..5].copy_from_slice(&[self.received, self.written, self.filtered, self.written_bytes, self.rejected_bytes]);
        words[5..5 + RejectReason::COUNT].copy_from_slice(&self.rejected);
        words[5 + RejectReason::COUNT..].copy_from_slice(&self.levels);
        words
    }

    fn from_words(words: [u64; LEDGER_WORDS]) -> Self {
        let mut ledger = Self {
            received: words[0],
            written: words[1],
            filtered: words[2],
            written_bytes: words[3],
            rejected_bytes: words[4],
            ..Self::default()
        };
        ledger.rejected.copy_from_slice(&words[5..5 + RejectReason::COUNT]);
        ledger.levels.copy_from_slice(&words[5 + RejectReason::COUNT..]);
        ledger
    }
}

const LEDGER_WORDS: usize = 5 + RejectReason::COUNT + Level::COUNT;

/// A number with one writer: it loads, adds and stores, without a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owner calls this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes away. Only the owner calls this.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// Replaces it. Only the owner calls this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One shard's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardCounters {
    /// Odd while the ledger is being changed.
    version: AtomicU64,
    ledger: [AtomicU64; LEDGER_WORDS],
    /// Lines taken in since the start, written or not.
    pub appended: Counter,
    /// Receives from sockets.
    pub receives: Counter,
    /// Bytes received.
    pub received_bytes: Counter,
    /// Connections taken over.
    pub connections_opened: Counter,
    /// Connections that ended, by [`Closed`].
    pub connections_closed: [Counter; Closed::ALL.len()],
    /// Connections refused at `--max-connections`.
    pub connections_refused: Counter,
    /// What RELP peers did against the protocol, by [`RelpError`].
    pub relp_errors: [Counter; RelpError::COUNT],
    /// RELP lines that were sent again and are stored already.
    pub relp_resends_suppressed: Counter,
    /// RELP sessions that have ended with lines unanswered, until it is known which of them, and that these are safe.
    pub relp_settling: Counter,
    /// Octet counts of syslog connections (RFC 6587) that were wrong.
    pub octet_counts_wrong: Counter,
    /// Records of files that began because the one before, to which their lines belong, was as long as a record may be.
    pub records_split: Counter,
    /// Accepts that failed.
    pub accepts_failed: Counter,
    /// Batches written.
    pub batches: Counter,
    /// Segments sealed.
    pub segments_sealed: Counter,
    /// Looks at the clock, ten per second: a shard that no longer ticks is stuck.
    pub ticks: Counter,
    /// Open segments synced.
    pub syncs: Counter,
    /// How often intake waited, by [`Pause`].
    pub pauses: [Counter; Pause::ALL.len()],
    /// How long it waited in all, in nanoseconds, by [`Pause`]; ended waits only.
    pub paused_ns: [Counter; Pause::ALL.len()],
    /// How many waits are under way, by [`Pause`].
    pub pausing: [Counter; Pause::ALL.len()],
}

impl ShardCounters {
    /// Changes the ledger. Only the shard calls this, once per written batch.
    pub fn publish(&self, change: impl FnOnce(&mut Ledger)) {
        let mut ledger = Ledger::from_words(self.load_words());
        change(&mut ledger);
        assert!(ledger.is_balanced());
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.ledger.iter().zip(ledger.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    /// The ledger at one moment.
    pub fn ledger(&self) -> Ledger {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let words = self.load_words();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                return Ledger::from_words(words);
            }
            std::hint::spin_loop();
        }
    }

    fn load_words(&self) -> [u64; LEDGER_WORDS] {
        std::array::from_fn(|i| self.ledger[i].load(Ordering::Relaxed))
    }

    /// Connections that are open now.
    pub fn connections_open(&self) -> u64 {
        let closed: u64 = self.connections_closed.iter().map(Counter::get).sum();
        self.connections_opened.get().saturating_sub(closed)
    }

    /// Lines taken in that are not written yet.
    pub fn in_flight(&self) -> u64 {
        let ledger = self.ledger();
        self.appended.get().saturating_sub(ledger.received)
    }

    /// Counts a wait, until the guard is dropped.
    pub fn pause(&self, reason: Pause) -> PauseGuard<'_> {
        self.pauses[reason as usize].add(1);
        self.pausing[reason as usize].add(1);
        PauseGuard { counters: self, reason, begun: Instant::now() }
    }
}

/// A wait under way.
#[derive(Debug)]
pub struct PauseGuard<'a> {
    counters: &'a ShardCounters,
    reason: Pause,
    begun: Instant,
}

impl Drop for PauseGuard<'_> {
    fn drop(&mut self) {
        self.counters.pausing[self.reason as usize].sub(1);
        self.counters.paused_ns[self.reason as usize].add(self.begun.elapsed().as_nanos() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ledger_a_reader_takes_is_balanced() {
        let counters = ShardCounters::default();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for n in 0..200_000u64 {
                    counters.publish(|ledger| {
                        ledger.received += n % 7 + 1;
                        ledger.written += n % 7;
                        ledger.rejected[(n % 4) as usize] += 1;
                    });
                }
            });
            let mut last = 0;
            while !writing.is_finished() {
                let ledger = counters.ledger();
                assert!(ledger.is_balanced() && last <= ledger.received);
                last = ledger.received;
            }
        });
        assert_eq!(counters.ledger().rejected_total(), 200_000);
    }

    #[test]
    fn a_wait_is_counted_while_it_lasts_and_after() {
        let counters = ShardCounters::default();
        let guard = counters.pause(Pause::DiskFull);
        assert_eq!(counters.pausing[Pause::DiskFull as usize].get(), 1);
        drop(guard);
        assert_eq!(counters.pausing[Pause::DiskFull as usize].get(), 0);
        assert_eq!(counters.pauses[Pause::DiskFull as usize].get(), 1);
        assert!(counters.paused_ns[Pause::DiskFull as usize].get() > 0);
    }
}
