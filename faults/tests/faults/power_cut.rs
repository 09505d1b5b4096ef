//! Power cuts, modelled from what the real daemon did to its disk: whatever the cut left, everything acknowledged is there, once, after a recovery.
//!
//! `LOGBOOM_SEED` gives other choices than the usual ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use logboom::store::disk::Disk;
use logboom::store::name::Codec;
use logboom_faults::Faults;
use logboom_faults::journal::{self, Entry, Recorder};
use logboom_faults::oracle::{Known, Leave, compare, lines, make_good};
use logboom_faults::power::{Files, Model, Names};

use crate::daemon::{Daemon, in_parallel, send_relp, send_tcp};

const THREADS: usize = 4;

fn seed() -> u64 {
    std::env::var("LOGBOOM_SEED").ok().map_or(1, |text| text.parse().expect("a number"))
}

/// A journal of the daemon, and for each acknowledged line how long the journal was when its client knew.
struct Recorded {
    journal: Vec<Entry>,
    known: Known,
    acknowledged_at: Vec<(u64, usize)>,
}

fn record(flags: &[&str]) -> Recorded {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let mut known = Known::default();
    let mut acknowledged = Vec::new();
    let mut daemon = Daemon::start(&dir.path().join("data"), "", Some(&path), flags);
    for (waited_for, others) in [(3, 9), (7, 0), (2, 5)] {
        let note = |number| acknowledged.push((number, fs::metadata(&path).expect("a journal").len()));
        send_relp(daemon.relp(), &mut known, waited_for, 2, 700, note);
        // In several writes, which a cut may take one without the other.
        (0..others).for_each(|_| send_tcp(daemon.tcp(), &mut known, 1, 700));
    }
    assert_eq!(daemon.stop().code(), Some(0), "{}", daemon.stderr());
    let entries = journal::read(&path);
    let place = |bytes: u64| entries.iter().filter(|(at, _)| *at < bytes).count();
    let acknowledged_at = acknowledged.into_iter().map(|(number, bytes)| (number, place(bytes))).collect();
    Recorded { acknowledged_at, known, journal: entries.into_iter().map(|(_, entry)| entry).collect() }
}

impl Recorded {
    fn known_at(&self, cut: usize) -> Known {
        let acknowledged = self.acknowledged_at.iter().filter(|(_, at)| *at <= cut).map(|(number, _)| *number).collect();
        Known { sent: self.known.sent.clone(), acknowledged }
    }
}

fn put(files: &Files, dir: &Path) {
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).expect("written");
    }
}

/// Recovers everything that any cut could have left. Returns how many directories that were.
fn cut_everywhere(recorded: &Recorded, codec: Option<Codec>, names: Names, random: usize) -> usize {
    let model = Model::new(&Files::new(), &recorded.journal);
    let mut seen = BTreeSet::new();
    let mut states = Vec::new();
    // From the end: of two cuts that leave the same, the later one owes more.
    for cut in (0..=model.len()).rev() {
        let fresh = model.states(cut, names, random, seed()).into_iter().filter(|files| seen.insert(files.clone()));
        states.extend(fresh.map(|files| (cut, files)));
    }
    let leave = Leave { zeroed: true, twice: names == Names::Loose, ..Leave::default() };
    in_parallel(&states, THREADS, |(cut, files)| {
        let dir = tempfile::tempdir_in(memory()).expect("a directory");
        put(files, dir.path());
        let verdict = make_good(Disk::new(), dir.path(), 1, codec)
            .map_err(|error| error.to_string())
            .and_then(|_| lines(dir.path()))
            .and_then(|found| compare(&found, &recorded.known_at(*cut), leave));
        if let Err(what) = verdict {
            let sizes: Vec<_> = files.iter().map(|(name, bytes)| format!("{name}: {} bytes", bytes.len())).collect();
            panic!("cut after {cut} of {} operations, seed {}: {what}\nleft: {sizes:#?}", model.len(), seed());
        }
    });
    states.len()
}

/// Where syncs cost nothing: what they are for is modelled.
fn memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

const FLAGS: [&str; 4] = ["--rotate-size", "4KiB", "--sync-interval", "1h"];

#[test]
fn whatever_a_power_cut_leaves_what_was_acknowledged_is_there_once() {
    for (codec, name) in [(Some(Codec::Gzip), "gzip"), (Some(Codec::Zstd), "zstd"), (None, "none")] {
        let level = if codec.is_some() { &["--compression-level", "1"][..] } else { &[] };
        let recorded = record(&[&FLAGS[..], &["--compression", name], level].concat());
        assert_eq!(recorded.acknowledged_at.len(), 12);
        let states = cut_everywhere(&recorded, codec, Names::Ordered, 3);
        println!("{name}: {} operations, {states} directories", recorded.journal.len());
        assert!(300 < states, "{states}");
    }
}

/// No file system that the docs name does this; still nothing is lost, though a segment may be there as an archive and as the open file that it was.
#[test]
fn even_if_names_are_lost_in_any_order_what_was_acknowledged_is_there() {
    let recorded = record(&FLAGS);
    let states = cut_everywhere(&recorded, Some(Codec::Gzip), Names::Loose, 4);
    assert!(300 < states, "{states}");
}

/// Recovery writes too.
#[test]
fn a_power_cut_in_a_recovery_loses_nothing_either() {
    let recorded = record(&FLAGS);
    let model = Model::new(&Files::new(), &recorded.journal);
    let cuts: Vec<usize> = (0..model.len()).step_by(7).collect();
    let recoveries = in_parallel(&cuts, THREADS, |cut| {
        let states = model.states(*cut, Names::Ordered, 1, seed());
        let before = &states[cut % states.len()];
        let dir = tempfile::tempdir_in(memory()).expect("a directory");
        put(before, dir.path());
        let path = tempfile::NamedTempFile::new_in(memory()).expect("a file");
        let recorder = Recorder::create(path.path()).expect("a journal");
        make_good(Faults::new(Default::default(), Some(recorder)).disk(), dir.path(), 1, Some(Codec::Gzip)).expect("recovered");
        let journal: Vec<Entry> = journal::read(path.path()).into_iter().map(|(_, entry)| entry).collect();
        let again = Recorded { journal, known: recorded.known_at(*cut), acknowledged_at: Vec::new() };
        let owed = recorded.known_at(*cut);
        let model = Model::new(before, &again.journal);
        for cut in (0..=model.len()).step_by(2) {
            for files in model.states(cut, Names::Ordered, 0, seed()).iter().step_by(3) {
                let dir = tempfile::tempdir_in(memory()).expect("a directory");
                put(files, dir.path());
                make_good(Disk::new(), dir.path(), 1, Some(Codec::Gzip)).expect("recovered");
                let leave = Leave { zeroed: true, ..Leave::default() };
                let verdict = lines(dir.path()).and_then(|found| compare(&found, &owed, leave));
                verdict.unwrap_or_else(|what| panic!("cut in a recovery after {cut} operations: {what}\n{:?}", files.keys()));
            }
        }
        again.journal.len()
    });
    assert!(recoveries.iter().any(|operations| 10 < *operations), "{recoveries:?}");
}
