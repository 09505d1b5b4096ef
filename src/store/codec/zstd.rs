//! zstd frames (RFC 8878), each with its content's size and checksum.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::CodecError;
use crate::store::name::Codec;

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
