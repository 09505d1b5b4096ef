//! What `collect` says on the terminal: one line while it runs, refreshed in place, and one at its end.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::metrics::Telemetry;

/// How often the line is refreshed.
const INTERVAL: Duration = Duration::from_millis(500);

/// Starts the thread that shows it, if stderr is a terminal, for as long as the process lives.
pub(super) fn start(telemetry: Arc<Telemetry>) -> io::Result<()> {
    if !io::stderr().is_terminal() {
        return Ok(());
    }
    let show = move || {
        let (mut before, mut last) = (0, Instant::now());
        loop {
            thread::sleep(INTERVAL);
            let lines = telemetry.ledger().received;
            let rate = (lines - before) as f64 / last.elapsed().as_secs_f64();
            (before, last) = (lines, Instant::now());
            // Back to the start of the line, and away with what was there.
            let _ = write!(io::stderr(), "\r\x1b[2K{}, {rate:.0} lines/s\r", line(&telemetry));
        }
    };
    thread::Builder::new().name("summary".to_owned()).spawn(show).map(drop)
}

/// What it came to.
pub(super) fn last_line(telemetry: &Telemetry, unread: u64) -> String {
    let seconds = telemetry.uptime_seconds();
    let rate = telemetry.ledger().received as f64 / seconds;
    let unread = if unread == 0 { String::new() } else { format!("; {unread} files or folders could not be read: see above") };
    format!("collected {}, {rate:.0} lines/s in {seconds:.1} s{unread}\n", line(telemetry))
}

fn line(telemetry: &Telemetry) -> String {
    let (ledger, files) = (telemetry.ledger(), &telemetry.files);
    format!(
        "files {}, lines {}, stored {}, filtered {}, rejected {}, lag {} bytes, errors {}",
        files.files.get(),
        ledger.received,
        ledger.written,
        ledger.filtered,
        ledger.rejected_total(),
        files.lag_bytes.get(),
        files.errors.get()
    )
}
