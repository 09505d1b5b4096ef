//! What `/proc` (proc(5)) says about processes and sockets. Everything here helps a message or settles a doubt: where `/proc` is hidden the answer is `None`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The name of a running process, from `/proc/PID/comm`: at most 15 bytes, control characters left out.
pub(super) fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.chars().filter(|c| !c.is_control()).collect())
}

/// One field of `/proc/self/status`, such as `SigIgn` or `Seccomp`.
pub(super) fn own_status(field: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|value| value.trim().to_owned())
}

/// A number in a file of `/proc/sys`.
pub(super) fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

/// A TCP socket in the state LISTEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

/// All listening TCP sockets of this network namespace; `None` where that can't be read.
pub(super) fn listeners() -> Option<Vec<Listener>> {
    let v4 = fs::read_to_string("/proc/net/tcp").ok()?;
    let v6 = fs::read_to_string("/proc/net/tcp6").unwrap_or_default(); // missing where IPv6 is off
    Some(v4.lines().chain(v6.lines()).filter_map(parse_listener).collect())
}

/// A line of `/proc/net/tcp` or `tcp6`: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`, `st` 0A is LISTEN.
fn parse_listener(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (ip, port) = fields[1].split_once(':')?;
    // The address is printed as 32-bit words in the machine's byte order, each holding four bytes in network order.
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(ip)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(ip.get(8 * index..8 * index + 8)?)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { address: SocketAddr::new(ip, port), inode: fields.get(9)?.parse().ok()? })
}

/// A process that has the socket open. Only processes of the same user are visible, unless the caller is root.
pub(super) fn owner(socket_inode: u64) -> Option<u32> {
    let link = format!("socket:[{socket_inode}]");
    let has_it = |pid: &u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd"));
        fds.is_ok_and(|mut fds| fds.any(|fd| fd.and_then(|fd| fs::read_link(fd.path())).is_ok_and(|to| to.as_os_str() == link.as_str())))
    };
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(has_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listening_socket_is_found_with_its_owner() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = TcpListener::bind(address) else {
                assert_eq!(address, "[::1]:0", "IPv6 may be off");
                continue;
            };
            let found = listeners().unwrap().into_iter().find(|listener| listener.address == socket.local_addr().unwrap());
            assert_eq!(owner(found.unwrap().inode), Some(std::process::id()));
        }
    }

    #[test]
    fn other_states_and_odd_lines_are_no_listeners() {
        for line in [
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "   1: 0100007F:1C03 0100007F:B1F2 06 00000000:00000000 03:0000176F 00000000     0        0 0 3 0",
            "   1: 0100007F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1",
            "   1: 0100:1C03 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1",
            "   1: €€0000000000000000000000000000:1C03 0:0 0A 0:0 00:0 0     0        0 12 1",
            "   1: 0100007F:1C03 00000000:0000 0A",
        ] {
            assert_eq!(parse_listener(line), None, "{line}");
        }
    }

    #[test]
    fn names_and_status_of_this_process() {
        assert!(!name(std::process::id()).unwrap().is_empty());
        assert_eq!(name(u32::MAX), None);
        assert!(u64::from_str_radix(&own_status("SigIgn").unwrap(), 16).is_ok());
        assert_eq!(own_status("NoSuchField"), None);
    }
}
