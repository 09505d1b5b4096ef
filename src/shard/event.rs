//! Waiting within one shard: tasks of the same executor wait until a condition holds, others tell that something changed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A change that tasks of this shard wait for.
#[derive(Debug, Default)]
pub(super) struct Event {
    /// Counts the changes, so that a task registers once per change and not once per poll.
    changes: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Event {
    /// Waits until `condition` holds; it is looked at now and after each change.
    pub(super) async fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        let mut registered_at = None;
        poll_fn(|cx| {
            if condition() {
                return Poll::Ready(());
            }
            let change = Some(self.changes.get());
            if registered_at != change {
                registered_at = change;
                self.waiting.borrow_mut().push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes all that wait.
    pub(super) fn notify(&self) {
        self.changes.set(self.changes.get() + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting {
            waker.wake();
        }
    }
}
