//! The linear algebra that runs on the host: whitening a set of vectors, with a regression on another.

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

/// An affine map of vectors.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    /// `[out, dim]`, row-major.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// The mean of `rows` `[count, dim]`, and the rows without it.
fn centre(rows: &[f32], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (rows.len() / dim) as f64;
    let mut mean = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count);
    }
    let centred = rows.chunks_exact(dim).flat_map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m));
    (mean.clone(), centred.collect())
}

/// `aᵀ b / count` of `a`, `b` `[count, dim]`.
fn covariance(a: &[f64], b: &[f64], dim: usize) -> Vec<f64> {
    let count = (a.len() / dim) as f64;
    let mut out = vec![0.0f64; dim * dim];
    for (x, y) in a.chunks_exact(dim).zip(b.chunks_exact(dim)) {
        for (line, x) in out.chunks_exact_mut(dim).zip(x) {
            let factor = x / count;
            line.iter_mut().zip(y).for_each(|(slot, y)| *slot += factor * y);
        }
    }
    out
}

/// `a b` of `a` `[rows, dim]` and `b` `[dim, dim]`.
fn product(a: &[f64], b: &[f64], dim: usize) -> Vec<f64> {
    let mut out = vec![0.0f64; a.len()];
    for (slots, x) in out.chunks_exact_mut(dim).zip(a.chunks_exact(dim)) {
        for (x, line) in x.iter().zip(b.chunks_exact(dim)) {
            slots.iter_mut().zip(line).for_each(|(slot, y)| *slot += x * y);
        }
    }
    out
}

fn root_mean_square(rows: &[f64], dim: usize) -> f64 {
    let squares: f64 = rows.iter().map(|v| v * v).sum();
    (squares * dim as f64 / rows.len().max(1) as f64).sqrt()
}

/// What a head learns of texts that say more: a share of the space is what the centred vectors predict of theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint<'a> {
    /// The other vectors `[count, dim]`, row by row beside the vectors.
    pub rows: &'a [f32],
    /// Their share, 0 to 1, where both parts are scaled to the same mean square.
    pub share: f64,
    /// Ridge of the regression, in mean variances of a component.
    pub ridge: f64,
}

/// The matrix `[dim, dim]` that centred vectors (rows) are multiplied by: (1 − share) I + share R, R the ridge regression
/// of the hint's vectors on them. `None` when there is nothing to regress.
fn hinted(centred: &[f64], hint: &Hint<'_>, dim: usize) -> Option<Vec<f64>> {
    let (_, other) = centre(hint.rows, dim);
    if other.len() != centred.len() {
        return None;
    }
    let (values, vectors) = symmetric_eigen(&covariance(centred, centred, dim), dim);
    let ridge = hint.ridge * values.iter().sum::<f64>() / dim as f64;
    // R = E (Λ + ridge)⁻¹ Eᵀ (Xᵀ V), eigenvectors in rows.
    let cross = covariance(centred, &other, dim);
    let mut turned = product(&vectors, &cross, dim);
    for (line, value) in turned.chunks_exact_mut(dim).zip(&values) {
        let factor = 1.0 / (value.max(0.0) + ridge).max(f64::MIN_POSITIVE);
        line.iter_mut().for_each(|v| *v *= factor);
    }
    let columns: Vec<f64> = (0..dim * dim).map(|k| vectors[k % dim * dim + k / dim]).collect();
    let regression = product(&columns, &turned, dim);
    let (own, predicted) = (root_mean_square(centred, dim), root_mean_square(&product(centred, &regression, dim), dim));
    if !(own > 0.0 && predicted > 0.0) {
        return None;
    }
    let mut matrix: Vec<f64> = regression.iter().map(|v| v * hint.share * own / predicted).collect();
    (0..dim).for_each(|i| matrix[i * dim + i] += 1.0 - hint.share);
    Some(matrix)
}

/// Whitens `rows` `[count, dim]` to their `out` leading principal components, each divided by its standard deviation to
/// the power `strength`: 1 whitens, 0 only rotates. A hint changes the space first. `None` when the rows span fewer than
/// `out` dimensions.
pub(crate) fn whiten(rows: &[f32], dim: usize, out: usize, strength: f64, hint: Option<&Hint<'_>>) -> Option<Affine> {
    let count = rows.len().checked_div(dim)?;
    if count == 0 || out == 0 || out > dim {
        return None;
    }
    let (mean, centred) = centre(rows, dim);
    let matrix = match hint {
        Some(hint) => Some(hinted(&centred, hint, dim)?),
        None => None,
    };
    let moved = matrix.as_ref().map_or_else(|| centred.clone(), |m| product(&centred, m, dim));
    let (values, vectors) = symmetric_eigen(&covariance(&moved, &moved, dim), dim);
    if values[out - 1] <= values[0].max(f64::MIN_POSITIVE) * 1e-12 {
        return None;
    }
    let (mut weight, mut bias) = (Vec::with_capacity(out * dim), Vec::with_capacity(out));
    for (value, vector) in values.iter().zip(vectors.chunks_exact(dim)).take(out) {
        // The sign of an eigenvector is free; fix it so that every machine gets the same head.
        let sign = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0).signum();
        let factor = sign / value.sqrt().powf(strength);
        let row: Vec<f64> = match &matrix {
            Some(m) => {
                let line = |line: &[f64]| factor * line.iter().zip(vector).map(|(m, v)| m * v).sum::<f64>();
                m.chunks_exact(dim).map(line).collect()
            }
            None => vector.iter().map(|v| v * factor).collect(),
        };
        bias.push(-row.iter().zip(&mean).map(|(v, m)| v * m).sum::<f64>() as f32);
        weight.extend(row.iter().map(|v| *v as f32));
    }
    Some(Affine { weight, bias })
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
        let head = whiten(&rows, dim, out, 1.0, None).unwrap();
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
    fn a_hint_makes_room_for_what_it_shares_with_the_rows() {
        let (count, dim) = (300, 4);
        let raw = noise(7, count * dim);
        let rows: Vec<f32> = raw.iter().map(|v| *v as f32 + 2.0).collect();
        // The hint is three times the third component, in its own second one, and noise that the rows do not predict.
        let other = noise(8, count * dim);
        let hint: Vec<f32> =
            (0..count * dim).map(|k| if k % dim == 1 { 3.0 * rows[k + 1] } else { 0.1 * other[k] as f32 }).collect();
        for (share, least) in [(0.0, 0.0), (0.5, 0.6), (1.0, 0.99)] {
            let hint = Hint { rows: &hint, share, ridge: 1e-6 };
            let head = whiten(&rows, dim, 1, 0.0, Some(&hint)).unwrap();
            let length: f32 = head.weight.iter().map(|w| w * w).sum::<f32>().sqrt();
            let along = head.weight[2].abs() / length;
            assert!(f64::from(along) >= least, "{share}: {:?}", head.weight);
            let mean: f32 = rows
                .chunks_exact(dim)
                .map(|row| head.bias[0] + row.iter().zip(&head.weight).map(|(v, w)| v * w).sum::<f32>())
                .sum::<f32>();
            assert!(mean.abs() < 1e-2 * count as f32 * length, "{share}: {mean}");
        }
        let nothing = Hint { rows: &hint, share: 0.0, ridge: 0.1 };
        let (with, without) = (whiten(&rows, dim, 3, 0.5, Some(&nothing)), whiten(&rows, dim, 3, 0.5, None));
        let near = with.unwrap().weight.iter().zip(&without.unwrap().weight).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "no share, no change");
        assert!(whiten(&rows, dim, 2, 0.5, Some(&Hint { rows: &hint[dim..], share: 0.5, ridge: 0.1 })).is_none());
    }

    #[test]
    fn too_few_dimensions_are_refused() {
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 2, 1.0, None).is_none());
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 1, 1.0, None).is_some());
        assert!(whiten(&[], 2, 1, 1.0, None).is_none());
        assert!(whiten(&[1.0, 2.0], 2, 3, 1.0, None).is_none());
    }
}
