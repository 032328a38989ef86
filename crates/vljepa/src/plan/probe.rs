//! What latents tell of states by a linear map.

/// A linear map with an offset from rows of `inputs` numbers to rows of `outputs`, fitted by least squares.
#[derive(Clone, Debug)]
pub(super) struct LinearProbe {
    inputs: usize,
    outputs: usize,
    /// (inputs + 1, outputs); the last row is the offset.
    map: Vec<f64>,
}

impl LinearProbe {
    /// The map of the least squared error, with `ridge` times the mean square of an input added to the diagonal. `None` where there are
    /// no rows, or they do not determine it.
    pub fn fit(rows: &[Vec<f32>], targets: &[Vec<f64>], ridge: f64) -> Option<Self> {
        let (inputs, outputs) = (rows.first()?.len(), targets.first()?.len());
        let n = inputs + 1;
        let (mut gram, mut right) = (vec![0.0; n * n], vec![0.0; n * outputs]);
        for (row, target) in rows.iter().zip(targets) {
            let x = |i: usize| row.get(i).map_or(1.0, |v| f64::from(*v));
            for i in 0..n {
                (0..=i).for_each(|j| gram[i * n + j] += x(i) * x(j));
                (0..outputs).for_each(|k| right[i * outputs + k] += x(i) * target[k]);
            }
        }
        let more = ridge * (0..inputs).map(|i| gram[i * n + i]).sum::<f64>() / inputs.max(1) as f64;
        (0..inputs).for_each(|i| gram[i * n + i] += more);
        cholesky(&mut gram, n)?;
        (0..outputs).for_each(|k| solve(&gram, n, &mut right, outputs, k));
        Some(Self { inputs, outputs, map: right })
    }

    /// What the map makes of a row.
    pub fn of(&self, row: &[f32]) -> Vec<f64> {
        let x = |i: usize| if i < self.inputs { f64::from(row[i]) } else { 1.0 };
        (0..self.outputs).map(|k| (0..=self.inputs).map(|i| x(i) * self.map[i * self.outputs + k]).sum()).collect()
    }
}

/// The lower factor of a symmetric matrix (n, n), in place of its lower half. `None` where it is not positive.
fn cholesky(a: &mut [f64], n: usize) -> Option<()> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                a[i * n + i] = rest.sqrt();
            } else {
                a[i * n + j] = rest / a[j * n + j];
            }
        }
    }
    Some(())
}

/// Solves L Lᵀ x = column `k` of `right` (n, width), in its place.
fn solve(lower: &[f64], n: usize, right: &mut [f64], width: usize, k: usize) {
    for i in 0..n {
        let known: f64 = (0..i).map(|j| lower[i * n + j] * right[j * width + k]).sum();
        right[i * width + k] = (right[i * width + k] - known) / lower[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| lower[j * n + i] * right[j * width + k]).sum();
        right[i * width + k] = (right[i * width + k] - known) / lower[i * n + i];
    }
}

/// Pearson's correlation of pairs; 0 where one of both does not vary.
pub(super) fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len().max(1) as f64;
    let (mx, my) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0 / n, y + pair.1 / n));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        (xy, xx, yy) = (xy + (x - mx) * (y - my), xx + (x - mx).powi(2), yy + (y - my).powi(2));
    }
    if xx * yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_map_is_found_again() {
        let rows: Vec<Vec<f32>> =
            (0..40).map(|i| vec![(i * 7 % 13) as f32, (i * i % 11) as f32 - 3.0, (i % 5) as f32]).collect();
        let target = |row: &[f32]| {
            let [a, b, c] = [row[0], row[1], row[2]].map(f64::from);
            vec![2.0 * a - b + 0.5 * c + 4.0, b - 7.0]
        };
        let targets: Vec<Vec<f64>> = rows.iter().map(|row| target(row)).collect();
        let probe = LinearProbe::fit(&rows, &targets, 0.0).unwrap();
        let (found, right) = (probe.of(&[3.5, -2.0, 9.0]), target(&[3.5, -2.0, 9.0]));
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {right:?}");
        // Inputs that are all the same determine no map; with a ridge there is one.
        let same = vec![vec![1.0, 1.0, 1.0]; 4];
        assert!(LinearProbe::fit(&same, &targets[..4], 0.0).is_none());
        assert!(LinearProbe::fit(&same, &targets[..4], 1e-3).is_some());
    }

    #[test]
    fn correlations_have_their_signs() {
        let pairs = |slope: f64| (0..9).map(|i| (f64::from(i), slope * f64::from(i) + 1.0)).collect::<Vec<_>>();
        assert!((pearson(&pairs(2.0)) - 1.0).abs() < 1e-12 && (pearson(&pairs(-0.1)) + 1.0).abs() < 1e-12);
        assert_eq!(pearson(&pairs(0.0)), 0.0);
    }
}
