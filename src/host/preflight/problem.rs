//! Everything that the preflight finds, in the user's words.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::host::ports::PortError;

/// One thing that keeps the daemon from starting: what is wrong; then what to do. Prints as one line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// RLIMIT_NOFILE is too low.
    #[error(
        "preflight: open files: the limit is {limit}, {connections} connections and the daemon's own {base} need {need}; raise it \
         (LimitNOFILE={need} in the unit, docker run --ulimit nofile={need}:{need}, or ulimit -Hn {need} as root){}",
        fewer(*limit, *base)
    )]
    OpenFiles {
        /// The hard limit.
        limit: u64,
        /// `--max-connections`.
        connections: u64,
        /// What is needed beside connections.
        base: u64,
        /// All together.
        need: u64,
    },
    /// RLIMIT_MEMLOCK is too low.
    #[error(
        "preflight: memlock: the limit is {limit_kib} KiB of locked memory, {shards} shards need {need_kib} KiB; raise it (LimitMEMLOCK={need_kib}K in the unit, \
         docker run --ulimit memlock={}, or ulimit -Hl {need_kib} as root)",
        need_kib * 1024
    )]
    LockedMemory {
        /// The hard limit.
        limit_kib: u64,
        /// How many shards.
        shards: usize,
        /// What they need.
        need_kib: u64,
    },
    /// The kernel has no io_uring.
    #[error(
        "preflight: io_uring: this kernel does not have it; run Linux 5.8 or newer, built with CONFIG_IO_URING, and not inside a sandbox such as gVisor"
    )]
    UringMissing,
    /// The kernel's io_uring is too old for the runtime.
    #[error("preflight: io_uring: this kernel's is too old; run Linux 5.8 or newer")]
    UringOld,
    /// `kernel.io_uring_disabled` forbids it.
    #[error("preflight: io_uring: forbidden by kernel.io_uring_disabled = {value} ({}); {}", whom(*value), permit(*value))]
    UringDisabled {
        /// 1: except for some; 2: for all.
        value: u64,
    },
    /// A seccomp filter forbids it.
    #[error(
        "preflight: io_uring: forbidden by a seccomp filter; allow io_uring_setup, io_uring_enter and io_uring_register \
         (docker run --security-opt seccomp=FILE, or SystemCallFilter=@aio in the unit)"
    )]
    UringFiltered,
    /// The memory for a ring is not to be had.
    #[error(
        "preflight: io_uring: not enough memory for a ring; raise the memlock limit (LimitMEMLOCK= in the unit, or ulimit -l) or the container's memory"
    )]
    UringMemory,
    /// Something else.
    #[error(
        "preflight: io_uring: cannot set up a ring: {error}; check kernel.io_uring_disabled, and what seccomp and SELinux or AppArmor allow this process"
    )]
    Uring {
        /// Why.
        error: io::Error,
    },
    /// The directory is missing and can't be created.
    #[error("preflight: {}: cannot be created: {error}; create it for {user}, or choose another --data-dir", path.display())]
    DirectoryMissing {
        /// The data directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// Who needs it.
        user: String,
    },
    /// It is something else.
    #[error("preflight: {}: not a directory; move it away, or choose another --data-dir", path.display())]
    NotADirectory {
        /// The data directory.
        path: PathBuf,
    },
    /// Files can't be created there.
    #[error("preflight: {}: not writable: {error}; give it to {user}, or choose another --data-dir (with systemd: StateDirectory= or ReadWritePaths=)", path.display())]
    DirectoryUnwritable {
        /// The data directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// Who needs it.
        user: String,
    },
    /// Nothing can be written there.
    #[error("preflight: {}: full: {reason}; make room, or choose another --data-dir", path.display())]
    DirectoryFull {
        /// The data directory.
        path: PathBuf,
        /// What is used up.
        reason: String,
    },
    /// The same address stands in the configuration twice.
    #[error("preflight: port: {address} is given twice; each --listen and --http needs an address of its own")]
    AddressTwice {
        /// The address.
        address: SocketAddr,
    },
    /// An address can't be listened on.
    #[error("preflight: {0}")]
    Port(#[from] PortError),
}

/// How many connections the limit allows, if any.
fn fewer(limit: u64, base: u64) -> String {
    match limit.saturating_sub(base) {
        0 => String::new(),
        connections => format!(", or lower --max-connections to {connections}"),
    }
}

fn whom(value: u64) -> &'static str {
    if value == 1 { "only CAP_SYS_ADMIN and the group kernel.io_uring_group may use it" } else { "nobody may use it" }
}

/// Documentation/admin-guide/sysctl/kernel.rst of Linux 6.6.
fn permit(value: u64) -> &'static str {
    if value == 1 {
        "add logboom's user to that group, or set sysctl kernel.io_uring_disabled=0"
    } else {
        "set sysctl kernel.io_uring_disabled=0"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_out_of_too_few_files_are_named() {
        let said = Problem::OpenFiles { limit: 1024, connections: 10_000, base: 370, need: 10_370 }.to_string();
        for words in ["the limit is 1024", "10000 connections", "LimitNOFILE=10370", "ulimit -Hn 10370", "lower --max-connections to 654"] {
            assert!(said.contains(words), "{words} in {said}");
        }
        let said = Problem::OpenFiles { limit: 64, connections: 10_000, base: 370, need: 10_370 }.to_string();
        assert!(!said.contains("--max-connections"), "not even one connection fits: {said}");
    }

    #[test]
    fn the_sysctl_is_explained() {
        let said = Problem::UringDisabled { value: 1 }.to_string();
        assert!(said.contains("io_uring_disabled = 1") && said.contains("io_uring_group"), "{said}");
        let said = Problem::UringDisabled { value: 2 }.to_string();
        assert!(said.contains("io_uring_disabled = 2") && said.contains("nobody") && !said.contains("group"), "{said}");
    }
}
