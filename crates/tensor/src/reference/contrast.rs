//! InfoNCE, in f64 throughout so that finite differences can be taken of it.

use super::norm::{Norm, norm, norm_backward};
use super::softmax::log_sum_exp;

/// What a column is to a row whose own column has the same key: two samples of a batch may have the same text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Duplicates {
    /// A negative like any other, though a false one.
    #[default]
    Negatives = 0,
    /// Neither a positive nor a negative: left out of the row's loss.
    LeftOut = 1,
    /// A positive, of the same weight as the own column.
    Positives = 2,
}

/// What [`info_nce`] compares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairs<'a> {
    /// Own column of each row.
    pub targets: &'a [u32],
    /// Keys of the columns.
    pub keys: &'a [u32],
    /// What other columns of the own column's key are.
    pub duplicates: Duplicates,
    /// Whether columns are matched to rows as well.
    pub bidirectional: bool,
    /// Weight of each sample; empty where all count the same.
    pub weights: &'a [f64],
    /// Whether the targets are compared as they are.
    pub targets_normalised: bool,
}

impl Pairs<'_> {
    /// Whether the column is a positive of the row.
    fn positive(&self, row: usize, col: usize) -> bool {
        let own = self.targets[row] as usize;
        own == col || (self.duplicates == Duplicates::Positives && self.keys[own] == self.keys[col])
    }

    fn counts(&self, row: usize, col: usize) -> bool {
        let own = self.targets[row] as usize;
        own == col || self.duplicates != Duplicates::LeftOut || self.keys[own] != self.keys[col]
    }

    fn weight(&self, sample: usize) -> f64 {
        self.weights.get(sample).copied().unwrap_or(1.0)
    }

    /// Weighted sum of the losses of lines of a matrix and its gradient; `at` maps (line, place) to (row, column).
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
                loss += self.weight(line) * want * (lse - s[r * cols + c]);
                grad[r * cols + c] = self.weight(line) * ((s[r * cols + c] - lse).exp() - want);
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

/// InfoNCE of predictions and targets, rows of `dim`, normalised here with no smallest norm (VL-JEPA §2), uncapped: the
/// weighted mean over rows, and over columns with the same weights.
pub fn info_nce(p: &[f64], y: &[f64], dim: usize, log_scale: f64, pairs: &Pairs<'_>) -> InfoNceGrads {
    let (rows, cols) = (p.len() / dim, y.len() / dim);
    let scale = log_scale.exp();
    let u = norm(Norm::L2, p, dim, None, None, 0.0);
    let v = if pairs.targets_normalised { y.to_vec() } else { norm(Norm::L2, y, dim, None, None, 0.0) };
    let mut s = vec![0.0; rows * cols];
    for r in 0..rows {
        for c in 0..cols {
            s[r * cols + c] = scale * (0..dim).map(|d| u[r * dim + d] * v[c * dim + d]).sum::<f64>();
        }
    }
    let (mut loss, mut ds) = pairs.lines(&s, cols, rows, cols, |line, place| (line, place));
    let mut total: f64 = (0..rows).map(|r| pairs.weight(r)).sum();
    if pairs.bidirectional {
        let (more, also) = pairs.lines(&s, cols, cols, rows, |line, place| (place, line));
        loss += more;
        ds.iter_mut().zip(also).for_each(|(d, a)| *d += a);
        total *= 2.0;
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
        y: if pairs.targets_normalised { dv } else { norm_backward(Norm::L2, &dv, y, dim, None, 0.0).x },
        log_scale: dscale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::differences::{check, wave};

    #[test]
    fn gradients_match_differences() {
        let (p, y) = (wave(12, 0.3), wave(12, 1.9));
        for duplicates in [Duplicates::Negatives, Duplicates::LeftOut, Duplicates::Positives] {
            for bidirectional in [true, false] {
                let targets: &[u32] = if bidirectional { &[0, 1, 2, 3] } else { &[3, 1, 1, 0] };
                let plain = Pairs { targets, keys: &[5, 2, 5, 7], duplicates, bidirectional, ..Pairs::default() };
                let weighted = Pairs { weights: &[0.5, 2.0, 0.0, 1.25], targets_normalised: true, ..plain };
                for pairs in [plain, weighted] {
                    let run = |p: &[f64], y: &[f64], t: f64| info_nce(p, y, 3, t, &pairs);
                    let got = run(&p, &y, 1.2);
                    check("p", &p, &got.p, |p| run(p, &y, 1.2).loss);
                    check("y", &y, &got.y, |y| run(&p, y, 1.2).loss);
                    check("log-scale", &[1.2], &[got.log_scale], |t| run(&p, &y, t[0]).loss);
                }
            }
        }
    }
}
