//! Shuffling that gives the same order everywhere.
//!
//! It is written here instead of taken from a random-number library, because libraries guarantee the stream
//! of a generator but not how `shuffle` uses it, and the lesson's figures should not change with an update.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A generator for one purpose: `seed` is the run's, `stream` distinguishes its uses (the epoch, the class).
/// Streams of one seed are independent.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A generator for one item of a stream (an image of an epoch), so that its numbers depend on no other item.
/// Its stream differs from all streams of [`generator`].
pub fn item_generator(seed: u64, stream: u64, item: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..24].copy_from_slice(&item.to_le_bytes());
    key[24] = 1;
    ChaCha8Rng::from_seed(key)
}

/// A generator for one batch of an epoch, by its `position` there, for numbers that all its items share. Its
/// stream differs from all others.
pub fn batch_generator(seed: u64, epoch: u64, position: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..24].copy_from_slice(&position.to_le_bytes());
    key[24] = 2;
    ChaCha8Rng::from_seed(key)
}

/// A uniform number from `low` up to but not including `high` (rounding aside), out of 2⁵³ steps.
pub fn uniform(low: f64, high: f64, generator: &mut impl RngCore) -> f64 {
    let unit = (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    low + unit * (high - low)
}

/// The numbers below `len` in an order drawn from `seed` and `stream`; all orders are equally likely.
pub fn permutation(len: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    shuffle(&mut order, &mut generator(seed, stream));
    order
}

/// Fisher and Yates: each place, from the last, swaps with a random one not after it.
pub fn shuffle<T>(items: &mut [T], generator: &mut impl RngCore) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u64 + 1, generator) as usize);
    }
}

/// A uniform number below `bound` (at least 1): the high half of a 128-bit product, after drawing again if
/// the low half falls into the remainder that would favour some results (D. Lemire, "Fast Random Integer
/// Generation in an Interval", 2019, <https://arxiv.org/abs/1805.10941>).
pub fn below(bound: u64, generator: &mut impl RngCore) -> u64 {
    let remainder = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(generator.next_u64()) * u128::from(bound);
        if product as u64 >= remainder {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_number_once() {
        for len in [0, 1, 2, 97] {
            let mut order = permutation(len, 1, 2);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..len));
        }
    }

    /// Fixed values, so that a change of algorithm, library or platform is detected.
    #[test]
    fn the_order_is_pinned() {
        assert_eq!(permutation(10, 42, 0), PINNED);
        assert_ne!(permutation(10, 42, 1), PINNED);
        assert_ne!(permutation(10, 43, 0), PINNED);
    }
    const PINNED: [usize; 10] = [7, 6, 5, 1, 0, 4, 8, 9, 2, 3];

    #[test]
    fn items_and_streams_differ_and_uniform_numbers_fill_their_range() {
        let draw = |mut rng: ChaCha8Rng| uniform(-2.0, 3.0, &mut rng);
        let first = draw(item_generator(1, 2, 3));
        assert_eq!(first, draw(item_generator(1, 2, 3)));
        for other in
            [item_generator(1, 2, 4), item_generator(1, 3, 3), item_generator(2, 2, 3), generator(1, 2)]
        {
            assert_ne!(draw(other), first);
        }
        assert_ne!(draw(item_generator(1, 2, 0)), draw(generator(1, 2)));
        assert_ne!(draw(item_generator(1, 2, 3)), draw(batch_generator(1, 2, 3)));
        assert_ne!(draw(batch_generator(1, 2, 0)), draw(batch_generator(1, 2, 1)));
        let all: Vec<f64> = (0..10_000).map(|i| draw(item_generator(0, 0, i))).collect();
        let mean = all.iter().sum::<f64>() / 1e4;
        // The deviation of the mean is 0.014.
        assert!((mean - 0.5).abs() < 0.07 && all.iter().all(|v| (-2.0..3.0).contains(v)), "{mean}");
        assert!(all.iter().any(|v| *v < -1.99) && all.iter().any(|v| *v > 2.99));
    }

    #[test]
    fn every_order_is_about_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            *counts.entry(permutation(3, seed, 0)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 1000 each; the deviation of a count is 29.
        assert!(counts.values().all(|&count| (870..1130).contains(&count)), "{counts:?}");
    }
}
