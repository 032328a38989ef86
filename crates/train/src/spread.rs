//! How embeddings lie on the sphere: what shows that they collapse, long before a score does.

use serde::Serialize;

use crate::linalg::symmetric_eigen;

/// How unit vectors are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Vectors.
    pub n: usize,
    /// Root of the mean variance of a component, times the root of their number: 1 where the mean of all vectors is zero, 0 where all
    /// are one.
    pub std: f64,
    /// exp of the entropy of the covariance's eigenvalues, as shares of their sum (Roy and Vetterli 2007): the number of directions that
    /// are used, at most that of vectors less one.
    pub effective_rank: f64,
    /// ln of the mean of exp(−2 d²) over pairs of different vectors, d their distance (Wang and Isola 2020, arXiv 2005.10242): 0 where
    /// all are one, −4 where all are at right angles.
    pub uniformity: f64,
}

/// How the predictions and targets of a step lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spreads {
    /// Predictions.
    pub prediction: Spread,
    /// Their targets, each text once.
    pub target: Spread,
    /// Mean squared distance of a prediction and its target (Wang and Isola 2020): 0 where they are one, 2 at right angles.
    pub alignment: f64,
}

impl Spread {
    /// Of unit vectors `[n, dim]`, row-major; zeros for less than two.
    pub fn of(rows: &[f32], dim: usize) -> Self {
        let n = rows.len().checked_div(dim).unwrap_or(0);
        if n < 2 {
            return Self { n, ..Self::default() };
        }
        let (lines, count) = (|| rows.chunks_exact(dim), n as f64);
        let mut mean = vec![0.0; dim];
        lines().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count));
        let centred: Vec<f64> = lines().flat_map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
        let line = |i: usize| &centred[i * dim..(i + 1) * dim];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // The vectors' own products have the eigenvalues of the covariance, and may be the smaller matrix.
        let products: Vec<f64> = match n <= dim {
            true => (0..n * n).map(|k| dot(line(k / n), line(k % n))).collect(),
            false => {
                let column = |k: usize| centred.iter().skip(k).step_by(dim).copied().collect::<Vec<f64>>();
                let columns: Vec<Vec<f64>> = (0..dim).map(column).collect();
                (0..dim * dim).map(|k| dot(&columns[k / dim], &columns[k % dim])).collect()
            }
        };
        let (values, _) = symmetric_eigen(&products, n.min(dim));
        let total: f64 = values.iter().map(|v| v.max(0.0)).sum();
        let shares = values.iter().map(|v| v.max(0.0) / total).filter(|share| *share > 0.0);
        let entropy: f64 = shares.map(|share| -share * share.ln()).sum();
        let square = |i: usize, j: usize| {
            let both = rows[i * dim..(i + 1) * dim].iter().zip(&rows[j * dim..(j + 1) * dim]);
            both.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        let near: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| (-2.0 * square(i, j)).exp()).sum();
        Self {
            n,
            std: (total / count).sqrt(),
            effective_rank: if total > 0.0 { entropy.exp() } else { 0.0 },
            uniformity: (near / (count * (count - 1.0) / 2.0)).ln(),
        }
    }
}

impl Spreads {
    /// Of unit predictions and targets, `[n, dim]` and `[m, dim]`; `own` is the target of each prediction. Targets that are equal
    /// count once.
    pub fn of(predictions: &[f32], targets: &[f32], own: &[u32], dim: usize) -> Self {
        let line = |rows: &[f32], i: usize| rows.get(i * dim..(i + 1) * dim).map(<[f32]>::to_vec).unwrap_or_default();
        let mut different: Vec<Vec<f32>> = targets.chunks_exact(dim.max(1)).map(<[f32]>::to_vec).collect();
        different.sort_by(|a, b| a.iter().map(|v| v.to_bits()).cmp(b.iter().map(|v| v.to_bits())));
        different.dedup();
        let square = |(i, &own): (usize, &u32)| {
            let (prediction, target) = (line(predictions, i), line(targets, own as usize));
            prediction.iter().zip(&target).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        };
        Self {
            prediction: Spread::of(predictions, dim),
            target: Spread::of(&different.concat(), dim),
            alignment: own.iter().enumerate().map(square).sum::<f64>() / own.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-6, "{got} for {want}");
    }

    #[test]
    fn what_is_one_is_collapsed_and_what_is_apart_is_not() {
        let one = Spread::of(&[0.6, 0.8].repeat(5), 2);
        near(one.std, 0.0);
        near(one.uniformity, 0.0);
        assert!(one.effective_rank < 1.1, "{one:?}");
        // The axes both ways: mean zero, all directions alike.
        for dim in [3, 6] {
            let axis = |k: usize, sign: f32| (0..dim).map(move |i| if i == k { sign } else { 0.0 });
            let rows: Vec<f32> = (0..dim).flat_map(|k| axis(k, 1.0).chain(axis(k, -1.0))).collect();
            let spread = Spread::of(&rows, dim);
            near(spread.std, 1.0);
            near(spread.effective_rank, dim as f64);
            // Of 2 d (2 d − 1) / 2 pairs d are opposite, with d² = 4; all others have d² = 2.
            let (opposite, pairs) = (dim as f64, (dim * (2 * dim - 1)) as f64);
            near(spread.uniformity, ((opposite * (-8f64).exp() + (pairs - opposite) * (-4f64).exp()) / pairs).ln());
        }
    }

    #[test]
    fn fewer_vectors_than_components_give_what_more_would() {
        // Three vectors at right angles in many components: two directions about their mean, alike.
        let rows: Vec<f32> = (0..3).flat_map(|k| (0..10).map(move |i| if i == k { 1.0 } else { 0.0 })).collect();
        let spread = Spread::of(&rows, 10);
        near(spread.effective_rank, 2.0);
        near(spread.std, (2f64 / 3.0).sqrt());
        near(spread.uniformity, -4.0);
    }

    #[test]
    fn alignment_is_the_distance_to_ones_own_target() {
        let (predictions, targets) = ([1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
        near(Spreads::of(&predictions, &targets, &[0, 2], 2).alignment, 0.0);
        near(Spreads::of(&predictions, &targets, &[1, 0], 2).alignment, 2.0);
        assert_eq!(Spreads::of(&predictions, &targets, &[0, 1], 2).target.n, 2);
        assert_eq!(Spreads::of(&[], &[], &[], 2), Spreads::default());
    }
}
