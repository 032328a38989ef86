//! Softmax of rows, in f64 throughout so that finite differences can be taken of it.

/// `ln Σ exp(x)`, without overflow.
pub(super) fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::differences::{check, wave};

    #[test]
    fn gradients_match_differences() {
        let (x, seed) = (wave(12, 0.1), wave(12, 0.7));
        let dot = |x: &[f64]| -> f64 { softmax(x, 4).iter().zip(&seed).map(|(a, b)| a * b).sum() };
        check("softmax", &x, &softmax_backward(&seed, &x, 4), dot);
    }
}
