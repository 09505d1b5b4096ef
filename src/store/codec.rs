//! Blocks: raw lines to an independent gzip member or zstd frame, and back.
//!
//! Every block can be decoded alone, and all blocks of an archive in a row are what `zcat` and `zstdcat` expect. A [`Compressor`] belongs to one thread
//! and keeps its engines' state: compressing a block allocates nothing once its buffers have grown. Which engine serves which level, and why, is in
//! `docs/adr/0002-compression-engines.md`.

use std::ops::RangeInclusive;

use thiserror::Error;

use super::name::Codec;

mod gzip;
#[cfg(feature = "isal")]
mod isal;
mod reader;
mod zstd;

pub use reader::{BlockDecoder, BlockReader};

/// An engine refused its input, or bytes are not what the format wants.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{codec}: {what}")]
pub struct CodecError {
    /// The engine.
    pub codec: &'static str,
    /// What it said.
    pub what: String,
}

impl CodecError {
    fn new(codec: Codec, what: impl Into<String>) -> CodecError {
        CodecError { codec: codec.name(), what: what.into() }
    }
}

impl Codec {
    /// The codec's name as flags and metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }

    /// The levels that `--compression-level` takes.
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Codec::Gzip => 1..=9,
            Codec::Zstd => 1..=19,
        }
    }
}

/// One thread's engines.
pub struct Compressor {
    engine: Engine,
}

enum Engine {
    Gzip(gzip::Gzip),
    Zstd(zstd::Zstd),
}

impl Compressor {
    /// Prepares the engines of `codec`. Their state is allocated when a level first needs it.
    pub fn new(codec: Codec) -> Result<Compressor, CodecError> {
        let engine = match codec {
            Codec::Gzip => Engine::Gzip(gzip::Gzip::new()),
            Codec::Zstd => Engine::Zstd(zstd::Zstd::new()?),
        };
        Ok(Compressor { engine })
    }

    /// Replaces `out` by the compressed block. Returns the CRC-32 (IEEE 802.3, as in gzip) of `raw`.
    ///
    /// # Panics
    /// If `level` is none of [`Codec::levels`], or `raw` is longer than 2^32 - 1 bytes, which no block is.
    pub fn compress(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<u32, CodecError> {
        assert!(u32::try_from(raw.len()).is_ok());
        match &mut self.engine {
            Engine::Gzip(gzip) => {
                assert!(Codec::Gzip.levels().contains(&level));
                gzip.compress(raw, level, out)
            }
            Engine::Zstd(zstd) => {
                assert!(Codec::Zstd.levels().contains(&level));
                zstd.compress(raw, level, out)?;
                Ok(crc32fast::hash(raw))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(codec: Codec, archive: &[u8]) -> Result<Vec<Vec<u8>>, CodecError> {
        let mut reader = BlockReader::new(codec, archive);
        let (mut blocks, mut raw, mut compressed) = (Vec::new(), Vec::new(), 0);
        while let Some(len) = reader.next_block(&mut raw).map_err(|error| CodecError::new(codec, error.to_string()))? {
            compressed += len;
            blocks.push(raw.clone());
        }
        assert_eq!(compressed, archive.len() as u64);
        Ok(blocks)
    }

    /// JSON lines with some sense in them, so that compression has something to find.
    pub(crate) fn lines(count: usize, seed: u64) -> Vec<u8> {
        let mut text = Vec::new();
        for i in 0..count as u64 {
            let mixed = (i + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let line =
                format!("{{\"timestamp\":{i},\"level\":\"INFO\",\"session\":\"{mixed:x}\",\"message\":\"request {} done\"}}\n", mixed % 97);
            text.extend_from_slice(line.as_bytes());
        }
        text
    }

    #[test]
    fn every_level_decodes_to_the_same_bytes() {
        let inputs = [
            Vec::new(),
            b"\n".to_vec(),
            lines(1, 1),
            lines(5_000, 2),
            (0..70_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect(),
        ];
        for codec in Codec::ALL {
            let mut compressor = Compressor::new(codec).unwrap();
            let mut out = Vec::new();
            for level in codec.levels() {
                for raw in &inputs {
                    let crc = compressor.compress(raw, level, &mut out).unwrap();
                    assert_eq!(crc, crc32fast::hash(raw), "{codec:?} level {level}, {} bytes", raw.len());
                    assert_eq!(decoded(codec, &out).unwrap(), [raw.as_slice()], "{codec:?} level {level}, {} bytes", raw.len());
                }
            }
        }
    }

    #[test]
    fn output_buffers_stop_growing() {
        let (small, large) = (lines(10, 3), lines(4_000, 4));
        for codec in Codec::ALL {
            let mut compressor = Compressor::new(codec).unwrap();
            let mut out = Vec::new();
            compressor.compress(&large, 1, &mut out).unwrap();
            let capacity = out.capacity();
            for raw in [&small, &large, &small] {
                compressor.compress(raw, 1, &mut out).unwrap();
                assert_eq!(out.capacity(), capacity);
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let raw = lines(60, 5);
        for codec in Codec::ALL {
            let mut archive = Vec::new();
            Compressor::new(codec).unwrap().compress(&raw, 1, &mut archive).unwrap();
            let mut twice = archive.clone();
            twice.extend_from_slice(&archive);
            assert_eq!(decoded(codec, &twice).unwrap().len(), 2);
            for len in 1..archive.len() {
                assert!(decoded(codec, &archive[..len]).is_err(), "{codec:?} cut to {len} bytes");
            }
            for garbage in [&b"x"[..], &[0; 100]] {
                assert!(decoded(codec, &[&archive, garbage].concat()).is_err(), "{codec:?} with {} bytes of garbage", garbage.len());
            }
            let mut flipped = archive.clone();
            flipped[archive.len() / 2] ^= 0x10;
            assert!(decoded(codec, &flipped).is_err(), "{codec:?} with a flipped bit");
        }
    }

    proptest! {
        #[test]
        fn any_blocks_come_back(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..6), level in 1..=9i32) {
            for codec in Codec::ALL {
                let mut compressor = Compressor::new(codec).unwrap();
                let (mut archive, mut out) = (Vec::new(), Vec::new());
                for raw in &blocks {
                    compressor.compress(raw, level, &mut out).unwrap();
                    archive.extend_from_slice(&out);
                }
                prop_assert_eq!(decoded(codec, &archive).unwrap(), blocks.clone());
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
            for codec in Codec::ALL {
                let _ = BlockReader::new(codec, &bytes[..]).next_block(&mut Vec::new());
            }
        }
    }
}
