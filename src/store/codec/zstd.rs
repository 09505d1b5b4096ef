//! zstd frames (RFC 8878), each with its content's size and checksum.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::CodecError;
use crate::limits::BLOCK_BYTES;
use crate::store::name::Codec;

/// The window of blocks of usual length. A longer one, which is one huge line, gets no larger one: zstd's tables grow with it, to 80 MB at the highest level.
const WINDOW_LOG: u32 = BLOCK_BYTES.ilog2();
const _: () = assert!(BLOCK_BYTES.is_power_of_two());

/// One thread's zstd context.
pub(super) struct Zstd {
    context: Compressor<'static>,
    level: i32,
}

impl Zstd {
    pub(super) fn new() -> Result<Zstd, CodecError> {
        let level = *Codec::Zstd.levels().start();
        let mut context = Compressor::new(level).map_err(failed)?;
        context.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
        context.set_parameter(CParameter::WindowLog(WINDOW_LOG)).map_err(failed)?;
        Ok(Zstd { context, level })
    }

    /// Replaces `out` by one frame.
    pub(super) fn compress(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if self.level != level {
            self.context.set_compression_level(level).map_err(failed)?;
            self.level = level;
        }
        out.clear();
        out.reserve(compress_bound(raw.len()));
        self.context.compress_to_buffer(raw, out).map_err(failed)?;
        Ok(())
    }
}

fn failed(error: std::io::Error) -> CodecError {
    CodecError::new(Codec::Zstd, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;
    use crate::limits::budget::COMPRESSOR_BYTES;

    #[test]
    fn a_huge_line_makes_no_huge_context() {
        let raw = vec![b'x'; 16 * MIB];
        let (mut zstd, mut out) = (Zstd::new().unwrap(), Vec::new());
        for level in Codec::Zstd.levels() {
            zstd.compress(&raw, level, &mut out).unwrap();
            let bytes = zstd.context.context_mut().sizeof();
            assert!(bytes < COMPRESSOR_BYTES, "level {level}: {bytes} bytes");
        }
    }
}
