//! gzip's fast levels through ISA-L.
//!
//! The safe functions of isal-rs build a new state for each call: 82 KB of stream and 276 KB of level buffer, zeroed, for every block. This module
//! keeps both, and writes into the output's spare capacity, which needs no zeroing either. It is one of the few places with `unsafe` in the crate.

use isal::isal_sys::igzip_lib as ffi;

use super::CodecError;
use crate::store::name::Codec;

/// Level buffers: ISA-L's recommended size for its highest level, which is enough for the others.
const LEVEL_BUF_BYTES: usize = ffi::ISAL_DEF_LVL3_DEFAULT as usize;

/// One thread's ISA-L state.
pub(super) struct Isal {
    stream: Box<ffi::isal_zstream>,
    level_buf: Box<[u8]>,
}

impl Isal {
    pub(super) fn new() -> Isal {
        // SAFETY: the struct is plain C: integers, byte arrays, and raw pointers, for all of which zero bytes are a value.
        let stream = unsafe { Box::<ffi::isal_zstream>::new_zeroed().assume_init() };
        Isal { stream, level_buf: vec![0; LEVEL_BUF_BYTES].into_boxed_slice() }
    }

    /// Appends one gzip member to `out`, which has room for it: `raw`, 18 bytes, and 5 for each 65,535 of `raw` always suffice.
    pub(super) fn compress(&mut self, raw: &[u8], level: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let room = out.spare_capacity_mut();
        let stream = &mut *self.stream;
        // SAFETY: `stream` is a valid isal_zstream, which this call may overwrite.
        unsafe { ffi::isal_deflate_stateless_init(stream) };
        stream.level = level;
        stream.level_buf = self.level_buf.as_mut_ptr();
        stream.level_buf_size = LEVEL_BUF_BYTES as u32;
        stream.gzip_flag = ffi::IGZIP_GZIP as u16;
        stream.flush = ffi::NO_FLUSH as u16;
        stream.end_of_stream = 1;
        stream.next_in = raw.as_ptr().cast_mut();
        stream.avail_in = u32::try_from(raw.len()).expect("a block's length");
        stream.next_out = room.as_mut_ptr().cast();
        stream.avail_out = u32::try_from(room.len()).unwrap_or(u32::MAX);
        // SAFETY: next_in points to avail_in readable bytes, which ISA-L only reads; next_out to avail_out writable bytes of `out`'s spare capacity;
        // level_buf to level_buf_size bytes that outlive the call. No pointer is used after it.
        let code = unsafe { ffi::isal_deflate_stateless(stream) };
        let written = stream.total_out as usize;
        if code != ffi::COMP_OK as i32 {
            return Err(CodecError::new(Codec::Gzip, format!("ISA-L error {code}")));
        }
        assert!(stream.avail_in == 0 && written <= room.len());
        // SAFETY: ISA-L has written `written` bytes, checked to be within the capacity, behind the ones that were there.
        unsafe { out.set_len(out.len() + written) };
        Ok(())
    }
}
