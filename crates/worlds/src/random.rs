//! Random numbers that depend on a seed and a place, and on nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers. The same seed and place give the same stream.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of a seed and a place in it, such as the number of an episode.
    pub fn new(seed: u64, place: u64) -> Self {
        let mut key = [0; 32];
        for (slot, value) in key.chunks_exact_mut(8).zip([seed, place, 0, 0x776f_726c_6473]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [`low`, `high`).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`; 0 for 0. The bias of the product is below 2⁻³².
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        self.normals()[0]
    }

    /// Two standard normal numbers, at little more than the price of one (Box and Muller).
    pub fn normals(&mut self) -> [f64; 2] {
        // 1 - unit is in (0, 1], so that there is a logarithm.
        let (radius, turn) = (1.0 - self.unit(), self.unit());
        let length = (-2.0 * radius.ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * turn).sin_cos();
        [length * cos, length * sin]
    }

    /// `count` different numbers of `0..of` in rising order; all of them where there are not that many.
    pub fn choose(&mut self, count: usize, of: usize) -> Vec<usize> {
        // Floyd's algorithm: one draw for each number that is taken.
        let count = count.min(of);
        let mut chosen = std::collections::BTreeSet::new();
        for last in of - count..of {
            let drawn = self.below(last + 1);
            if !chosen.insert(drawn) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_place() {
        let draw = |seed, place| {
            let mut random = Random::new(seed, place);
            [random.unit(), random.normal()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut random = Random::new(3, 0);
        let values: Vec<f64> = (0..10_000).flat_map(|_| random.normals()).collect();
        let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / values.len() as f64;
        // Standard errors 0.007, 0.01 and 0.07; five of them.
        assert!(moment(1).abs() < 0.036 && (moment(2) - 1.0).abs() < 0.05 && (moment(4) - 3.0).abs() < 0.35);
    }

    #[test]
    fn a_choice_has_different_numbers_each_as_often() {
        let mut random = Random::new(5, 0);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            let chosen = random.choose(3, 7);
            assert!(chosen.len() == 3 && chosen.windows(2).all(|w| w[0] < w[1]));
            chosen.into_iter().for_each(|i| counts[i] += 1);
        }
        // Mean 3000, standard deviation 41; six of them.
        assert!(counts.iter().all(|c| (2750..3250).contains(c)), "{counts:?}");
        assert_eq!(random.choose(9, 4), [0, 1, 2, 3]);
        assert!(random.choose(0, 4).is_empty() && random.choose(2, 0).is_empty());
    }
}
