//! The one piece of linear algebra that runs on the host: whitening a set of vectors.

/// Eigenvalues, largest first, and eigenvectors (rows) of a symmetric matrix `[n, n]`, by cyclic Jacobi rotations.
pub(crate) fn symmetric_eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    // Rows of `v` become the eigenvectors.
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    let scale: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= scale * 1e-28 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq.abs() <= f64::MIN_POSITIVE {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                let (app, aqq) = (a[p * n + p], a[q * n + q]);
                rotate_rows(&mut a, n, p, q, c, s);
                rotate_rows(&mut v, n, p, q, c, s);
                // Symmetry gives the columns; the 2x2 block has a closed form.
                for k in 0..n {
                    a[k * n + p] = a[p * n + k];
                    a[k * n + q] = a[q * n + k];
                }
                a[p * n + p] = app - t * apq;
                a[q * n + q] = aqq + t * apq;
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    let values = order.iter().map(|&i| a[i * n + i]).collect();
    let vectors = order.iter().flat_map(|&i| v[i * n..(i + 1) * n].iter().copied()).collect();
    (values, vectors)
}

/// Rows p and q become c·p − s·q and s·p + c·q.
fn rotate_rows(a: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (head, tail) = a.split_at_mut(q * n);
    for (x, y) in head[p * n..(p + 1) * n].iter_mut().zip(&mut tail[..n]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

/// An affine map that centres vectors and makes their leading components uncorrelated with variance 1.
#[derive(Clone, Debug)]
pub(crate) struct Whitening {
    /// `[out, dim]`, row-major.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// Whitens `rows` `[count, dim]` to their `out` leading principal components, each divided by its standard deviation to
/// the power `strength`: 1 whitens, 0 only rotates. `None` when the rows span fewer than `out` dimensions.
pub(crate) fn whiten(rows: &[f32], dim: usize, out: usize, strength: f64) -> Option<Whitening> {
    let count = rows.len().checked_div(dim)?;
    if count == 0 || out == 0 || out > dim {
        return None;
    }
    let mut mean = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count as f64);
    }
    let mut covariance = vec![0.0f64; dim * dim];
    let mut centred = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        centred.iter_mut().zip(row).zip(&mean).for_each(|((c, v), m)| *c = f64::from(*v) - m);
        for i in 0..dim {
            let line = &mut covariance[i * dim..i * dim + i + 1];
            let factor = centred[i] / count as f64;
            line.iter_mut().zip(&centred).for_each(|(slot, c)| *slot += factor * c);
        }
    }
    for i in 0..dim {
        for j in 0..i {
            covariance[j * dim + i] = covariance[i * dim + j];
        }
    }
    let (values, vectors) = symmetric_eigen(&covariance, dim);
    if values[out - 1] <= values[0].max(f64::MIN_POSITIVE) * 1e-12 {
        return None;
    }
    let (mut weight, mut bias) = (Vec::with_capacity(out * dim), Vec::with_capacity(out));
    for (value, vector) in values.iter().zip(vectors.chunks_exact(dim)).take(out) {
        // The sign of an eigenvector is free; fix it so that every machine gets the same head.
        let sign = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0).signum();
        let factor = sign / value.sqrt().powf(strength);
        bias.push(-vector.iter().zip(&mean).map(|(v, m)| v * factor * m).sum::<f64>() as f32);
        weight.extend(vector.iter().map(|v| (v * factor) as f32));
    }
    Some(Whitening { weight, bias })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    fn noise(seed: u64, n: usize) -> Vec<f64> {
        let mut stream = Stream::new(seed, Purpose::Order, 0);
        (0..n).map(|_| stream.below(20001) as f64 / 10000.0 - 1.0).collect()
    }

    #[test]
    fn eigenvectors_diagonalise_the_matrix() {
        let n = 13;
        let b = noise(3, n * n);
        let a: Vec<f64> = (0..n * n).map(|k| b[k] + b[k % n * n + k / n]).collect();
        let (values, vectors) = symmetric_eigen(&a, n);
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
        for (i, value) in values.iter().enumerate() {
            let x = &vectors[i * n..(i + 1) * n];
            for r in 0..n {
                let ax: f64 = (0..n).map(|k| a[r * n + k] * x[k]).sum();
                assert!((ax - value * x[r]).abs() < 1e-11, "vector {i}, row {r}: {ax} against {}", value * x[r]);
            }
            assert!((x.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn whitened_rows_are_centred_and_uncorrelated() {
        let (count, dim, out) = (200, 7, 5);
        let raw = noise(5, count * dim);
        // Correlated, shifted, of unequal spread.
        let rows: Vec<f32> = (0..count * dim)
            .map(|k| {
                let (i, j) = (k / dim, k % dim);
                (3.0 + raw[k] * (j + 1) as f64 + raw[i * dim]) as f32
            })
            .collect();
        let head = whiten(&rows, dim, out, 1.0).unwrap();
        let mapped: Vec<f64> = rows
            .chunks_exact(dim)
            .flat_map(|row| {
                let head = &head;
                (0..out).map(move |o| {
                    let w = &head.weight[o * dim..(o + 1) * dim];
                    f64::from(head.bias[o]) + w.iter().zip(row).map(|(w, v)| f64::from(*w) * f64::from(*v)).sum::<f64>()
                })
            })
            .collect();
        for i in 0..out {
            let mean = mapped.iter().skip(i).step_by(out).sum::<f64>() / count as f64;
            assert!(mean.abs() < 1e-5, "mean {i}: {mean}");
            for j in 0..=i {
                let c = mapped.chunks_exact(out).map(|r| r[i] * r[j]).sum::<f64>() / count as f64;
                assert!((c - f64::from(u8::from(i == j))).abs() < 1e-4, "covariance {i}, {j}: {c}");
            }
        }
    }

    #[test]
    fn too_few_dimensions_are_refused() {
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 2, 1.0).is_none());
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 1, 1.0).is_some());
        assert!(whiten(&[], 2, 1, 1.0).is_none());
        assert!(whiten(&[1.0, 2.0], 2, 3, 1.0).is_none());
    }
}
