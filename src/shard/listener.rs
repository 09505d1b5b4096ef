//! Accepts connections and hands each to the shard with the fewest.

use std::rc::Rc;
use std::time::{Duration, Instant};

use async_channel::Sender;
use futures_lite::future::or;
use glommio::net::{AcceptedTcpStream, TcpListener};

use super::balance::Slot;
use super::{Shard, ShardMessage};
use crate::record::Protocol;

/// How long a shard waits after a failed accept (no file descriptors, no memory) before it tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How long the accept queue must stay empty, after a stop was requested, before the listener closes: closing it drops what is still in there.
const ACCEPT_QUIET: Duration = Duration::from_millis(5);

/// How long connections are still accepted after a stop was requested, when they never cease to come: longer than any that waited in the queue by then.
const ACCEPT_DRAIN_MAX: Duration = Duration::from_millis(250);

/// How often a failing accept is said.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts until the shard stops and the accept queue is empty.
pub(super) async fn accept_all(shard: Rc<Shard>, protocol: Protocol, listener: TcpListener, shards: Vec<Sender<ShardMessage>>) {
    let ticket = shard.stop.ticket();
    let mut drain_begun: Option<Instant> = None;
    let mut warned: Option<Instant> = None;
    // Kept over the loop's turns: dropping an accept under way could drop the connection that it has just taken.
    let mut accepting = Box::pin(listener.shared_accept());
    loop {
        let stopping = shard.stop.is_requested();
        if stopping && drain_begun.get_or_insert_with(Instant::now).elapsed() > ACCEPT_DRAIN_MAX {
            return;
        }
        let accepted = or(async { Some((&mut accepting).await) }, async {
            if stopping {
                glommio::timer::sleep(ACCEPT_QUIET).await;
            } else {
                ticket.requested().await;
            }
            None
        });
        let accepted = accepted.await;
        if accepted.is_some() {
            accepting = Box::pin(listener.shared_accept());
        }
        match accepted {
            Some(Ok(socket)) => hand_over(&shard, protocol, socket, &shards).await,
            Some(Err(error)) => {
                shard.counters().accepts_failed.add(1);
                if warned.is_none_or(|warned| warned.elapsed() > WARN_INTERVAL) {
                    tracing::warn!("cannot accept a connection: {error}");
                    warned = Some(Instant::now());
                }
                glommio::timer::sleep(ACCEPT_RETRY).await;
            }
            None if stopping => return,
            None => {}
        }
        glommio::yield_if_needed().await;
    }
}

async fn hand_over(shard: &Rc<Shard>, protocol: Protocol, socket: AcceptedTcpStream, shards: &[Sender<ShardMessage>]) {
    match shard.balancer.claim() {
        Some(slot) if slot.shard() == shard.id => shard.open_connection(protocol, socket, slot),
        Some(slot) => send(shards, protocol, socket, slot).await,
        None => {
            drop(socket.bind_to_executor()); // closes it
            shard.counters().connections_refused.add(1);
        }
    }
}

async fn send(shards: &[Sender<ShardMessage>], protocol: Protocol, socket: AcceptedTcpStream, slot: Slot) {
    let to = slot.shard();
    if let Err(unsent) = shards[to].send(ShardMessage::Serve(protocol, socket, slot)).await
        && let ShardMessage::Serve(_, socket, _) = unsent.into_inner()
    {
        drop(socket.bind_to_executor());
    }
}
