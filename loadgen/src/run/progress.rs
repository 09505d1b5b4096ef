//! What a run shows on stderr while it goes on: one line that is rewritten on a terminal, plain lines otherwise.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use super::plan::Plan;

const EVERY_NS: u64 = 1_000_000_000;
/// Plain lines end up in files: fewer.
const EVERY_PLAIN_NS: u64 = 5_000_000_000;

/// Progress of one run.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    count: Option<u64>,
    duration: Option<Duration>,
    shown_ns: u64,
    shown_lines: u64,
    /// The terminal's line has text.
    dirty: bool,
}

impl Progress {
    /// Nothing has been sent.
    pub fn new(plan: &Plan) -> Self {
        let (count, duration) = (plan.count, plan.duration);
        Self { terminal: stderr().is_terminal(), count, duration, shown_ns: 0, shown_lines: 0, dirty: false }
    }

    /// Shows the state, if it is time to. Not being able to is no reason to end a run.
    pub fn show(&mut self, now_ns: u64, lines: u64) {
        let since_ns = now_ns - self.shown_ns;
        if since_ns < if self.terminal { EVERY_NS } else { EVERY_PLAIN_NS } {
            return;
        }
        let rate = (lines - self.shown_lines) as f64 * 1e9 / since_ns as f64;
        let mut text = format!("{:6.1} s  {lines} lines  {rate:.0} lines/s", now_ns as f64 / 1e9);
        if let Some((part, left)) = estimate(self.count, self.duration, now_ns, lines) {
            text.push_str(&format!("  {:.1} %  ETA {:.0} s", part * 100.0, left.as_secs_f64().ceil()));
        }
        let _ = if self.terminal { write!(stderr(), "\r\x1b[K{text}") } else { writeln!(stderr(), "{text}") };
        (self.shown_ns, self.shown_lines, self.dirty) = (now_ns, lines, self.terminal);
    }

    /// Shows a remark.
    pub fn say(&mut self, text: &str) {
        self.end();
        let _ = writeln!(stderr(), "loadgen: {text}");
    }

    /// Leaves the terminal's line.
    pub fn end(&mut self) {
        if self.dirty {
            let _ = writeln!(stderr());
            self.dirty = false;
        }
    }
}

/// Which part of the work is done and how long the rest takes, by whichever end comes first. `None` for a run without an end, or before it moves.
fn estimate(count: Option<u64>, duration: Option<Duration>, now_ns: u64, lines: u64) -> Option<(f64, Duration)> {
    let by_time = duration.map(|duration| {
        let left = duration.saturating_sub(Duration::from_nanos(now_ns));
        (1.0 - left.as_secs_f64() / duration.as_secs_f64(), left)
    });
    let by_count = count.filter(|_| 0 < lines).map(|count| {
        let part = (lines as f64 / count as f64).min(1.0);
        (part, Duration::from_secs_f64(now_ns as f64 / 1e9 * (1.0 - part) / part))
    });
    by_time.into_iter().chain(by_count).min_by_key(|(_, left)| *left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_end_counts() {
        let seconds = Duration::from_secs;
        for (count, duration, lines, expected) in [
            (None, None, 50, None),
            (Some(100), None, 0, None),
            (Some(100), None, 50, Some((0.5, seconds(10)))),
            (None, Some(seconds(40)), 50, Some((0.25, seconds(30)))),
            (Some(100), Some(seconds(40)), 50, Some((0.5, seconds(10)))),
            (Some(1000), Some(seconds(40)), 50, Some((0.25, seconds(30)))),
        ] {
            assert_eq!(estimate(count, duration, 10_000_000_000, lines), expected);
        }
    }
}
