//! stdout belongs to scripts: the `ready` line, then rate and latency every interval, to the letter.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Telemetry;
use super::latency::Latencies;
use crate::record::Protocol;

/// The line that says that everything listens.
pub fn ready_line(listen: &[(Protocol, SocketAddr)], http: Option<SocketAddr>) -> String {
    let mut line = "ready".to_owned();
    for (protocol, addr) in listen {
        write!(line, " {}={addr}", protocol.name()).expect("a string takes everything");
    }
    if let Some(addr) = http {
        write!(line, " http={addr}").expect("a string takes everything");
    }
    line
}

/// The lines of one interval. Without a sample there is no latency, and no line that says one.
pub fn interval_lines(records: u64, elapsed: Duration, written: &Latencies, synced: &Latencies) -> String {
    let rate = (records as f64 / elapsed.as_secs_f64().max(1e-9)).round() as u64;
    let mut lines = format!("[METRIC] Logs processed: {rate} logs/sec\n");
    for (name, latencies) in [("written", written), ("synced", synced)] {
        if 0 < latencies.count() {
            writeln!(lines, "[METRIC] Latency received->{name}: {}", percentiles(latencies)).expect("a string takes everything");
        }
    }
    lines
}

fn percentiles(latencies: &Latencies) -> String {
    let ms = |quantile| latencies.quantile_ms(quantile);
    format!("p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms", ms(0.5), ms(0.99), ms(0.999), latencies.max_ms())
}

/// Writes to stdout and flushes. A closed stdout is no reason to stop taking lines in: returns whether it is still open.
pub fn print(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// Starts the thread that prints every `interval` as long as the process lives and stdout is open.
pub fn start(telemetry: Arc<Telemetry>, interval: Duration) -> std::io::Result<()> {
    thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        let begun = Instant::now();
        let (mut last, mut written_before) = (begun, telemetry.ledger().written);
        for tick in 1.. {
            // From the start and not from the last print, so that intervals don't drift.
            thread::sleep((begun + interval * tick).saturating_duration_since(Instant::now()));
            let (now, written) = (Instant::now(), telemetry.ledger().written);
            let (mut to_written, mut to_synced) = (Latencies::default(), Latencies::default());
            for shard in &telemetry.shards {
                to_written.take(&shard.received_to_written);
                to_synced.take(&shard.received_to_synced);
            }
            if !print(&interval_lines(written - written_before, now - last, &to_written, &to_synced)) {
                return;
            }
            (last, written_before) = (now, written);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::latency::LatencySlot;

    #[test]
    fn to_the_letter() {
        let tcp = [(Protocol::Tcp, "127.0.0.1:7171".parse().unwrap())];
        assert_eq!(ready_line(&tcp, Some("127.0.0.1:7180".parse().unwrap())), "ready tcp=127.0.0.1:7171 http=127.0.0.1:7180");
        assert_eq!(ready_line(&tcp, None), "ready tcp=127.0.0.1:7171");
        let both = [tcp[0], (Protocol::Relp, "[::1]:20514".parse().unwrap())];
        assert_eq!(ready_line(&both, None), "ready tcp=127.0.0.1:7171 relp=[::1]:20514");
        let (none, mut some) = (Latencies::default(), Latencies::default());
        let slot = LatencySlot::default();
        slot.record([(1_000_000, 1)].into_iter());
        some.take(&slot);
        let lines = interval_lines(204_690, Duration::from_secs(2), &some, &none);
        let expected = "[METRIC] Logs processed: 102345 logs/sec\n\
                        [METRIC] Latency received->written: p50 1.00 ms, p99 1.00 ms, p99.9 1.00 ms, max 1.00 ms\n";
        assert_eq!(lines, expected);
        assert_eq!(interval_lines(0, Duration::from_secs(1), &none, &none), "[METRIC] Logs processed: 0 logs/sec\n");
    }
}
