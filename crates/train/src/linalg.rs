//! The linear algebra that runs on the host: whitening sets of vectors, ridge regression.

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

/// A row-major matrix.
#[derive(Clone, Debug)]
struct Matrix {
    cols: usize,
    data: Vec<f64>,
}

impl Matrix {
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.data.chunks_exact(self.cols)
    }

    fn count(&self) -> usize {
        self.data.len() / self.cols
    }

    /// Rows of single precision without their mean, and the mean.
    fn centred(rows: &[f32], cols: usize) -> (Self, Vec<f64>) {
        let count = (rows.len() / cols) as f64;
        let mut mean = vec![0.0f64; cols];
        for row in rows.chunks_exact(cols) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count);
        }
        let data =
            rows.chunks_exact(cols).flat_map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
        (Self { cols, data }, mean)
    }

    fn transposed(&self) -> Self {
        let (rows, cols) = (self.count(), self.cols);
        Self { cols: rows, data: (0..rows * cols).map(|k| self.data[k % rows * cols + k / rows]).collect() }
    }

    /// `self · other`.
    fn times(&self, other: &Self) -> Self {
        let mut data = vec![0.0f64; self.count() * other.cols];
        for (slots, x) in data.chunks_exact_mut(other.cols).zip(self.rows()) {
            for (x, line) in x.iter().zip(other.rows()) {
                slots.iter_mut().zip(line).for_each(|(slot, y)| *slot += x * y);
            }
        }
        Self { cols: other.cols, data }
    }

    /// `selfᵀ · other` over the number of rows: the covariance of centred rows.
    fn covariance(&self, other: &Self) -> Self {
        let count = self.count() as f64;
        let mut data = vec![0.0f64; self.cols * other.cols];
        for (x, y) in self.rows().zip(other.rows()) {
            for (slots, x) in data.chunks_exact_mut(other.cols).zip(x) {
                let factor = x / count;
                slots.iter_mut().zip(y).for_each(|(slot, y)| *slot += factor * y);
            }
        }
        Self { cols: other.cols, data }
    }

    /// Root of the mean square length of a row.
    fn length(&self) -> f64 {
        (self.data.iter().map(|v| v * v).sum::<f64>() / self.count().max(1) as f64).sqrt()
    }

    /// The ridge regression of the centred rows of `other` on these: `[own cols, other's cols]`; `ridge` in mean variances of
    /// a column.
    fn regress(&self, other: &Self, ridge: f64) -> Self {
        let own = self.covariance(self);
        let (values, vectors) = symmetric_eigen(&own.data, self.cols);
        let vectors = Self { cols: self.cols, data: vectors };
        let ridge = ridge * values.iter().sum::<f64>() / self.cols as f64;
        // E (Λ + ridge)⁻¹ Eᵀ (Xᵀ Y), eigenvectors in rows.
        let mut turned = vectors.times(&self.covariance(other));
        for (line, value) in turned.data.chunks_exact_mut(other.cols).zip(&values) {
            let factor = 1.0 / (value.max(0.0) + ridge).max(f64::MIN_POSITIVE);
            line.iter_mut().for_each(|v| *v *= factor);
        }
        vectors.transposed().times(&turned)
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

impl Affine {
    /// What it makes of a vector of `dim` numbers.
    pub fn of(&self, row: &[f32], dim: usize) -> Vec<f32> {
        let lines = self.weight.chunks_exact(dim.max(1)).zip(&self.bias);
        lines.map(|(w, b)| b + w.iter().zip(row).map(|(w, v)| w * v).sum::<f32>()).collect()
    }

    /// Root of the mean square length of what it makes of `rows` `[count, dim]`.
    pub fn length_over(&self, rows: &[f32], dim: usize) -> f64 {
        let out = |row: &[f32]| -> f64 {
            let lines = self.weight.chunks_exact(dim).zip(&self.bias);
            lines.map(|(w, b)| f64::from(b + w.iter().zip(row).map(|(w, v)| w * v).sum::<f32>()).powi(2)).sum()
        };
        (rows.chunks_exact(dim).map(out).sum::<f64>() / (rows.len() / dim).max(1) as f64).sqrt()
    }
}

/// The ridge regression of `targets` `[count, out]` on `rows` `[count, dim]`, with an intercept; `ridge` in mean variances of
/// a component.
pub(crate) fn regress(rows: &[f32], dim: usize, targets: &[f32], out: usize, ridge: f64) -> Affine {
    let ((x, x_mean), (y, y_mean)) = (Matrix::centred(rows, dim), Matrix::centred(targets, out));
    let weight = x.regress(&y, ridge).transposed();
    let bias =
        weight.rows().zip(&y_mean).map(|(w, m)| (m - w.iter().zip(&x_mean).map(|(w, m)| w * m).sum::<f64>()) as f32);
    Affine { bias: bias.collect(), weight: weight.data.iter().map(|v| *v as f32).collect() }
}

/// Vectors of texts that say more than the labels: a share of the whitened space is what the labels' centred vectors predict
/// of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint<'a> {
    /// The vectors `[count, dim]`, in the order of the labels.
    pub rows: &'a [f32],
    /// Their share, 0 to 1, where both parts are scaled to the same mean square.
    pub share: f64,
    /// Ridge of the regression, in mean variances of a component.
    pub ridge: f64,
}

/// The matrix `[dim, dim]` that centred vectors (rows) are multiplied by: (1 − share) I + share R, R the ridge regression
/// of the hint's vectors on them. `None` when there is nothing to regress.
fn hinted(centred: &Matrix, hint: &Hint<'_>) -> Option<Matrix> {
    let dim = centred.cols;
    let (other, _) = Matrix::centred(hint.rows, dim);
    if other.data.len() != centred.data.len() {
        return None;
    }
    let mut matrix = centred.regress(&other, hint.ridge);
    let (own, predicted) = (centred.length(), centred.times(&matrix).length());
    if !(own > 0.0 && predicted > 0.0) {
        return None;
    }
    matrix.data.iter_mut().for_each(|v| *v *= hint.share * own / predicted);
    (0..dim).for_each(|i| matrix.data[i * dim + i] += 1.0 - hint.share);
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
    let (centred, mean) = Matrix::centred(rows, dim);
    let matrix = match hint {
        Some(hint) => Some(hinted(&centred, hint)?),
        None => None,
    };
    let moved = matrix.as_ref().map_or_else(|| centred.clone(), |m| centred.times(m));
    let (values, vectors) = symmetric_eigen(&moved.covariance(&moved).data, dim);
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
                let along = |line: &[f64]| factor * line.iter().zip(vector).map(|(m, v)| m * v).sum::<f64>();
                m.rows().map(along).collect()
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
    fn a_regression_finds_an_affine_map_and_shrinks_towards_the_mean() {
        let (count, dim, out) = (100, 5, 3);
        let rows: Vec<f32> = noise(9, count * dim).iter().map(|v| *v as f32 + 1.0).collect();
        let map = |row: &[f32], o: usize| 0.5 * o as f32 + row[o] - 2.0 * row[o + 2];
        let targets: Vec<f32> = rows.chunks_exact(dim).flat_map(|row| (0..out).map(|o| map(row, o))).collect();
        let found = regress(&rows, dim, &targets, out, 1e-9);
        for o in 0..out {
            for i in 0..dim {
                let want = f32::from(u8::from(i == o)) - 2.0 * f32::from(u8::from(i == o + 2));
                assert!((found.weight[o * dim + i] - want).abs() < 1e-4, "{o}, {i}");
            }
            assert!((found.bias[o] - 0.5 * o as f32).abs() < 1e-4);
        }
        let shrunk = regress(&rows, dim, &targets, out, 1e9);
        let mean: f32 = targets.iter().step_by(out).sum::<f32>() / count as f32;
        assert!(shrunk.weight.iter().all(|w| w.abs() < 1e-6) && (shrunk.bias[0] - mean).abs() < 1e-3);
        let flat = Affine { weight: vec![0.0; 2 * dim], bias: vec![3.0, 4.0] };
        assert!((flat.length_over(&rows, dim) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn too_few_dimensions_are_refused() {
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 2, 1.0, None).is_none());
        assert!(whiten(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 2, 1, 1.0, None).is_some());
        assert!(whiten(&[], 2, 1, 1.0, None).is_none());
        assert!(whiten(&[1.0, 2.0], 2, 3, 1.0, None).is_none());
    }
}
