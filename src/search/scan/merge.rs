//! Matching lines of several blocks in one order. Pure.
//!
//! A line is handed on once no block that is still to come can hold one before it. What waits is bounded: beyond, lines are handed on before that is sure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::ControlFlow;

use super::Order;
use crate::limits::{BLOCK_DECODED_BYTES_MAX, SEARCH_LINE_BYTES};

/// The matching lines of one block, by key.
///
/// Invariant: each line is within `bytes`, once there are any.
#[derive(Debug, Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    lines: Vec<Entry>,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: i64,
    start: u32,
    len: u32,
}

const _: () = assert!(BLOCK_DECODED_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(size_of::<Entry>() == SEARCH_LINE_BYTES);

impl Run {
    /// A line of `len` bytes at `start` in the block.
    pub(super) fn push(&mut self, key: i64, start: usize, len: usize) {
        self.lines.push(Entry { key, start: start as u32, len: len as u32 });
    }

    /// Puts the lines in order, and keeps the first `limit` of them. Lines of one time stay in the order of their file, or in the reverse. Where they are most of
    /// what `block` takes, it is taken as it is; otherwise they are copied.
    pub(super) fn finish(&mut self, order: Order, limit: Option<usize>, block: &mut Vec<u8>) {
        if order == Order::NewestFirst {
            self.lines.reverse();
        }
        self.lines.sort_by_key(|entry| entry.key); // stable, and fast where most of it is in order
        self.lines.truncate(limit.unwrap_or(usize::MAX));
        self.lines.shrink_to_fit();
        let bytes: usize = self.lines.iter().map(|entry| entry.len as usize).sum();
        if block.capacity() <= 2 * bytes {
            self.bytes = std::mem::take(block);
            return;
        }
        self.bytes.reserve_exact(bytes);
        for entry in &mut self.lines {
            let line = &block[entry.start as usize..][..entry.len as usize];
            entry.start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(line);
        }
    }

    /// What it takes while it waits.
    fn waiting_bytes(&self) -> usize {
        self.bytes.capacity() + SEARCH_LINE_BYTES * self.lines.capacity()
    }
}

/// The runs that wait.
#[derive(Debug, Default)]
pub(super) struct Merge {
    runs: Vec<Run>,
    /// Places in `runs` that are free.
    free: Vec<usize>,
    /// The key of each run's next line; of equal keys, the run that came first.
    heads: BinaryHeap<Reverse<(i64, usize, usize)>>,
    added: usize,
    waiting_bytes: usize,
    waiting_bytes_max: usize,
}

impl Merge {
    pub(super) fn new(waiting_bytes_max: usize) -> Self {
        Self { waiting_bytes_max, ..Self::default() }
    }

    pub(super) fn add(&mut self, run: Run) {
        let Some(first) = run.lines.first() else { return };
        self.waiting_bytes += run.waiting_bytes();
        let key = first.key;
        let place = match self.free.pop() {
            Some(place) => {
                self.runs[place] = run;
                place
            }
            None => {
                self.runs.push(run);
                self.runs.len() - 1
            }
        };
        self.heads.push(Reverse((key, self.added, place)));
        self.added += 1;
    }

    /// Hands on every line before `bound`, the first key that may still come; all of them if none may.
    pub(super) fn emit(&mut self, bound: Option<i64>, mut emit: impl FnMut(i64, &[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        while let Some(mut head) = self.heads.peek_mut() {
            let Reverse((key, _, place)) = *head;
            if bound.is_some_and(|bound| bound < key) && self.waiting_bytes <= self.waiting_bytes_max {
                break;
            }
            let run = &mut self.runs[place];
            let Entry { start, len, .. } = run.lines[run.next];
            emit(key, &run.bytes[start as usize..][..len as usize])?;
            run.next += 1;
            match run.lines.get(run.next) {
                // Most often the run stays the first, and the heap as it is.
                Some(entry) => head.0.0 = entry.key,
                None => {
                    PeekMut::pop(head);
                    self.waiting_bytes -= run.waiting_bytes();
                    *run = Run::default();
                    self.free.push(place);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_waits_holds_no_more_than_is_counted_and_twice_its_lines() {
        for (len, reserved) in [(100, 100), (150, 150), (100, 100_000), (100_000, 100_000)] {
            let mut block = Vec::with_capacity(reserved);
            block.resize(len, b'x');
            let mut run = Run::default();
            (0..1_000).for_each(|at| run.push(at, if at == 0 { 0 } else { 1 }, 98));
            run.finish(Order::OldestFirst, Some(1), &mut block);
            assert!(run.bytes.capacity() <= 2 * 98, "{len}: {}", run.bytes.capacity());
            assert_eq!(run.waiting_bytes(), run.bytes.capacity() + SEARCH_LINE_BYTES);
            assert_eq!(run.lines.capacity(), 1);
        }
    }
}
