//! Which files to read, each line once, also while the daemon seals, archives and deletes them.
//!
//! A segment is one file under up to three names in turn: open, sealed, archived. Between two equal listings of the sealed segments every open segment is opened:
//! what is listed and what is held then are all there was at that moment, and neither holds a line of the other. A sealed segment may become an archive
//! until it is read; its number stays, so it is found under its next name. Where a sealed file and its archive both exist, they hold the same, and one is read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use super::names::{self, Coding, Name, SealedName};

/// How often a listing is tried before the directory is said to be too busy, and how long in between.
const TRIES: u32 = 500;
const TRY_EVERY: Duration = Duration::from_millis(5);

/// A directory's lines at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// By shard.
    pub shards: Vec<Shard>,
}

/// One shard's segments, in the order in which they were written.
#[derive(Debug, Default)]
pub struct Shard {
    /// The open one comes last.
    pub segments: Vec<Segment>,
}

/// One segment.
#[derive(Debug)]
pub enum Segment {
    /// Held open, so that it stays readable whatever becomes of its name.
    Open(Opened),
    /// To be opened when its turn comes: there may be more than a process can hold.
    Sealed {
        /// Where.
        dir: PathBuf,
        /// Which.
        name: SealedName,
    },
}

/// A file to read.
#[derive(Debug)]
pub struct Opened {
    /// For messages.
    pub name: String,
    /// Its bytes.
    pub file: File,
    /// How they are compressed.
    pub coding: Coding,
    /// A last line without a newline is still being written.
    pub growing: bool,
}

impl Snapshot {
    /// Lists a stream's segments in `dir` and holds the open ones.
    pub fn take(dir: &Path, stream: &str) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            let (open, sealed) = list(dir, stream)?;
            let Some(held) = hold(dir, &open)? else { continue };
            if list(dir, stream)? == (open, sealed.clone()) {
                return Ok(Self::of(dir, sealed, held));
            }
            thread::sleep(TRY_EVERY);
        }
        bail!("{}: segments are sealed faster than they can be listed", dir.display())
    }

    fn of(dir: &Path, sealed: Vec<SealedName>, held: Vec<(u32, Opened)>) -> Self {
        let mut shards: BTreeMap<u32, Shard> = BTreeMap::new();
        for name in sealed {
            shards.entry(name.shard).or_default().segments.push(Segment::Sealed { dir: dir.to_owned(), name });
        }
        for (shard, opened) in held {
            shards.entry(shard).or_default().segments.push(Segment::Open(opened));
        }
        Self { shards: shards.into_values().collect() }
    }
}

type OpenNames = Vec<(u32, String)>;

/// The open segments and the sealed ones, each of which is listed once, whatever its forms; both sorted.
fn list(dir: &Path, stream: &str) -> anyhow::Result<(OpenNames, Vec<SealedName>)> {
    let (mut open, mut sealed) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let file_name = entry.with_context(|| format!("list {}", dir.display()))?.file_name();
        let Some(text) = file_name.to_str() else { continue };
        match names::parse(text, stream) {
            Some(Name::Open { shard }) => open.push((shard, text.to_owned())),
            Some(Name::Sealed(name, _)) => sealed.push(name),
            None => {}
        }
    }
    open.sort();
    sealed.sort();
    sealed.dedup();
    Ok((open, sealed))
}

/// Opens the open segments; `None` when one was sealed meanwhile.
fn hold(dir: &Path, open: &OpenNames) -> anyhow::Result<Option<Vec<(u32, Opened)>>> {
    let mut held = Vec::with_capacity(open.len());
    for (shard, name) in open {
        match File::open(dir.join(name)) {
            Ok(file) => held.push((*shard, Opened { name: name.clone(), file, coding: Coding::Raw, growing: true })),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("open {}", dir.join(name).display())),
        }
    }
    Ok(Some(held))
}

impl Segment {
    /// Opens it, in the form in which it exists now.
    pub fn open(self) -> anyhow::Result<Opened> {
        let (dir, name) = match self {
            Segment::Open(opened) => return Ok(opened),
            Segment::Sealed { dir, name } => (dir, name),
        };
        // The archive has its name before the raw file goes, so the second look finds what the first has missed.
        for (extension, coding) in [("", Coding::Raw), (".gz", Coding::Gzip), (".zst", Coding::Zstd), ("", Coding::Raw)] {
            let form = format!("{}{extension}", name.raw_name);
            match File::open(dir.join(&form)) {
                Ok(file) => return Ok(Opened { name: form, file, coding, growing: false }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("open {}", dir.join(&form).display())),
            }
        }
        let gone = io::Error::from(ErrorKind::NotFound);
        Err(gone).with_context(|| format!("open {} or its archive", dir.join(&name.raw_name).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_is_listed_once_in_its_shards_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "logs.s00.jsonl",
            "logs.s01.jsonl",
            "logs_20261124_160000_s00_000002.jsonl",
            "logs_20261124_150000_s00_000010.jsonl.gz", // the clock went back: the number counts
            "logs_20261124_150000_s00_000001.jsonl",
            "logs_20261124_150000_s00_000001.jsonl.gz",
            "logs_20261124_150000_s00_000001.jsonl.zst.tmp",
            "rejected.s00.jsonl",
        ] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let snapshot = Snapshot::take(dir.path(), "logs").unwrap();
        let names: Vec<Vec<String>> = snapshot
            .shards
            .into_iter()
            .map(|shard| shard.segments.into_iter().map(|segment| segment.open().unwrap().name).collect())
            .collect();
        let first = [
            "logs_20261124_150000_s00_000001.jsonl",
            "logs_20261124_160000_s00_000002.jsonl",
            "logs_20261124_150000_s00_000010.jsonl.gz",
            "logs.s00.jsonl",
        ];
        assert_eq!(names, [&first[..], &["logs.s01.jsonl"]]);
    }

    #[test]
    fn a_segment_is_found_under_its_next_name() {
        let dir = tempfile::tempdir().unwrap();
        let (raw, archive) = ("logs_20261124_150000_000001.jsonl", "logs_20261124_150000_000001.jsonl.gz");
        fs::write(dir.path().join(raw), "").unwrap();
        fs::write(dir.path().join("logs.jsonl"), "held").unwrap();
        let mut snapshot = Snapshot::take(dir.path(), "logs").unwrap();
        fs::rename(dir.path().join(raw), dir.path().join(archive)).unwrap();
        fs::remove_file(dir.path().join("logs.jsonl")).unwrap();
        let segments = snapshot.shards.remove(0).segments;
        let opened: Vec<Opened> = segments.into_iter().map(|segment| segment.open().unwrap()).collect();
        assert_eq!(opened.iter().map(|opened| opened.name.as_str()).collect::<Vec<_>>(), [archive, "logs.jsonl"]);
    }
}
