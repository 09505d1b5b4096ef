//! Which bytes of a text are part of words: 64 at a time, since the writer looks at every byte.
//!
//! With SSE2, which every x86_64 has, this takes a quarter of a cycle per byte; arithmetic on 64-bit words takes three times that, and the whole filter may cost a third
//! of what compressing does.

/// Bytes that are classified at once, one bit each.
pub(super) const CHUNK_BYTES: usize = 64;

/// Which bytes are part of a word, and which are not ASCII, the first one in the lowest bit.
#[cfg(target_arch = "x86_64")]
pub(super) fn classes(chunk: &[u8; CHUNK_BYTES]) -> (u64, u64) {
    // SAFETY: the function needs SSE2 and nothing else, and SSE2 is part of x86_64.
    unsafe { with_sse2(chunk) }
}

/// See [`classes`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn classes(chunk: &[u8; CHUNK_BYTES]) -> (u64, u64) {
    one_by_one(chunk)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn with_sse2(chunk: &[u8; CHUNK_BYTES]) -> (u64, u64) {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm_sub_epi8};
    let (halves, _) = chunk.as_chunks::<8>();
    let (mut words, mut not_ascii) = (0, 0);
    for part in 0..CHUNK_BYTES / 16 {
        let [low, high] = [halves[2 * part], halves[2 * part + 1]].map(i64::from_le_bytes);
        let bytes = _mm_set_epi64x(high, low);
        // Unsigned: x - first <= last - first.
        let is_between = |bytes, first: u8, last: u8| {
            let from_first = _mm_sub_epi8(bytes, _mm_set1_epi8(first as i8));
            _mm_cmpeq_epi8(_mm_min_epu8(from_first, _mm_set1_epi8((last - first) as i8)), from_first)
        };
        let letters = is_between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), b'a', b'z');
        let digits = is_between(bytes, b'0', b'9');
        let underscores = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'_' as i8));
        let ascii = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letters, digits), underscores)) as u64;
        let high = _mm_movemask_epi8(bytes) as u64;
        words |= (ascii | high) << (16 * part);
        not_ascii |= high << (16 * part);
    }
    (words, not_ascii)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(chunk: &[u8; CHUNK_BYTES]) -> (u64, u64) {
    let bits = |is_one: fn(u8) -> bool| chunk.iter().rev().fold(0, |bits, &byte| bits << 1 | u64::from(is_one(byte)));
    (bits(super::is_word_byte), bits(|byte| !byte.is_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for at in 0..CHUNK_BYTES {
                let mut chunk = [b' '; CHUNK_BYTES];
                chunk[at] = byte;
                chunk[(at + 7) % CHUNK_BYTES] = b'Q';
                assert_eq!(classes(&chunk), one_by_one(&chunk), "{byte} at {at}");
            }
        }
    }
}
