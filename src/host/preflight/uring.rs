//! Whether the process may use io_uring, by trying it.

use rustix::io::Errno;
use rustix::io_uring::{IoringFeatureFlags, io_uring_params, io_uring_setup};

use super::Problem;
use crate::host::proc;

/// As many entries as glommio 0.9.0 gives each ring.
const RING_ENTRIES: u32 = 128;

/// Sets up a ring and drops it.
pub(super) fn usable() -> Result<(), Problem> {
    let mut params = io_uring_params::default();
    // SAFETY: the only condition is on `wq_fd`, which the kernel reads with ATTACH_WQ; no flag is set. The kernel copies `params` in and out within the call.
    match unsafe { io_uring_setup(RING_ENTRIES, &mut params) } {
        // Came with Linux 5.7; the runtime wants 5.8 and ends the process with a joke where operations are missing.
        Ok(_) if !params.features.contains(IoringFeatureFlags::FAST_POLL) => Err(Problem::UringOld),
        Ok(_) => Ok(()),
        Err(error) => Err(explain(error, Setting::read())),
    }
}

/// What the kernel says about itself.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// `kernel.io_uring_disabled`, since Linux 6.6; `None` on older kernels, and on those without io_uring.
    disabled: Option<u64>,
    /// Whether a seccomp filter is active: `Seccomp: 2` in `/proc/self/status`.
    filtered: bool,
}

impl Setting {
    fn read() -> Self {
        Self { disabled: proc::sysctl("kernel/io_uring_disabled"), filtered: proc::own_status("Seccomp").as_deref() == Some("2") }
    }
}

/// Why io_uring_setup(2) failed. Filters answer EPERM (Docker) or ENOSYS (systemd can be told any).
fn explain(error: Errno, setting: Setting) -> Problem {
    match (error, setting) {
        (Errno::PERM, Setting { disabled: Some(value @ 1..), .. }) => Problem::UringDisabled { value },
        (Errno::NOSYS, Setting { disabled: None, .. }) => Problem::UringMissing,
        (Errno::PERM | Errno::NOSYS | Errno::ACCESS, Setting { filtered: true, .. }) => Problem::UringFiltered,
        (Errno::NOSYS, _) => Problem::UringMissing,
        (Errno::NOMEM, _) => Problem::UringMemory,
        (error, _) => Problem::Uring { error: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_words() {
        for (error, disabled, filtered, words) in [
            (Errno::PERM, Some(2), true, "kernel.io_uring_disabled = 2"),
            (Errno::PERM, Some(1), false, "kernel.io_uring_group"),
            (Errno::PERM, Some(0), true, "seccomp="),
            (Errno::PERM, None, true, "seccomp="),
            (Errno::PERM, Some(0), false, "Operation not permitted"),
            (Errno::NOSYS, Some(0), true, "seccomp="),
            (Errno::NOSYS, None, true, "does not have it"),
            (Errno::NOSYS, None, false, "does not have it"),
            (Errno::NOMEM, Some(0), false, "memlock"),
            (Errno::MFILE, Some(0), false, "Too many open files"),
        ] {
            let said = explain(error, Setting { disabled, filtered }).to_string();
            assert!(said.contains(words), "{error:?} {disabled:?} {filtered}: {said}");
        }
    }
}
