//! The memory that unfinished long lines may take, in places of one `--line-max` each.
//!
//! A connection that holds a place may receive as much as fits in the receive buffer; whatever line is then unfinished has its memory. Without one it receives so
//! little at a time that no unfinished line exceeds the small buffer that every connection has. Who needs a place and finds none waits in line; one place is kept in
//! reserve for those who wait, so that they get on however busy the holders of the others are. A line that takes longer than [`PATIENCE`] while others wait ends.
//!
//! Invariant: free + held == total, the reserve aside.

use std::cell::Cell;
use std::time::Duration;

use super::event::Event;

/// How long an unfinished line may keep its place while others wait for one: a second per megabyte on a slow link, and far more than a local peer needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// One of the places.
    Place,
    /// The reserve. Its holder receives little at a time, and so gives it back at the end of its line.
    Reserve,
}

#[derive(Debug)]
pub(super) struct LongLines {
    free: Cell<usize>,
    reserve_is_free: Cell<bool>,
    /// Numbers of those who wait, first come first served.
    next_number: Cell<u64>,
    served_number: Cell<u64>,
    freed: Event,
}

impl LongLines {
    /// One place more than `total`: the reserve.
    pub(super) fn new(total: usize) -> Self {
        Self {
            free: Cell::new(total),
            reserve_is_free: Cell::new(true),
            next_number: Cell::new(0),
            served_number: Cell::new(0),
            freed: Event::default(),
        }
    }

    /// Whether a place is free that nobody waits for.
    pub(super) fn is_free(&self) -> bool {
        self.free.get() > 0 && !self.is_waited_for()
    }

    /// Whether somebody waits for a place.
    pub(super) fn is_waited_for(&self) -> bool {
        self.served_number.get() < self.next_number.get()
    }

    /// Takes a place that [is free](Self::is_free).
    pub(super) fn take(&self) -> Held {
        self.free.set(self.free.get() - 1);
        Held::Place
    }

    /// Waits for a place or the reserve. Must be awaited to its end: a number that is never served holds up those behind it.
    pub(super) async fn wait(&self) -> Held {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        self.freed.wait_until(|| self.served_number.get() == number && (self.free.get() > 0 || self.reserve_is_free.get())).await;
        self.served_number.set(number + 1);
        let held = if self.free.get() > 0 {
            self.take()
        } else {
            self.reserve_is_free.set(false);
            Held::Reserve
        };
        self.freed.notify(); // the next one may have waited for its number alone
        held
    }

    /// Gives back what was held.
    pub(super) fn release(&self, held: Held) {
        match held {
            Held::Nothing => return,
            Held::Place => self.free.set(self.free.get() + 1),
            Held::Reserve => self.reserve_is_free.set(true),
        }
        self.freed.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn who_waits_is_served_in_turn_and_may_have_the_reserve() {
        let lines = LongLines::new(1);
        assert!(lines.is_free());
        let first = lines.take();
        assert!(!lines.is_free());
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut second, mut third, mut fourth) = (pin!(lines.wait()), pin!(lines.wait()), pin!(lines.wait()));
        assert_eq!(second.as_mut().poll(cx), Poll::Ready(Held::Reserve));
        assert_eq!(third.as_mut().poll(cx), Poll::Pending);
        assert_eq!(fourth.as_mut().poll(cx), Poll::Pending);
        lines.release(first);
        assert!(!lines.is_free(), "somebody waits for it");
        assert_eq!(fourth.as_mut().poll(cx), Poll::Pending, "it is not its turn");
        assert_eq!(third.as_mut().poll(cx), Poll::Ready(Held::Place));
        lines.release(Held::Reserve);
        assert_eq!(fourth.as_mut().poll(cx), Poll::Ready(Held::Reserve));
        lines.release(Held::Place);
        assert!(lines.is_free());
    }
}
