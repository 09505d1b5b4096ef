//! Which lines have been seen: one bit each, shared by the readers.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// What a line is to those seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It was not seen before.
    First,
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
        if before & bit == 0 { Sighting::First } else { Sighting::Again }
    }

    /// How many of a client's first `lines` lines were not seen; `gap` gets the first and last line of each gap.
    pub fn missing(&self, client: u32, lines: u64, mut gap: impl FnMut(u64, u64)) -> u64 {
        let seen = &self.clients[client as usize].seen;
        let mut missing = 0;
        let mut open: Option<u64> = None;
        let mut seq = 0;
        while seq < lines {
            let word = seen[(seq / 64) as usize].load(Ordering::Relaxed);
            if word == u64::MAX && seq % 64 == 0 && open.is_none() {
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
            gap(first, lines - 1);
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
    fn gaps_are_found_across_words() {
        let ledger = ledger(&[300]);
        let unseen = |seq: &u64| !(60..70).contains(seq) && !(127..=127).contains(seq) && !(250..300).contains(seq);
        for seq in (0..300).filter(unseen) {
            ledger.see(LineId { client: 0, seq });
        }
        let mut gaps = Vec::new();
        assert_eq!(ledger.missing(0, 300, |first, last| gaps.push((first, last))), 61);
        assert_eq!(gaps, [(60, 69), (127, 127), (250, 299)]);
        assert_eq!(ledger.missing(0, 64, |_, _| ()), 4);
        assert_eq!(ledger.missing(0, 0, |_, _| ()), 0);
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
