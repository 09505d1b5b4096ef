//! gzip's fast levels, and decoding of whole members, through ISA-L.
//!
//! The safe functions of isal-rs build a new state for each call: 82 KB of stream and 276 KB of level buffer, zeroed, for every block. This module
//! keeps them, and writes into the output's spare capacity, which needs no zeroing either. It is one of the few places with `unsafe` in the crate.

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

/// One thread's state for decoding.
pub(super) struct Inflate(Box<ffi::inflate_state>);

impl Default for Inflate {
    fn default() -> Inflate {
        // SAFETY: the struct is plain C: integers, byte arrays, an enum whose first value is 0, and raw pointers, for all of which zero bytes are a value.
        Inflate(unsafe { Box::<ffi::inflate_state>::new_zeroed().assume_init() })
    }
}

impl Inflate {
    /// Appends what the gzip member in `input` holds to `raw`, which has room for `raw_len` bytes. It must be so many, and match the member's checksum.
    pub(super) fn decode(&mut self, input: &[u8], raw_len: usize, raw: &mut Vec<u8>) -> Result<(), CodecError> {
        let failed = |what: &str| CodecError::new(Codec::Gzip, what);
        let room = &mut raw.spare_capacity_mut()[..raw_len];
        let state = &mut *self.0;
        // SAFETY: `state` is a valid inflate_state, which this call may overwrite.
        unsafe { ffi::isal_inflate_init(state) };
        state.crc_flag = ffi::ISAL_GZIP;
        state.next_in = input.as_ptr().cast_mut();
        state.avail_in = u32::try_from(input.len()).map_err(|_| failed("a block is longer than any that is written"))?;
        state.next_out = room.as_mut_ptr().cast();
        state.avail_out = u32::try_from(raw_len).map_err(|_| failed("a block is longer than any that is written"))?;
        // SAFETY: next_in points to avail_in readable bytes, which ISA-L only reads; next_out to avail_out writable bytes of `raw`'s spare capacity. No pointer is used
        // after the call.
        let code = unsafe { ffi::isal_inflate_stateless(state) };
        match code {
            0 if state.total_out as usize == raw_len && state.avail_in == 0 => {}
            0..=2 => return Err(failed("a block has another length than its table says")),
            code => return Err(failed(&format!("damaged: ISA-L error {code}"))),
        }
        // SAFETY: ISA-L has written `raw_len` bytes, which is the length of `room`, behind the ones that were there.
        unsafe { raw.set_len(raw.len() + raw_len) };
        Ok(())
    }
}
