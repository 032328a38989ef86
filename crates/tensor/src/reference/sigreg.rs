//! The statistic of SIGReg, in f64.

/// Place t, value e^(−t²/2) of the normal distribution's characteristic function, and weight w of each of `knots` knots from 0
/// to `last`: the trapezoid rule over both halves of a symmetric function.
pub fn sigreg_knots(knots: usize, last: f64) -> Vec<[f64; 3]> {
    let spacing = last / (knots - 1) as f64;
    let knot = |j: usize| {
        let t = last * j as f64 / (knots - 1) as f64;
        let ends = j == 0 || j + 1 == knots;
        [t, (-0.5 * t * t).exp(), if ends { spacing } else { 2.0 * spacing }]
    };
    (0..knots).map(knot).collect()
}

/// Means of cosine and sine of `t h` over the rows of one group, for one column.
fn characteristic(h: &[f64], [rows, cols]: [usize; 2], column: usize, t: f64) -> (f64, f64) {
    let sum = (0..rows).fold((0.0, 0.0), |(c, s), row| {
        let angle = t * h[row * cols + column];
        (c + angle.cos(), s + angle.sin())
    });
    (sum.0 / rows as f64, sum.1 / rows as f64)
}

/// The mean over groups and columns of `h [groups, rows, cols]` of
/// rows · Σ_j w_j e^(−t_j²/2) ((mean cos t_j h − e^(−t_j²/2))² + (mean sin t_j h)²), the means over rows.
pub fn sigreg(h: &[f64], [groups, rows, cols]: [usize; 3], knots: usize, last: f64) -> f64 {
    let mut sum = 0.0;
    for group in h.chunks(rows * cols) {
        for column in 0..cols {
            for [t, normal, weight] in sigreg_knots(knots, last) {
                let (c, s) = characteristic(group, [rows, cols], column, t);
                sum += rows as f64 * weight * normal * ((c - normal).powi(2) + s * s);
            }
        }
    }
    sum / (groups * cols) as f64
}

/// Gradient of [`sigreg`].
pub fn sigreg_backward(h: &[f64], [groups, rows, cols]: [usize; 3], knots: usize, last: f64) -> Vec<f64> {
    let mut dh = vec![0.0; h.len()];
    for (group, dh) in h.chunks(rows * cols).zip(dh.chunks_mut(rows * cols)) {
        for column in 0..cols {
            for [t, normal, weight] in sigreg_knots(knots, last) {
                let (c, s) = characteristic(group, [rows, cols], column, t);
                for at in (column..rows * cols).step_by(cols) {
                    let (sin, cos) = (t * group[at]).sin_cos();
                    let slope = 2.0 * weight * normal * t * (s * cos - (c - normal) * sin);
                    dh[at] += slope / (groups * cols) as f64;
                }
            }
        }
    }
    dh
}

#[cfg(test)]
mod tests {
    use super::super::differences::{check, wave};
    use super::*;

    #[test]
    fn the_gradient_matches_differences() {
        let sizes = [2, 3, 4];
        let h: Vec<f64> = wave(24, 0.3).iter().map(|v| 2.0 * v).collect();
        for (knots, last) in [(17, 3.0), (2, 1.0), (6, 4.0)] {
            let dh = sigreg_backward(&h, sizes, knots, last);
            check("h", &h, &dh, |h| sigreg(h, sizes, knots, last));
        }
    }

    #[test]
    fn a_single_point_is_told_from_a_normal_distribution() {
        // For samples at 0, C = 1 and S = 0: ∫ e^(−t²/2) (1 − e^(−t²/2))² over the real line is
        // sqrt(2 pi) (1 − 2 / sqrt 2 + 1 / sqrt 3), of which [−3, 3] holds all but 2 ∫_3^∞ ≈ 0.0067.
        let want = (2.0 * std::f64::consts::PI).sqrt() * (1.0 - 2f64.sqrt() + 1.0 / 3f64.sqrt()) - 0.0067;
        let got = sigreg(&[0.0; 5], [1, 5, 1], 301, 3.0) / 5.0;
        assert!((got - want).abs() < 2e-4, "{got} {want}");
    }
}
