//! A thread per connection, until the first have come and all have gone. What the classical shape and the lower bounds share.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

const BACKLOG: i32 = 4096;
const STACK_BYTES: usize = 256 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A sender opens all its connections before it sends; this long without any, and no more will come.
const ALL_GONE_AFTER: Duration = Duration::from_millis(500);

/// Says `ready`, then runs `serve` on a thread for each connection and adds up what it returns.
pub(crate) fn serve_each(port: u16, serve: impl Fn(TcpStream) -> u64 + Clone + Send + 'static) -> u64 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("a free port");
    socket.listen(BACKLOG).expect("a listener");
    socket.set_nonblocking(true).expect("an option");
    println!("ready tcp=127.0.0.1:{port}");
    let (mut threads, mut busy) = (Vec::new(), Instant::now());
    loop {
        match socket.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(false).expect("an option");
                let serve = serve.clone();
                let work = move || serve(connection.into());
                threads.push(std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread"));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK_EVERY),
            Err(error) => panic!("accept: {error}"),
        }
        if threads.is_empty() || threads.iter().any(|thread| !thread.is_finished()) {
            busy = Instant::now();
        } else if ALL_GONE_AFTER < busy.elapsed() {
            return threads.into_iter().map(|thread| thread.join().expect("served")).sum();
        }
    }
}
