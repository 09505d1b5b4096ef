//! The `.meta` file beside an archive: what each block holds and where it is, so that a reader opens only the blocks it needs.
//!
//! The layout is in `docs/FORMAT.md`. It is binary and of fixed width: a segment of 16 GiB has 32,768 blocks, which JSON would make megabytes of digits to
//! parse for every search, while any language reads little-endian integers. Sections carry a tag and a length; a reader skips the tags it does
//! not know, so later versions add sections without breaking it.
//!
//! A meta is never the only place of anything: it is rebuilt from its archive when it is missing or fails its checks.

use super::filter::Filter;
use super::name::Codec;
use super::segment::{BlockStats, TimeRange};
use crate::record::Level;

const MAGIC: [u8; 8] = *b"LBMETA\r\n";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 48;
const SECTION_HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
const BLOCK_BYTES: usize = 4 + 4 + 8 * (6 + Level::COUNT);
const TAG_BLOCKS: [u8; 4] = *b"BLKS";
/// Filters are 64-bit words: first the length of each block's, 0 where it has none, then all of them.
const TAG_FILTERS: [u8; 4] = *b"FLTR";
const FILTER_WORD_BYTES: usize = 8;
/// Bits of a block's flags.
const HAS_TIME: u32 = 1;
const HAS_CRC: u32 = 2;

/// One block of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Where it starts in the archive.
    pub offset: u64,
    /// How long it is there.
    pub len: u64,
    /// Where its lines start in the raw segment.
    pub raw_offset: u64,
    /// The CRC-32 (IEEE 802.3) of its raw bytes; `None` in a segment that was never read after it was written: it stays raw.
    pub crc: Option<u32>,
    /// What its lines sum up to.
    pub stats: BlockStats,
    /// What words it may hold, if somebody looked.
    pub filter: Option<Filter>,
}

/// The block table of one segment.
///
/// Invariant: blocks are in order and leave no gap, in the archive and in the raw segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// How the archive is compressed; `None` for a segment that stays raw.
    pub codec: Option<Codec>,
    /// The blocks in file order.
    pub blocks: Vec<Block>,
}

/// Why bytes are not a meta that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Cut, altered, or something else altogether.
    #[error("not a block table, or a damaged one")]
    Damaged,
    /// Written by a later logboom in a layout that can't be read.
    #[error("a block table of version {0}")]
    Version(u16),
}

impl Meta {
    /// An empty table.
    pub fn new(codec: Option<Codec>) -> Meta {
        Meta { codec, blocks: Vec::new() }
    }

    /// Adds the next block, `len` bytes long in the archive.
    pub fn push(&mut self, len: u64, crc: Option<u32>, stats: BlockStats) {
        self.blocks.push(Block { offset: self.archive_bytes(), len, raw_offset: self.raw_bytes(), crc, stats, filter: None });
    }

    /// Gives the last block its filter.
    ///
    /// # Panics
    /// If there is no block.
    pub fn set_filter(&mut self, filter: Option<Filter>) {
        self.blocks.last_mut().expect("a block").filter = filter;
    }

    /// Bytes of all filters.
    pub fn filter_bytes(&self) -> usize {
        self.blocks.iter().filter_map(|block| block.filter.as_ref()).map(|filter| filter.words().len() * FILTER_WORD_BYTES).sum()
    }

    /// The archive's length.
    pub fn archive_bytes(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.offset + block.len)
    }

    /// The raw segment's length.
    pub fn raw_bytes(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.raw_offset + block.stats.raw_len)
    }

    /// What all lines sum up to.
    pub fn totals(&self) -> BlockStats {
        let mut totals = BlockStats::default();
        self.blocks.iter().for_each(|block| totals.add(&block.stats));
        totals
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let table_bytes = self.blocks.len() * BLOCK_BYTES;
        let has_filters = self.blocks.iter().any(|block| block.filter.is_some());
        let filters_bytes =
            if has_filters { SECTION_HEADER_BYTES + self.blocks.len() * FILTER_WORD_BYTES + self.filter_bytes() } else { 0 };
        let mut out = Vec::with_capacity(HEADER_BYTES + SECTION_HEADER_BYTES + table_bytes + filters_bytes + CHECKSUM_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(codec_number(self.codec));
        out.push(Level::COUNT as u8);
        out.extend_from_slice(&(1 + u32::from(has_filters)).to_le_bytes()); // sections
        for total in [self.archive_bytes(), self.raw_bytes(), self.totals().lines, self.blocks.len() as u64] {
            out.extend_from_slice(&total.to_le_bytes());
        }
        out.extend_from_slice(&TAG_BLOCKS);
        out.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&(table_bytes as u64).to_le_bytes());
        self.blocks.iter().for_each(|block| encode_block(block, &mut out));
        if has_filters {
            self.encode_filters(filters_bytes - SECTION_HEADER_BYTES, &mut out);
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn encode_filters(&self, section_bytes: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&TAG_FILTERS);
        out.extend_from_slice(&(FILTER_WORD_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&(section_bytes as u64).to_le_bytes());
        let filters = || self.blocks.iter().map(|block| block.filter.as_ref().map_or(&[][..], Filter::words));
        let lengths = filters().map(|words| words.len() as u64);
        lengths.chain(filters().flatten().copied()).for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    fn decode_filters(&mut self, section: &[u8]) -> Result<(), MetaError> {
        let (words, []) = section.as_chunks::<FILTER_WORD_BYTES>() else { return Err(MetaError::Damaged) };
        let (lengths, mut words) = words.split_at_checked(self.blocks.len()).ok_or(MetaError::Damaged)?;
        for (block, length) in self.blocks.iter_mut().zip(lengths) {
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| MetaError::Damaged)?;
            let (filter, rest) = words.split_at_checked(length).ok_or(MetaError::Damaged)?;
            block.filter = Filter::from_words(filter.iter().map(|word| u64::from_le_bytes(*word)).collect());
            words = rest;
        }
        if words.is_empty() { Ok(()) } else { Err(MetaError::Damaged) }
    }

    /// Reads a file's bytes; checks everything that can be checked without the archive.
    pub fn decode(bytes: &[u8]) -> Result<Meta, MetaError> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(MetaError::Damaged)?;
        if !body.starts_with(&MAGIC) || crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(MetaError::Damaged);
        }
        let mut input = Input(&body[MAGIC.len()..]);
        let version = input.u16()?;
        if version != VERSION {
            return Err(MetaError::Version(version));
        }
        let codec = codec_of(input.u8()?)?;
        if usize::from(input.u8()?) != Level::COUNT {
            return Err(MetaError::Damaged);
        }
        let sections = input.u32()?;
        let (archive_bytes, raw_bytes, lines, blocks) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        let mut meta = Meta::new(codec);
        for _ in 0..sections {
            let tag = input.take(4)?;
            let entry_bytes = input.u32()? as usize;
            let section_bytes = usize::try_from(input.u64()?).map_err(|_| MetaError::Damaged)?;
            let section = input.take(section_bytes)?;
            if tag == TAG_BLOCKS {
                // Longer entries than these are a later version's, with more at their ends.
                if entry_bytes < BLOCK_BYTES || section.len() % entry_bytes != 0 {
                    return Err(MetaError::Damaged);
                }
                meta.blocks = section.chunks(entry_bytes).map(decode_block).collect::<Result<_, _>>()?;
            }
            if tag == TAG_FILTERS && entry_bytes == FILTER_WORD_BYTES {
                meta.decode_filters(section)?;
            }
        }
        // The order matters: totals of blocks that overlap may overflow.
        let sound = input.0.is_empty()
            && meta.is_gapless()
            && (archive_bytes, raw_bytes) == (meta.archive_bytes(), meta.raw_bytes())
            && (lines, blocks) == (meta.totals().lines, meta.blocks.len() as u64);
        if sound { Ok(meta) } else { Err(MetaError::Damaged) }
    }

    fn is_gapless(&self) -> bool {
        let mut expected = (0, 0);
        self.blocks.iter().all(|block| {
            let matches = (block.offset, block.raw_offset) == expected;
            expected = (block.offset + block.len, block.raw_offset + block.stats.raw_len);
            matches && block.stats.lines <= block.stats.raw_len // a line has a byte, at least
        })
    }
}

fn codec_number(codec: Option<Codec>) -> u8 {
    match codec {
        None => 0,
        Some(Codec::Gzip) => 1,
        Some(Codec::Zstd) => 2,
    }
}

fn codec_of(number: u8) -> Result<Option<Codec>, MetaError> {
    [None, Some(Codec::Gzip), Some(Codec::Zstd)].into_iter().find(|&codec| codec_number(codec) == number).ok_or(MetaError::Damaged)
}

fn encode_block(block: &Block, out: &mut Vec<u8>) {
    let Block { offset, len, raw_offset, crc, stats, filter: _ } = block;
    let time = stats.time.unwrap_or(TimeRange { min_us: 0, max_us: 0 });
    let flags = if stats.time.is_some() { HAS_TIME } else { 0 } | if crc.is_some() { HAS_CRC } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&crc.unwrap_or(0).to_le_bytes());
    for value in [*offset, *len, *raw_offset, stats.raw_len, time.min_us as u64, time.max_us as u64] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    // `lines` is the levels' sum and not stored again.
    for count in stats.levels {
        out.extend_from_slice(&count.to_le_bytes());
    }
}

fn decode_block(entry: &[u8]) -> Result<Block, MetaError> {
    let mut input = Input(entry);
    let (flags, crc) = (input.u32()?, input.u32()?);
    let (offset, len, raw_offset, raw_len) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
    let time = TimeRange { min_us: input.u64()? as i64, max_us: input.u64()? as i64 };
    let mut levels = [0; Level::COUNT];
    for count in &mut levels {
        *count = input.u64()?;
    }
    let lines = levels.iter().try_fold(0u64, |sum, &count| sum.checked_add(count)).ok_or(MetaError::Damaged)?;
    let ends = (offset.checked_add(len), raw_offset.checked_add(raw_len));
    if ends.0.is_none() || ends.1.is_none() {
        return Err(MetaError::Damaged);
    }
    let stats = BlockStats { raw_len, lines, time: (flags & HAS_TIME != 0).then_some(time), levels };
    Ok(Block { offset, len, raw_offset, crc: (flags & HAS_CRC != 0).then_some(crc), stats, filter: None })
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], MetaError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(MetaError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MetaError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(MetaError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, MetaError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, MetaError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, MetaError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, MetaError> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_block() -> impl Strategy<Value = (u64, Option<u32>, BlockStats)> {
        let time = prop::option::of((any::<i64>(), any::<i64>()).prop_map(|(min_us, max_us)| TimeRange { min_us, max_us }));
        (0..1_000_000u64, any::<Option<u32>>(), 700_000..9_000_000u64, time, prop::array::uniform7(0..100_000u64))
            .prop_map(|(len, crc, raw_len, time, levels)| (len, crc, BlockStats { raw_len, lines: levels.iter().sum(), time, levels }))
    }

    fn any_meta() -> impl Strategy<Value = Meta> {
        let codec = prop::sample::select(vec![None, Some(Codec::Gzip), Some(Codec::Zstd)]);
        let any_filter = prop::collection::vec(any::<u64>(), 0..5).prop_map(Filter::from_words);
        (codec, prop::collection::vec((any_block(), any_filter), 0..20)).prop_map(|(codec, blocks)| {
            let mut meta = Meta::new(codec);
            for ((len, crc, stats), filter) in blocks {
                meta.push(len, crc, stats);
                meta.set_filter(filter);
            }
            meta
        })
    }

    proptest! {
        #[test]
        fn round_trip(meta in any_meta()) {
            prop_assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        }

        #[test]
        fn damage_is_refused(meta in any_meta(), place in any::<prop::sample::Index>(), flip in 1..=255u8, cut in any::<prop::sample::Index>()) {
            let mut bytes = meta.encode();
            prop_assert!(Meta::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(Meta::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_with_a_true_checksum_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            bytes.splice(0..0, MAGIC.into_iter().chain([1, 0, 1, 7, 1, 0, 0, 0]));
            let checksum = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            let _ = Meta::decode(&bytes);
        }
    }

    /// What a later version may do: another section, and entries with more at their ends.
    #[test]
    fn unknown_sections_are_skipped() {
        let mut meta = Meta::new(Some(Codec::Zstd));
        meta.push(10, Some(7), BlockStats { raw_len: 30, lines: 2, time: None, levels: [2, 0, 0, 0, 0, 0, 0] });
        let mut bytes = meta.encode();
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        bytes[12] = 2;
        bytes.extend_from_slice(b"TOKN\0\0\0\0\x03\0\0\0\0\0\0\0abc");
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(Meta::decode(&bytes), Ok(meta));
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = Meta::new(None).encode();
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        bytes[8] = 2;
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(Meta::decode(&bytes), Err(MetaError::Version(2)));
    }
}
