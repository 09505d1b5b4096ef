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
use crate::payload::{Stamp, slots};
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

/// What one client is to do.
#[derive(Debug)]
pub struct Task {
    /// Which one it is.
    pub number: u32,
    /// When it sends.
    pub pace: Pace,
    /// Lines of one send.
    pub batch: u64,
    /// Lines in all.
    pub quota: u64,
    /// The end.
    pub duration_ns: u64,
    /// Whether lines go out as the messages of syslog lines.
    syslog: bool,
    /// Clients of the run.
    clients: u32,
}

impl Task {
    /// A client's part of `plan`.
    pub fn new(plan: &Plan, number: u32) -> Self {
        let duration_ns = plan.duration.map_or(u64::MAX, |duration: Duration| duration.as_nanos() as u64);
        let (pace, quota) = (plan.pace(number), plan.quota(number));
        Self { number, pace, batch: plan.batch, quota, duration_ns, syslog: plan.syslog, clients: plan.clients }
    }

    /// What an open loop still owed at a time, from send `k` on, of which `drawn` lines are none: it has been waiting until then, and leaving it out would flatter
    /// the response times. `each` gets when a send was due and how many lines it had.
    pub fn each_unsent(&mut self, drawn: u64, mut k: u64, now_ns: u64, mut each: impl FnMut(u64, u64)) {
        let Pace::Rate(schedule) = &mut self.pace else { return };
        if self.duration_ns == u64::MAX {
            return;
        }
        let mut left = self.quota - drawn;
        while 0 < left {
            let due_ns = schedule.due_ns(k);
            if self.duration_ns.min(now_ns) <= due_ns {
                break;
            }
            let lines = self.batch.min(left);
            each(due_ns, lines);
            left -= lines;
            k += 1;
        }
    }
}

/// One client before it starts.
#[derive(Debug)]
pub struct Client {
    task: Task,
    connection: Connection,
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
    /// From due to done, or to the acknowledgement, in microseconds.
    pub response_us: Histogram<u64>,
    /// How late a send began through the generator's own fault, in microseconds.
    pub lag_us: Histogram<u64>,
    /// When its last send was done, in nanoseconds from the start.
    pub done_ns: u64,
    /// When the target had confirmed it, or the client gave up waiting.
    pub closed_ns: u64,
}

impl Outcome {
    /// Nothing was sent.
    pub fn new(task: &Task) -> Self {
        let digits = if task.clients <= MANY_CLIENTS { DIGITS } else { DIGITS_OF_MANY_CLIENTS };
        let histogram = || Histogram::new_with_max(RESPONSE_MAX_US, digits).expect("bounds that hdrhistogram accepts");
        let (response_us, lag_us) = (histogram(), histogram());
        Self { part: ClientPart::default(), bytes: 0, unsent: 0, response_us, lag_us, done_ns: 0, closed_ns: 0 }
    }

    /// Something that was due `count` times at once is done.
    pub fn record_response(&mut self, due_ns: u64, done_ns: u64, count: u64) {
        self.response_us.saturating_record_n(done_ns.saturating_sub(due_ns) / 1000, count);
    }

    /// A send began; it was due, and the client was free for it, at these times.
    pub fn record_lag(&mut self, sent_ns: u64, due_ns: u64, free_ns: u64) {
        self.lag_us.saturating_record(sent_ns.saturating_sub(due_ns.max(free_ns)) / 1000);
    }
}

impl Client {
    /// A client that does `task`.
    pub fn new(task: Task, connection: Connection) -> Self {
        let outcome = Outcome::new(&task);
        Self { task, connection, outcome }
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
        let (task, outcome) = (&mut self.task, &mut self.outcome);
        let mut buf = Vec::new();
        let (mut due_ns, mut k) = (0, 0);
        while outcome.part.sent < task.quota {
            due_ns = task.pace.due_ns(k, due_ns, outcome.done_ns);
            if task.duration_ns <= due_ns.max(outcome.done_ns) {
                break;
            }
            let lines = task.batch.min(task.quota - outcome.part.sent);
            buf.clear();
            let header = k == 0 && self.connection.wants_header(format);
            if header {
                buf.extend_from_slice(format.header());
            }
            let stamp = Stamp::at(clock.start_unix_ms + (due_ns / 1_000_000) as i64);
            if task.syslog {
                let before = |out: &mut Vec<u8>, _: usize| slots::syslog_header(out, &stamp);
                shared.payload.append_each(&mut buf, task.number, outcome.part.sent, lines as usize, &stamp, before);
            } else {
                shared.payload.append(&mut buf, task.number, outcome.part.sent, lines as usize, &stamp);
            }

            if !shared.stop.sleep_until(clock.start + Duration::from_nanos(due_ns)) {
                return;
            }
            outcome.part.attempted = outcome.part.sent + lines;
            outcome.part.header |= header;
            let sent_ns = clock.now_ns();
            if let Err(SendError { written, error }) = self.connection.send(&buf, &shared.stop) {
                let whole = memchr::memchr_iter(b'\n', &buf[..written]).count() as u64;
                outcome.part.sent += whole.saturating_sub(u64::from(header));
                outcome.bytes += written as u64;
                outcome.part.error = Some(format!("send: {error}"));
                return;
            }
            let free_ns = outcome.done_ns;
            outcome.done_ns = clock.now_ns();
            outcome.record_response(due_ns, outcome.done_ns, 1);
            outcome.record_lag(sent_ns, due_ns, free_ns);
            outcome.bytes += buf.len() as u64;
            outcome.part.sent += lines;
            counter.lines.store(outcome.part.sent, Ordering::Relaxed);
            k += 1;
        }
        let now_ns = clock.now_ns();
        task.each_unsent(outcome.part.sent, k, now_ns, |due_ns, lines| {
            outcome.record_response(due_ns, now_ns, 1);
            outcome.unsent += lines;
        });
    }
}
