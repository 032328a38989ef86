//! What the twins' own tests share: points, and gradients by central differences.

/// Numbers around 0.2 without symmetry.
pub(super) fn wave(len: usize, phase: f64) -> Vec<f64> {
    (0..len).map(|i| (i as f64 * 1.3 + phase).sin() + 0.2).collect()
}

/// Compares `grad` with the central differences of `f` at `x`.
pub(super) fn check(what: &str, x: &[f64], grad: &[f64], f: impl Fn(&[f64]) -> f64) {
    let mut x = x.to_vec();
    for i in 0..x.len() {
        let old = x[i];
        x[i] = old + 1e-5;
        let up = f(&x);
        x[i] = old - 1e-5;
        let want = (up - f(&x)) / 2e-5;
        x[i] = old;
        assert!((grad[i] - want).abs() < 1e-8, "{what} {i}: {} {want}", grad[i]);
    }
}
