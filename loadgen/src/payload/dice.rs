//! Choices that are the same on every machine, for a seed. Pure.
//!
//! The generator is PCG's multiplicative 128-bit member (M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for
//! Random Number Generation", 2014): its crate promises a stable stream, which the oracle depends on. For the same reason every distribution here uses
//! integers, or floating-point operations that IEEE 754 rounds exactly (no `ln`, no `pow`).

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// A seeded source of choices.
#[derive(Debug, Clone)]
pub struct Dice(Pcg64Mcg);

impl Dice {
    /// Choices for `seed`; `purpose` separates streams of one seed.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mix(seed).to_le_bytes());
        bytes[8..].copy_from_slice(&mix(seed ^ mix(purpose)).to_le_bytes());
        Self(Pcg64Mcg::from_seed(bytes))
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, evenly (but for a bias of `end / 2^64`).
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(0 < end);
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number in 0..1, evenly, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True once in `times`, on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `items`.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An index, each with the weight at its place.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// A duration around `base`, with a long tail: half to one and a half times it, doubled again and again, each time with one chance in four.
    pub fn long_tailed(&mut self, base: u64) -> u64 {
        let doublings = (self.bits() | 1 << 20).trailing_zeros() / 2;
        (base / 2 + self.below(base.max(1))) << doublings
    }
}

/// Spreads the bits of a number (the finalizer of SplitMix64: G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Zipf's law with exponent 1 over `0..n`: the item of rank r is drawn in proportion to 1/r.
#[derive(Debug)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// A law over `n` items, at least one.
    pub fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// The rank drawn, from 0.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let total = self.cumulative[self.cumulative.len() - 1];
        let at = dice.unit() * total;
        self.cumulative.partition_point(|&sum| sum <= at).min(self.cumulative.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        // If this fails, manifests written by older builds can no longer be verified.
        let mut dice = Dice::new(42, 0);
        let drawn = [dice.bits(), dice.below(1000), dice.long_tailed(1000), dice.weighted(&[1, 2, 3]) as u64];
        assert_eq!(drawn, FIRST_DRAWS_OF_42);
    }

    const FIRST_DRAWS_OF_42: [u64; 4] = [1_820_222_877_982_576_386, 955, 1_200, 1];

    #[test]
    fn the_first_of_zipfs_ranks_are_the_most_frequent() {
        let (zipf, mut dice) = (Zipf::new(1000), Dice::new(1, 1));
        let mut counts = vec![0u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut dice)] += 1;
        }
        // 1/H(1000) is 13.4 percent, and each rank has its share of that.
        assert!((12_900..13_900).contains(&counts[0]), "{}", counts[0]);
        assert!((6_300..7_100).contains(&counts[1]), "{}", counts[1]);
        assert!(0 < counts[900..].iter().sum::<u32>());
    }
}
