//! Normalisations of rows, in f64 throughout so that finite differences can be taken of them.

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// [`crate::ops::layer_norm`].
    Layer,
    /// [`crate::ops::rms_norm`].
    Rms,
    /// [`crate::ops::l2_normalize`].
    L2,
}

/// Result of [`norm_backward`].
#[derive(Clone, Debug)]
pub struct NormGrads {
    /// With respect to the input.
    pub x: Vec<f64>,
    /// With respect to the factor of each column.
    pub weight: Vec<f64>,
    /// With respect to what is added to each column.
    pub bias: Vec<f64>,
}

/// Mean and factor of one row.
fn stats(row: &[f64], kind: Norm, eps: f64) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = if kind == Norm::Layer { row.iter().sum::<f64>() / n } else { 0.0 };
    let squares: f64 = row.iter().map(|x| (x - mean).powi(2)).sum();
    let scale = if kind == Norm::L2 { 1.0 / squares.sqrt().max(eps) } else { 1.0 / (squares / n + eps).sqrt() };
    (mean, scale)
}

/// Normalises rows of `cols`, then multiplies by `weight` (ones when absent) and adds `bias`.
pub fn norm(kind: Norm, x: &[f64], cols: usize, weight: Option<&[f64]>, bias: Option<&[f64]>, eps: f64) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks(cols) {
        let (mean, scale) = stats(row, kind, eps);
        for (c, v) in row.iter().enumerate() {
            y.push((v - mean) * scale * weight.map_or(1.0, |w| w[c]) + bias.map_or(0.0, |b| b[c]));
        }
    }
    y
}

/// Gradients of [`norm`] by the Jacobian of each row, element by element.
pub fn norm_backward(kind: Norm, grad: &[f64], x: &[f64], cols: usize, weight: Option<&[f64]>, eps: f64) -> NormGrads {
    let mut out = NormGrads { x: vec![0.0; x.len()], weight: vec![0.0; cols], bias: vec![0.0; cols] };
    let n = cols as f64;
    for (r, (row, g)) in x.chunks(cols).zip(grad.chunks(cols)).enumerate() {
        let (mean, scale) = stats(row, kind, eps);
        let unclipped = kind != Norm::L2 || scale < 1.0 / eps;
        for c in 0..cols {
            let normal = (row[c] - mean) * scale;
            out.weight[c] += g[c] * normal;
            out.bias[c] += g[c];
            // d y[c] / d x[j] = scale * (delta_cj - [layer] 1/n - normal[c] * normal[j] / (n or 1))
            let h = g[c] * weight.map_or(1.0, |w| w[c]);
            for (j, &xj) in row.iter().enumerate() {
                let mut d = if c == j { 1.0 } else { 0.0 };
                if kind == Norm::Layer {
                    d -= 1.0 / n;
                }
                if unclipped {
                    d -= normal * (xj - mean) * scale / if kind == Norm::L2 { 1.0 } else { n };
                }
                out.x[r * cols + j] += h * scale * d;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backward_matches_differences() {
        let (rows, cols, eps) = (2, 5, 0.1);
        let x: Vec<f64> = (0..rows * cols).map(|i| (i as f64 * 1.7).sin() * 2.0 + 0.3).collect();
        let seed: Vec<f64> = (0..rows * cols).map(|i| (i as f64 * 0.9).cos() + 0.2).collect();
        let w: Vec<f64> = (0..cols).map(|i| 0.5 + i as f64 * 0.3).collect();
        for (kind, eps) in [(Norm::Layer, eps), (Norm::Rms, eps), (Norm::L2, 1e-6), (Norm::L2, 100.0)] {
            let loss = |x: &[f64], w: &[f64]| -> f64 {
                norm(kind, x, cols, Some(w), None, eps).iter().zip(&seed).map(|(y, s)| y * s).sum()
            };
            let got = norm_backward(kind, &seed, &x, cols, Some(&w), eps);
            let difference = |v: &[f64], i: usize, f: &dyn Fn(&[f64]) -> f64| {
                let (mut up, mut down) = (v.to_vec(), v.to_vec());
                up[i] += 1e-5;
                down[i] -= 1e-5;
                (f(&up) - f(&down)) / 2e-5
            };
            for i in 0..x.len() {
                let want = difference(&x, i, &|x| loss(x, &w));
                assert!((got.x[i] - want).abs() < 1e-8, "{kind:?} x {i}: {} {want}", got.x[i]);
            }
            for i in 0..cols {
                let want = difference(&w, i, &|w| loss(&x, w));
                assert!((got.weight[i] - want).abs() < 1e-8, "{kind:?} w {i}");
            }
        }
    }
}
