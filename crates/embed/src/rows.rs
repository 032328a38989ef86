//! Embeddings in host memory, and functions on them: unit length, cosines, ranking, softmax.

use serde::Serialize;

use crate::error::{Error, Hint, Result};

/// Embeddings: `rows()` rows of `dim()` numbers, one after the other. Rows are L2-normalised vectors, except for token
/// vectors: there one row is the whole grid of tokens, not normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// Shape of one row.
    shape: Vec<usize>,
    dim: usize,
    data: Vec<f32>,
}

/// A ranked candidate for a picture or a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Match {
    /// Index of the candidate.
    pub index: usize,
    /// Cosine, -1..1.
    pub cosine: f32,
}

impl Embeddings {
    /// Empty, for rows of `dim` numbers.
    pub fn new(dim: usize) -> Self {
        Self::of_shape(&[dim])
    }

    /// Empty, for rows of the given shape.
    pub fn of_shape(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), dim: shape.iter().product::<usize>().max(1), data: Vec::new() }
    }

    /// Normalises rows and appends them. `name` gives the name of row `i` of `rows` for messages.
    ///
    /// # Errors
    /// A row that is zero or not finite, which cannot be normalised.
    pub fn extend(&mut self, rows: &[f32], name: impl Fn(usize) -> String) -> Result<()> {
        for (i, row) in rows.chunks_exact(self.dim).enumerate() {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            if !norm.is_finite() || norm <= 0.0 {
                return Err(invalid_row(&name(i), if norm == 0.0 { "is zero" } else { "is not finite" }));
            }
            self.data.extend(row.iter().map(|&v| (f64::from(v) / norm) as f32));
        }
        Ok(())
    }

    /// Appends rows without normalising them. `name` as in [`Self::extend`].
    ///
    /// # Errors
    /// A number that is not finite.
    pub fn extend_raw(&mut self, rows: &[f32], name: impl Fn(usize) -> String) -> Result<()> {
        if let Some(at) = rows.iter().position(|v| !v.is_finite()) {
            return Err(invalid_row(&name(at / self.dim), "is not finite"));
        }
        self.data.extend_from_slice(rows);
        Ok(())
    }

    /// Appends the rows of `other`, which must have the same length.
    pub(crate) fn append(&mut self, other: &Self) {
        self.data.extend_from_slice(&other.data);
    }

    /// Keeps the first `rows` rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.data.truncate(rows * self.dim);
    }

    /// From rows that already have unit length, `[rows, dim]` row-major.
    pub fn from_unit_rows(dim: usize, data: Vec<f32>) -> Self {
        Self { data, ..Self::new(dim) }
    }

    /// Shape of one row: `[dim]`, or `[tokens, width]` for token vectors.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Row `i`; panics outside `0..rows()` as slices do.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// All values, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row-major.
    pub fn into_values(self) -> Vec<f32> {
        self.data
    }

    /// The cosines of row `i` with every row of `candidates`, in order.
    ///
    /// # Errors
    /// When the rows of `candidates` have another length.
    pub fn cosines(&self, i: usize, candidates: &Embeddings) -> Result<Vec<f32>> {
        if self.dim != candidates.dim {
            let (a, b) = (self.dim, candidates.dim);
            return Err(Error::Invalid(format!("rows of {a} and of {b} values have no cosine: two models made them")));
        }
        let a = self.row(i);
        Ok(candidates.data.chunks_exact(candidates.dim).map(|b| dot(a, b)).collect())
    }

    /// The rows with the given indices, in that order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let data = rows.iter().flat_map(|&i| self.row(i).iter().copied()).collect();
        Self { data, ..Self::of_shape(&self.shape) }
    }
}

fn invalid_row(name: &str, what: &str) -> Error {
    let reason = format!("{name}: its embedding {what}; the model or the driver gives invalid numbers");
    Error::Invalid(reason).hint(Hint::OtherAdapter)
}

/// The header of a NumPy file, format version 1.0, for `rows` rows of `shape`: f32, C order.
pub(crate) fn npy_header(rows: usize, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!(", {n}")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}{shape}), }}");
    // Magic, version, length and header together are a multiple of 64 bytes and end in a line feed.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out
}

/// The sum of the products of two vectors of one length; values beyond the shorter one count as zero.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sums that do not wait for each other: the compiler makes vector instructions of them.
    const LANES: usize = 16;
    let (a_parts, a_rest) = a.as_chunks::<LANES>();
    let (b_parts, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_parts.iter().zip(b_parts) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

impl Match {
    /// Better matches come first; equal ones keep their order.
    pub fn before(&self, other: &Self) -> std::cmp::Ordering {
        other.cosine.total_cmp(&self.cosine).then(self.index.cmp(&other.index))
    }
}

/// The `k` largest of `cosines`, largest first; equal cosines keep their order.
pub fn best(cosines: &[f32], k: usize) -> Vec<Match> {
    best_of(cosines.iter().enumerate().map(|(index, &cosine)| Match { index, cosine }).collect(), k)
}

/// As [`best`], of matches in any order.
pub fn best_of(mut all: Vec<Match>, k: usize) -> Vec<Match> {
    if k < all.len() {
        if k > 0 {
            all.select_nth_unstable_by(k - 1, Match::before);
        }
        all.truncate(k);
    }
    all.sort_unstable_by(Match::before);
    all
}

/// Softmax of `cosines * scale`, in f64.
pub fn softmax(cosines: &[f32], scale: f32) -> Vec<f64> {
    let max = cosines.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = cosines.iter().map(|&c| (f64::from(c - max) * f64::from(scale)).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// Divides every row of `rows` `[_, dim]` by its Euclidean norm; rows of zeros stay zeros.
pub fn normalize_rows(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_exact_mut(dim.max(1)) {
        let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(data: &[f32]) -> Embeddings {
        let mut e = Embeddings::new(2);
        e.extend(data, |i| format!("row {i}")).unwrap();
        e
    }

    #[test]
    fn rows_get_unit_length() {
        let e = rows(&[3.0, 4.0, 0.0, -2.0]);
        assert_eq!(e.as_slice(), [0.6, 0.8, 0.0, -1.0]);
        assert_eq!((e.rows(), e.dim()), (2, 2));
        assert_eq!(e.select(&[1, 0, 1]).as_slice(), [0.0, -1.0, 0.6, 0.8, 0.0, -1.0]);
    }

    #[test]
    fn rows_without_direction_are_refused_by_name() {
        let mut e = Embeddings::new(2);
        for bad in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            let error = e.extend(&bad, |_| "cat.png".into()).unwrap_err().to_string();
            assert!(error.starts_with("cat.png: "), "{error}");
        }
        assert_eq!(e.rows(), 0);
    }

    #[test]
    fn rows_have_norm_one_or_zero() {
        let mut rows = [3.0, 4.0, 0.0, 0.0];
        normalize_rows(&mut rows, 2);
        assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn npy_is_what_numpy_writes() {
        let bytes = npy_header(1, &[2]);
        // numpy.save of numpy.array([[1, 0]], dtype="<f4")
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(bytes[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"));
        assert_eq!((bytes.len(), bytes[127]), (128, b'\n'));
        let three = npy_header(7, &[16, 24]);
        assert!(String::from_utf8_lossy(&three).contains("'shape': (7, 16, 24), }"));
        // A header as long as its padding allows, and one more.
        assert!((0..80).all(|n| npy_header(1, &vec![1; n]).len().is_multiple_of(64)));
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        let top: Vec<usize> = best(&[0.1, 0.9, 0.5, 0.9], 3).iter().map(|m| m.index).collect();
        assert_eq!(top, [1, 3, 2]);
        assert_eq!((best(&[0.1], 9).len(), best(&[0.1], 0).len(), best(&[], 3).len()), (1, 0, 0));
        // As a stable sort of all.
        let many: Vec<f32> = (0..1000).map(|i| (i * 37 % 101) as f32).collect();
        let mut sorted: Vec<usize> = (0..1000).collect();
        sorted.sort_by(|a, b| many[*b].total_cmp(&many[*a]));
        for k in [1, 9, 10, 500, 1000] {
            assert_eq!(best(&many, k).iter().map(|m| m.index).collect::<Vec<_>>(), sorted[..k]);
        }
    }

    #[test]
    fn dot_is_the_sum_of_products() {
        for n in [0, 1, 15, 16, 17, 33, 64, 100] {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32 - 2.0).collect();
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>(), "{n}");
        }
    }

    #[test]
    fn softmax_sums_to_one_and_survives_large_scales() {
        let p = softmax(&[1.0, 0.0], 2.0);
        assert!((p[0] - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-12);
        let p = softmax(&[1.0, -1.0, 1.0], 1e4);
        assert_eq!(p, [0.5, 0.0, 0.5]);
    }
}
