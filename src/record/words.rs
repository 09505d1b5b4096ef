//! The text of a stored line, and the words in it: the one definition that the writer's token filter and the search share.
//!
//! The *text* of a line is the line with the escapes of its JSON strings resolved (RFC 8259, section 7): `{"m":"say \"h\u00e9\""}` reads `{"m":"say "hé""}`.
//! Outside of strings valid JSON has no backslash, so this needs no parser; what is no valid escape stays as it is. A *word* is a longest run of ASCII letters,
//! digits, `_` and bytes of other scripts (0x80 to 0xFF).
//!
//! A filter holds hashes of those words that are ASCII, folded to one case, and have at least [`WORD_BYTES_MIN`] bytes. Other words are not in any filter, so
//! a search for them asks none.

mod classes;

use classes::{CHUNK_BYTES, classes};

/// Shorter words are not hashed: most blocks hold them anyway, and they are two thirds of all words.
pub const WORD_BYTES_MIN: usize = 5;
const _: () = assert!(WORD_BYTES_MIN == 5, "for_each_hash looks four bytes back");

/// Folds ASCII letters to one case. Digits stay as they are, `_` becomes a byte that nothing else becomes.
const FOLD: u128 = 0x2020_2020_2020_2020_2020_2020_2020_2020;
/// Odd constants with their bits well mixed, from wyhash (public domain).
const MIX: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// Whether `byte` is part of a word.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || 0x80 <= byte
}

/// The text of `stored`, any number of whole lines: itself where it has no escapes, otherwise written to `scratch`.
pub fn text<'a>(stored: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(first) = memchr::memchr(b'\\', stored) else { return stored };
    scratch.clear();
    scratch.reserve_exact(stored.len()); // an escape is longer than what it means
    let (mut copied, mut at) = (0, first);
    loop {
        scratch.extend_from_slice(&stored[copied..at]);
        copied = at + unescape(&stored[at..], scratch);
        match memchr::memchr(b'\\', &stored[copied..]) {
            Some(next) => at = copied + next,
            None => break,
        }
    }
    scratch.extend_from_slice(&stored[copied..]);
    scratch
}

/// Appends what the escape at the start of `rest` means, and returns its length. What is none is a backslash.
fn unescape(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let byte = match rest.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'u') => return unescape_unicode(rest, out),
        _ => {
            out.push(b'\\');
            return 1;
        }
    };
    out.push(byte);
    2
}

/// `\uXXXX`, or two of them that are a surrogate pair; a surrogate alone is U+FFFD.
fn unescape_unicode(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(unit) = code_unit(rest) else {
        out.push(b'\\');
        return 1;
    };
    let low = if (0xD800..0xDC00).contains(&unit) { code_unit(&rest[6..]).filter(|low| (0xDC00..0xE000).contains(low)) } else { None };
    let (code, len) = match low {
        Some(low) => (0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 12),
        None => (unit, 6),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

fn code_unit(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(16 * unit + char::from(digit).to_digit(16)?))
}

/// The hash of `word`, one whole word; `None` for one that filters do not hold.
pub fn word_hash(word: &[u8]) -> Option<u64> {
    (WORD_BYTES_MIN <= word.len() && word.iter().all(|&byte| is_word_byte(byte) && byte.is_ascii())).then(|| hash(word))
}

/// Hands the hash of every word of `text` that filters hold to `found`.
pub fn for_each_hash(text: &[u8], mut found: impl FnMut(u64)) {
    let (mut start, mut is_suspect) = (0, false);
    // Of the chunk before: which bytes are part of words, and whether one that has the least length is under way.
    let (mut before, mut is_within) = (0u64, 0);
    let (chunks, rest) = text.as_chunks::<CHUNK_BYTES>();
    let mut last = [0; CHUNK_BYTES];
    last[..rest.len()].copy_from_slice(rest);
    for (at, chunk) in chunks.iter().chain([&last]).enumerate() {
        let (words, not_ascii) = classes(chunk);
        // Whether a word of this chunk may hold bytes that are not ASCII, wherever it began.
        is_suspect = not_ascii != 0 || (before >> (CHUNK_BYTES - 1) == 1 && is_suspect);
        // A bit where a word has the least length at least, up to its end: short words have none.
        let back = |bytes: usize| words << bytes | before >> (CHUNK_BYTES - bytes);
        let long = words & back(1) & back(2) & back(3) & back(4);
        // And a bit where such bits begin or end.
        let mut edges = long ^ (long << 1 | is_within);
        let mut is_in = is_within == 1;
        while edges != 0 {
            let edge = at * CHUNK_BYTES + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if is_in {
                found_word(text, start, edge, is_suspect, &mut found);
            } else {
                start = edge - (WORD_BYTES_MIN - 1);
            }
            is_in = !is_in;
        }
        is_within = long >> (CHUNK_BYTES - 1);
        before = words;
    }
    if is_within == 1 {
        word_hash(&text[start..]).into_iter().for_each(found);
    }
}

/// Ones in the first so many bytes.
const FIRST: [u128; 17] = {
    let mut masks = [0; 17];
    let mut len = 1;
    while len <= 16 {
        masks[len] = u128::MAX >> (8 * (16 - len));
        len += 1;
    }
    masks
};

#[inline]
fn found_word(text: &[u8], start: usize, end: usize, is_suspect: bool, found: &mut impl FnMut(u64)) {
    let len = end - start;
    match text[start..].first_chunk::<16>() {
        // Most words: the same as `hash`, without its loop.
        Some(bytes) if len <= 16 && !is_suspect => {
            found(step(len as u64, (u128::from_le_bytes(*bytes) | FOLD) & FIRST[len]));
        }
        _ if is_suspect => word_hash(&text[start..end]).into_iter().for_each(found),
        _ => found(hash(&text[start..end])),
    }
}

/// Beginning with the length, a [`step`] for each 16 bytes, little-endian, the last ones with zeros behind them.
fn hash(word: &[u8]) -> u64 {
    word.chunks(16).fold(word.len() as u64, |hash, part| {
        let mut bytes = [0; 16];
        bytes[..part.len()].copy_from_slice(part);
        step(hash, u128::from_le_bytes(bytes) | FOLD >> (8 * (16 - part.len())))
    })
}

#[inline]
fn step(hash: u64, bytes: u128) -> u64 {
    fold(hash ^ bytes as u64 ^ MIX[0], (bytes >> 64) as u64 ^ MIX[1])
}

/// Both halves of the 128-bit product, one over the other.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(stored: &str) -> String {
        String::from_utf8(text(stored.as_bytes(), &mut Vec::new()).to_vec()).unwrap()
    }

    #[test]
    fn escapes_are_resolved_and_what_is_none_stays() {
        for (stored, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#""say \"hi\"\n\tthere \\ \/""#, "\"say \"hi\"\n\tthere \\ /\""),
            (r"h\u00e9 \u0041 \ud83d\ude00", "hé A 😀"),
            (r"\ud83d \ude00\ud83dx", "\u{fffd} \u{fffd}\u{fffd}x"),
            (r"\x \u12 \", r"\x \u12 \"),
            (r"\ud83d\u0041", "\u{fffd}A"),
        ] {
            assert_eq!(text_of(stored), expected, "{stored}");
        }
    }

    #[test]
    fn what_a_filter_holds() {
        let mut hashes = Vec::new();
        let text = "\"Level\":\"error\" abc four user_id=12345 straße x-0123456789abcdef0";
        for_each_hash(text.as_bytes(), |hash| hashes.push(hash));
        let words: [&[u8]; 5] = [b"LEVEL", b"ERROR", b"user_ID", b"12345", b"0123456789ABCDEF0"];
        assert_eq!(hashes, words.map(|word| word_hash(word).unwrap()));
        for none in ["abc", "four", "straße", "a-b-c", "K\u{212a}ks"] {
            assert_eq!(word_hash(none.as_bytes()), None, "{none}");
        }
        assert_ne!(word_hash(b"abcde"), word_hash(b"abcde___"));
        // On disk: these never change.
        assert_eq!([word_hash(b"timeout"), word_hash(b"0123456789abcdef0")], [Some(GOLDEN[0]), Some(GOLDEN[1])]);
    }

    const GOLDEN: [u64; 2] = [15_429_815_853_245_748_939, 11_727_812_039_836_240_649];

    proptest! {
        #[test]
        fn any_string_reads_as_it_was_before_json(string in "(.|\n|\u{0}|[\"\\\\/]){0,60}", ascii in any::<bool>()) {
            let mut json = serde_json::to_string(&string).unwrap();
            if ascii {
                json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            prop_assert_eq!(text_of(&json), format!("\"{string}\""));
        }

        #[test]
        fn lines_are_resolved_one_by_one_or_all_at_once(lines in prop::collection::vec(r#"[\\ud83ce0n"x]{0,20}"#, 0..6)) {
            let one_by_one: Vec<String> = lines.iter().map(|line| text_of(line)).collect();
            prop_assert_eq!(text_of(&lines.join("\n")), one_by_one.join("\n"));
        }

        #[test]
        fn every_word_of_a_text_is_found(words in prop::collection::vec("[a-zA-Z0-9_]{1,20}|[a-zé0-9]{1,90}", 0..40), separator in "[ \\-.:,\"@\\[`{/^]{1,3}") {
            let mut hashes = Vec::new();
            for_each_hash(words.join(&separator).as_bytes(), |hash| hashes.push(hash));
            let expected: Vec<u64> = words.iter().filter_map(|word| word_hash(word.to_uppercase().as_bytes())).collect();
            prop_assert_eq!(hashes, expected);
        }
    }
}
