//! Which shard takes a new connection: the one with the fewest.
//!
//! The kernel spreads connections over SO_REUSEPORT sockets by hash, so with two clients both land on one shard half of the time. Whichever shard accepts
//! asks here and hands the socket over. One lock per accepted connection; none on the path of a line.

use std::sync::{Arc, Mutex, PoisonError};

/// Open connections per shard, and their limit.
#[derive(Debug)]
pub struct Balancer {
    open: Mutex<Vec<usize>>,
    connections_max: usize,
}

/// A connection's place on a shard; given back on drop.
#[derive(Debug)]
pub struct Slot {
    shard: usize,
    balancer: Arc<Balancer>,
}

impl Balancer {
    /// For `shards` shards and at most `connections_max` connections over all of them.
    pub fn new(shards: usize, connections_max: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(vec![0; shards]), connections_max })
    }

    /// A place on the shard with the fewest connections, or none when all places are taken.
    pub fn claim(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.iter().sum::<usize>() >= self.connections_max {
            return None;
        }
        let (shard, fewest) = open.iter_mut().enumerate().min_by_key(|(_, n)| **n)?;
        *fewest += 1;
        Some(Slot { shard, balancer: self.clone() })
    }
}

impl Slot {
    /// The shard that serves the connection.
    pub fn shard(&self) -> usize {
        self.shard
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.balancer.open.lock().unwrap_or_else(PoisonError::into_inner)[self.shard] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shard_has_more_than_one_above_another() {
        let balancer = Balancer::new(3, 64);
        let mut slots = Vec::new();
        for taken in 1..=64 {
            slots.push(balancer.claim().expect("below the limit"));
            let open = balancer.open.lock().unwrap();
            assert_eq!(open.iter().sum::<usize>(), taken);
            assert!(open.iter().max().unwrap() - open.iter().min().unwrap() <= 1);
        }
        assert!(balancer.claim().is_none());
        let freed = slots.remove(5);
        let shard = freed.shard();
        drop(freed);
        assert_eq!(balancer.claim().expect("a place is free").shard(), shard);
    }
}
