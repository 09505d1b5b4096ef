//! Finds an ASCII literal in any case, as fast as memory gives the bytes: two of its bytes are compared at 16 places at once. Pure.
//!
//! The same as `memchr::memmem` does for one case (Muła's "generic SIMD" search), with letters folded before they are compared.

/// Places that are looked at at once.
const PLACES: usize = 16;
/// The two bytes are among the first so many of a literal, so that what is read for a place stays near it.
const REACH: usize = 32;

/// An ASCII literal, folded to lower case.
#[derive(Debug)]
pub(super) struct Folded {
    literal: Box<[u8]>,
    /// Its rarest bytes, by where they stand.
    rare: [Rare; 2],
}

#[derive(Debug, Clone, Copy)]
struct Rare {
    at: usize,
    byte: u8,
    /// What makes both cases of it equal.
    fold: u8,
}

impl Folded {
    /// Of `literal`; `None` if it is empty, or not all ASCII.
    pub(super) fn new(literal: &str) -> Option<Self> {
        if literal.is_empty() || !literal.is_ascii() {
            return None;
        }
        let literal = literal.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let rare = |at: usize| {
            let byte = literal[at];
            Rare { at, byte, fold: if byte.is_ascii_lowercase() { 0x20 } else { 0 } }
        };
        let places = || 0..literal.len().min(REACH);
        let first = places().min_by_key(|&at| frequency(literal[at])).unwrap_or(0);
        let second = places().filter(|&at| at != first).min_by_key(|&at| frequency(literal[at])).unwrap_or(first);
        let rare = [rare(first), rare(second)];
        Some(Self { literal, rare })
    }

    /// The first place from `from` on where `text` has the literal.
    pub(super) fn find_at(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while at + self.literal.len() <= text.len() {
            let [mut first, mut second] = [[0; PLACES]; 2];
            let places = match self.windows(text, at) {
                Some([first, second]) => self.places(first, second),
                None => {
                    // The end of the text: what is behind it is nothing.
                    for (window, rare) in [(&mut first, self.rare[0]), (&mut second, self.rare[1])] {
                        let rest = text.get(at + rare.at..).unwrap_or_default();
                        let len = rest.len().min(PLACES);
                        window[..len].copy_from_slice(&rest[..len]);
                    }
                    self.places(&first, &second)
                }
            };
            if let Some(found) = bits(places).map(|place| at + place).find(|&found| self.is_at(text, found)) {
                return Some(found);
            }
            at += PLACES;
        }
        None
    }

    fn is_at(&self, text: &[u8], at: usize) -> bool {
        text.get(at..at + self.literal.len()).is_some_and(|there| there.eq_ignore_ascii_case(&self.literal))
    }

    fn windows<'a>(&self, text: &'a [u8], at: usize) -> Option<[&'a [u8; PLACES]; 2]> {
        let window = |rare: Rare| text.get(at + rare.at..)?.first_chunk();
        Some([window(self.rare[0])?, window(self.rare[1])?])
    }

    /// A bit for each place where both bytes stand.
    #[cfg(target_arch = "x86_64")]
    fn places(&self, first: &[u8; PLACES], second: &[u8; PLACES]) -> u16 {
        // SAFETY: the function needs SSE2 and nothing else, and SSE2 is part of x86_64.
        unsafe { self.places_with_sse2(first, second) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    fn places_with_sse2(&self, first: &[u8; PLACES], second: &[u8; PLACES]) -> u16 {
        use std::arch::x86_64::{_mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
        let equal = |window: &[u8; PLACES], rare: Rare| {
            let bytes = u128::from_le_bytes(*window);
            let folded = _mm_or_si128(_mm_set_epi64x((bytes >> 64) as i64, bytes as i64), _mm_set1_epi8(rare.fold as i8));
            _mm_cmpeq_epi8(folded, _mm_set1_epi8(rare.byte as i8))
        };
        _mm_movemask_epi8(_mm_and_si128(equal(first, self.rare[0]), equal(second, self.rare[1]))) as u16
    }

    /// See above.
    #[cfg(not(target_arch = "x86_64"))]
    fn places(&self, first: &[u8; PLACES], second: &[u8; PLACES]) -> u16 {
        let equal = |byte: u8, rare: Rare| byte | rare.fold == rare.byte;
        let is_there = |place: usize| equal(first[place], self.rare[0]) && equal(second[place], self.rare[1]);
        (0..PLACES).filter(|&place| is_there(place)).fold(0, |places, place| places | 1 << place)
    }
}

/// The numbers of the bits that are set.
fn bits(mut set: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        next
    })
}

/// How frequent a byte is in log lines, roughly.
fn frequency(byte: u8) -> usize {
    const FROM_RARE_TO_FREQUENT: &[u8] = b"zqxjkvwbyfgpmhucdlnsr98765432iao_/.:, 1t0e-\"";
    FROM_RARE_TO_FREQUENT.iter().position(|&known| known == byte).map_or(0, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_slow_search_finds(
            literal in "[abAB_ .@`]{1,5}|[a-zA-Z0-9]{30,40}",
            text in "[abAB_ .@`é]{0,200}",
            at in any::<prop::sample::Index>(),
            from in 0..90usize,
        ) {
            let mut bytes = text.clone().into_bytes();
            let naive = |bytes: &[u8]| {
                (from..bytes.len()).find(|&at| bytes[at..].get(..literal.len()).is_some_and(|there| there.eq_ignore_ascii_case(literal.as_bytes())))
            };
            let folded = Folded::new(&literal).unwrap();
            prop_assert_eq!(folded.find_at(&bytes, from), naive(&bytes));
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, literal.to_ascii_uppercase().bytes());
            prop_assert_eq!(folded.find_at(&bytes, from), naive(&bytes));
        }
    }

    #[test]
    fn only_ascii_has_two_cases_here() {
        assert!(Folded::new("").is_none() && Folded::new("zoë").is_none());
        let folded = Folded::new("k").unwrap();
        assert_eq!(folded.find_at("\u{212a} K".as_bytes(), 0), Some(4), "no Kelvin sign");
    }
}
