//! One client: makes a batch, waits until it is due, sends it.
//!
//! Three times per send: *due* (by the schedule), *sent* (the write began), *done* (the kernel took the last byte). The response time is done - due, so that time
//! spent waiting behind a slow send counts. The lag is sent - max(due, done of the send before): how late the client was through its own fault.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Plan;
use super::target::{Connection, SendError};
use super::{Clock, Shared};
use crate::manifest::ClientPart;
use crate::payload::Stamp;
use crate::schedule::Pace;

/// Times are kept in microseconds, up to an hour.
const RESPONSE_MAX_US: u64 = 3_600_000_000;
/// To so many digits. A histogram takes 190 KB with three, 26 KB with two.
const DIGITS: u8 = 3;
const DIGITS_OF_MANY_CLIENTS: u8 = 2;
const MANY_CLIENTS: u32 = 64;

/// What a client has sent so far. Written by its client alone, read by anyone; a cache line pair of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counter {
    /// Lines that the kernel took whole.
    pub lines: AtomicU64,
}

/// One client before it starts.
#[derive(Debug)]
pub struct Client {
    number: u32,
    connection: Connection,
    pace: Pace,
    batch: u64,
    quota: u64,
    duration_ns: u64,
    outcome: Outcome,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// Its part of the manifest.
    pub part: ClientPart,
    /// Bytes that the kernel took.
    pub bytes: u64,
    /// Lines that were due before the end and were not sent.
    pub unsent: u64,
    /// From due to done, in microseconds.
    pub response_us: Histogram<u64>,
    /// How late a send began through the generator's own fault, in microseconds.
    pub lag_us: Histogram<u64>,
    /// When its last send was done, in nanoseconds from the start.
    pub done_ns: u64,
    /// When the target had confirmed it, or the client gave up waiting.
    pub closed_ns: u64,
}

impl Outcome {
    fn new(clients: u32) -> Self {
        let digits = if clients <= MANY_CLIENTS { DIGITS } else { DIGITS_OF_MANY_CLIENTS };
        let histogram = || Histogram::new_with_max(RESPONSE_MAX_US, digits).expect("bounds that hdrhistogram accepts");
        let (response_us, lag_us) = (histogram(), histogram());
        Self { part: ClientPart::default(), bytes: 0, unsent: 0, response_us, lag_us, done_ns: 0, closed_ns: 0 }
    }
}

impl Client {
    /// A client of `plan`.
    pub fn new(plan: &Plan, number: u32, connection: Connection) -> Self {
        let duration_ns = plan.duration.map_or(u64::MAX, |duration: Duration| duration.as_nanos() as u64);
        let (pace, quota) = (plan.pace(number), plan.quota(number));
        Self { number, connection, pace, batch: plan.batch, quota, duration_ns, outcome: Outcome::new(plan.clients) }
    }

    /// Sends until the quota, the duration, a stop or an error; then has the target confirm.
    pub fn send_all(mut self, shared: &Shared, counter: &Counter) -> Outcome {
        let clock = shared.gather();
        self.send_batches(shared, clock, counter);
        let mut outcome = self.outcome;
        let broken = outcome.part.error.is_some();
        match self.connection.finish() {
            _ if broken => {}
            Ok(()) => outcome.part.confirmed = outcome.part.sent,
            Err(error) => outcome.part.error = Some(format!("{error:#}")),
        }
        outcome.closed_ns = clock.now_ns();
        outcome
    }

    fn send_batches(&mut self, shared: &Shared, clock: Clock, counter: &Counter) {
        let format = shared.payload.format();
        let outcome = &mut self.outcome;
        let part = &mut outcome.part;
        let mut buf = Vec::new();
        let (mut due_ns, mut k) = (0, 0);
        while part.sent < self.quota {
            due_ns = self.pace.due_ns(k, due_ns, outcome.done_ns);
            if self.duration_ns <= due_ns.max(outcome.done_ns) {
                break;
            }
            let lines = self.batch.min(self.quota - part.sent);
            buf.clear();
            let header = k == 0 && self.connection.wants_header(format);
            if header {
                buf.extend_from_slice(format.header());
            }
            let stamp = Stamp::at(clock.start_unix_ms + (due_ns / 1_000_000) as i64);
            shared.payload.append(&mut buf, self.number, part.sent, lines as usize, &stamp);

            if !shared.stop.sleep_until(clock.start + Duration::from_nanos(due_ns)) {
                return;
            }
            part.attempted = part.sent + lines;
            part.header |= header;
            let sent_ns = clock.now_ns();
            if let Err(SendError { written, error }) = self.connection.send(&buf, &shared.stop) {
                let whole = memchr::memchr_iter(b'\n', &buf[..written]).count() as u64;
                part.sent += whole.saturating_sub(u64::from(header));
                outcome.bytes += written as u64;
                part.error = Some(format!("send: {error}"));
                return;
            }
            let free_ns = outcome.done_ns;
            outcome.done_ns = clock.now_ns();
            outcome.response_us.saturating_record((outcome.done_ns - due_ns.min(outcome.done_ns)) / 1000);
            outcome.lag_us.saturating_record(sent_ns.saturating_sub(due_ns.max(free_ns)) / 1000);
            outcome.bytes += buf.len() as u64;
            part.sent += lines;
            counter.lines.store(part.sent, Ordering::Relaxed);
            k += 1;
        }
        self.count_unsent(k, clock.now_ns());
    }

    /// What an open loop still owed when its time was up has been waiting until now, at least: leaving it out would flatter the response times.
    fn count_unsent(&mut self, mut k: u64, now_ns: u64) {
        let outcome = &mut self.outcome;
        let Pace::Rate(schedule) = &mut self.pace else { return };
        if self.duration_ns == u64::MAX {
            return;
        }
        let mut left = self.quota - outcome.part.sent;
        while 0 < left {
            let due_ns = schedule.due_ns(k);
            if self.duration_ns <= due_ns {
                break;
            }
            let lines = self.batch.min(left);
            outcome.response_us.saturating_record(now_ns.saturating_sub(due_ns) / 1000);
            outcome.unsent += lines;
            left -= lines;
            k += 1;
        }
    }
}
