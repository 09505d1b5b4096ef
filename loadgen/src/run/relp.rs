//! One client of a RELP server: at most a window of lines is on its way, and each is acknowledged.
//!
//! One thread, one connection that does not block: frames are made while there is room in the window, many for one write, and answers are read many at a time.
//! The response time of a line is the moment when its answer was read - the moment when it was *due*: by the schedule, or flat out, when it was made.
//! The lag is sent - max(due, the moment when the window last had room): how late the client was through its own fault.
//!
//! A lost connection is opened again, and what was not answered is sent again in its old order under the new session's numbers, as librelp's clients do.
//! The server may have stored such a line twice: which ones is in the manifest.

pub mod session;
pub mod window;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Counter, Outcome, Task};
use super::target::{CLOSE_TIMEOUT, STOP_TIMEOUT};
use super::{Clock, Shared};
use crate::manifest::{RECONNECTS_MAX, REFUSED_MAX};
use crate::payload::{Payload, Stamp};
use crate::schedule::Pace;
use session::{Answer, Broken, Session};
use window::Window;

/// The pause before a lost connection is opened again, after the first loss without progress; it doubles from try to try.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often a wait looks for a stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One client before it starts.
#[derive(Debug)]
pub struct RelpClient {
    task: Task,
    options: Options,
    link: Option<Link>,
    lines: Window,
    outcome: Outcome,
    /// The next send, and when the one before it was due.
    k: u64,
    last_due_ns: u64,
    /// Since when it could have sent; not yet again, while it is held.
    free_ns: u64,
    held: bool,
    /// No more lines will be due.
    over: bool,
    /// When the last answer came, or what is waited for began.
    progress_ns: u64,
    answered_ns: u64,
    retry: Retry,
    refusal: Option<String>,
}

/// What a RELP client is told beside its task.
#[derive(Debug, Clone)]
pub struct Options {
    /// `HOST:PORT`.
    pub address: String,
    /// Lines that may be on their way.
    pub window: u64,
    /// How long to go on reconnecting without an answer.
    pub reconnect_timeout: Duration,
}

/// A session and the client's lines in it.
#[derive(Debug)]
struct Link {
    session: Session,
    /// Its first line.
    first: u64,
    /// Frames before that: `open`, and the header line where there is one.
    before_first: u64,
    /// Lines before this were sent in an earlier session.
    again_end: u64,
    /// Some of them were sent in this one.
    sends_again: bool,
}

/// The tries to open a lost connection.
#[derive(Debug)]
struct Retry {
    backoff: Duration,
    /// When the connection was lost for the first time since the last answer.
    since: Option<Instant>,
    /// How.
    lost: String,
    /// What became of the last try.
    last: Option<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { backoff: BACKOFF_FIRST, since: None, lost: String::new(), last: None }
    }
}

/// What a client waits for when it has made all the frames that it may.
enum Next {
    /// The moment when more lines are due.
    Due(u64),
    /// The server.
    Answers,
    /// Only the write: then more can be made.
    Write,
}

impl RelpClient {
    /// A client with its open session; one that has nothing to send needs none.
    pub fn new(task: Task, options: Options, session: Option<Session>, header: &[u8]) -> Self {
        let outcome = Outcome::new(&task);
        let mut client = Self {
            task,
            options,
            link: None,
            lines: Window::default(),
            outcome,
            k: 0,
            last_due_ns: 0,
            free_ns: 0,
            held: false,
            over: false,
            progress_ns: 0,
            answered_ns: 0,
            retry: Retry::default(),
            refusal: None,
        };
        if let Some(session) = session {
            client.begin(session, header);
        }
        client
    }

    /// Opens the session of one client.
    pub fn open(address: &str) -> anyhow::Result<Session> {
        Session::open(address)
    }

    /// Sends until the quota, the duration, a stop or an error, and until every line is answered.
    pub fn send_all(mut self, shared: &Shared, counter: &Counter) -> Outcome {
        let clock = shared.gather();
        let end = if self.link.is_some() { self.exchange(shared, clock, counter) } else { Ok(()) };
        self.note_sent();
        let Self { mut task, link, lines, mut outcome, k, answered_ns, refusal, .. } = self;
        let now_ns = clock.now_ns();
        // Leaving these out would flatter the response times.
        lines.unanswered(|lines, due_ns| outcome.record_response(due_ns, now_ns, lines));
        outcome.unsent = lines.drawn() - lines.attempted();
        if shared.stop.since().is_none() {
            task.each_unsent(lines.drawn(), k, now_ns, |due_ns, lines| {
                outcome.record_response(due_ns, now_ns, lines);
                outcome.unsent += lines;
            });
        }
        outcome.closed_ns = answered_ns;
        let part = &mut outcome.part;
        part.acknowledged = Some(lines.answered());
        part.confirmed = lines.answered();
        if let Some(link) = link {
            outcome.bytes += link.session.bytes();
            if end.is_ok() {
                link.session.close();
            }
        }
        let unanswered = lines.attempted() - lines.answered();
        let told = end.err().map(|why| format!("{why}; {unanswered} lines are not acknowledged"));
        let refused = refusal.map(|why| format!("{} lines were refused, the first with: {why}", part.refused_lines()));
        part.error = told.into_iter().chain(refused).reduce(|a, b| format!("{a}; {b}"));
        outcome
    }

    /// Goes on until everything is answered; an error says why it is not.
    fn exchange(&mut self, shared: &Shared, clock: Clock, counter: &Counter) -> Result<(), String> {
        loop {
            if self.link.is_none() {
                self.reconnect(shared, clock)?;
            }
            match self.turn(shared, clock) {
                Ok(Turn::More) => counter.lines.store(self.lines.answered(), Ordering::Relaxed),
                Ok(Turn::Done) => return Ok(()),
                Ok(Turn::GiveUp(why)) => return Err(why),
                Err(Broken::Lost(why)) => self.disconnect(&why, clock),
                Err(broken @ Broken::Malformed(_)) => return Err(broken.to_string()),
            }
        }
    }

    /// Makes frames, writes, waits, reads.
    fn turn(&mut self, shared: &Shared, clock: Clock) -> Result<Turn, Broken> {
        let stop = shared.stop.since();
        let now_ns = clock.now_ns();
        let next = self.make_frames(&shared.payload, clock, now_ns, stop.is_some());
        let link = self.link.as_mut().expect("a turn has a connection");
        if !link.session.is_flushed() {
            link.session.flush()?;
            if link.session.is_flushed() && self.lines.waiting() == 0 {
                self.outcome.done_ns = clock.now_ns();
            }
            self.note_sent();
        }
        let session = &self.link.as_ref().expect("a turn has a connection").session;
        let waiting = if stop.is_some() { self.lines.waiting_again() } else { self.lines.waiting() };
        if (self.over || stop.is_some()) && waiting == 0 && session.outstanding() == 0 {
            return Ok(Turn::Done);
        }
        if stop.is_some_and(|since| STOP_TIMEOUT <= since.elapsed()) {
            return Ok(Turn::GiveUp(format!("no answer within {} s after the stop", STOP_TIMEOUT.as_secs())));
        }
        if self.over && CLOSE_TIMEOUT.as_nanos() <= u128::from(now_ns.saturating_sub(self.progress_ns)) {
            return Ok(Turn::GiveUp(format!("no answer for {} s after the end", CLOSE_TIMEOUT.as_secs())));
        }
        let timeout = match next {
            Next::Due(due_ns) => Duration::from_nanos(due_ns.saturating_sub(clock.now_ns())).min(LOOK_EVERY),
            Next::Write if session.is_flushed() => Duration::ZERO,
            Next::Write | Next::Answers => LOOK_EVERY,
        };
        if session.wait(timeout).map_err(|error| Broken::Lost(format!("{error:#}")))? {
            return self.read(clock);
        }
        Ok(Turn::More)
    }

    /// Makes the frames for which lines are due and the window has room. Room for one is used: what is sent carries TCP's own acknowledgement, without which a
    /// server that leaves Nagle's algorithm on holds back its other answers for 40 ms.
    fn make_frames(&mut self, payload: &Payload, clock: Clock, now_ns: u64, stopping: bool) -> Next {
        loop {
            let waiting = if stopping { self.lines.waiting_again() } else { self.lines.waiting() };
            let due = if waiting == 0 { self.due_next(now_ns, stopping) } else { None };
            if waiting == 0 && due.is_none() {
                return Next::Answers; // no more lines, ever
            }
            if let Some((due_ns, _)) = due
                && now_ns < due_ns
            {
                return Next::Due(due_ns);
            }
            let session = &mut self.link.as_mut().expect("frames are made for a connection").session;
            let room = self.options.window.saturating_sub(session.outstanding());
            if room == 0 {
                self.held = true;
                return Next::Answers;
            }
            if !session.has_room() {
                self.held = true;
                return Next::Write;
            }
            if std::mem::take(&mut self.held) {
                self.free_ns = now_ns;
            }
            if let Some((due_ns, lines)) = due {
                // Flat out a line is due when it is made, not before.
                let lines = if matches!(self.task.pace, Pace::FlatOut) { lines.min(room) } else { lines };
                let stamp = Stamp::at(clock.start_unix_ms + (due_ns / 1_000_000) as i64);
                self.lines.draw(lines, due_ns, stamp);
                self.outcome.record_lag(now_ns, due_ns, self.free_ns);
                (self.k, self.last_due_ns) = (self.k + 1, due_ns);
            }
            let piece = self.lines.take(room);
            session.push(payload, self.task.number, &piece);
            self.note_again(piece.first, piece.first + piece.lines);
        }
    }

    /// When the next lines are due, and how many; `None` when no more will be.
    fn due_next(&mut self, now_ns: u64, stopping: bool) -> Option<(u64, u64)> {
        let left = self.task.quota - self.lines.drawn();
        if self.over || stopping {
            return None;
        }
        let free_ns = if matches!(self.task.pace, Pace::FlatOut) { now_ns } else { self.outcome.done_ns };
        let due_ns = self.task.pace.due_ns(self.k, self.last_due_ns, free_ns);
        if left == 0 || self.task.duration_ns <= due_ns.max(now_ns) {
            (self.over, self.progress_ns) = (true, now_ns);
            return None;
        }
        Some((due_ns, self.task.batch.min(left)))
    }

    /// Reads once, and all answers in it.
    fn read(&mut self, clock: Clock) -> Result<Turn, Broken> {
        self.session().fill()?;
        let now_ns = clock.now_ns();
        while let Some(answer) = self.session().next_answer()? {
            if let Some(why) = self.take_answer(answer, now_ns) {
                return Ok(Turn::GiveUp(why));
            }
        }
        Ok(Turn::More)
    }

    /// Notes an answer. The reason to give up, if it is one.
    fn take_answer(&mut self, answer: Answer, now_ns: u64) -> Option<String> {
        (self.progress_ns, self.answered_ns) = (now_ns, now_ns);
        self.retry = Retry::default();
        let link = self.link.as_ref().expect("an answer came over a connection");
        let lines = link.first + link.session.answered().saturating_sub(link.before_first) - self.lines.answered();
        let Self { outcome, lines: window, .. } = self;
        match answer {
            Answer::Accepted(_) => window.answer(lines, |lines, due_ns| outcome.record_response(due_ns, now_ns, lines)),
            Answer::Refused(why) => {
                if 0 < lines {
                    outcome.part.note_refused(window.answered());
                }
                window.answer(lines, |_, _| {});
                self.refusal.get_or_insert(why);
            }
        }
        (REFUSED_MAX < outcome.part.refused.len()).then(|| "the target refuses line after line".to_owned())
    }

    fn session(&mut self) -> &mut Session {
        &mut self.link.as_mut().expect("only called with a connection").session
    }

    /// A session begins: all that is not answered is to be sent.
    fn begin(&mut self, mut session: Session, header: &[u8]) {
        self.lines.rewind();
        let before_first = session.answered() + u64::from(!header.is_empty());
        if !header.is_empty() {
            session.push_line(header);
            self.outcome.part.header = true;
        }
        let (first, again_end) = (self.lines.answered(), self.outcome.part.sent);
        self.link = Some(Link { session, first, before_first, again_end, sends_again: false });
    }

    /// The connection is gone. What was answered before that counts.
    fn disconnect(&mut self, why: &str, clock: Clock) {
        while let Ok(true) = self.session().fill() {
            while let Ok(Some(answer)) = self.session().next_answer() {
                self.take_answer(answer, clock.now_ns());
            }
        }
        self.note_sent();
        self.outcome.bytes += self.session().bytes();
        self.link = None;
        self.held = true;
        self.retry.since.get_or_insert_with(Instant::now);
        self.retry.lost = why.to_owned();
    }

    /// Opens the connection again, however often that takes.
    fn reconnect(&mut self, shared: &Shared, clock: Clock) -> Result<(), String> {
        loop {
            let Retry { since, lost, last, .. } = &self.retry;
            let at_last = last.as_ref().map_or(String::new(), |last| format!(", at last: {last}"));
            if self.options.reconnect_timeout <= since.map_or(Duration::ZERO, |since| since.elapsed()) {
                return Err(format!("{lost}; no answer for {:?} of reconnecting{at_last}", self.options.reconnect_timeout));
            }
            if RECONNECTS_MAX <= self.outcome.part.reconnects {
                return Err(format!("{lost}, after {RECONNECTS_MAX} reconnects"));
            }
            if !shared.stop.sleep_until(Instant::now() + self.retry.backoff) {
                return Err(format!("{lost}; the stop came before it was back{at_last}"));
            }
            self.retry.backoff = (self.retry.backoff * 2).min(BACKOFF_MAX);
            match Session::open(&self.options.address) {
                Ok(session) => {
                    self.outcome.part.reconnects += 1;
                    self.progress_ns = clock.now_ns();
                    self.begin(session, shared.payload.format().header());
                    return Ok(());
                }
                Err(error) => self.retry.last = Some(format!("{error:#}")),
            }
        }
    }

    /// Notes which lines the kernel took whole.
    fn note_sent(&mut self) {
        let taken = self.link.as_ref().map_or(0, |link| link.first + link.session.taken().saturating_sub(link.before_first));
        let part = &mut self.outcome.part;
        part.sent = part.sent.max(taken).max(self.lines.answered());
        part.attempted = self.lines.attempted();
    }

    /// Notes which of the lines `first..end` were sent in an earlier session.
    fn note_again(&mut self, first: u64, end: u64) {
        let link = self.link.as_mut().expect("frames were made for a connection");
        let end = end.min(link.again_end);
        if end <= first {
            return;
        }
        let resent = &mut self.outcome.part.resent;
        match resent.last_mut() {
            Some(range) if link.sends_again => range.end = end,
            _ => resent.push(first..end),
        }
        link.sends_again = true;
    }
}

/// What a turn came to.
enum Turn {
    /// There is more to do.
    More,
    /// Everything is answered.
    Done,
    /// It makes no sense to go on.
    GiveUp(String),
}
