//! Random numbers for operands and weights whose values do not matter.

/// Uniform numbers in -1..1 (xorshift).
pub(super) struct Noise(u64);

impl Noise {
    /// A stream for a seed; 0 and 1 give the same.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }
}

impl Iterator for Noise {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some((self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
    }
}
