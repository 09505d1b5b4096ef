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
    #[cfg(feature = "isal")]
    isal: Option<super::isal::Inflate>,
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
        match codec {
            Codec::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                let decoded = context.decompress(raw, input).map_err(|code| damaged(zstd::zstd_safe::get_error_name(code)))?;
                if decoded == raw_len { Ok(()) } else { Err(other_length()) }
            }
            #[cfg(feature = "isal")]
            Codec::Gzip => self.isal.get_or_insert_default().decode(input, raw_len, raw).map_err(|error| damaged(error.what)),
            #[cfg(not(feature = "isal"))]
            Codec::Gzip => inflate_whole(input, raw_len, raw),
        }
    }
}

/// Appends the member in `input` to `raw`, which has room for its `raw_len` bytes.
#[cfg(any(test, not(feature = "isal")))]
fn inflate_whole(input: &[u8], raw_len: usize, raw: &mut Vec<u8>) -> io::Result<()> {
    let mut state = Decompress::new_gzip(15);
    let mut progress = inflate(&mut state, input, raw)?;
    if !progress.ended {
        progress = inflate(&mut state, &input[progress.consumed..], raw)?; // the trailer, behind output that had filled its room
    }
    if progress.ended && raw.len() == raw_len { Ok(()) } else { Err(other_length()) }
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

fn other_length() -> io::Error {
    damaged("a block has another length than its table says")
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::codec::Compressor;
    use crate::store::codec::tests::lines;
    use proptest::prelude::*;

    #[test]
    fn blocks_of_known_length_are_decoded_whatever_their_level_and_length() {
        let mut decoder = BlockDecoder::default();
        let (mut block, mut raw) = (Vec::new(), b"another".to_vec());
        let noise: Vec<u8> = (0..70_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for codec in Codec::ALL {
            let mut compressor = Compressor::new(codec).unwrap();
            for level in codec.levels() {
                for expected in [Vec::new(), b"\n".to_vec(), lines(1, 1), lines(5_000, 2), noise.clone()] {
                    compressor.compress(&expected, level, &mut block).unwrap();
                    decoder.decode(codec, &block, expected.len(), &mut raw).unwrap();
                    assert_eq!(raw, expected, "{codec:?} level {level}");
                    for wrong in [expected.len() + 1, expected.len().saturating_sub(1)] {
                        let is_decoded = decoder.decode(codec, &block, wrong, &mut raw).is_ok();
                        assert_eq!(is_decoded, wrong == expected.len(), "{codec:?} level {level}: {wrong} bytes");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn damage_is_noticed_or_harmless(
            count in 1..60usize,
            level in 1..=9i32,
            damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<usize>()),
        ) {
            let expected = lines(count, 7);
            let (mut block, mut raw, mut other) = (Vec::new(), Vec::new(), Vec::new());
            Compressor::new(Codec::Gzip).unwrap().compress(&expected, level, &mut block).unwrap();
            for (at, byte) in damage {
                let at = at % block.len();
                block[at] = byte;
            }
            if let Some(cut) = cut {
                block.truncate(cut % block.len());
            }
            let decoded = BlockDecoder::default().decode(Codec::Gzip, &block, expected.len(), &mut raw);
            prop_assert!(decoded.is_err() || raw == expected);
            other.reserve_exact(expected.len());
            prop_assert!(inflate_whole(&block, expected.len(), &mut other).is_err() || decoded.is_ok(), "zlib-rs takes it");
        }
    }
}
