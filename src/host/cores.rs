//! Which cores the process may use.

use std::thread;

/// The numbers of the cores that the calling thread may run on, ascending, at least one.
///
/// This is the affinity mask (`taskset`, `CPUAffinity=`, a container's cpuset), so call it on the main thread before anything is pinned. A quota of CPU time
/// (`CPUQuota=`, `docker --cpus`) does not show here: it limits how long cores are used, not which.
pub fn available() -> Vec<usize> {
    let mut cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    if cores.is_empty() {
        // The mask of a machine with more than 1024 cores does not fit the call; there, count instead.
        cores = (0..thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    cores.sort_unstable();
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_mask_is_respected() {
        let all = available();
        assert!(!all.is_empty() && all.is_sorted());
        let last = *all.last().unwrap();
        let pinned = thread::spawn(move || {
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id: last }));
            available()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
    }
}
