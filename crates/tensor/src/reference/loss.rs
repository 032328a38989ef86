//! Softmax, cross-entropy and InfoNCE, in f64 throughout so that finite differences can be taken of them.

use super::norm::{Norm, norm, norm_backward};
use crate::ops::Duplicates;

fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = x.clone().fold(f64::NEG_INFINITY, f64::max);
    top + x.map(|v| (v - top).exp()).sum::<f64>().ln()
}

/// Softmax of rows of `cols`.
pub fn softmax(x: &[f64], cols: usize) -> Vec<f64> {
    x.chunks(cols)
        .flat_map(|row| {
            let lse = log_sum_exp(row.iter().copied());
            row.iter().map(move |v| (v - lse).exp())
        })
        .collect()
}

/// Gradient of [`softmax`] by the Jacobian of each row.
pub fn softmax_backward(grad: &[f64], x: &[f64], cols: usize) -> Vec<f64> {
    let y = softmax(x, cols);
    let mut dx = vec![0.0; x.len()];
    for ((dx, y), g) in dx.chunks_mut(cols).zip(y.chunks(cols)).zip(grad.chunks(cols)) {
        for c in 0..cols {
            for j in 0..cols {
                dx[j] += g[c] * y[c] * (if c == j { 1.0 } else { 0.0 } - y[j]);
            }
        }
    }
    dx
}

/// Mean cross-entropy of rows of `cols` logits, and its gradient.
pub fn cross_entropy(
    logits: &[f64],
    cols: usize,
    targets: &[u32],
    smoothing: f64,
    ignore: Option<u32>,
) -> (f64, Vec<f64>) {
    let count = targets.iter().filter(|&&t| Some(t) != ignore).count().max(1) as f64;
    let (mut loss, mut grad) = (0.0, vec![0.0; logits.len()]);
    for ((row, g), &t) in logits.chunks(cols).zip(grad.chunks_mut(cols)).zip(targets) {
        if Some(t) == ignore {
            continue;
        }
        let lse = log_sum_exp(row.iter().copied());
        for (c, v) in row.iter().enumerate() {
            let want = smoothing / cols as f64 + if c == t as usize { 1.0 - smoothing } else { 0.0 };
            loss -= want * (v - lse) / count;
            g[c] = ((v - lse).exp() - want) / count;
        }
    }
    (loss, grad)
}

/// What [`info_nce`] compares.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// Own column of each row.
    pub targets: &'a [u32],
    /// Keys of the columns.
    pub keys: &'a [u32],
    /// What other columns of the own column's key are.
    pub duplicates: Duplicates,
    /// Whether columns are matched to rows as well.
    pub bidirectional: bool,
}

impl Pairs<'_> {
    /// Weight of the pair among the positives of its row, unnormalised.
    fn positive(&self, row: usize, col: usize) -> bool {
        let own = self.targets[row] as usize;
        own == col || (self.duplicates == Duplicates::Positives && self.keys[own] == self.keys[col])
    }

    fn counts(&self, row: usize, col: usize) -> bool {
        let own = self.targets[row] as usize;
        own == col || self.duplicates != Duplicates::LeftOut || self.keys[own] != self.keys[col]
    }

    /// Sum of the losses of lines of a matrix and its gradient; `at` maps (line, place) to (row, column).
    fn lines(
        &self,
        s: &[f64],
        cols: usize,
        lines: usize,
        places: usize,
        at: impl Fn(usize, usize) -> (usize, usize),
    ) -> (f64, Vec<f64>) {
        let (mut loss, mut grad) = (0.0, vec![0.0; s.len()]);
        for line in 0..lines {
            let all: Vec<(usize, usize)> =
                (0..places).map(|p| at(line, p)).filter(|&(r, c)| self.counts(r, c)).collect();
            let lse = log_sum_exp(all.iter().map(|&(r, c)| s[r * cols + c]));
            let hits = all.iter().filter(|&&(r, c)| self.positive(r, c)).count() as f64;
            for &(r, c) in &all {
                let want = if self.positive(r, c) { 1.0 / hits } else { 0.0 };
                loss += want * (lse - s[r * cols + c]);
                grad[r * cols + c] = (s[r * cols + c] - lse).exp() - want;
            }
        }
        (loss, grad)
    }
}

/// Loss and gradients of [`info_nce`].
#[derive(Clone, Debug)]
pub struct InfoNceGrads {
    /// The loss.
    pub loss: f64,
    /// With respect to the predictions.
    pub p: Vec<f64>,
    /// With respect to the targets.
    pub y: Vec<f64>,
    /// With respect to the log-scale.
    pub log_scale: f64,
}

/// InfoNCE of predictions and targets, rows of `dim`, normalised here with no smallest norm (VL-JEPA §2), uncapped.
pub fn info_nce(p: &[f64], y: &[f64], dim: usize, log_scale: f64, pairs: &Pairs<'_>) -> InfoNceGrads {
    let (rows, cols) = (p.len() / dim, y.len() / dim);
    let scale = log_scale.exp();
    let (u, v) = (norm(Norm::L2, p, dim, None, None, 0.0), norm(Norm::L2, y, dim, None, None, 0.0));
    let mut s = vec![0.0; rows * cols];
    for r in 0..rows {
        for c in 0..cols {
            s[r * cols + c] = scale * (0..dim).map(|d| u[r * dim + d] * v[c * dim + d]).sum::<f64>();
        }
    }
    let (mut loss, mut ds) = pairs.lines(&s, cols, rows, cols, |line, place| (line, place));
    let mut total = rows as f64;
    if pairs.bidirectional {
        let (more, also) = pairs.lines(&s, cols, cols, rows, |line, place| (place, line));
        loss += more;
        ds.iter_mut().zip(also).for_each(|(d, a)| *d += a);
        total += cols as f64;
    }
    let (mut du, mut dv, mut dscale) = (vec![0.0; p.len()], vec![0.0; y.len()], 0.0);
    for r in 0..rows {
        for c in 0..cols {
            let d = ds[r * cols + c] / total;
            dscale += d * s[r * cols + c];
            for i in 0..dim {
                du[r * dim + i] += d * scale * v[c * dim + i];
                dv[c * dim + i] += d * scale * u[r * dim + i];
            }
        }
    }
    InfoNceGrads {
        loss: loss / total,
        p: norm_backward(Norm::L2, &du, p, dim, None, 0.0).x,
        y: norm_backward(Norm::L2, &dv, y, dim, None, 0.0).x,
        log_scale: dscale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, phase: f64) -> Vec<f64> {
        (0..len).map(|i| (i as f64 * 1.3 + phase).sin() + 0.2).collect()
    }

    fn check(what: &str, x: &[f64], grad: &[f64], f: impl Fn(&[f64]) -> f64) {
        let mut x = x.to_vec();
        for i in 0..x.len() {
            let old = x[i];
            x[i] = old + 1e-5;
            let up = f(&x);
            x[i] = old - 1e-5;
            let want = (up - f(&x)) / 2e-5;
            x[i] = old;
            assert!((grad[i] - want).abs() < 1e-8, "{what} {i}: {} {want}", grad[i]);
        }
    }

    #[test]
    fn gradients_match_differences() {
        let (x, seed) = (wave(12, 0.1), wave(12, 0.7));
        let dot = |x: &[f64]| -> f64 { softmax(x, 4).iter().zip(&seed).map(|(a, b)| a * b).sum() };
        check("softmax", &x, &softmax_backward(&seed, &x, 4), dot);
        for (smoothing, ignore, targets) in [(0.0, None, [2, 3, 0]), (0.3, Some(9), [2, 9, 0])] {
            let run = |x: &[f64]| cross_entropy(x, 4, &targets, smoothing, ignore);
            check("cross-entropy", &x, &run(&x).1, |x| run(x).0);
        }
        let (p, y) = (wave(12, 0.3), wave(12, 1.9));
        for duplicates in [Duplicates::Negatives, Duplicates::LeftOut, Duplicates::Positives] {
            for bidirectional in [true, false] {
                let targets: &[u32] = if bidirectional { &[0, 1, 2, 3] } else { &[3, 1, 1, 0] };
                let pairs = Pairs { targets, keys: &[5, 2, 5, 7], duplicates, bidirectional };
                let run = |p: &[f64], y: &[f64], t: f64| info_nce(p, y, 3, t, &pairs);
                let got = run(&p, &y, 1.2);
                check("p", &p, &got.p, |p| run(p, &y, 1.2).loss);
                check("y", &y, &got.y, |y| run(&p, y, 1.2).loss);
                check("log-scale", &[1.2], &[got.log_scale], |t| run(&p, &y, t[0]).loss);
            }
        }
    }
}
