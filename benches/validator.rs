//! What all shapes do with a receive: find its lines and validate each as JSON, in place, with buffers that are used again.

use simd_json::{Buffers, Tape};

pub(crate) struct Validator {
    parser: Buffers,
    /// Empty between lines; only its allocation is kept.
    tape: Tape<'static>,
}

impl Default for Validator {
    fn default() -> Self {
        Self { parser: Buffers::new(4096), tape: Tape(Vec::new()) }
    }
}

impl Validator {
    /// Validates the whole lines in `buffer[..whole]`, behind which there is room for the parser's padding, and returns how many there are. Calls `before` with
    /// each line and its newline first: the parser rewrites them.
    pub(crate) fn validate(&mut self, buffer: &mut [u8], whole: usize, mut before: impl FnMut(&[u8])) -> u64 {
        let (mut at, mut lines) = (0, 0);
        while at < whole {
            let len = memchr::memchr(b'\n', &buffer[at..whole]).expect("a newline");
            before(&buffer[at..=at + len]);
            let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
            simd_json::fill_tape_padded(&mut buffer[at..], len, &mut self.parser, &mut tape).expect("JSON");
            self.tape = tape.reset();
            lines += 1;
            at += len + 1;
        }
        lines
    }
}
