//! What a world model reached.

use serde::Serialize;

/// Sums over validation windows.
#[derive(Clone, Debug)]
pub struct WorldMeasured {
    dim: usize,
    windows: usize,
    off: f64,
    still: f64,
    straight: f64,
    linear: f64,
    turns: usize,
    sum: Vec<f64>,
    squares: Vec<f64>,
    latents: usize,
}

/// How well a world model foretells, beside what foretells without one. Distances are mean squares over the components of latents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorldFigures {
    /// Windows that were looked at.
    pub windows: usize,
    /// Of the last frame's latent and what the model foretells.
    pub prediction: f64,
    /// Of the last frame's latent and that of the frame before: what is to be beaten.
    pub copy_last: f64,
    /// Of the last frame's latent and the line through the two before; absent for windows of two frames.
    pub linear: Option<f64>,
    /// Mean cosine of one step's change of the latent and the next one's; absent for windows of two frames.
    pub straightness: Option<f64>,
    /// Mean over components of their variance over all latents; near 1 by SIGReg, near 0 where latents collapse.
    pub variance: f64,
}

impl WorldMeasured {
    pub(super) fn new(dim: usize) -> Self {
        let (sum, squares) = (vec![0.0; dim], vec![0.0; dim]);
        Self { dim, windows: 0, off: 0.0, still: 0.0, straight: 0.0, linear: 0.0, turns: 0, sum, squares, latents: 0 }
    }

    /// Latents `[windows, frames, D]` and what was foretold of each window's last, `[windows, D]`.
    pub(super) fn add(&mut self, latents: &[f32], predicted: &[f32], frames: usize) {
        let d = self.dim;
        let distance = |a: &[f32], b: &dyn Fn(usize) -> f64| {
            a.iter().enumerate().map(|(i, &a)| (f64::from(a) - b(i)).powi(2)).sum::<f64>() / d as f64
        };
        for (window, predicted) in latents.chunks_exact(frames * d).zip(predicted.chunks_exact(d)) {
            let frame = |i: usize| &window[i * d..(i + 1) * d];
            let (last, before) = (frame(frames - 1), frame(frames - 2));
            self.windows += 1;
            self.off += distance(last, &|i| f64::from(predicted[i]));
            self.still += distance(last, &|i| f64::from(before[i]));
            if frames > 2 {
                let earlier = frame(frames - 3);
                self.linear += distance(last, &|i| 2.0 * f64::from(before[i]) - f64::from(earlier[i]));
            }
            for i in 2..frames {
                let (mut dot, mut a2, mut b2) = (0.0, 0.0, 0.0);
                for c in 0..d {
                    let a = f64::from(frame(i - 1)[c]) - f64::from(frame(i - 2)[c]);
                    let b = f64::from(frame(i)[c]) - f64::from(frame(i - 1)[c]);
                    (dot, a2, b2) = (dot + a * b, a2 + a * a, b2 + b * b);
                }
                self.straight += dot / (a2 * b2).sqrt().max(f64::MIN_POSITIVE);
                self.turns += 1;
            }
            for latent in window.chunks_exact(d) {
                self.latents += 1;
                for (i, &v) in latent.iter().enumerate() {
                    self.sum[i] += f64::from(v);
                    self.squares[i] += f64::from(v).powi(2);
                }
            }
        }
    }

    /// The means.
    pub fn figures(&self) -> WorldFigures {
        let n = self.windows.max(1) as f64;
        let count = self.latents.max(1) as f64;
        let variances = self.sum.iter().zip(&self.squares).map(|(s, q)| q / count - (s / count).powi(2));
        let of_longer = |sum: f64, n: usize| (self.turns > 0).then(|| sum / n.max(1) as f64);
        WorldFigures {
            windows: self.windows,
            prediction: self.off / n,
            copy_last: self.still / n,
            linear: of_longer(self.linear, self.windows),
            straightness: of_longer(self.straight, self.turns),
            variance: variances.sum::<f64>() / self.dim.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_means_they_say() {
        let mut measured = WorldMeasured::new(2);
        // Three frames on a line, then three that turn back.
        measured.add(&[0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[2.0, 1.0, 0.0, 0.0], 3);
        let f = measured.figures();
        assert_eq!((f.windows, f.prediction, f.copy_last), (2, 0.25, 0.5));
        // On the line 0, turning back (2 − 0)² / 2 = 2.
        assert_eq!((f.linear, f.straightness), (Some(1.0), Some(0.0)));
        let (x, y) = (5.0 / 6.0 - 0.25, 1.0 / 6.0 - 1.0 / 36.0);
        assert!((f.variance - (x + y) / 2.0).abs() < 1e-12, "{}", f.variance);
    }
}
