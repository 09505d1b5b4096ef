//! The bare shape with epoll in io_uring's place: what io_uring contributes to the read path. All else is `bare_shape`'s.
//!
//! ```text
//! cargo bench --bench bare_epoll -- PORT none|gzip|zstd DIR     receives until all connections have closed, then prints lines and its CPU time
//! ```
//!
//! Each of two pinned threads waits for its sockets, level-triggered, and receives once from each that is ready.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use socket2::{Domain, Socket, Type};

use bare::{Pipeline, Segments};

mod archive;
mod bare;
mod validator;

const BACKLOG: i32 = 1024;
const EVENTS_MAX: usize = 256;
const LISTENER: u64 = u64::MAX;
/// A shard without connections ends this long after its last, or, if the kernel's hash gave it none, after ten times as long.
const ALL_GONE_AFTER: Duration = Duration::from_millis(500);

fn main() {
    bare::run("bare_epoll", |port, segments| {
        let shard = std::thread::spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: segments.shard });
            shard(port, &segments)
        });
        || shard.join().expect("a shard")
    });
}

fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("a free port");
    socket.listen(BACKLOG).expect("a listener");
    socket.set_nonblocking(true).expect("an option");
    socket.into()
}

/// Serves connections until the first have come and all have gone.
fn shard(port: u16, segments: &Segments) -> u64 {
    let (listener, waiter) = (listen(port), epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll"));
    epoll::add(&waiter, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN).expect("added");
    let mut connections: HashMap<u64, (TcpStream, Pipeline)> = HashMap::new();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let (mut accepted, mut lines, mut busy) = (0, 0, Instant::now());
    let look_every = ALL_GONE_AFTER.try_into().expect("a short time");
    loop {
        events.clear();
        epoll::wait(&waiter, spare_capacity(&mut events), Some(&look_every)).expect("waited");
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Some(stream) = accept(&listener) {
                    accepted += 1;
                    epoll::add(&waiter, &stream, epoll::EventData::new_u64(accepted), epoll::EventFlags::IN).expect("added");
                    connections.insert(accepted, (stream, Pipeline::default()));
                }
                continue;
            }
            let (stream, pipeline) = connections.get_mut(&key).expect("a connection");
            let n = stream.read(pipeline.space()).expect("received");
            pipeline.received(n, segments);
            if n == 0 {
                lines += pipeline.lines;
                connections.remove(&key);
            }
        }
        let wait = if accepted > 0 { ALL_GONE_AFTER } else { 10 * ALL_GONE_AFTER };
        if !connections.is_empty() {
            busy = Instant::now();
        } else if wait < busy.elapsed() {
            return lines;
        }
    }
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true).expect("an option");
            Some(stream)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("accept: {error}"),
    }
}
