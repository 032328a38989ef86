//! Noise over time.

use crate::random::Random;

/// Sequences of normal noise whose power falls with frequency.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    /// What white noise is convolved with around the circle of the sequence; empty: it stays white.
    kernel: Vec<f64>,
    length: usize,
}

impl Noise {
    /// `length` numbers with power ∝ 1 / frequency^`exponent`; that of frequency 0 is that of the lowest other one.
    pub fn new(length: usize, exponent: f32) -> Self {
        let mut kernel = Vec::new();
        if length > 1 && exponent != 0.0 {
            // Of a real sequence the frequencies j and length − j are one.
            let scale = |j: usize| {
                let frequency = j.min(length - j).max(1) as f64 / length as f64;
                frequency.powf(-0.5 * f64::from(exponent))
            };
            let angle = std::f64::consts::TAU / length as f64;
            let at = |shift: usize| (0..length).map(move |j| scale(j) * (angle * (j * shift % length) as f64).cos());
            kernel = (0..length).map(|shift| at(shift).sum::<f64>() / length as f64).collect();
        }
        Self { kernel, length }
    }

    /// Fills `out` with one sequence. Coloured noise has the unbiased standard deviation 1 over the sequence.
    pub fn draw(&self, random: &mut Random, out: &mut Vec<f64>) {
        out.clear();
        while out.len() < self.length {
            out.extend(random.normals());
        }
        out.truncate(self.length);
        if self.kernel.is_empty() {
            return;
        }
        let n = self.length;
        let white = out.clone();
        for (t, value) in out.iter_mut().enumerate() {
            *value = white.iter().enumerate().map(|(s, w)| w * self.kernel[(n + t - s) % n]).sum();
        }
        let mean = out.iter().sum::<f64>() / n as f64;
        let variance = out.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1) as f64;
        let std = variance.sqrt().max(1e-8);
        out.iter_mut().for_each(|value| *value /= std);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_has_unit_deviation_and_neighbours_that_are_alike() {
        let mut random = Random::new(1, 0);
        let mut out = Vec::new();
        let mut likeness = |exponent: f32| {
            let noise = Noise::new(16, exponent);
            let mut sum = 0.0;
            for _ in 0..400 {
                noise.draw(&mut random, &mut out);
                let mean = out.iter().sum::<f64>() / 16.0;
                let of = |lag: usize| (0..16 - lag).map(|i| (out[i] - mean) * (out[i + lag] - mean)).sum::<f64>();
                if exponent > 0.0 {
                    assert!((of(0) / 15.0 - 1.0).abs() < 1e-9, "{out:?}");
                }
                sum += of(1) / of(0);
            }
            sum / 400.0
        };
        let (white, pink, red) = (likeness(0.0), likeness(1.0), likeness(2.0));
        // The mean of the sequence itself is taken off, so white noise has −1/16.
        assert!(white < 0.0 && pink > white + 0.2 && red > pink + 0.1, "{white} {pink} {red}");
    }

    #[test]
    fn the_kernel_is_the_filter_of_the_spectrum() {
        // A cosine of frequency j goes through unchanged but for the factor of its frequency.
        let (n, j) = (12, 3);
        let noise = Noise::new(n, 2.0);
        let wave: Vec<f64> = (0..n).map(|t| (std::f64::consts::TAU * (j * t) as f64 / n as f64).cos()).collect();
        for t in 0..n {
            let through: f64 = (0..n).map(|s| wave[s] * noise.kernel[(n + t - s) % n]).sum();
            assert!((through - wave[t] * n as f64 / j as f64).abs() < 1e-9);
        }
        assert!(Noise::new(1, 2.0).kernel.is_empty());
    }
}
