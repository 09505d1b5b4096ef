//! The lines of a run: a pure function of seed, client, line number and time. Pure.
//!
//! [`BLOCKS`] blocks of [`BLOCK_LINES`] lines are made once from the seed. A client sends them in turn, for ever, from a place in the cycle that depends on the
//! client; two slots of each line are patched on the way ([`slots`]). Because a block has a thousand lines, the last three digits of a line's number are part of the
//! block and only the digits above them are patched, with the same bytes in all lines. No line's body comes back within one cycle, about 4 MiB of one client's
//! stream, so that a compressor with a smaller window finds no more repetition than the traffic itself has.
//!
//! Invariant: every block has exactly `BLOCK_LINES` lines, and each begins where the one before it ends.

pub mod dice;
pub mod format;
pub mod judge;
pub mod services;
pub mod sized;
pub mod slots;
pub mod traffic;

pub use format::Format;
pub use judge::Judgement;
pub use slots::{LineId, Stamp};

use std::ops::Range;

use dice::{Dice, mix};
use slots::{ID_BYTES, PATCH_BYTES, RUN_BYTES, STAMP_BYTES, digits};
use traffic::Traffic;

/// Lines of one block. A power of ten: see the module.
pub const BLOCK_LINES: usize = 1000;
/// How many blocks there are before the cycle starts again. 16 times about 259 KB: more than twice zstd's window at its fast levels, and it fits a shared cache.
pub const BLOCKS: usize = 16;
/// Which block a client starts with: this many further than the client before it. Has no factor in common with [`BLOCKS`], so that all get a turn.
const BLOCKS_BETWEEN_CLIENTS: usize = 5;

struct Block {
    bytes: Vec<u8>,
    /// Where each line ends, after its newline.
    ends: Vec<u32>,
}

/// The lines of one seed in one format.
pub struct Payload {
    format: Format,
    run: [u8; RUN_BYTES],
    blocks: Vec<Block>,
}

impl Payload {
    /// Makes the blocks: some milliseconds, some megabytes.
    pub fn new(seed: u64, format: Format) -> Self {
        Self::of_size(seed, format, None)
    }

    /// The same, with JSON lines of about so many bytes, if a number is given.
    pub fn of_size(seed: u64, format: Format, line_bytes: Option<u32>) -> Self {
        let mut run = *b"00000000-";
        run[..8].copy_from_slice(run_name(seed).as_bytes());
        let (mut traffic, mut dice) = (Traffic::new(seed), Dice::new(seed, 2));
        let blocks = (0..BLOCKS).map(|_| Block::new(format, line_bytes, &run, &mut traffic, &mut dice)).collect();
        Self { format, run, blocks }
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The mean length of a line with its newline.
    pub fn line_bytes_mean(&self) -> f64 {
        self.blocks.iter().map(|block| block.bytes.len()).sum::<usize>() as f64 / (BLOCKS * BLOCK_LINES) as f64
    }

    /// Appends `lines` whole lines of `client` from line number `seq` on, all with the time `stamp`.
    pub fn append(&self, out: &mut Vec<u8>, client: u32, seq: u64, lines: usize, stamp: &Stamp) {
        self.append_each(out, client, seq, lines, stamp, |_, _| {});
    }

    /// The same; `before` may append something in front of each line, whose length it gets, newline included.
    pub fn append_each(
        &self,
        out: &mut Vec<u8>,
        client: u32,
        seq: u64,
        lines: usize,
        stamp: &Stamp,
        mut before: impl FnMut(&mut Vec<u8>, usize),
    ) {
        let (mut seq, mut left) = (seq, lines);
        while 0 < left {
            let (block, first) = self.place(client, seq);
            let count = left.min(BLOCK_LINES - first);
            let patch = LineId::patch(client, seq / BLOCK_LINES as u64);
            self.append_of_block(out, block, first..first + count, &patch, stamp, &mut before);
            seq += count as u64;
            left -= count;
        }
    }

    /// The loop that has to be fast: each line is copied, then two short pieces of it are overwritten while it is in the first-level cache.
    fn append_of_block(
        &self,
        out: &mut Vec<u8>,
        block: &Block,
        lines: Range<usize>,
        patch: &[u8; PATCH_BYTES],
        stamp: &Stamp,
        before: &mut impl FnMut(&mut Vec<u8>, usize),
    ) {
        let before_stamp = self.format.before_stamp();
        let behind_patch = self.format.after_id() + 1 + ID_BYTES - RUN_BYTES; // from the patch to the line's end, newline included
        let mut start = block.start(lines.start);
        out.reserve(block.start(lines.end) - start);
        for &end in &block.ends[lines] {
            let end = end as usize;
            before(out, end - start);
            let at = out.len();
            out.extend_from_slice(&block.bytes[start..end]);
            let line = &mut out[at..];
            line[before_stamp..before_stamp + STAMP_BYTES].copy_from_slice(&stamp.0);
            let patch_at = line.len() - behind_patch;
            line[patch_at..patch_at + PATCH_BYTES].copy_from_slice(patch);
            start = end;
        }
    }

    /// The block and the place in it of a client's line.
    fn place(&self, client: u32, seq: u64) -> (&Block, usize) {
        let start = client as usize * BLOCKS_BETWEEN_CLIENTS;
        let chunk = seq / BLOCK_LINES as u64;
        (&self.blocks[(start + (chunk % BLOCKS as u64) as usize) % BLOCKS], (seq % BLOCK_LINES as u64) as usize)
    }
}

impl Block {
    fn new(format: Format, line_bytes: Option<u32>, run: &[u8; RUN_BYTES], traffic: &mut Traffic, dice: &mut Dice) -> Self {
        let mut micros: Vec<u64> = (0..BLOCK_LINES).map(|_| dice.below(1000)).collect();
        micros.sort_unstable(); // time goes on within a block
        let mut block = Self { bytes: Vec::new(), ends: Vec::with_capacity(BLOCK_LINES) };
        for (index, micros) in micros.into_iter().enumerate() {
            let event = traffic.next_event();
            match line_bytes {
                Some(line_bytes) if format == Format::Json => sized::write(&mut block.bytes, &event, micros, line_bytes as usize, traffic),
                _ => format.write(&mut block.bytes, &event, micros),
            }
            let id_end = block.bytes.len() - 1 - format.after_id();
            block.bytes[id_end - ID_BYTES..][..RUN_BYTES].copy_from_slice(run);
            digits(&mut block.bytes[id_end - 3..id_end], index as u64);
            block.ends.push(u32::try_from(block.bytes.len()).expect("a thousand short lines"));
        }
        assert_eq!(block.ends.len(), BLOCK_LINES);
        block
    }

    fn start(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// One line, without its newline, its slots not patched.
    fn line(&self, line: usize) -> &[u8] {
        &self.bytes[self.start(line)..self.ends[line] as usize - 1]
    }
}

/// The name of a seed's run, eight hexadecimal digits.
pub fn run_name(seed: u64) -> String {
    format!("{:08x}", mix(seed) as u32)
}

#[cfg(test)]
mod tests;
