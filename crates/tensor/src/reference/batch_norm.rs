//! Batch norm: columns normalised over rows, in f64 throughout so that finite differences can be taken of it.

use super::norm::NormGrads;

/// Result of [`batch_norm`].
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The result, of the input's shape.
    pub value: Vec<f64>,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Mean squared distance from it.
    pub variance: Vec<f64>,
}

/// Normalises columns by the mean and the biased variance of their rows, then multiplies by `weight` (ones when absent) and
/// adds `bias`.
pub fn batch_norm(x: &[f64], cols: usize, weight: Option<&[f64]>, bias: Option<&[f64]>, eps: f64) -> BatchNorm {
    let rows = (x.len() / cols) as f64;
    let mean: Vec<f64> = (0..cols).map(|c| column(x, cols, c).sum::<f64>() / rows).collect();
    let spread = |c: usize| column(x, cols, c).map(|v| (v - mean[c]).powi(2)).sum::<f64>() / rows;
    let variance: Vec<f64> = (0..cols).map(spread).collect();
    BatchNorm { value: batch_norm_fixed(x, &mean, &variance, weight, bias, eps), mean, variance }
}

fn column(x: &[f64], cols: usize, c: usize) -> impl Iterator<Item = f64> {
    x.iter().skip(c).step_by(cols).copied()
}

/// As [`batch_norm`] with statistics that are given.
pub fn batch_norm_fixed(
    x: &[f64],
    mean: &[f64],
    variance: &[f64],
    weight: Option<&[f64]>,
    bias: Option<&[f64]>,
    eps: f64,
) -> Vec<f64> {
    let cols = mean.len();
    let one = |(i, v): (usize, &f64)| {
        let c = i % cols;
        let normal = (v - mean[c]) / (variance[c] + eps).sqrt();
        normal * weight.map_or(1.0, |w| w[c]) + bias.map_or(0.0, |b| b[c])
    };
    x.iter().enumerate().map(one).collect()
}

/// Gradients of [`batch_norm`].
pub fn batch_norm_backward(grad: &[f64], x: &[f64], cols: usize, weight: Option<&[f64]>, eps: f64) -> NormGrads {
    let rows = (x.len() / cols) as f64;
    let BatchNorm { value: normal, mean, variance } = batch_norm(x, cols, None, None, eps);
    let mut out = batch_norm_fixed_backward(grad, x, &mean, &variance, weight, eps);
    // What the statistics pass on: with n normal, d n[i] / d x[j] has -scale (1 + n[i] n[j]) / rows beside the diagonal.
    for (i, dx) in out.x.iter_mut().enumerate() {
        let c = i % cols;
        let factor = weight.map_or(1.0, |w| w[c]) / (variance[c] + eps).sqrt();
        *dx -= factor * (out.bias[c] + normal[i] * out.weight[c]) / rows;
    }
    out
}

/// Gradients of [`batch_norm_fixed`].
pub fn batch_norm_fixed_backward(
    grad: &[f64],
    x: &[f64],
    mean: &[f64],
    variance: &[f64],
    weight: Option<&[f64]>,
    eps: f64,
) -> NormGrads {
    let cols = mean.len();
    let mut out = NormGrads { x: vec![0.0; x.len()], weight: vec![0.0; cols], bias: vec![0.0; cols] };
    for (i, g) in grad.iter().enumerate() {
        let c = i % cols;
        let scale = 1.0 / (variance[c] + eps).sqrt();
        out.x[i] = g * weight.map_or(1.0, |w| w[c]) * scale;
        out.weight[c] += g * (x[i] - mean[c]) * scale;
        out.bias[c] += g;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::differences::{check, wave};
    use super::*;

    #[test]
    fn gradients_match_differences() {
        let (rows, cols, eps) = (4, 3, 0.1);
        let (x, seed) = (wave(rows * cols, 0.4), wave(rows * cols, 2.0));
        let (w, b) = (wave(cols, 1.0), wave(cols, 3.0));
        let (mean, variance) = (wave(cols, 0.7), vec![0.5, 1.5, 3.0]);
        let along = |y: Vec<f64>| -> f64 { y.iter().zip(&seed).map(|(y, s)| y * s).sum() };
        let own = |x: &[f64], w: &[f64], b: &[f64]| along(batch_norm(x, cols, Some(w), Some(b), eps).value);
        let got = batch_norm_backward(&seed, &x, cols, Some(&w), eps);
        check("x", &x, &got.x, |x| own(x, &w, &b));
        check("weight", &w, &got.weight, |w| own(&x, w, &b));
        check("bias", &b, &got.bias, |b| own(&x, &w, b));
        let given =
            |x: &[f64], w: &[f64], b: &[f64]| along(batch_norm_fixed(x, &mean, &variance, Some(w), Some(b), eps));
        let got = batch_norm_fixed_backward(&seed, &x, &mean, &variance, Some(&w), eps);
        check("fixed x", &x, &got.x, |x| given(x, &w, &b));
        check("fixed weight", &w, &got.weight, |w| given(&x, w, &b));
        check("fixed bias", &b, &got.bias, |b| given(&x, &w, b));
    }
}
