//! Reading an archive block by block.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::limits::{ARCHIVE_READ_BYTES, BLOCK_DECODED_BYTES_MAX};
use crate::store::name::Codec;

/// Decodes the blocks of an archive in turn. Checks each block's own checksum, and reads nothing into memory but one block.
///
/// Invariant: start <= filled <= input.len()
pub struct BlockReader<R> {
    codec: Codec,
    source: R,
    input: Box<[u8]>,
    start: usize,
    filled: usize,
    zstd: Option<DCtx<'static>>,
}

/// How far one call of a decoder got.
struct Progress {
    consumed: usize,
    /// The block is complete.
    ended: bool,
}

impl<R: Read> BlockReader<R> {
    /// Starts at the first byte of `source`, which is the first byte of a block.
    pub fn new(codec: Codec, source: R) -> BlockReader<R> {
        let input = vec![0; ARCHIVE_READ_BYTES].into_boxed_slice();
        BlockReader { codec, source, input, start: 0, filled: 0, zstd: None }
    }

    /// Replaces `raw` by the next block's bytes and returns its compressed length, or `None` at the end of the archive. Damage, also an archive that ends
    /// within a block, is an error of kind [`InvalidData`](io::ErrorKind::InvalidData); other kinds are the source's own.
    pub fn next_block(&mut self, raw: &mut Vec<u8>) -> io::Result<Option<u64>> {
        raw.clear();
        if !self.fill()? {
            return Ok(None);
        }
        let mut consumed = 0;
        let mut gzip = None;
        if self.codec == Codec::Gzip {
            gzip = Some(Decompress::new_gzip(15)); // the largest window; resetting one would forget that it reads gzip
        } else {
            let context = self.zstd.get_or_insert_with(DCtx::create);
            context.init().map_err(|code| damaged(zstd::zstd_safe::get_error_name(code)))?;
        }
        loop {
            let at_end = !self.fill()?;
            if raw.len() == raw.capacity() {
                if BLOCK_DECODED_BYTES_MAX <= raw.len() {
                    return Err(damaged("a block is longer than any that is written"));
                }
                raw.reserve(raw.len().max(ARCHIVE_READ_BYTES));
            }
            let decoded = raw.len();
            let input = &self.input[self.start..self.filled];
            let progress = match (&mut gzip, &mut self.zstd) {
                (Some(gzip), _) => inflate(gzip, input, raw)?,
                (None, Some(zstd)) => unzstd(zstd, input, raw)?,
                (None, None) => unreachable!("one of the two was made above"),
            };
            self.start += progress.consumed;
            consumed += progress.consumed as u64;
            if progress.ended {
                return Ok(Some(consumed));
            }
            // Without input a decoder may still hold output that had no room before.
            if at_end && decoded == raw.len() {
                return Err(damaged("ends within a block"));
            }
        }
    }

    /// Makes sure that there is input; false at the end of the source.
    fn fill(&mut self) -> io::Result<bool> {
        while self.start == self.filled {
            match self.source.read(&mut self.input) {
                Ok(0) => return Ok(false),
                Ok(n) => (self.start, self.filled) = (0, n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Decodes single blocks of known length, keeping its state.
#[derive(Default)]
pub struct BlockDecoder {
    zstd: Option<DCtx<'static>>,
}

impl BlockDecoder {
    /// Replaces `raw` by the block that is compressed in `input`, which has `raw_len` bytes. Damage is an error of kind
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    pub fn decode(&mut self, codec: Codec, input: &[u8], raw_len: usize, raw: &mut Vec<u8>) -> io::Result<()> {
        if BLOCK_DECODED_BYTES_MAX < raw_len {
            return Err(damaged("a block is longer than any that is written"));
        }
        raw.clear();
        raw.reserve_exact(raw_len);
        let whole = match codec {
            Codec::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                context.decompress(raw, input).map_err(|code| damaged(zstd::zstd_safe::get_error_name(code)))? == raw_len
            }
            Codec::Gzip => {
                let mut state = Decompress::new_gzip(15);
                let mut progress = inflate(&mut state, input, raw)?;
                if !progress.ended {
                    progress = inflate(&mut state, &input[progress.consumed..], raw)?; // the trailer, behind output that had filled its room
                }
                progress.ended && raw.len() == raw_len
            }
        };
        if whole { Ok(()) } else { Err(damaged("a block has another length than its table says")) }
    }
}

/// Appends to `raw` within its capacity.
fn inflate(state: &mut Decompress, input: &[u8], raw: &mut Vec<u8>) -> io::Result<Progress> {
    let before = state.total_in();
    let status = state.decompress_vec(input, raw, FlushDecompress::None).map_err(|error| damaged(error.to_string()))?;
    let consumed = (state.total_in() - before) as usize;
    Ok(Progress { consumed, ended: status == Status::StreamEnd })
}

/// Appends to `raw` within its capacity.
fn unzstd(state: &mut DCtx<'static>, input: &[u8], raw: &mut Vec<u8>) -> io::Result<Progress> {
    let mut source = InBuffer::around(input);
    let start = raw.len();
    let mut target = OutBuffer::around_pos(raw, start);
    let hint = state.decompress_stream(&mut target, &mut source).map_err(|code| damaged(zstd::zstd_safe::get_error_name(code)))?;
    Ok(Progress { consumed: source.pos(), ended: hint == 0 })
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
