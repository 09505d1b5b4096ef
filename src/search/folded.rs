//! Finds an ASCII literal in any case, as fast as memory gives the bytes: two of its bytes are compared at 16 places at once. Pure.
//!
//! The same as `memchr::memmem` does for one case (Muła's "generic SIMD" search), with letters folded before they are compared. A long literal, which might be
//! compared to its end at every place of a text that is like it, is followed from where its rare bytes stand by Knuth, Morris and Pratt's search.

use crate::limits::QUERY_BYTES_MAX;

/// Places that are looked at at once.
const PLACES: usize = 16;
/// The two bytes are among the first so many of a literal, so that what is read for a place stays near it.
const REACH: usize = 32;

/// Up to so many bytes, a literal is compared as a whole wherever its rare bytes stand.
const SHORT: usize = 64;

/// An ASCII literal, folded to lower case.
#[derive(Debug)]
pub(super) struct Folded {
    literal: Box<[u8]>,
    /// Its rarest bytes, by where they stand.
    rare: [Rare; 2],
    /// Of a long literal, how many bytes at the end of each beginning are a shorter beginning.
    borders: Box<[u16]>,
}

const _: () = assert!(QUERY_BYTES_MAX <= u16::MAX as usize);

#[derive(Debug, Clone, Copy)]
struct Rare {
    at: usize,
    byte: u8,
    /// What makes both cases of it equal.
    fold: u8,
}

impl Folded {
    /// Of `literal`; `None` if it is empty, not all ASCII, or longer than a query.
    pub(super) fn new(literal: &str) -> Option<Self> {
        if literal.is_empty() || !literal.is_ascii() || QUERY_BYTES_MAX < literal.len() {
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
        let borders = if SHORT < literal.len() { borders(&literal) } else { Box::default() };
        Some(Self { literal, rare, borders })
    }

    /// The first place from `from` on where `text` has the literal.
    pub(super) fn find_at(&self, text: &[u8], from: usize) -> Option<usize> {
        self.find_where(text, from, |_| true)
    }

    /// The first such place that is `right`.
    pub(super) fn find_where(&self, text: &[u8], from: usize, is_right: impl Fn(usize) -> bool) -> Option<usize> {
        if self.borders.is_empty() {
            return self.find_candidate(text, from, |at| self.is_at(text, at) && is_right(at));
        }
        let mut next = from;
        while let Some(mut at) = self.find_candidate(text, next, |_| true) {
            let mut held = 0;
            while at < text.len() {
                held = self.held_after(held, text[at]);
                at += 1;
                if held == self.literal.len() && is_right(at - held) {
                    return Some(at - held);
                }
                if held == 0 {
                    break;
                }
            }
            next = at;
        }
        None
    }

    /// How many bytes of the literal stand before `byte` and with it, where `held` stand before it.
    fn held_after(&self, mut held: usize, byte: u8) -> usize {
        let byte = byte.to_ascii_lowercase();
        while 0 < held && self.literal.get(held) != Some(&byte) {
            held = usize::from(self.borders[held - 1]);
        }
        held + usize::from(self.literal[held] == byte)
    }

    /// The first place from `from` on where both rare bytes stand as in the literal, there is room for it, and `is_right`.
    fn find_candidate(&self, text: &[u8], from: usize, is_right: impl Fn(usize) -> bool) -> Option<usize> {
        let mut at = from;
        while at + self.literal.len() <= text.len() {
            let places = match self.windows(text, at) {
                Some([first, second]) => self.places(first, second),
                None => {
                    // The end of the text: what is behind it is nothing.
                    let window = |rare: Rare| {
                        let mut window = [0; PLACES];
                        let rest = text.get(at + rare.at..).unwrap_or_default();
                        let len = rest.len().min(PLACES);
                        window[..len].copy_from_slice(&rest[..len]);
                        window
                    };
                    self.places(&window(self.rare[0]), &window(self.rare[1]))
                }
            };
            if let Some(found) = bits(places).map(|place| at + place).find(|&found| is_right(found)) {
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

/// Of each beginning of `literal`, how many bytes at its end, but not all, are the literal's beginning.
fn borders(literal: &[u8]) -> Box<[u16]> {
    let mut borders = vec![0_u16; literal.len()];
    let mut held = 0;
    for at in 1..literal.len() {
        while 0 < held && literal[held] != literal[at] {
            held = usize::from(borders[held - 1]);
        }
        held += usize::from(literal[held] == literal[at]);
        borders[at] = held as u16;
    }
    borders.into_boxed_slice()
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

    proptest! {
        #[test]
        fn a_long_one_is_found_among_what_is_like_it(
            unit in "[abA]{1,5}",
            times in 20..60usize,
            end in "[abAB_]{60,70}",
            text in prop::collection::vec(prop_oneof![3 => Just(None), 1 => "[abAB ]{1,30}".prop_map(Some)], 0..120),
            wanted in 0..4usize,
        ) {
            let literal = unit.repeat(times) + &end;
            let text: String = text.iter().map(|piece| piece.as_deref().unwrap_or(&unit).to_owned()).collect();
            let text = format!("{text}{literal}{}{}{literal}x", unit.repeat(times), literal.to_ascii_uppercase());
            let places: Vec<usize> = (0..text.len())
                .filter(|&at| text.as_bytes()[at..].get(..literal.len()).is_some_and(|there| there.eq_ignore_ascii_case(literal.as_bytes())))
                .collect();
            let folded = Folded::new(&literal).unwrap();
            prop_assert_eq!(folded.find_at(text.as_bytes(), 0), places.first().copied());
            let wanted = places.get(wanted).copied();
            prop_assert_eq!(folded.find_where(text.as_bytes(), 0, |at| Some(at) == wanted), wanted);
            let after = places[0] + 1;
            prop_assert_eq!(folded.find_at(text.as_bytes(), after), places.get(1).copied());
        }
    }

    /// Compared as a whole at every place, this takes minutes.
    #[test]
    fn a_long_one_takes_no_longer_where_nearly_everything_is_like_it() {
        let literal = "a".repeat(QUERY_BYTES_MAX - 2) + "b";
        let text = "A".repeat(32 << 20);
        let folded = Folded::new(&literal).unwrap();
        assert_eq!(folded.find_at(text.as_bytes(), 0), None);
        assert_eq!(Folded::new(&"a".repeat(1_000)).unwrap().find_where(text.as_bytes(), 0, |_| false), None);
    }

    #[test]
    fn only_ascii_has_two_cases_here() {
        assert!(Folded::new("").is_none() && Folded::new("zoë").is_none());
        let folded = Folded::new("k").unwrap();
        assert_eq!(folded.find_at("\u{212a} K".as_bytes(), 0), Some(4), "no Kelvin sign");
    }
}
