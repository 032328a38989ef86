//! Random numbers that depend on nothing but a key: any step of a run can be made again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for, so that streams of one seed and step differ.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// Which picture of a class.
    Picture = 2,
    /// Which text.
    Text = 3,
    /// Whose turn it is, of kinds that are not mixed.
    Turn = 4,
    /// What is drawn anew for an interval.
    Resample = 5,
    /// Which view of a clip.
    View = 6,
    /// Which tokens of a query are left out.
    Query = 7,
    /// Directions along which embeddings are looked at.
    Direction = 8,
    /// What is added to embeddings.
    Noise = 9,
}

/// Which of `count` things a step of `batch` samples sees: each once in an epoch, in another order in every epoch
/// (the last ones of an order that do not fill a batch are left out).
pub fn seen_at(seed: u64, step: u64, batch: usize, count: usize) -> Vec<u32> {
    let per_epoch = steps_per_epoch(batch, count);
    let order = Stream::new(seed, Purpose::Order, step / per_epoch).permutation(count);
    order.into_iter().skip((step % per_epoch) as usize * batch).take(batch).collect()
}

/// Steps of an epoch of [`seen_at`].
pub fn steps_per_epoch(batch: usize, count: usize) -> u64 {
    (count / batch.max(1)).max(1) as u64
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a seed, a purpose and a place such as a step.
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

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        // Uniform in (0, 1], so that there is a logarithm.
        let mut unit = || (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let (radius, turn) = (1.0 - unit(), unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
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
    fn a_permutation_holds_everything_once_and_depends_on_its_key() {
        let one = Stream::new(7, Purpose::Order, 3).permutation(100);
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
        assert_eq!(one, Stream::new(7, Purpose::Order, 3).permutation(100));
        for other in [(8, Purpose::Order, 3), (7, Purpose::Order, 4), (7, Purpose::Picture, 3)] {
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
