//! gzip members (RFC 1952): the fast levels through ISA-L where it is built in, the others through zlib-rs.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::CodecError;
use crate::store::name::Codec;

/// 2^15 bytes, the largest window there is.
const WINDOW_BITS: u8 = 15;
/// The highest level that ISA-L serves.
#[cfg(feature = "isal")]
const ISAL_LEVEL_MAX: i32 = 3;

/// The engines of one thread.
#[derive(Default)]
pub(super) struct Gzip {
    #[cfg(feature = "isal")]
    isal: Option<super::isal::Isal>,
    /// One deflate state per level that was ever asked for: changing the level of an existing one flushes, and means something else.
    zlib: [Option<Box<Compress>>; 10],
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip::default()
    }

    /// Replaces `out` by one member. Returns the CRC-32 of `raw`, which the member's trailer holds anyway.
    pub(super) fn compress(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<u32, CodecError> {
        out.clear();
        out.reserve(member_len_max(raw.len()));
        #[cfg(feature = "isal")]
        if level <= ISAL_LEVEL_MAX {
            self.isal.get_or_insert_with(super::isal::Isal::new).compress(raw, level as u32, out)?;
            return Ok(crc_of(out));
        }
        self.compress_zlib(raw, level as u32, out)?;
        Ok(crc_of(out))
    }

    fn compress_zlib(&mut self, raw: &[u8], level: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let state = self.zlib[level as usize].get_or_insert_with(|| Box::new(Compress::new_gzip(Compression::new(level), WINDOW_BITS)));
        state.reset();
        match state.compress_vec(raw, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => Ok(()),
            Ok(status) => Err(CodecError::new(Codec::Gzip, format!("stopped early: {status:?}"))),
            Err(error) => Err(CodecError::new(Codec::Gzip, error.to_string())),
        }
    }
}

/// What a member of `raw_len` bytes takes at most, with either engine: stored blocks hold up to 65,535 bytes and cost 5 bytes each; zlib's own bound
/// allows for smaller ones (its `deflateBound` for any memory level).
fn member_len_max(raw_len: usize) -> usize {
    raw_len + raw_len.div_ceil(8) + raw_len.div_ceil(64) + 64
}

/// The CRC-32 in a member's trailer (RFC 1952, section 2.3.1).
fn crc_of(member: &[u8]) -> u32 {
    let (_, trailer) = member.split_last_chunk::<8>().expect("a member has a trailer");
    u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]])
}
