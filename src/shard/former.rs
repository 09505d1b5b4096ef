//! What all shards remember of RELP sessions that have ended, so that a client that reconnects, to whichever shard, can be recognised.
//!
//! Asked when a session opens, at its first line, and when one ends with lines that were not answered: one lock each, none on the path of a line.
//!
//! A session is *settling* from when its end is known until it is known which of its lines were not answered, and these are safe, as `--ack` says. The answer
//! to an `open` waits for the settling sessions of the same peer. Only what is settled is remembered: a line that is suppressed may be acknowledged at once.
//!
//! Invariant: at most [`RELP_MEMORIES_MAX`] memories, and [`RELP_MEMORIES_PER_PEER_MAX`] of one peer; the oldest go first. Each is handed out at most once.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::DefaultHashBuilder;

use crate::limits::{RELP_MEMORIES_MAX, RELP_MEMORIES_PER_PEER_MAX, RELP_MEMORY_AGE_MAX, RELP_SETTLING_WAIT_MAX};
use crate::record::relp::{LineHash, Memory};

/// How often an `open` looks whether it may be answered, at first; then half as often each time.
const SETTLING_POLL: Duration = Duration::from_millis(1);
/// And at last.
const SETTLING_POLL_MAX: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FormerSessions {
    /// How lines are hashed, with a key of this process.
    hasher: DefaultHashBuilder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Sessions that are settling, by peer.
    settling: HashMap<IpAddr, usize>,
    /// Oldest first.
    remembered: VecDeque<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    peer: IpAddr,
    ended: Instant,
    memory: Memory,
}

/// A session that has ended, until it is dropped.
#[derive(Debug)]
pub(super) struct Settling {
    sessions: Arc<FormerSessions>,
    peer: IpAddr,
}

impl FormerSessions {
    /// How the lines of all sessions are hashed.
    pub(super) fn hasher(&self) -> DefaultHashBuilder {
        self.hasher.clone()
    }

    /// A session of `peer` has ended, with lines that are not answered.
    pub(super) fn settling(self: &Arc<Self>, peer: IpAddr) -> Settling {
        *self.state().settling.entry(peer).or_default() += 1;
        Settling { sessions: self.clone(), peer }
    }

    /// Waits until the sessions of `peer` that have ended are settled, but not for long: others may share its address.
    pub(super) async fn all_settled(&self, peer: IpAddr) {
        let begun = Instant::now();
        let mut poll = SETTLING_POLL;
        while self.state().settling.contains_key(&peer) && begun.elapsed() < RELP_SETTLING_WAIT_MAX {
            glommio::timer::sleep(poll).await;
            poll = (2 * poll).min(SETTLING_POLL_MAX);
        }
    }

    /// Takes the newest memory of `peer` in which a resend may begin with `first`.
    pub(super) fn claim(&self, peer: IpAddr, first: LineHash) -> Option<Memory> {
        let remembered = &mut self.state().remembered;
        while remembered.front().is_some_and(|oldest| oldest.ended.elapsed() > RELP_MEMORY_AGE_MAX) {
            remembered.pop_front();
        }
        let at = remembered.iter().rposition(|former| former.peer == peer && former.memory.begins(first).is_some())?;
        remembered.remove(at).map(|former| former.memory)
    }

    /// Sessions that are settling, and memories.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.settling.values().sum(), state.remembered.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settling {
    /// Its unanswered lines are safe.
    pub(super) fn remember(self, memory: Memory) {
        let remembered = &mut self.sessions.state().remembered;
        let of_peer = |former: &Remembered| former.peer == self.peer;
        let oldest_of_peer = remembered.iter().position(of_peer);
        if remembered.iter().filter(|former| of_peer(former)).count() == RELP_MEMORIES_PER_PEER_MAX {
            remembered.remove(oldest_of_peer.expect("there are some"));
        } else if remembered.len() == RELP_MEMORIES_MAX {
            remembered.pop_front();
        }
        remembered.push_back(Remembered { peer: self.peer, ended: Instant::now(), memory });
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        if let Some(sessions) = state.settling.get_mut(&self.peer) {
            *sessions -= 1;
            if *sessions == 0 {
                state.settling.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::relp::Tail;
    use std::net::Ipv4Addr;

    fn peer(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    fn end(sessions: &Arc<FormerSessions>, peer: IpAddr, line: LineHash) {
        let mut tail = Tail::default();
        tail.push(line);
        sessions.settling(peer).remember(tail.remember(1, VecDeque::new()).expect("one line"));
    }

    #[test]
    fn a_memory_is_handed_out_once_and_to_its_peer_only() {
        let sessions = Arc::new(FormerSessions::default());
        end(&sessions, peer(1), 7);
        end(&sessions, peer(1), 8);
        assert!(sessions.claim(peer(2), 7).is_none());
        assert!(sessions.claim(peer(1), 9).is_none());
        assert_eq!(sessions.claim(peer(1), 7).expect("remembered").begins(7), Some(0));
        assert!(sessions.claim(peer(1), 7).is_none());
        assert!(sessions.claim(peer(1), 8).is_some());
        assert_eq!(sessions.counts(), (0, 0));
    }

    #[test]
    fn memories_are_bounded_in_all_and_by_peer() {
        let sessions = Arc::new(FormerSessions::default());
        let per_peer = RELP_MEMORIES_PER_PEER_MAX as u64;
        end(&sessions, peer(2), 0);
        (0..=per_peer).for_each(|line| end(&sessions, peer(1), line));
        assert_eq!(sessions.counts(), (0, RELP_MEMORIES_PER_PEER_MAX + 1));
        assert!(sessions.claim(peer(1), 0).is_none(), "the oldest of the peer has gone");
        assert!(sessions.claim(peer(1), 1).is_some() && sessions.claim(peer(2), 0).is_some());
        (0..2 * RELP_MEMORIES_MAX as u32).for_each(|n| end(&sessions, peer(1_000 + n), 0));
        assert_eq!(sessions.counts(), (0, RELP_MEMORIES_MAX));
    }

    #[test]
    fn a_session_settles_whatever_becomes_of_it() {
        let sessions = Arc::new(FormerSessions::default());
        let (one, other) = (sessions.settling(peer(1)), sessions.settling(peer(1)));
        assert_eq!(sessions.counts(), (2, 0));
        drop(one);
        drop(other);
        assert_eq!(sessions.counts(), (0, 0));
        assert!(sessions.state().settling.is_empty());
    }
}
