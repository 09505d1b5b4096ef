//! Resource limits (getrlimit(2)): soft ones are raised to what is needed, hard ones are compared with it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::{MEMLOCK_BYTES_MIN, Needs, Problem};

/// Makes sure that the process may have every connection and file open that it may need.
pub(super) fn files(needs: &Needs) -> Result<(), Problem> {
    let need = needs.files();
    ensure(Resource::Nofile, need).map_err(|limit| Problem::OpenFiles {
        limit,
        connections: needs.connections_max as u64,
        base: needs.files_base(),
        need,
    })
}

/// Makes sure that the shards may lock their memory. The kernel counts all processes of a user together, so this can be too optimistic; registering buffers then
/// fails softly in the runtime, and only kernels before 5.12 refuse the ring.
pub(super) fn locked_memory(needs: &Needs) -> Result<(), Problem> {
    let exempt = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let need = if exempt { MEMLOCK_BYTES_MIN } else { needs.locked_bytes() };
    ensure(Resource::Memlock, need).map_err(|limit| Problem::LockedMemory {
        limit_kib: limit / 1024,
        shards: needs.shards,
        need_kib: need.div_ceil(1024),
    })
}

/// Raises the soft limit to `need` if it is lower; the error is the limit that can't be passed.
fn ensure(resource: Resource, need: u64) -> Result<(), u64> {
    let limit = getrlimit(resource);
    match plan(limit, need) {
        Plan::Enough => Ok(()),
        Plan::Raise(raised) => setrlimit(resource, raised).map_err(|_| limit.current.unwrap_or(u64::MAX)),
        Plan::Refuse(hard) => Err(hard),
    }
}

/// What to do about one limit; `None` in a limit is unlimited.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Enough,
    Raise(Rlimit),
    Refuse(u64),
}

fn plan(limit: Rlimit, need: u64) -> Plan {
    if limit.current.is_none_or(|soft| need <= soft) {
        return Plan::Enough;
    }
    match limit.maximum {
        Some(hard) if hard < need => Plan::Refuse(hard),
        maximum => Plan::Raise(Rlimit { current: Some(need), maximum }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_raised_to_the_need_and_no_further() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (before, need, expected) in [
            (limit(Some(1024), Some(4096)), 1000, Plan::Enough),
            (limit(Some(1024), Some(4096)), 1024, Plan::Enough),
            (limit(Some(1024), Some(4096)), 1025, Plan::Raise(limit(Some(1025), Some(4096)))),
            (limit(Some(1024), Some(4096)), 4096, Plan::Raise(limit(Some(4096), Some(4096)))),
            (limit(Some(1024), Some(4096)), 4097, Plan::Refuse(4096)),
            (limit(Some(1024), None), 1 << 40, Plan::Raise(limit(Some(1 << 40), None))),
            (limit(None, None), u64::MAX, Plan::Enough),
        ] {
            assert_eq!(plan(before, need), expected, "{before:?} {need}");
        }
    }

    #[test]
    fn the_soft_limit_is_really_raised() {
        // Message queues: nothing here has any.
        let before = getrlimit(Resource::Msgqueue);
        assert_ne!(before.maximum, Some(0), "nothing to raise here");
        setrlimit(Resource::Msgqueue, Rlimit { current: Some(0), maximum: before.maximum }).unwrap();
        ensure(Resource::Msgqueue, 1).unwrap();
        assert_eq!(getrlimit(Resource::Msgqueue).current, Some(1));
    }
}
