//! Sessions that walk through the shop, one line after another. Pure.
//!
//! Lines are not independent draws: many sessions are under way at once, each follows a flow (login, browse, search, cart, pay, mail), its lines carry its
//! user and token, and a service that fails goes on failing for a while, so that errors and retries come in runs.

use std::collections::VecDeque;

use super::dice::{Dice, Zipf};
use super::services::{API, AUTH, CART, CATALOG, INVENTORY, Level, NOTIFY, PAYMENT, SEARCH, SERVICES, WORDS};

/// How many people use the shop; the busiest come first.
const USERS: usize = 20_000;
/// How many sessions are under way at once.
const SESSIONS: usize = 2_000;
/// How many hosts there are.
const NODES: u64 = 48;
/// How often a session tries a failing step again before it gives up.
const RETRIES_MAX: u32 = 3;

/// What one line says, in no format yet.
#[derive(Debug)]
pub struct Event {
    /// How serious it is.
    pub level: Level,
    /// Where its service stands in [`SERVICES`].
    pub service: usize,
    /// The filled template.
    pub message: String,
    /// Who.
    pub user: u32,
    /// The session's secret, 48 bits.
    pub token: u64,
    /// The session's request, with its path.
    pub request: String,
    /// How long it took.
    pub latency_us: u64,
}

struct Session {
    user: u32,
    token: u64,
    address: [u64; 2],
    service: usize,
    retries: u32,
}

/// An endless supply of events.
pub struct Traffic {
    dice: Dice,
    users: Zipf,
    sessions: Vec<Session>,
    /// How many visits each service goes on failing.
    failing: [u64; SERVICES.len()],
    ready: VecDeque<Event>,
}

impl Traffic {
    /// The traffic of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let users = Zipf::new(USERS);
        let mut sessions: Vec<_> = (0..SESSIONS).map(|_| Session::open(&users, &mut dice)).collect();
        for session in &mut sessions {
            session.service = [AUTH, CATALOG, SEARCH, CART][dice.weighted(&[1, 5, 3, 2])]; // under way already
        }
        Self { dice, users, sessions, failing: [0; SERVICES.len()], ready: VecDeque::new() }
    }

    /// The next line's content.
    pub fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let which = self.dice.below(self.sessions.len() as u64) as usize;
            self.step(which);
        }
    }

    /// One step of one session: the gateway's line now and then, then the service's.
    fn step(&mut self, which: usize) {
        let service = self.sessions[which].service;
        let level = self.outcome(service);
        let latency_us = self.dice.long_tailed(SERVICES[service].latency_us) << if level == Level::Warn { 3 } else { 0 };
        if self.dice.once_in(3) {
            let gateway = if level == Level::Error { Level::Error } else { self.outcome(API) };
            let own_us = self.dice.long_tailed(SERVICES[API].latency_us);
            self.say(which, API, service, gateway, latency_us + own_us);
        }
        self.say(which, service, service, level, latency_us);
        self.advance(which, level);
    }

    /// Whether a visit of `service` goes well, by the state it is in.
    fn outcome(&mut self, service: usize) -> Level {
        let (failing, dice) = (&mut self.failing[service], &mut self.dice);
        if *failing == 0 && dice.once_in(SERVICES[service].failure_once_in) {
            *failing = 20 + dice.below(80);
        }
        let weights = if 0 < *failing { [0, 35, 20, 45] } else { [SERVICES[service].debug_percent, 100, 2, 1] };
        *failing = failing.saturating_sub(1);
        [Level::Debug, Level::Info, Level::Warn, Level::Error][dice.weighted(&weights)]
    }

    fn say(&mut self, which: usize, service: usize, asked: usize, level: Level, latency_us: u64) {
        let told = &SERVICES[service];
        let templates = match level {
            Level::Debug => told.debug,
            Level::Info => told.info,
            Level::Warn => told.warn,
            Level::Error => told.error,
        };
        let template = self.dice.pick(templates);
        let message = self.fill(template, which);
        let session = &self.sessions[which];
        let request = format!("{}/{}", SERVICES[asked].request, self.dice.below(100_000));
        self.ready.push_back(Event { level, service, message, user: session.user, token: session.token, request, latency_us });
    }

    fn fill(&mut self, template: &str, which: usize) -> String {
        use std::fmt::Write as _;
        let (dice, session) = (&mut self.dice, &self.sessions[which]);
        let mut message = String::with_capacity(64);
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').expect("templates are written with both braces");
            message.push_str(text);
            rest = after;
            let written = match name {
                "ip" => write!(message, "10.{}.{}.{}", session.user % 4, session.address[0], session.address[1]),
                "node" => write!(message, "node-{:02}", dice.below(NODES)),
                "item" => write!(message, "{}", 10_000 + dice.long_tailed(4_000)),
                "order" => write!(message, "{:07}", dice.below(10_000_000)),
                "amount" => write!(message, "{}.{:02} EUR", dice.long_tailed(40), dice.below(100)),
                "bytes" => write!(message, "{}", dice.long_tailed(9_000)),
                "hex" => write!(message, "{:08x}", dice.bits() >> 32),
                "n" => write!(message, "{}", dice.long_tailed(12)),
                "words" => write!(message, "{}", dice.pick(&WORDS)),
                other => unreachable!("no template has {{{other}}}"),
            };
            written.expect("a String takes every text");
        }
        message.push_str(rest);
        message
    }

    /// Where the session goes next: on, back to the same step after a failure, or away.
    fn advance(&mut self, which: usize, level: Level) {
        let (dice, session) = (&mut self.dice, &mut self.sessions[which]);
        if level == Level::Error {
            session.retries += 1;
            if session.retries <= RETRIES_MAX {
                return;
            }
            *session = Session::open(&self.users, dice);
            return;
        }
        session.retries = 0;
        let next: &[(usize, u64)] = match session.service {
            AUTH => &[(CATALOG, 60), (SEARCH, 40)],
            CATALOG => &[(CATALOG, 45), (SEARCH, 25), (CART, 22), (API, 8)],
            SEARCH => &[(CATALOG, 60), (SEARCH, 30), (API, 10)],
            CART => &[(INVENTORY, 100)],
            INVENTORY => &[(CATALOG, 40), (CART, 15), (PAYMENT, 40), (API, 5)],
            PAYMENT => &[(NOTIFY, 100)],
            _ => &[(API, 1)], // the mail is out, or the user is gone: the next one comes
        };
        let weights: Vec<u64> = next.iter().map(|&(_, weight)| weight).collect();
        session.service = next[dice.weighted(&weights)].0;
        if session.service == API {
            *session = Session::open(&self.users, dice);
        }
    }
}

impl Session {
    fn open(users: &Zipf, dice: &mut Dice) -> Self {
        let user = users.draw(dice) as u32;
        Self { user, token: dice.bits() >> 16, address: [dice.below(256), dice.below(256)], service: AUTH, retries: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_logs_in_before_it_pays() {
        let mut traffic = Traffic::new(7);
        let mut logged_in = std::collections::HashSet::new();
        let mut payments_of_known = 0;
        for _ in 0..100_000 {
            let event = traffic.next_event();
            if event.service == AUTH {
                logged_in.insert(event.token);
            }
            payments_of_known += u32::from(event.service == PAYMENT && logged_in.contains(&event.token));
        }
        assert!(500 < payments_of_known, "{payments_of_known}");
    }

    #[test]
    fn failures_come_in_runs() {
        let mut traffic = Traffic::new(7);
        let payments: Vec<bool> =
            (0..60_000).map(|_| traffic.next_event()).filter(|e| e.service == PAYMENT).map(|e| e.level == Level::Error).collect();
        let share = payments.iter().filter(|failed| **failed).count() as f64 / payments.len() as f64;
        let pairs = payments.windows(2).filter(|pair| pair[0]).count();
        let after_failure = payments.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64 / pairs as f64;
        assert!(share < 0.2 && 1.5 * share < after_failure, "{share} of all, {after_failure} after a failure");
    }

    #[test]
    fn every_level_and_service_occurs() {
        let mut traffic = Traffic::new(3);
        let mut seen = [[0u32; 4]; SERVICES.len()];
        for _ in 0..40_000 {
            let event = traffic.next_event();
            seen[event.service][event.level as usize] += 1;
        }
        assert!(seen.iter().flatten().all(|count| 0 < *count), "{seen:?}");
        let errors: u32 = seen.iter().map(|levels| levels[Level::Error as usize]).sum();
        assert!((400..8_000).contains(&errors), "{errors} of 40000");
    }
}
