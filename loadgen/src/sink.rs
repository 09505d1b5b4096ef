//! `loadgen sink`: reads and discards, so that the generator's own ceiling can be measured. With relp:// it acknowledges what it discards ([`relp`]).
//!
//! It closes a connection when its peer has, as the daemon does once everything is written, so that a run against it is confirmed.

pub mod relp;

use std::io::{self, ErrorKind, Read, Write as _, stdout};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use socket2::{Domain, Socket, Type};

use crate::cli::SinkArgs;
use crate::cli::values::Listen;
use crate::{host, stop};

/// One read. Fits a core's second-level cache with what the kernel copies into it.
const READ_BYTES: usize = 256 * 1024;
/// How often signals and the end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Clients that may wait to be accepted: as many as the kernel allows by default. Std's 128 overflows when a thousand connect at once, and each that finds no
/// room tries again after a second.
const BACKLOG: i32 = 4096;
/// A reader needs little stack.
const STACK_BYTES: usize = 128 * 1024;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Relp,
}

#[derive(Default)]
struct Totals {
    lines: AtomicU64,
    bytes: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    /// When the first connection came, and the processor time until then.
    first: OnceLock<(Instant, Option<f64>)>,
}

/// Runs the sink until a signal, or with `--once` until the last connection closes.
pub fn sink(args: SinkArgs) -> anyhow::Result<ExitCode> {
    let signalled = stop::on_signals()?;
    let (protocol, host_port) = match &args.listen {
        Listen::Tcp(host_port) => (Protocol::Tcp, host_port),
        Listen::Relp(host_port) => (Protocol::Relp, host_port),
    };
    let listener = listen(host_port).with_context(|| format!("listen on {host_port}"))?;
    let address = listener.local_addr().context("the listener's address")?;
    let name = if protocol == Protocol::Tcp { "tcp" } else { "relp" };
    writeln!(stdout(), "ready {name}={address}").context("write to stdout")?;

    let totals = Arc::new(Totals::default());
    let accepting = {
        let totals = totals.clone();
        thread::spawn(move || accept_all(&listener, protocol, &totals))
    };
    while !stop::is_set(&signalled) {
        if accepting.is_finished() {
            accepting.join().map_err(|_| anyhow!("the accepting thread panicked"))??;
            break;
        }
        let closed = totals.closed.load(Ordering::Acquire);
        if args.once && 0 < closed && closed == totals.opened.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    stdout().write_all(summary(&totals).as_bytes()).context("write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let address = address.to_socket_addrs()?.next().context("the name has no address")?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?; // as std does
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts without a pause. Ends with the process, or with an error.
fn accept_all(listener: &TcpListener, protocol: Protocol, totals: &Arc<Totals>) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // What acknowledges in pieces must not have them held back until the client's TCP acknowledges the first.
                stream.set_nodelay(true).context("set TCP_NODELAY")?;
                totals.first.get_or_init(|| (Instant::now(), host::cpu_s()));
                totals.opened.fetch_add(1, Ordering::Relaxed);
                let totals = totals.clone();
                thread::Builder::new().stack_size(STACK_BYTES).spawn(move || serve(stream, protocol, &totals)).context("start a reader")?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(error).context("accept a connection"),
        }
    }
}

fn serve(mut stream: TcpStream, protocol: Protocol, totals: &Totals) {
    let count = |lines: u64, bytes: usize| {
        totals.lines.fetch_add(lines, Ordering::Relaxed);
        totals.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    };
    let end = match protocol {
        Protocol::Tcp => discard(&mut stream, count),
        Protocol::Relp => relp::acknowledge(&mut stream, count),
    };
    if let Err(error) = end {
        eprintln!("loadgen: a client: {error}");
    }
    totals.closed.fetch_add(1, Ordering::Release);
}

fn discard(stream: &mut TcpStream, count: impl Fn(u64, usize)) -> io::Result<()> {
    let mut buf = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => count(memchr::memchr_iter(b'\n', &buf[..n]).count() as u64, n),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn summary(totals: &Totals) -> String {
    let (lines, bytes) = (totals.lines.load(Ordering::Relaxed), totals.bytes.load(Ordering::Relaxed));
    let Some(&(begun, cpu_before)) = totals.first.get() else { return "no connection came\n".to_owned() };
    let seconds = begun.elapsed().as_secs_f64();
    let (rate, mb_per_s) = (lines as f64 / seconds, bytes as f64 / seconds / 1e6);
    let mut text = format!("{lines} lines, {bytes} bytes in {seconds:.2} s: {rate:.0} lines/s, {mb_per_s:.0} MB/s\n");
    if let (Some(before), Some(now)) = (cpu_before, host::cpu_s()) {
        text.push_str(&format!("cpu {:.0} ns per line\n", (now - before) * 1e9 / lines.max(1) as f64));
    }
    text
}
