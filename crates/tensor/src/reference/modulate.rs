//! Modulation of rows by parts of another tensor's rows, and the gated residual, in f64.

/// `x * (1 + m[scale]) + m[shift]`, for rows of `cols`; `m` has as many rows of `parts` parts of `cols` each, `[shift, scale]` are
/// numbers of parts.
pub fn modulate(x: &[f64], m: &[f64], cols: usize, parts: usize, [shift, scale]: [usize; 2]) -> Vec<f64> {
    let one = |(i, x): (usize, &f64)| x * (1.0 + m[at(i, cols, parts, scale)]) + m[at(i, cols, parts, shift)];
    x.iter().enumerate().map(one).collect()
}

/// Where the element `i` of rows of `cols` has its partner in a part of `m`.
fn at(i: usize, cols: usize, parts: usize, part: usize) -> usize {
    (i / cols * parts + part) * cols + i % cols
}

/// Gradients of [`modulate`] with respect to `x` and `m`.
pub fn modulate_backward(
    grad: &[f64],
    x: &[f64],
    m: &[f64],
    cols: usize,
    parts: usize,
    [shift, scale]: [usize; 2],
) -> [Vec<f64>; 2] {
    let (mut dx, mut dm) = (vec![0.0; x.len()], vec![0.0; m.len()]);
    for (i, g) in grad.iter().enumerate() {
        dx[i] = g * (1.0 + m[at(i, cols, parts, scale)]);
        dm[at(i, cols, parts, shift)] += g;
        dm[at(i, cols, parts, scale)] += g * x[i];
    }
    [dx, dm]
}

/// `x + m[gate] * h`, the sizes as in [`modulate`].
pub fn gated_add(x: &[f64], h: &[f64], m: &[f64], cols: usize, parts: usize, gate: usize) -> Vec<f64> {
    x.iter().zip(h).enumerate().map(|(i, (x, h))| x + m[at(i, cols, parts, gate)] * h).collect()
}

/// Gradients of [`gated_add`] with respect to `h` and `m`; that for `x` is `grad`.
pub fn gated_add_backward(grad: &[f64], h: &[f64], m: &[f64], cols: usize, parts: usize, gate: usize) -> [Vec<f64>; 2] {
    let (mut dh, mut dm) = (vec![0.0; h.len()], vec![0.0; m.len()]);
    for (i, g) in grad.iter().enumerate() {
        dh[i] = g * m[at(i, cols, parts, gate)];
        dm[at(i, cols, parts, gate)] += g * h[i];
    }
    [dh, dm]
}

#[cfg(test)]
mod tests {
    use super::super::differences::{check, wave};
    use super::*;

    #[test]
    fn gradients_match_differences() {
        let (rows, cols, parts) = (3, 2, 4);
        let (x, h, m) = (wave(rows * cols, 0.1), wave(rows * cols, 1.9), wave(rows * cols * parts, 0.7));
        let seed = wave(rows * cols, 2.5);
        let along = |y: Vec<f64>| -> f64 { y.iter().zip(&seed).map(|(y, s)| y * s).sum() };
        for which in [[0, 1], [3, 0], [2, 2]] {
            let [dx, dm] = modulate_backward(&seed, &x, &m, cols, parts, which);
            check("x", &x, &dx, |x| along(modulate(x, &m, cols, parts, which)));
            check("m", &m, &dm, |m| along(modulate(&x, m, cols, parts, which)));
        }
        let [dh, dm] = gated_add_backward(&seed, &h, &m, cols, parts, 2);
        check("h", &h, &dh, |h| along(gated_add(&x, h, &m, cols, parts, 2)));
        check("gate", &m, &dm, |m| along(gated_add(&x, &h, m, cols, parts, 2)));
    }
}
