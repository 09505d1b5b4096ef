//! The shard's one receive buffer, and whose turn it is to use it.
//!
//! A connection holds the buffer from its receive until the last line of it is in a batch. When no batch has room it waits with the buffer in hand, and the
//! others wait behind it, unread: that is the back-pressure, and the reason why received bytes cost one buffer per shard and not one per connection. The
//! buffer stays in the cache, and an idle connection has none.
//!
//! Invariant: the buffer is either here or in exactly one [`Received`].

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

/// A connection's place in the queue: queued at most once, whatever how often it is polled.
#[derive(Default)]
pub(super) struct Place {
    waker: RefCell<Option<Waker>>,
    queued: Cell<bool>,
}

impl Place {
    /// Gives the place up, so that the turn passes it by.
    pub(super) fn leave(&self) {
        self.waker.take();
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
        let Some(mut buffer) = self.buffer.borrow_mut().take() else {
            place.waker.replace(Some(cx.waker().clone()));
            if !place.queued.replace(true) {
                self.queue.borrow_mut().push_back(place.clone());
            }
            return Poll::Pending;
        };
        place.waker.take();
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

    /// Wakes the next in the queue. One that finds nothing to receive gives the turn back and so wakes the one behind it.
    fn pass_on(&self) {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some(place) = next else { return };
            place.queued.set(false);
            // Without a waker it had its turn meanwhile, or its connection is gone.
            if let Some(waker) = place.waker.take() {
                waker.wake();
                return;
            }
        }
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
        *self.turn.buffer.borrow_mut() = self.buffer.take();
        self.turn.pass_on();
    }
}
