//! `loadgen sink`: reads and discards, so that the generator's own ceiling can be measured.
//!
//! It closes a connection when its peer has, as the daemon does once everything is written, so that a run against it is confirmed.

use std::io::{ErrorKind, Read, Write as _, stdout};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use socket2::{Domain, Socket, Type};

use crate::cli::SinkArgs;
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
    let listener = listen(&args.listen.0).with_context(|| format!("listen on {}", args.listen.0))?;
    let address = listener.local_addr().context("the listener's address")?;
    writeln!(stdout(), "ready tcp={address}").context("write to stdout")?;

    let totals = Arc::new(Totals::default());
    let accepting = {
        let totals = totals.clone();
        thread::spawn(move || accept_all(&listener, &totals))
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
fn accept_all(listener: &TcpListener, totals: &Arc<Totals>) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                totals.first.get_or_init(|| (Instant::now(), host::cpu_s()));
                totals.opened.fetch_add(1, Ordering::Relaxed);
                let totals = totals.clone();
                thread::Builder::new().stack_size(STACK_BYTES).spawn(move || discard(stream, &totals)).context("start a reader")?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(error).context("accept a connection"),
        }
    }
}

fn discard(mut stream: TcpStream, totals: &Totals) {
    let mut buf = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                totals.lines.fetch_add(memchr::memchr_iter(b'\n', &buf[..n]).count() as u64, Ordering::Relaxed);
                totals.bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                eprintln!("loadgen: read from a client: {error}");
                break;
            }
        }
    }
    totals.closed.fetch_add(1, Ordering::Release);
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
