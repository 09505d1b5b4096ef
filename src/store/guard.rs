//! The disk guard: whether lines may be taken in, by the space that is left.
//!
//! [`FreeSpace`] decides, and is pure; the disk thread ([`housekeeping`](super::housekeeping)) tells it what it sees, and opens and shuts the [`IntakeGate`],
//! at which every shard looks once per receive. A shut gate loses nothing: what a shard has received is written, and peers wait in TCP.
//!
//! Intake pauses in two cases. Free space falls below `--min-free`: what is left is for what has been received already, and for the archives that make space
//! again. Or somebody meets a full disk or quota (ENOSPC, EDQUOT): the same call goes on being tried, and nobody else is let in meanwhile.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::StorageError;
use super::retention::Missing;
use crate::limits::{DISK_FULL_QUIET_MS, MIN_FREE_BAND_BYTES_MIN, MIN_FREE_BAND_SHARE, MIN_FREE_BYTES_MAX};

/// A file system's space, for a process without privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free bytes.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
}

/// What the disk thread sees at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// `None` where the file system does not say.
    pub space: Option<Space>,
    /// Whether somebody waits for a full disk right now.
    pub met_full: bool,
    /// Monotonic milliseconds.
    pub now_ms: u64,
}

/// Whether lines may be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// They may.
    Open,
    /// Less space is free than `--min-free`, or not yet enough more than that.
    LowSpace,
    /// A write met a full disk or quota, now or a moment ago.
    Full,
}

/// The guard's memory.
///
/// Invariant: intake opens only where free space has passed the upper mark, and shuts for its sake only below the lower one: it does not flap between them.
#[derive(Debug, Clone)]
pub struct FreeSpace {
    min_free_bytes: u64,
    intake: Intake,
    met_full_ms: u64,
}

impl FreeSpace {
    /// An open intake with the lower mark `min_free_bytes`, or none if that is 0.
    ///
    /// # Panics
    /// If it is more than [`MIN_FREE_BYTES_MAX`].
    pub fn new(min_free_bytes: u64) -> FreeSpace {
        assert!(min_free_bytes <= MIN_FREE_BYTES_MAX);
        FreeSpace { min_free_bytes, intake: Intake::Open, met_full_ms: 0 }
    }

    /// The upper mark: with so much free, intake resumes.
    pub fn resume_bytes(&self) -> u64 {
        match self.min_free_bytes {
            0 => 0,
            min_free => min_free + (min_free / MIN_FREE_BAND_SHARE).max(MIN_FREE_BAND_BYTES_MIN),
        }
    }

    /// What is missing at the upper mark, where something can be given up for it; to stand as far above that mark as it is above the lower one is better, so that
    /// nothing is missing again at once.
    pub fn missing(&self, space: Space) -> Missing {
        let resume = self.resume_bytes();
        match resume.saturating_sub(space.free_bytes) {
            0 => Missing::default(),
            needed_bytes => Missing { needed_bytes, wanted_bytes: needed_bytes + (resume - self.min_free_bytes) },
        }
    }

    /// Decides anew.
    pub fn observe(&mut self, seen: Seen) -> Intake {
        if seen.met_full {
            self.met_full_ms = seen.now_ms;
        }
        let was_full = self.intake == Intake::Full && seen.now_ms < self.met_full_ms.saturating_add(DISK_FULL_QUIET_MS);
        let mark = if self.intake == Intake::Open { self.min_free_bytes } else { self.resume_bytes() };
        let is_low = match seen.space {
            Some(space) => space.free_bytes < mark,
            None => self.intake == Intake::LowSpace, // nothing new
        };
        self.intake = match (seen.met_full || was_full, is_low) {
            (true, _) => Intake::Full,
            (false, true) => Intake::LowSpace,
            (false, false) => Intake::Open,
        };
        self.intake
    }

    /// Why intake is paused, for people; none while it is open.
    pub fn reason(&self, dir: &Path, space: Option<Space>, full: &str) -> Option<String> {
        let resume = self.resume_bytes();
        match (self.intake, space) {
            (Intake::Open, _) => None,
            (Intake::Full, _) => Some(format!("the disk is full: {full}; intake resumes by itself when space returns")),
            (Intake::LowSpace, None) => Some(format!("the file system of {} was low on space, and can't be asked any more", dir.display())),
            (Intake::LowSpace, Some(Space { free_bytes, total_bytes })) => {
                let (free, min_free) = (Bytes(free_bytes), Bytes(self.min_free_bytes));
                let now = format!("{free} free on the file system of {}, --min-free is {min_free}", dir.display());
                Some(if total_bytes < resume {
                    format!("{now}; it has only {} in all: lower --min-free", Bytes(total_bytes))
                } else {
                    format!("{now}; intake resumes by itself at {}", Bytes(resume))
                })
            }
        }
    }
}

/// The space of the file system of `dir`; `None` where it does not say.
pub fn space(dir: &Path) -> std::io::Result<Option<Space>> {
    let stat = rustix::fs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((stat.f_blocks != 0).then(|| Space { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) }))
}

/// Why intake into `dir` would be paused right now, if it would.
pub fn reason_to_pause(dir: &Path, min_free_bytes: u64) -> Option<String> {
    let mut decision = FreeSpace::new(min_free_bytes);
    let space = space(dir).ok().flatten();
    decision.observe(Seen { space, met_full: false, now_ms: 0 });
    decision.reason(dir, space, "")
}

/// Where the disk thread tells the shards whether they may receive, and they tell it that they wait for a full disk.
#[derive(Debug)]
pub struct IntakeGate {
    shut: AtomicBool,
    min_free_bytes: u64,
    /// `u64::MAX` where nobody knows.
    free_bytes: AtomicU64,
    waits_for_full: AtomicUsize,
    texts: Mutex<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    /// Why the gate is shut.
    reason: Option<String>,
    /// What the last full disk said.
    full: String,
}

/// Somebody waits for a full disk, until this is dropped.
#[derive(Debug)]
pub struct FullWait {
    gate: Arc<IntakeGate>,
}

impl IntakeGate {
    /// An open gate.
    pub fn new(min_free_bytes: u64) -> Arc<IntakeGate> {
        Arc::new(IntakeGate {
            shut: AtomicBool::new(false),
            min_free_bytes,
            free_bytes: AtomicU64::new(u64::MAX),
            waits_for_full: AtomicUsize::new(0),
            texts: Mutex::default(),
        })
    }

    /// Whether nothing may be received. One relaxed load: whoever misses the change receives once more.
    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    /// Why, while it is shut.
    pub fn reason(&self) -> Option<String> {
        self.texts().reason.clone()
    }

    /// Free bytes when the disk thread last looked.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.free_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    /// `--min-free`.
    pub fn min_free_bytes(&self) -> u64 {
        self.min_free_bytes
    }

    /// Tells that a write met a full disk and is tried again, until the answer is dropped.
    pub fn wait_for_full(self: &Arc<Self>, error: &StorageError) -> FullWait {
        self.texts().full = error.to_string();
        self.waits_for_full.fetch_add(1, Ordering::SeqCst);
        FullWait { gate: Arc::clone(self) }
    }

    /// What the full disk said that somebody waits for.
    pub(super) fn met_full(&self) -> Option<String> {
        (0 < self.waits_for_full.load(Ordering::SeqCst)).then(|| self.texts().full.clone())
    }

    /// Shuts the gate for `reason`, or opens it. Returns whether it was shut before.
    pub(super) fn set(&self, space: Option<Space>, reason: Option<String>) -> bool {
        self.free_bytes.store(space.map_or(u64::MAX, |space| space.free_bytes), Ordering::Relaxed);
        let shut = reason.is_some();
        self.texts().reason = reason;
        self.shut.swap(shut, Ordering::Relaxed)
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FullWait {
    fn drop(&mut self) {
        self.gate.waits_for_full.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A number of bytes as people read it: `281.6 MiB`.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while 1024.0 <= value && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if self.0 < 1024 { write!(f, "{} bytes", self.0) } else { write!(f, "{value:.1} {}", UNITS[unit]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;
    use crate::store::disk::Op;
    use proptest::prelude::*;

    const MIN_FREE: u64 = 100 * MIB as u64;
    const TOTAL: u64 = 1_000 * MIB as u64;

    fn free(mib: u64) -> Option<Space> {
        Some(Space { free_bytes: mib * MIB as u64, total_bytes: TOTAL })
    }

    #[test]
    fn table() {
        let quiet = DISK_FULL_QUIET_MS;
        let mut guard = FreeSpace::new(MIN_FREE);
        for (step, (now_ms, space, met_full, expected)) in [
            (0, free(500), false, Intake::Open),
            (1, free(100), false, Intake::Open), // exactly as much as asked for
            (2, free(99), false, Intake::LowSpace),
            (3, free(109), false, Intake::LowSpace), // not yet a tenth more
            (4, None, false, Intake::LowSpace),      // it can't be asked: nothing new
            (5, free(110), false, Intake::Open),
            (6, None, false, Intake::Open),
            (7, free(109), false, Intake::Open), // in the band, from above
            (8, free(109), true, Intake::Full),
            (9, free(500), false, Intake::Full), // the write went through: not trusted yet
            (8 + quiet - 1, free(500), false, Intake::Full),
            (8 + quiet, free(500), false, Intake::Open),
            (9 + quiet, free(500), true, Intake::Full), // a quota
            (10 + 2 * quiet, free(105), false, Intake::LowSpace),
            (11 + 2 * quiet, free(105), true, Intake::Full),
            (12 + 4 * quiet, free(110), false, Intake::Open),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(guard.observe(Seen { space, met_full, now_ms }), expected, "step {step}");
        }
    }

    #[test]
    fn without_min_free_only_a_full_disk_pauses() {
        let mut guard = FreeSpace::new(0);
        let seen = |met_full, now_ms| Seen { space: free(0), met_full, now_ms };
        assert_eq!(guard.observe(seen(false, 0)), Intake::Open);
        assert_eq!(guard.observe(seen(true, 1)), Intake::Full);
        assert_eq!(guard.observe(seen(false, 1 + DISK_FULL_QUIET_MS)), Intake::Open);
        assert_eq!((guard.resume_bytes(), guard.missing(free(0).unwrap())), (0, Missing::default()));
    }

    #[test]
    fn what_is_missing_is_counted_from_above_the_upper_mark() {
        let guard = FreeSpace::new(MIN_FREE);
        for (free_mib, needed_mib, wanted_mib) in [(500, 0, 0), (110, 0, 0), (109, 1, 11), (100, 10, 20), (0, 110, 120)] {
            let missing = Missing { needed_bytes: needed_mib * MIB as u64, wanted_bytes: wanted_mib * MIB as u64 };
            assert_eq!(guard.missing(free(free_mib).unwrap()), missing, "{free_mib} MiB free");
        }
    }

    #[test]
    fn the_reason_says_what_is_missing_and_what_helps() {
        let dir = Path::new("data");
        let mut guard = FreeSpace::new(256 * MIB as u64);
        let mut reason = |mib, total_bytes, met_full| {
            let space = Some(Space { free_bytes: mib * MIB as u64, total_bytes });
            guard.observe(Seen { space, met_full, now_ms: 0 });
            guard.reason(dir, space, "write data/logs.jsonl: No space left on device (os error 28)")
        };
        assert_eq!(reason(300, TOTAL, false), None);
        let expected = "180.0 MiB free on the file system of data, --min-free is 256.0 MiB; intake resumes by itself at 281.6 MiB";
        assert_eq!(reason(180, TOTAL, false).unwrap(), expected);
        let small = reason(60, 64 * MIB as u64, false).unwrap();
        assert!(small.ends_with("; it has only 64.0 MiB in all: lower --min-free"), "{small}");
        let full = reason(300, TOTAL, true).unwrap();
        assert!(full.starts_with("the disk is full: write data/logs.jsonl: No space left on device"), "{full}");
    }

    #[test]
    fn a_wait_for_a_full_disk_ends_with_its_guard() {
        let gate = IntakeGate::new(0);
        assert_eq!(gate.met_full(), None);
        let error = StorageError::io(Op::Write, "data/x", rustix::io::Errno::NOSPC.into());
        let waits = [gate.wait_for_full(&error), gate.wait_for_full(&error)];
        assert_eq!(gate.met_full().unwrap(), error.to_string());
        drop(waits);
        assert_eq!(gate.met_full(), None);
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (8_000_000, "7.6 MiB"),
            (100_000_000_000_000, "90.9 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn the_file_system_of_a_directory_says_its_space() {
        let dir = tempfile::tempdir().unwrap();
        let Space { free_bytes, total_bytes } = space(dir.path()).unwrap().expect("a file system with blocks");
        assert!(0 < free_bytes && free_bytes <= total_bytes);
        assert!(space(&dir.path().join("missing")).is_err());
        assert_eq!(reason_to_pause(dir.path(), 0), None);
        assert!(reason_to_pause(dir.path(), total_bytes + 1).unwrap().contains("lower --min-free"));
    }

    proptest! {
        #[test]
        fn it_never_flaps(min_free in 1..=MIN_FREE_BYTES_MAX, seen in prop::collection::vec((0..400u64, any::<bool>(), 0..3_000u64), 1..60)) {
            let mut guard = FreeSpace::new(min_free);
            let (mut now_ms, mut before, mut full_ms) = (0, Intake::Open, None);
            for (percent, met_full, after_ms) in seen {
                now_ms += after_ms;
                let space = Space { free_bytes: (min_free as u128 * u128::from(percent) / 200) as u64, total_bytes: u64::MAX };
                full_ms = if met_full { Some(now_ms) } else { full_ms };
                let intake = guard.observe(Seen { space: Some(space), met_full, now_ms });
                prop_assert_eq!(met_full && intake != Intake::Full, false);
                if intake == Intake::Open {
                    prop_assert!(min_free <= space.free_bytes);
                }
                if before != Intake::Open && intake == Intake::Open {
                    prop_assert!(guard.resume_bytes() <= space.free_bytes);
                    if before == Intake::Full {
                        prop_assert!(full_ms.unwrap() + DISK_FULL_QUIET_MS <= now_ms);
                    }
                }
                if before == Intake::Open && intake != Intake::Open {
                    prop_assert!(met_full || space.free_bytes < min_free);
                }
                before = intake;
            }
            prop_assert!(min_free < guard.resume_bytes());
        }
    }
}
