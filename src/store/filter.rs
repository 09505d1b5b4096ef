//! The token filter of a block: a Bloom filter of the words in it, which can say that a word is *not* there. Pure.
//!
//! The words and their hashes are those of [`crate::record::words`]. A filter may take so many bytes as its caller allows; below three bits per word it would say
//! little, and there is none. Its bits are those that the crate fastbloom sets for a hash; a test holds them, since they are on disk (docs/FORMAT.md).

use fastbloom::BloomFilter;

use super::meta::Meta;
use super::name::Codec;
use crate::limits::{FILTER_BYTES_MAX, FILTER_CPU_PERCENT_GZIP, FILTER_CPU_PERCENT_ZSTD, FILTER_SHARE, SEGMENT_FILTERS_BYTES_MAX};
use crate::record::words;

/// With more, blocks are read in vain less often than reading the filter costs: at 10 bits, one in 90.
const BITS_PER_WORD: usize = 10;
/// With fewer, every fourth block is read in vain.
const BITS_PER_WORD_MIN: usize = 3;
/// More words than these get no filter, because it would be longer than [`FILTER_BYTES_MAX`].
const WORDS_MAX: usize = FILTER_BYTES_MAX * 8 / BITS_PER_WORD_MIN;
/// Bits that are set for a word. The best number for 6 to 9 bits per word is 4 to 6; fewer are faster.
const HASHES: u32 = 4;

/// Whether filters are built, `--index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// For each block that is compressed.
    On,
    /// For none.
    Off,
}

/// What words a block may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(BloomFilter);

impl Filter {
    /// Whether a word with this hash may be in the block.
    pub fn may_hold(&self, hash: u64) -> bool {
        self.0.contains_hash(hash.max(1))
    }

    /// The filter's bits, 64 at a time.
    pub fn words(&self) -> &[u64] {
        self.0.as_slice()
    }

    /// The filter of these bits; `None` of none, or of more than there may be.
    pub fn from_words(words: Vec<u64>) -> Option<Filter> {
        let fits = !words.is_empty() && words.len() * 8 <= FILTER_BYTES_MAX;
        fits.then(|| Filter(BloomFilter::from_vec(words).seed(&0).hashes(HASHES)))
    }
}

/// Builds filters, keeping its buffers from block to block.
#[derive(Debug, Default)]
pub struct FilterBuilder {
    text: Vec<u8>,
    hashes: Hashes,
}

impl FilterBuilder {
    /// Gives the last block of `table` the filter of its raw bytes, if that is wanted, and its share of the archive suffices.
    pub fn index_last(&mut self, index: Index, block: &[u8], table: &mut Meta) {
        if index == Index::On
            && let Some(last) = table.blocks.len().checked_sub(1)
        {
            self.index_block(block, table, last);
        }
    }

    /// Gives the block `at` of `table` the filter of its raw bytes, if its share of the archive suffices.
    pub fn index_block(&mut self, block: &[u8], table: &mut Meta, at: usize) {
        if table.filter_bytes() < SEGMENT_FILTERS_BYTES_MAX {
            let bytes_max = table.blocks[at].len as usize / FILTER_SHARE;
            table.blocks[at].filter = self.build(block, bytes_max);
        }
    }

    /// The filter of `block`, raw lines, in at most `bytes_max` bytes; `None` where those are too few.
    pub fn build(&mut self, block: &[u8], bytes_max: usize) -> Option<Filter> {
        let text = words::text(block, &mut self.text);
        self.hashes.clear();
        words::for_each_hash(text, |hash| self.hashes.insert(hash));
        let found = &self.hashes.found;
        if WORDS_MAX < found.len() {
            return None;
        }
        let bits_max = bytes_max.min(FILTER_BYTES_MAX) * 8;
        let count = found.len().max(1);
        let bits = (BITS_PER_WORD * count).next_multiple_of(64).min(bits_max);
        if bits < BITS_PER_WORD_MIN * count || bits < 64 {
            return None;
        }
        let mut filter = Filter::from_words(vec![0; bits / 64])?;
        for &hash in found {
            filter.0.insert_hash(hash);
        }
        Some(filter)
    }
}

/// Keeps the CPU time of filters within a share of that of compressing ([`FILTER_CPU_PERCENT_ZSTD`], [`FILTER_CPU_PERCENT_GZIP`]): what compressing takes earns time, filters
/// spend it. Pure.
///
/// Invariant: whatever came before, filters take no more than their share of what compressing has taken since, what may be saved up, and one filter.
#[derive(Debug, Clone, Default)]
pub struct FilterShare {
    /// What may be spent. Below zero where a filter took more than was expected.
    saved_ns: i64,
    /// What the last filter took, and the next one is expected to.
    last_ns: i64,
}

/// The filters of two segments: what an idle time at a high level has earned is no excuse under load.
const SAVED_NS_MAX: i64 = 10_000_000;

impl FilterShare {
    /// A block was compressed in `cpu_ns`.
    pub fn compressed(&mut self, codec: Codec, cpu_ns: u64) {
        let percent = match codec {
            Codec::Gzip => FILTER_CPU_PERCENT_GZIP,
            Codec::Zstd => FILTER_CPU_PERCENT_ZSTD,
        };
        let earned = i64::try_from(cpu_ns / 100 * percent).unwrap_or(i64::MAX);
        self.saved_ns = self.saved_ns.saturating_add(earned).min(SAVED_NS_MAX);
    }

    /// Whether the next block shall have a filter.
    pub fn allows(&self) -> bool {
        self.last_ns.min(SAVED_NS_MAX) <= self.saved_ns
    }

    /// Its filter was built in `cpu_ns`.
    pub fn indexed(&mut self, cpu_ns: u64) {
        self.last_ns = i64::try_from(cpu_ns).unwrap_or(i64::MAX);
        self.saved_ns = self.saved_ns.saturating_sub(self.last_ns);
    }
}

/// Hashes in the order in which they come, most of them once: the last one in each place of a small table is not taken again. A table of all of them would not
/// stay in the first cache, and a Bloom filter takes a hash twice as well as once.
#[derive(Debug)]
struct Hashes {
    found: Vec<u64>,
    last: Box<[u64; LAST_PLACES]>,
}

/// 16 KiB.
const LAST_PLACES: usize = 2048;

impl Default for Hashes {
    fn default() -> Self {
        Self { found: Vec::new(), last: Box::new([0; LAST_PLACES]) }
    }
}

impl Hashes {
    fn clear(&mut self) {
        self.found.clear();
        self.last.fill(0);
    }

    #[inline]
    fn insert(&mut self, hash: u64) {
        let hash = hash.max(1); // 0 is an empty place
        let last = &mut self.last[hash as usize % LAST_PLACES];
        if *last != hash && self.found.len() <= WORDS_MAX {
            *last = hash;
            self.found.push(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bits_on_disk_never_change() {
        let filter = FilterBuilder::default().build(b"timeout refused 0123456789abcdef", 8).unwrap();
        assert_eq!(filter.words(), [GOLDEN]);
    }

    const GOLDEN: u64 = 191_561_313_980_530_691;

    #[test]
    fn few_blocks_are_read_in_vain_and_none_is_passed_over() {
        let block: String = (0..10_000).map(|n| format!("word{n} ")).collect();
        let filter = FilterBuilder::default().build(block.as_bytes(), 1 << 20).unwrap();
        let hash = |n: usize| words::word_hash(format!("word{n}").as_bytes()).unwrap();
        assert!((0..10_000).all(|n| filter.may_hold(hash(n))));
        let wrong = (10_000..30_000).filter(|&n| filter.may_hold(hash(n))).count();
        assert!(wrong < 20_000 / 50, "{wrong} of 20000");
        assert_eq!(FilterBuilder::default().build(block.as_bytes(), 3_000), None, "too few bytes for so many words");
        assert!(FilterBuilder::default().build(block.as_bytes(), 5_000).unwrap().words().len() * 8 <= 5_000);
    }

    #[test]
    fn filters_take_no_more_than_their_share() {
        for (codec, percent) in [(Codec::Zstd, FILTER_CPU_PERCENT_ZSTD), (Codec::Gzip, FILTER_CPU_PERCENT_GZIP)] {
            for (filter_ns, expected) in [(percent * 9, 900), (percent * 10, 900), (percent * 20, 450), (percent * 100, 90)] {
                let mut share = FilterShare::default();
                let mut built = 0;
                for _ in 0..900 {
                    share.compressed(codec, 1_000);
                    if share.allows() {
                        share.indexed(filter_ns);
                        built += 1;
                    }
                    assert!(built * filter_ns <= 900 * 10 * percent + filter_ns);
                }
                assert!((expected - 3..=expected + 3).contains(&built), "{built} of 900, {filter_ns}");
            }
        }
        let mut share = FilterShare::default();
        share.compressed(Codec::Zstd, u64::MAX); // an idle hour at a high level
        let spent = std::iter::from_fn(|| share.allows().then(|| share.indexed(500_000))).count();
        assert_eq!(spent, 20);
        share.indexed(u64::MAX);
        assert!(!share.allows());
    }

    proptest! {
        #[test]
        fn every_word_may_be_there(lines in prop::collection::vec("[a-zA-Z0-9_ \\\\nu\"-]{0,40}", 0..30), bytes_max in 0..5_000usize) {
            let block = lines.join("\n");
            let mut builder = FilterBuilder::default();
            let _ = builder.build(b"of another block", 1_000);
            if let Some(filter) = builder.build(block.as_bytes(), bytes_max) {
                prop_assert!(filter.words().len() * 8 <= bytes_max);
                prop_assert_eq!(Filter::from_words(filter.words().to_vec()), Some(filter.clone()));
                let mut scratch = Vec::new();
                words::for_each_hash(words::text(block.as_bytes(), &mut scratch), |hash| assert!(filter.may_hold(hash)));
            }
        }
    }
}
