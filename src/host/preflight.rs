//! What would keep the daemon from working on this machine, found before anything starts: one line per problem, with what to do.
//!
//! Soft resource limits are raised to what is needed where the hard limits allow it. Hard limits are never touched, even by root: somebody set them.

mod directory;
mod problem;
mod resources;
mod uring;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ports;
use crate::limits::{EXECUTOR_IO_BYTES, HTTP_CONNECTIONS_MAX};

pub use directory::MadeDirectories;
pub use problem::Problem;

/// Open files of a shard beside its connections and listeners: three rings and an eventfd of its executor; for each of two streams the open segment and one that is
/// being sealed; the rest is spare, for connections that are refused or on their way to another shard.
pub const FILES_PER_SHARD: u64 = 16;

/// A compress thread reads a segment and writes its archive and block table, or has its directory open to sync it.
pub const FILES_PER_COMPRESS_THREAD: u64 = 4;

/// Standard streams, the lock, pipes for signals and wake-ups, tokio's epoll, what recovery has open.
pub const FILES_BASE: u64 = 64;

/// glommio 0.9.0 refuses to start an executor where the limit is lower (`Reactor::new`), whatever the executor needs.
pub const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// A ring of 128 entries, rounded up: 8 KiB of submissions, 4 KiB of completions, and heads. Counted as locked memory by kernels before 5.12.
pub const RING_BYTES: u64 = 32 * 1024;

/// Rings per glommio executor: main, latency, poll.
pub const RINGS_PER_EXECUTOR: u64 = 3;

/// What the configuration asks of the machine.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Shards.
    pub shards: usize,
    /// Threads that compress.
    pub compress_threads: usize,
    /// Connections over all shards.
    pub connections_max: usize,
    /// Where lines are taken in.
    pub listen: Vec<SocketAddr>,
    /// Where HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where segments are.
    pub data_dir: PathBuf,
}

impl Needs {
    /// Open files beside the connections.
    fn files_base(&self) -> u64 {
        let shards = self.shards as u64 * (FILES_PER_SHARD + self.listen.len() as u64);
        let compress = self.compress_threads as u64 * FILES_PER_COMPRESS_THREAD;
        let http = self.http.map_or(0, |_| HTTP_CONNECTIONS_MAX as u64);
        FILES_BASE + shards + compress + http
    }

    /// Open files at most.
    pub fn files(&self) -> u64 {
        self.files_base() + self.connections_max as u64
    }

    /// Locked memory, in bytes, where the kernel counts it.
    pub fn locked_bytes(&self) -> u64 {
        let per_shard = RINGS_PER_EXECUTOR * (EXECUTOR_IO_BYTES as u64 + RING_BYTES);
        MEMLOCK_BYTES_MIN.max(self.shards as u64 * per_shard)
    }
}

/// Looks at everything and returns all problems, the most fundamental first. Makes the data directory if it is missing.
///
/// Run it before the data directory is locked and before any thread starts: limits hold for the whole process.
pub fn run(needs: &Needs, made: &mut MadeDirectories) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(resources::files(needs).err());
    problems.extend(resources::locked_memory(needs).err());
    problems.extend(uring::usable().err());
    problems.extend(directory::usable(&needs.data_dir, made).err());
    let mut seen = BTreeSet::new();
    for address in needs.listen.iter().chain(&needs.http).copied() {
        if address.port() != 0 && !seen.insert(address) {
            problems.push(Problem::AddressTwice { address });
            continue;
        }
        problems.extend(ports::check_free(address).err().map(Problem::from));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SHARDS_MAX;
    use std::net::TcpListener;

    fn needs(data_dir: PathBuf) -> Needs {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        Needs { shards: 2, compress_threads: 2, connections_max: 10, listen, http: None, data_dir }
    }

    #[test]
    fn files_add_up() {
        let mut needs = needs(PathBuf::new());
        assert_eq!(needs.files(), 64 + 2 * (16 + 1) + 2 * 4 + 10);
        needs.http = Some("127.0.0.1:0".parse().unwrap());
        needs.listen.push("[::1]:0".parse().unwrap());
        assert_eq!(needs.files(), 64 + 2 * (16 + 2) + 2 * 4 + 128 + 10);
    }

    #[test]
    fn few_shards_need_what_the_runtime_insists_on() {
        let mut needs = needs(PathBuf::new());
        needs.shards = 1;
        assert_eq!(needs.locked_bytes(), MEMLOCK_BYTES_MIN);
        needs.shards = 100;
        assert_eq!(needs.locked_bytes(), 100 * 3 * (64 + 32) * 1024);
    }

    #[test]
    fn the_unit_allows_the_defaults_with_the_most_shards() {
        let unit = include_str!("../../systemd/logboom.service");
        let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
        let http = Some("127.0.0.1:0".parse().unwrap());
        let needs = Needs { shards: SHARDS_MAX, compress_threads: 50, connections_max: 10_000, http, ..needs(PathBuf::new()) };
        assert!(needs.files() <= setting("LimitNOFILE").parse().unwrap());
        assert!(needs.locked_bytes() <= setting("LimitMEMLOCK").strip_suffix('M').unwrap().parse::<u64>().unwrap() << 20);
    }

    #[test]
    fn nothing_is_wrong_on_a_machine_that_can_run_it() {
        let dir = tempfile::tempdir().unwrap();
        let problems: Vec<String> =
            run(&needs(dir.path().join("a/b")), &mut MadeDirectories::default()).iter().map(Problem::to_string).collect();
        assert!(problems.is_empty(), "{problems:#?}");
        assert!(dir.path().join("a/b").is_dir());
    }

    #[test]
    fn every_problem_is_said_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut needs = needs(file);
        needs.listen = vec![taken.local_addr().unwrap(), "192.0.2.1:7171".parse().unwrap(), "127.0.0.1:7".parse().unwrap()];
        needs.http = Some("127.0.0.1:7".parse().unwrap());
        let problems: Vec<String> = run(&needs, &mut MadeDirectories::default()).iter().map(Problem::to_string).collect();
        let words = ["a-file", &taken.local_addr().unwrap().to_string(), "192.0.2.1:7171", "127.0.0.1:7 is given twice"];
        for word in words {
            assert_eq!(problems.iter().filter(|problem| problem.contains(word)).count(), 1, "{word} in {problems:#?}");
        }
        assert!(problems.iter().all(|problem| problem.starts_with("preflight: ") && problem.contains("; ") && !problem.contains('\n')));
    }
}
