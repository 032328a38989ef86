//! Random numbers that depend on nothing but the sample's key.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a sample's randomness depends on, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SampleKey {
    /// The run's seed.
    pub seed: u64,
    /// The pass over the data, or the step.
    pub epoch: u64,
    /// The sample's index in it.
    pub index: u64,
    /// Distinguishes several views of one sample.
    pub stream: u64,
}

/// One sample's stream.
#[derive(Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(key: SampleKey) -> Self {
        let mut seed = [0; 32];
        for (slot, value) in seed.chunks_exact_mut(8).zip([key.seed, key.epoch, key.index, key.stream]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(seed))
    }

    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `-reach..reach`.
    pub fn spread(&mut self, reach: f32) -> f32 {
        self.between(-reach, reach)
    }

    /// Near zero most of the time, up to `reach` at times: the mean of three uniforms.
    pub fn bell(&mut self, reach: f32) -> f32 {
        (self.spread(reach) + self.spread(reach) + self.spread(reach)) / 3.0 * 1.5
    }

    /// True with this probability. Always takes one number, so that options do not shift the stream.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..count`; `count` is small.
    pub fn pick(&mut self, count: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(count)) >> 32) as u32
    }

    /// A colour, often a strong one.
    pub fn color(&mut self) -> [f32; 3] {
        [self.unit(), self.unit(), self.unit()]
    }
}
