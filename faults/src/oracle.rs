//! What is in a data directory, read by stock tools, against what was acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use logboom::store::disk::Disk;
use logboom::store::error::StorageError;
use logboom::store::filter::Index;
use logboom::store::level::LevelChoice;
use logboom::store::name::{Codec, Stream};
use logboom::store::permits::RawPermits;
use logboom::store::pool::{Pool, PoolConfig};
use logboom::store::recover::{RecoveryConfig, recover};

/// What clients know.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// Every line that was sent, by its number.
    pub sent: BTreeMap<u64, String>,
    /// The numbers of those that were acknowledged.
    pub acknowledged: Vec<u64>,
}

/// What a directory may show apart from "everything acknowledged, once".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leave {
    /// Retention was on: the oldest lines may be gone.
    pub oldest_gone: bool,
    /// After a power cut that zeroed bytes, what nobody was promised may hold NULs.
    pub zeroed: bool,
    /// Lines may be there twice.
    pub twice: bool,
}

/// A line with its number in it, about `filler` bytes longer.
pub fn line(number: u64, filler: usize) -> String {
    format!("{{\"n\":{number},\"filler\":\"{}\"}}", (number.wrapping_mul(7_919) % 9_973).to_string().repeat(filler.div_ceil(4)))
}

/// Makes a directory good: recovers it for `shards` shards, and compresses what is raw. Returns recovery's warnings about lines kept twice.
pub fn make_good(disk: Disk, dir: &Path, shards: usize, codec: Option<Codec>) -> Result<Vec<String>, StorageError> {
    let permits = RawPermits::new(8);
    let recovered = recover(&RecoveryConfig {
        disk: disk.clone(),
        dir,
        shards,
        accepted: Stream::Logs,
        index: Index::On,
        numbers: Default::default(),
        permits: &permits,
    })?;
    let level = if codec.is_some() { LevelChoice::Fixed(1) } else { LevelChoice::Auto };
    let on_fatal = Box::new(|error| panic!("{error}"));
    let config = PoolConfig { dir: dir.to_path_buf(), codec, level, index: Index::On, threads: 1, cores: Vec::new(), disk, on_fatal };
    let pool = Pool::start(config, &permits).expect("threads");
    recovered.sealed.into_iter().for_each(|segment| pool.handle().submit(segment));
    assert_eq!(pool.drain(Duration::from_secs(60)).left, 0, "everything is archived");
    Ok(recovered.report.kept_twice)
}

/// All lines of the stream `logs`. Fails if a stock tool refuses an archive, or a file ends within a line.
pub fn lines(dir: &Path) -> Result<Vec<String>, String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names.retain(|name| name.starts_with("logs.") || name.starts_with("logs_"));
    let with = |extension: &str| names.iter().filter(|name| name.ends_with(extension)).map(|name| dir.join(name)).collect::<Vec<_>>();
    let mut bytes = Vec::new();
    for path in with(".jsonl") {
        bytes.extend(fs::read(&path).expect("readable"));
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            return Err(format!("{} ends within a line", path.display()));
        }
    }
    for (tool, args, extension) in [("gzip", "-dc", ".gz"), ("zstd", "-dcq", ".zst")] {
        let archives = with(extension);
        if archives.is_empty() {
            continue;
        }
        let output = Command::new(tool).arg(args).args(archives).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
        if !output.status.success() {
            return Err(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        bytes.extend(output.stdout);
    }
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Compares: everything acknowledged is there, once, unaltered; nothing is there that was never sent.
pub fn compare(found: &[String], known: &Known, leave: Leave) -> Result<(), String> {
    let numbers: BTreeMap<&str, u64> = known.sent.iter().map(|(number, line)| (line.as_str(), *number)).collect();
    let mut times = BTreeMap::<u64, u64>::new();
    for line in found {
        match numbers.get(line.as_str()) {
            Some(number) => *times.entry(*number).or_default() += 1,
            None if leave.zeroed && line.contains('\0') => {}
            None => return Err(format!("a line that was never sent: {line:?}")),
        }
    }
    if let Some((number, times)) = times.iter().find(|(_, times)| 1 < **times && !leave.twice) {
        return Err(format!("line {number} is there {times} times"));
    }
    let oldest = times.keys().next().copied().unwrap_or(u64::MAX);
    let missing = |number: &&u64| !(times.contains_key(*number) || leave.oldest_gone && **number < oldest);
    match known.acknowledged.iter().find(missing) {
        Some(number) => Err(format!("line {number} was acknowledged and is not there")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_altered_lines_are_found() {
        let sent: BTreeMap<u64, String> = (0..4).map(|number| (number, line(number, 8))).collect();
        let known = Known { sent: sent.clone(), acknowledged: vec![1, 2] };
        let all: Vec<String> = sent.into_values().collect();
        let strict = Leave::default();
        assert_eq!(compare(&all, &known, strict), Ok(()));
        assert_eq!(compare(&all[1..3], &known, strict), Ok(()));
        assert!(compare(&all[2..], &known, strict).unwrap_err().contains("line 1 was acknowledged"));
        assert_eq!(compare(&all[2..], &known, Leave { oldest_gone: true, ..strict }), Ok(()));
        assert!(compare(&all[..2], &known, Leave { oldest_gone: true, ..strict }).is_err(), "the newest may not go");
        let twice = [&all[..], &all[3..]].concat();
        assert!(compare(&twice, &known, strict).unwrap_err().contains("2 times"));
        assert_eq!(compare(&twice, &known, Leave { twice: true, ..strict }), Ok(()));
        let altered = [&all[..], &["{\"n\":1\0".to_owned()]].concat();
        assert!(compare(&altered, &known, strict).is_err());
        assert_eq!(compare(&altered, &known, Leave { zeroed: true, ..strict }), Ok(()));
    }
}
