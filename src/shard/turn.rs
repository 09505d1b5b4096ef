//! The shard's one receive buffer, and whose turn it is to use it.
//!
//! A connection holds the buffer from its receive until the last line of it is in a batch. When no batch has room it waits with the buffer in hand, and the
//! others wait behind it, unread: that is the back-pressure, and the reason why received bytes cost one buffer per shard and not one per connection. The
//! buffer stays in the cache, and an idle connection has none.
//!
//! Who gives the buffer back hands it to the first in the queue, so that nobody who has bytes to receive is passed by, however busy the others are.
//!
//! Invariant: the buffer is here, in exactly one [`Place`], or in exactly one [`Received`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::AsyncRead;

use crate::limits::RECEIVE_BYTES;
use crate::record::framer::{Chunk, PADDING};

/// See the module.
pub(super) struct Turn {
    buffer: RefCell<Option<Box<[u8]>>>,
    queue: RefCell<VecDeque<Rc<Place>>>,
}

/// A connection's place in the queue.
#[derive(Default)]
pub(super) struct Place {
    /// Set while it is in the queue.
    waker: RefCell<Option<Waker>>,
    /// The buffer, when its turn has come and it has not looked yet.
    granted: RefCell<Option<Box<[u8]>>>,
    has_waited: Cell<bool>,
    /// The disk guard lets it receive nothing.
    is_held_up: Cell<bool>,
}

impl Place {
    /// Whether the connection waits for its turn or at the disk guard's gate, or has not looked yet although its turn has come.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_held_up.get() || self.waker.borrow().is_some() || self.granted.borrow().is_some()
    }

    /// Whether it waits at the disk guard's gate.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_held_up.get()
    }

    /// It waits at the gate from now on, or no longer.
    pub(super) fn set_held_up(&self, is_held_up: bool) {
        self.is_held_up.set(is_held_up);
        self.has_waited.set(true);
    }

    /// Whether the connection has waited for its turn since this was last asked, or waits now: it may have bytes that nobody has looked at.
    pub(super) fn take_has_waited(&self) -> bool {
        self.has_waited.replace(false) || self.is_waiting()
    }
}

/// Received bytes, with the turn that they came with; the turn passes on when this is dropped.
pub(super) struct Received {
    turn: Rc<Turn>,
    buffer: Option<Box<[u8]>>,
    len: usize,
}

impl Turn {
    /// A turn nobody has taken.
    pub(super) fn new() -> Rc<Self> {
        let buffer = vec![0; RECEIVE_BYTES + PADDING].into_boxed_slice();
        Rc::new(Self { buffer: RefCell::new(Some(buffer)), queue: RefCell::default() })
    }

    /// Takes the turn and receives up to `window` bytes, or gives the turn back at once when there is nothing to receive.
    pub(super) fn poll_receive<R: AsyncRead + Unpin>(
        self: &Rc<Self>,
        place: &Rc<Place>,
        stream: &mut R,
        window: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received>> {
        let granted = place.granted.borrow_mut().take();
        let Some(mut buffer) = granted.or_else(|| self.buffer.borrow_mut().take()) else {
            place.has_waited.set(true);
            if place.waker.replace(Some(cx.waker().clone())).is_none() {
                self.queue.borrow_mut().push_back(place.clone());
            }
            return Poll::Pending;
        };
        let outcome = Pin::new(stream).poll_read(cx, &mut buffer[..window.min(RECEIVE_BYTES)]);
        let mut received = Received { turn: self.clone(), buffer: Some(buffer), len: 0 };
        match outcome {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(len)) => {
                received.len = len;
                Poll::Ready(Ok(received))
            }
        }
    }

    /// Gives a place up: it waits for no turn any more, and passes on the one that it has not used.
    pub(super) fn leave(&self, place: &Place) {
        place.waker.take();
        let granted = place.granted.borrow_mut().take();
        if let Some(buffer) = granted {
            self.pass_on(buffer);
        }
    }

    /// Hands the buffer to the next in the queue. One that finds nothing to receive hands it to the one behind.
    fn pass_on(&self, buffer: Box<[u8]>) {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some(place) = next else { break };
            // Without a waker it has left.
            if let Some(waker) = place.waker.take() {
                *place.granted.borrow_mut() = Some(buffer);
                return waker.wake();
            }
        }
        *self.buffer.borrow_mut() = Some(buffer);
    }
}

impl Received {
    /// Bytes received; 0 at the end of the stream.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes, for the framer.
    pub(super) fn chunk(&mut self) -> Chunk<'_> {
        let buffer = self.buffer.as_mut().expect("held until dropped");
        Chunk::new(buffer, self.len)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.turn.pass_on(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// A stream that always has `bytes`, or nothing.
    struct Source(usize);

    impl AsyncRead for Source {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
            if self.0 == 0 { Poll::Pending } else { Poll::Ready(Ok(self.0.min(buffer.len()))) }
        }
    }

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_buffer_goes_to_the_first_in_the_queue() {
        let turn = Turn::new();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let cx = &mut Context::from_waker(&waker);
        let (first, second, third) = (Rc::new(Place::default()), Rc::new(Place::default()), Rc::new(Place::default()));
        let receive = |place: &Rc<Place>, bytes, cx: &mut Context<'_>| match turn.poll_receive(place, &mut Source(bytes), 100, cx) {
            Poll::Ready(received) => Some(received.unwrap()),
            Poll::Pending => None,
        };
        let received = receive(&first, 7, cx).expect("the buffer is free");
        assert_eq!(received.len(), 7);
        assert!(receive(&second, 7, cx).is_none() && receive(&second, 7, cx).is_none() && receive(&third, 7, cx).is_none());
        assert!(second.take_has_waited());
        drop(received);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(receive(&first, 7, cx).is_none(), "the second's turn has come");
        assert!(receive(&second, 0, cx).is_none(), "it has nothing to receive, and passes the turn on");
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(!second.take_has_waited() || !second.take_has_waited());
        turn.leave(&third);
        assert_eq!(receive(&first, 7, cx).expect("the third has left").len(), 7);
    }
}
