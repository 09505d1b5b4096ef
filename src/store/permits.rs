//! The bound on raw segments on disk.
//!
//! A shard claims a [`RawPermit`] before it opens a segment; the permit travels with the segment through the queue and the compress pool, and is
//! released, by being dropped, after the raw file is gone. So accounting can't be forgotten on an error path, and the pool's queue, which has as
//! many places as there are permits, is never full.
//!
//! Claims are served in the order in which they began to wait: while one waits, nobody passes it. Claiming and releasing cost one atomic
//! read-modify-write each as long as nobody waits; the lock is taken only by those who do, and by those who wake them.
//!
//! Invariant: free + permits out == total. `free` is negative only while recovery holds more raw segments than the limit allows.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The permits of one data directory.
#[derive(Debug)]
pub struct RawPermits {
    total: usize,
    free: AtomicI64,
    /// The length of `waiters`, readable without the lock.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    queue: VecDeque<(u64, Waker)>,
    ticket_next: u64,
}

impl RawPermits {
    /// Allows `total` raw segments at once.
    ///
    /// # Panics
    /// If `total` is 0: no segment could ever open.
    pub fn new(total: usize) -> Arc<RawPermits> {
        assert!(0 < total);
        let free = AtomicI64::new(i64::try_from(total).expect("a number of files"));
        Arc::new(RawPermits { total, free, waiting: AtomicUsize::new(0), waiters: Mutex::default() })
    }

    /// Takes a permit if one is free and nobody has been waiting for it.
    pub fn try_claim(self: &Arc<Self>) -> Option<RawPermit> {
        (self.waiting.load(Ordering::SeqCst) == 0 && self.take_free()).then(|| self.permit())
    }

    /// Waits for a permit. The future may be awaited on any executor, and wakes without polling when one is released.
    pub fn claim(self: &Arc<Self>) -> Claim {
        Claim { permits: Arc::clone(self), ticket: None }
    }

    /// Takes a permit for a raw segment that is on disk already, whether or not one is free. Only recovery does this: while it holds more than
    /// `total`, no new segment opens, until the pool has worked them off. What it works off depends on no shard, so nothing can wait in a circle.
    pub fn claim_recovered(self: &Arc<Self>) -> RawPermit {
        self.free.fetch_sub(1, Ordering::SeqCst);
        self.permit()
    }

    /// How many permits there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many raw segments are on disk now; more than `total` only after a recovery.
    pub fn in_use(&self) -> usize {
        let free = self.free.load(Ordering::SeqCst);
        usize::try_from(self.total as i64 - free).unwrap_or(0)
    }

    /// How many claims wait now: shards that have stopped reading because compression is behind.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn permit(self: &Arc<Self>) -> RawPermit {
        RawPermit { permits: Arc::clone(self) }
    }

    fn take_free(&self) -> bool {
        let less_one = |free: i64| (0 < free).then_some(free - 1);
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less_one).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing in here panics half-way through a change; a waker that panicked has changed nothing.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the first waiter if it could claim now.
    fn wake_first(&self, waiters: &Waiters) {
        if 0 < self.free.load(Ordering::SeqCst)
            && let Some((_, waker)) = waiters.queue.front()
        {
            waker.wake_by_ref();
        }
    }

    fn release(&self) {
        // A waiter announces itself in `waiting` before it looks at `free` for the last time; here it is the other way round. Both are
        // sequentially consistent, so one of the two sees the other, and no wake-up is lost.
        self.free.fetch_add(1, Ordering::SeqCst);
        if 0 < self.waiting.load(Ordering::SeqCst) {
            self.wake_first(&self.lock());
        }
    }
}

/// The right to have one raw segment on disk. Released when dropped.
pub struct RawPermit {
    permits: Arc<RawPermits>,
}

impl Drop for RawPermit {
    fn drop(&mut self) {
        self.permits.release();
    }
}

impl fmt::Debug for RawPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawPermit")
    }
}

/// A claim that waits for its turn. Dropping it gives the turn up.
///
/// Invariant: `ticket` is some exactly while this claim has a place in the queue.
#[derive(Debug)]
pub struct Claim {
    permits: Arc<RawPermits>,
    ticket: Option<u64>,
}

impl Future for Claim {
    type Output = RawPermit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RawPermit> {
        let permits = Arc::clone(&self.permits);
        if self.ticket.is_none()
            && let Some(permit) = permits.try_claim()
        {
            return Poll::Ready(permit);
        }
        let mut waiters = permits.lock();
        let place = match self.ticket {
            Some(ticket) => waiters.queue.iter().position(|(other, _)| *other == ticket).expect("a claim with a ticket has a place"),
            None => {
                let ticket = waiters.ticket_next;
                waiters.ticket_next += 1;
                waiters.queue.push_back((ticket, cx.waker().clone()));
                permits.waiting.store(waiters.queue.len(), Ordering::SeqCst);
                self.ticket = Some(ticket);
                waiters.queue.len() - 1
            }
        };
        if place == 0 && permits.take_free() {
            waiters.queue.pop_front();
            permits.waiting.store(waiters.queue.len(), Ordering::SeqCst);
            self.ticket = None;
            permits.wake_first(&waiters); // two permits may have been released before this one was polled
            return Poll::Ready(permits.permit());
        }
        waiters.queue[place].1.clone_from(cx.waker());
        Poll::Pending
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut waiters = self.permits.lock();
        waiters.queue.retain(|(other, _)| *other != ticket);
        self.permits.waiting.store(waiters.queue.len(), Ordering::SeqCst);
        self.permits.wake_first(&waiters); // this claim may have been woken for a permit that it no longer takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A claim with a waker that counts.
    struct Waiting {
        claim: Pin<Box<Claim>>,
        woken: Arc<Count>,
    }

    impl Waiting {
        fn on(permits: &Arc<RawPermits>) -> Waiting {
            Waiting { claim: Box::pin(permits.claim()), woken: Arc::new(Count(AtomicUsize::new(0))) }
        }

        fn poll(&mut self) -> Option<RawPermit> {
            match self.claim.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.woken)))) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            }
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn permits_are_bounded_and_come_back() {
        let permits = RawPermits::new(2);
        let (first, _second) = (permits.try_claim().unwrap(), permits.try_claim().unwrap());
        assert!(permits.try_claim().is_none());
        assert_eq!(permits.in_use(), 2);
        drop(first);
        assert_eq!(permits.in_use(), 1);
        assert!(permits.try_claim().is_some());
    }

    #[test]
    fn waiters_are_served_in_order_and_nobody_passes_them() {
        let permits = RawPermits::new(1);
        let held = permits.try_claim().unwrap();
        let (mut first, mut second) = (Waiting::on(&permits), Waiting::on(&permits));
        assert!(first.poll().is_none() && second.poll().is_none());
        drop(held);
        assert_eq!((first.woken(), second.woken()), (1, 0));
        assert!(permits.try_claim().is_none(), "the permit is the first waiter's");
        assert!(second.poll().is_none(), "the permit is the first waiter's");
        let held = first.poll().unwrap();
        drop(held);
        assert_eq!(second.woken(), 1);
        assert!(second.poll().is_some());
        assert_eq!(permits.waiting(), 0);
    }

    #[test]
    fn two_releases_wake_two_waiters() {
        let permits = RawPermits::new(2);
        let held = (permits.try_claim().unwrap(), permits.try_claim().unwrap());
        let (mut first, mut second) = (Waiting::on(&permits), Waiting::on(&permits));
        assert!(first.poll().is_none() && second.poll().is_none());
        drop(held);
        let _first = first.poll().unwrap();
        assert_eq!(second.woken(), 1, "the first to claim passes the wake-up on");
        assert!(second.poll().is_some());
    }

    #[test]
    fn a_dropped_claim_passes_its_wake_up_on() {
        let permits = RawPermits::new(1);
        let held = permits.try_claim().unwrap();
        let (mut first, mut second) = (Waiting::on(&permits), Waiting::on(&permits));
        assert!(first.poll().is_none() && second.poll().is_none());
        drop(held);
        drop(first);
        assert_eq!(second.woken(), 1);
        assert!(second.poll().is_some());
    }

    #[test]
    fn polling_again_takes_no_second_place() {
        let permits = RawPermits::new(1);
        let _held = permits.try_claim().unwrap();
        let mut claim = Waiting::on(&permits);
        for _ in 0..1_000 {
            assert!(claim.poll().is_none());
        }
        assert_eq!(permits.waiting(), 1);
        drop(claim);
        assert_eq!(permits.waiting(), 0);
    }

    #[test]
    fn recovery_may_hold_more_than_the_limit() {
        let permits = RawPermits::new(1);
        let mut recovered: Vec<_> = (0..3).map(|_| permits.claim_recovered()).collect();
        assert_eq!(permits.in_use(), 3);
        let mut claim = Waiting::on(&permits);
        for _ in 0..2 {
            assert!(claim.poll().is_none());
            recovered.pop();
        }
        assert!(claim.poll().is_none() && claim.woken() == 0);
        recovered.pop();
        assert_eq!(claim.woken(), 1);
        assert!(claim.poll().is_some());
    }

    /// Blocks a thread on one claim, as an executor would.
    fn block_on(mut claim: Claim) -> RawPermit {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match Pin::new(&mut claim).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(permit) => return permit,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const CLAIMS_EACH: usize = 5_000;
        let permits = RawPermits::new(3);
        let (queue, pool) = mpsc::channel::<RawPermit>();
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                let queue = queue.clone();
                let (permits, most) = (&permits, &most);
                scope.spawn(move || {
                    for turn in 0..CLAIMS_EACH {
                        let permit = match permits.try_claim() {
                            Some(permit) if turn % 2 == 0 => permit,
                            other => {
                                drop(other);
                                block_on(permits.claim())
                            }
                        };
                        most.fetch_max(permits.in_use(), Ordering::SeqCst);
                        queue.send(permit).unwrap();
                    }
                });
            }
            drop(queue);
            scope.spawn(move || pool.into_iter().for_each(drop));
        });
        assert_eq!(permits.in_use(), 0);
        assert_eq!(permits.waiting(), 0);
        assert!(most.load(Ordering::SeqCst) <= 3);
    }
}
