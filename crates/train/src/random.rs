//! Random numbers that depend on nothing but a key: any step of a run can be made again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for, so that streams of one seed and step differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Order = 1,
    Vendor = 2,
    Text = 3,
}

pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub fn new(seed: u64, purpose: Purpose, at: u64) -> Self {
        let mut key = [0; 32];
        for (slot, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, at, 0x766c_6a65_7061]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `0..count`; 0 for 0. The bias of the product is below 2⁻³².
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    /// A random order of `0..count` (Fisher–Yates).
    pub fn permutation(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        for i in (1..count).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_everything_once_and_hangs_on_its_key() {
        let one = Stream::new(7, Purpose::Order, 3).permutation(100);
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
        assert_eq!(one, Stream::new(7, Purpose::Order, 3).permutation(100));
        for other in [(8, Purpose::Order, 3), (7, Purpose::Order, 4), (7, Purpose::Vendor, 3)] {
            assert_ne!(one, Stream::new(other.0, other.1, other.2).permutation(100));
        }
    }

    #[test]
    fn every_value_below_the_count_is_drawn() {
        let mut stream = Stream::new(1, Purpose::Text, 0);
        let mut counts = [0; 4];
        (0..4000).for_each(|_| counts[stream.below(4)] += 1);
        // Mean 1000, standard deviation 27: six of them either way.
        assert!(counts.iter().all(|c| (835..1165).contains(c)), "{counts:?}");
        assert_eq!(stream.below(1), 0);
    }
}
