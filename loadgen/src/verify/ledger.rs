//! Which lines have been seen: one bit each, shared by the readers. Further copies are counted only of lines that were sent again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::manifest::Manifest;
use crate::payload::LineId;

/// One bit per line that a run attempted.
#[derive(Debug)]
pub struct Ledger {
    clients: Vec<ClientLines>,
}

#[derive(Debug)]
struct ClientLines {
    attempted: u64,
    seen: Vec<AtomicU64>,
    /// Lines that were sent again; neither starts nor ends fall.
    resent: Vec<Range<u64>>,
    /// How often lines of these were seen again.
    again: Mutex<HashMap<u64, u64>>,
}

impl ClientLines {
    /// How often a line was sent again.
    fn times_resent(&self, seq: u64) -> u64 {
        let ended = self.resent.partition_point(|range| range.end <= seq);
        let begun = self.resent.partition_point(|range| range.start <= seq);
        begun.saturating_sub(ended) as u64
    }

    /// Whether one more copy of a line was sent than were seen so far.
    fn explains(&self, seq: u64) -> bool {
        let times = self.times_resent(seq);
        if times == 0 {
            return false;
        }
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = again.entry(seq).or_insert(0);
        *seen += 1;
        *seen <= times
    }
}

/// What a line is to those seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It was not seen before.
    First,
    /// It was, and it was sent again as often.
    AgainResent,
    /// It was.
    Again,
    /// The run never sent such a line.
    Unexpected,
}

impl Ledger {
    /// Nothing is seen yet.
    pub fn new(manifest: &Manifest) -> Self {
        let clients = manifest.clients.iter().map(|part| ClientLines {
            attempted: part.attempted,
            seen: (0..part.attempted.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            resent: part.resent.clone(),
            again: Mutex::default(),
        });
        Self { clients: clients.collect() }
    }

    /// Notes a line.
    pub fn see(&self, id: LineId) -> Sighting {
        let Some(client) = self.clients.get(id.client as usize).filter(|client| id.seq < client.attempted) else {
            return Sighting::Unexpected;
        };
        let bit = 1 << (id.seq % 64);
        // Only the bit itself is shared; that the readers are done is known from joining them.
        let before = client.seen[(id.seq / 64) as usize].fetch_or(bit, Ordering::Relaxed);
        match () {
            () if before & bit == 0 => Sighting::First,
            () if client.explains(id.seq) => Sighting::AgainResent,
            () => Sighting::Again,
        }
    }

    /// How many of these lines of a client were not seen; `gap` gets the first and last line of each gap.
    pub fn missing(&self, client: u32, lines: Range<u64>, mut gap: impl FnMut(u64, u64)) -> u64 {
        let seen = &self.clients[client as usize].seen;
        let mut missing = 0;
        let mut open: Option<u64> = None;
        let mut seq = lines.start;
        while seq < lines.end {
            let word = seen[(seq / 64) as usize].load(Ordering::Relaxed);
            if word == u64::MAX && seq.is_multiple_of(64) && open.is_none() {
                seq += 64; // all of them, the usual case
                continue;
            }
            if word >> (seq % 64) & 1 == 0 {
                missing += 1;
                open.get_or_insert(seq);
            } else if let Some(first) = open.take() {
                gap(first, seq - 1);
            }
            seq += 1;
        }
        if let Some(first) = open {
            gap(first, lines.end - 1);
        }
        missing
    }
}

/// The number of each client's latest line in one shard's files.
#[derive(Debug)]
pub struct Orders {
    latest: Vec<Option<u64>>,
}

impl Orders {
    /// No line was read yet.
    pub fn new(ledger: &Ledger) -> Self {
        Self { latest: vec![None; ledger.clients.len()] }
    }

    /// Whether a line comes after a later one of its client, directly. For a line that the ledger knows.
    pub fn is_behind(&mut self, id: LineId) -> bool {
        self.latest[id.client as usize].replace(id.seq).is_some_and(|before| id.seq < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ClientPart;
    use crate::payload::{Format, run_name};

    fn ledger(attempted: &[u64]) -> Ledger {
        let parts = attempted.iter().map(|&attempted| ClientPart { attempted, ..ClientPart::default() }).collect();
        Ledger::new(&Manifest::new(run_name(1), 1, Format::Json, String::new(), String::new(), parts))
    }

    #[test]
    fn a_line_is_seen_once() {
        let ledger = ledger(&[0, 130]);
        for (client, seq, sighting) in [
            (1, 0, Sighting::First),
            (1, 129, Sighting::First),
            (1, 129, Sighting::Again),
            (1, 130, Sighting::Unexpected),
            (0, 0, Sighting::Unexpected),
            (2, 0, Sighting::Unexpected),
        ] {
            assert_eq!(ledger.see(LineId { client, seq }), sighting, "{client} {seq}");
        }
    }

    #[test]
    fn as_many_copies_are_explained_as_were_sent_again() {
        let part = ClientPart { attempted: 20, resent: vec![2..6, 2..8, 6..9], ..ClientPart::default() };
        let ledger = Ledger::new(&Manifest::new(run_name(1), 1, Format::Json, String::new(), String::new(), vec![part]));
        for (seq, explained) in [(1, 0), (2, 2), (5, 2), (6, 2), (8, 1), (9, 0)] {
            let id = LineId { client: 0, seq };
            assert_eq!(ledger.see(id), Sighting::First);
            for _ in 0..explained {
                assert_eq!(ledger.see(id), Sighting::AgainResent, "{seq}");
            }
            assert_eq!(ledger.see(id), Sighting::Again, "{seq}");
        }
    }

    #[test]
    fn gaps_are_found_across_words() {
        let ledger = ledger(&[300]);
        let unseen = |seq: &u64| !(60..70).contains(seq) && !(127..=127).contains(seq) && !(250..300).contains(seq);
        for seq in (0..300).filter(unseen) {
            ledger.see(LineId { client: 0, seq });
        }
        let mut gaps = Vec::new();
        assert_eq!(ledger.missing(0, 0..300, |first, last| gaps.push((first, last))), 61);
        assert_eq!(gaps, [(60, 69), (127, 127), (250, 299)]);
        assert_eq!(ledger.missing(0, 0..64, |_, _| ()), 4);
        assert_eq!(ledger.missing(0, 65..128, |_, _| ()), 6);
        assert_eq!(ledger.missing(0, 0..0, |_, _| ()), 0);
    }

    #[test]
    fn order_is_per_client() {
        let ledger = ledger(&[10, 10]);
        let mut orders = Orders::new(&ledger);
        for (client, seq, behind) in [(0, 5, false), (1, 0, false), (0, 6, false), (0, 2, true), (0, 3, false), (1, 1, false)] {
            assert_eq!(orders.is_behind(LineId { client, seq }), behind);
        }
    }
}
