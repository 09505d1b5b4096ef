//! The ports that all shards share: whether they are free, which one port 0 becomes, and the sockets that listen on them.
//!
//! Every shard listens on the same address through SO_REUSEPORT (socket(7)). That option also lets a second process of the same user listen there, and take half
//! of the connections, without any error. So before it is used, [`check_free`] tries the address without it. Verified by the tests below:
//!
//! - a bind with SO_REUSEADDR but without SO_REUSEPORT fails while anyone listens on the address, with whatever options;
//! - it does not fail for connections that an earlier process left behind (TIME_WAIT and the like) if that process had set SO_REUSEADDR too;
//! - a socket that is bound but does not listen never takes a connection.
//!
//! Deliberately not done: nothing keeps a second logboom from passing the check in the moment between another one's check and its listening.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::proc;

/// Connections that may wait to be accepted, per socket. The kernel lowers it to `net.core.somaxconn`, 4096 by default: a shard that is busy for a moment should
/// not make peers try again a second later.
const ACCEPT_QUEUE_MAX: i32 = 4096;

/// After how much silence a peer is asked whether it is still there; nine unanswered questions, 75 seconds apart by default, end its connection (tcp(7)).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);

/// How long an address may stay taken that no process is seen to hold, and how often that is looked at.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);
const RELEASE_POLL: Duration = Duration::from_millis(50);

/// Why an address can't be listened on, and what to do. One line.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else listens there, or connections of an ended process still block it.
    #[error("port: {address} is taken by {holder}; stop it, or choose another address")]
    Taken {
        /// What was asked for.
        address: SocketAddr,
        /// Who has it, as far as that can be seen.
        holder: String,
    },
    /// The process may not use the port.
    #[error(
        "port: {address}: not permitted; ports below {first_free} need CAP_NET_BIND_SERVICE \
         (AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit), or choose one from {first_free}"
    )]
    Forbidden {
        /// What was asked for.
        address: SocketAddr,
        /// The first port that anyone may use.
        first_free: u64,
    },
    /// No interface of this machine has the address.
    #[error("port: {address} is no address of this machine; choose one that `ip address` shows, or {wildcard} for all")]
    NotLocal {
        /// What was asked for.
        address: SocketAddr,
        /// The same port on all addresses.
        wildcard: SocketAddr,
    },
    /// Anything else.
    #[error("port: cannot listen on {address}: {error}; choose another address")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl PortError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { address, holder: holder(address) },
            io::ErrorKind::PermissionDenied => {
                let first_free = proc::sysctl("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024);
                Self::Forbidden { address, first_free }
            }
            io::ErrorKind::AddrNotAvailable => {
                Self::NotLocal { address, wildcard: SocketAddr::new(unspecified(address.ip()), address.port()) }
            }
            _ => Self::Other { address, error },
        }
    }
}

/// Checks that nobody listens on `address` and that this process may. Port 0 is always free.
pub fn check_free(address: SocketAddr) -> Result<(), PortError> {
    let begun = Instant::now();
    loop {
        match bind(address, Sharing::No) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && only_leftovers(address) => return Ok(()),
            // The kernel closes the sockets of an ended process that used io_uring a moment after the process is gone.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_held(address) && begun.elapsed() < RELEASE_PATIENCE => {
                std::thread::sleep(RELEASE_POLL);
            }
            Err(error) => return Err(PortError::new(address, error)),
        }
    }
}

/// Whether a process that can be seen listens on an address that overlaps with `address`.
fn is_held(address: SocketAddr) -> bool {
    let listeners = proc::listeners().unwrap_or_default();
    listeners.iter().any(|other| overlap(other.address, address) && proc::owner(other.inode).is_some())
}

/// Whether the address is blocked by nothing but connections left behind by a process that shared the port and had not set SO_REUSEADDR: those do not keep the
/// shards from listening. Where `/proc/net` is hidden nobody can tell, and the answer is no.
fn only_leftovers(address: SocketAddr) -> bool {
    let nobody_listens = proc::listeners().is_some_and(|all| !all.iter().any(|other| overlap(other.address, address)));
    nobody_listens && bind(address, Sharing::Port).is_ok()
}

/// A port held for the shards: bound, so that it stays what it is, but not listening, so that no connection comes here.
#[derive(Debug)]
pub struct Reservation {
    address: SocketAddr,
    _socket: Socket,
}

impl Reservation {
    /// Takes the port; port 0 picks one. Hold it until every shard listens. Call [`check_free`] before: this alone does not notice another logboom.
    pub fn take(address: SocketAddr) -> Result<Self, PortError> {
        let socket = bind(address, Sharing::Port).map_err(|error| PortError::new(address, error))?;
        let bound = socket.local_addr().map_err(|error| PortError::new(address, error))?;
        let address = bound.as_socket().expect("an IP socket has an IP address");
        Ok(Self { address, _socket: socket })
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One more socket that listens on the address, for one shard. It has SO_REUSEADDR set, which glommio's own `TcpListener::bind` (0.9.0) does not do: without
    /// it the connections of a stopped daemon would fail [`check_free`] for a minute after.
    pub fn listen(&self) -> Result<TcpListener, PortError> {
        let socket = bind(self.address, Sharing::Port);
        let listening = socket.and_then(|socket| socket.listen(ACCEPT_QUEUE_MAX).map(|()| socket));
        listening.map(TcpListener::from).map_err(|error| PortError::new(self.address, error))
    }
}

/// Whether other sockets may listen on the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    No,
    Port,
}

/// A bound TCP socket, closed on exec.
fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Port {
        socket.set_reuse_port(true)?;
        // Accepted connections inherit it: a peer that is gone without a word must not keep its place for ever.
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// In words: who listens on an address that overlaps with `address`.
fn holder(address: SocketAddr) -> String {
    let Some(listeners) = proc::listeners() else { return "another process".to_owned() };
    let Some(listener) = listeners.iter().find(|other| overlap(other.address, address)) else {
        return "connections of a process that has ended, for a minute at most".to_owned();
    };
    match proc::owner(listener.inode).and_then(|pid| Some((proc::name(pid)?, pid))) {
        Some((name, pid)) => format!("{name}, process {pid}"),
        None => "a process of another user".to_owned(),
    }
}

/// Whether a socket that listens on `a` keeps another one from listening on `b`. A wildcard covers all addresses; that of IPv6 also those of IPv4, unless it is
/// told otherwise, which `/proc` does not show.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
    let covers = |wild: IpAddr, other: IpAddr| wild.is_unspecified() && (wild.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && (x == y || covers(x, y) || covers(y, x))
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Shutdown, TcpStream};

    const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    /// IPv6 may be off.
    fn addresses() -> impl Iterator<Item = SocketAddr> {
        LOOPBACKS
            .iter()
            .map(|text| text.parse().unwrap())
            .filter(|address: &SocketAddr| address.is_ipv4() || TcpListener::bind(address).is_ok())
    }

    #[test]
    fn every_listener_is_noticed_whatever_its_options() {
        for address in addresses() {
            let plain = TcpListener::bind(address).unwrap();
            let said = check_free(plain.local_addr().unwrap()).unwrap_err().to_string();
            assert!(said.contains(&format!("process {}", std::process::id())), "{said}");

            let reservation = Reservation::take(address).unwrap();
            check_free(reservation.address()).expect("held, but nobody listens yet");
            let shared = reservation.listen().unwrap();
            assert!(matches!(check_free(reservation.address()), Err(PortError::Taken { .. })));
            drop(shared);
            check_free(reservation.address()).expect("free again");
        }
    }

    #[test]
    fn a_wildcard_listener_covers_every_address() {
        for address in addresses() {
            let everywhere = TcpListener::bind(SocketAddr::new(unspecified(address.ip()), 0)).unwrap();
            let port = everywhere.local_addr().unwrap().port();
            for covered in addresses().filter(|covered| address.is_ipv6() || covered.is_ipv4()) {
                assert!(matches!(check_free(SocketAddr::new(covered.ip(), port)), Err(PortError::Taken { .. })), "{address} {covered}");
            }
        }
    }

    /// Ends a connection from the listening side first, which leaves TIME_WAIT there.
    fn leave_time_wait(listener: TcpListener) {
        let address = listener.local_addr().unwrap();
        let mut peer = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        drop(listener);
        accepted.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        drop(peer);
        assert_eq!((&accepted).read(&mut [0]).unwrap(), 0);
        drop(accepted);
        let table = std::fs::read_to_string(if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" }).unwrap();
        let local = format!(":{:04X}", address.port());
        let left = table
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
            .any(|line| line[1].ends_with(&local) && line[3] == "06");
        assert!(left, "no TIME_WAIT on {address}");
    }

    #[test]
    fn connections_left_behind_do_not_refuse_a_restart() {
        for address in addresses() {
            let reservation = Reservation::take(address).unwrap();
            let (bound, listener) = (reservation.address(), reservation.listen().unwrap());
            drop(reservation);
            leave_time_wait(listener);
            bind(bound, Sharing::No).expect("the first look can tell, since `listen` has set SO_REUSEADDR");
            check_free(bound).unwrap();
            Reservation::take(bound).unwrap().listen().unwrap();
        }
    }

    #[test]
    fn nor_do_those_of_a_listener_without_reuse_address() {
        for address in addresses() {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(1).unwrap();
            let listener = TcpListener::from(socket);
            let bound = listener.local_addr().unwrap();
            assert!(matches!(check_free(bound), Err(PortError::Taken { .. })));
            leave_time_wait(listener);
            assert!(bind(bound, Sharing::No).is_err(), "the first look can't tell");
            check_free(bound).unwrap();
        }
    }

    #[test]
    fn a_reservation_takes_no_connection() {
        for address in addresses() {
            let reservation = Reservation::take(address).unwrap();
            assert_ne!(reservation.address().port(), 0);
            assert!(TcpStream::connect(reservation.address()).is_err(), "nobody listens");
            let listeners = [reservation.listen().unwrap(), reservation.listen().unwrap()];
            assert!(listeners.iter().all(|listener| listener.local_addr().unwrap() == reservation.address()));
            // The kernel picks a socket by a hash of the peer's port: if the reservation were among them, some of a hundred would go there.
            let peers: Vec<_> = (0..100).map(|_| TcpStream::connect(reservation.address()).unwrap()).collect();
            let accepted: usize = listeners
                .iter()
                .map(|listener| {
                    listener.set_nonblocking(true).unwrap();
                    std::iter::from_fn(|| listener.accept().ok()).count()
                })
                .sum();
            assert_eq!(accepted, peers.len());
        }
    }

    #[test]
    fn an_address_of_another_machine_is_said() {
        // RFC 5737, section 3: no machine has an address of TEST-NET-1.
        let said = check_free("192.0.2.1:7171".parse().unwrap()).unwrap_err().to_string();
        assert!(said.contains("192.0.2.1:7171 is no address of this machine") && said.contains("0.0.0.0:7171"), "{said}");
    }

    #[test]
    fn a_forbidden_port_names_the_capability() {
        let said = PortError::new("0.0.0.0:514".parse().unwrap(), io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(said.contains("0.0.0.0:514") && said.contains("CAP_NET_BIND_SERVICE") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn overlap_as_the_kernel_sees_it() {
        for (a, b, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.2:1", true),
            ("127.0.0.2:1", "0.0.0.0:1", true),
            ("[::]:1", "127.0.0.2:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ] {
            assert_eq!(overlap(a.parse().unwrap(), b.parse().unwrap()), expected, "{a} {b}");
        }
    }
}
