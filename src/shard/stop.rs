//! The request to stop, as a shard's tasks see it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Requested once, then for good.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// When the intake ends even though peers go on sending.
    intake_deadline: Cell<Option<Instant>>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_ticket: Cell<u64>,
}

/// One task's interest in the stop: it is registered once, however often the task waits, and forgotten on drop.
#[derive(Debug)]
pub(super) struct StopTicket {
    stop: Rc<Stop>,
    id: u64,
}

impl Stop {
    /// Tells every ticket's task. Intake goes on until peers are quiet, and ends at `intake_deadline` at the latest.
    pub(super) fn request(&self, intake_deadline: Instant) {
        self.intake_deadline.set(Some(intake_deadline));
        for waker in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            waker.wake();
        }
    }

    /// Whether the stop was requested.
    pub(super) fn is_requested(&self) -> bool {
        self.intake_deadline.get().is_some()
    }

    /// Whether the intake must end now.
    pub(super) fn is_past_deadline(&self) -> bool {
        self.intake_deadline.get().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// A ticket for the calling task.
    pub(super) fn ticket(self: &Rc<Self>) -> StopTicket {
        let id = self.next_ticket.get();
        self.next_ticket.set(id + 1);
        StopTicket { stop: self.clone(), id }
    }
}

impl StopTicket {
    /// Waits until the stop is requested.
    pub(super) async fn requested(&self) {
        poll_fn(|cx| {
            if self.stop.is_requested() {
                return Poll::Ready(());
            }
            self.stop.waiting.borrow_mut().entry(self.id).or_insert_with(|| cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for StopTicket {
    fn drop(&mut self) {
        self.stop.waiting.borrow_mut().remove(&self.id);
    }
}
