//! Sums and means.

/// Mean over the tokens of `[batch, tokens, cols]` whose mask is not zero, in f64; zeros without any.
pub fn masked_mean(x: &[f64], (batch, tokens, cols): (usize, usize, usize), mask: Option<&[u32]>) -> Vec<f64> {
    let mut y = vec![0.0; batch * cols];
    for z in 0..batch {
        let real: Vec<usize> = (0..tokens).filter(|n| mask.is_none_or(|m| m[z * tokens + n] != 0)).collect();
        for &n in &real {
            for c in 0..cols {
                y[z * cols + c] += x[(z * tokens + n) * cols + c] / real.len() as f64;
            }
        }
    }
    y
}

/// Sums over the rows of `[rows, cols]`, in f64.
pub fn sum_rows(x: &[f32], cols: usize) -> Vec<f32> {
    let sum = |c: usize| x.iter().skip(c).step_by(cols).map(|&v| f64::from(v)).sum::<f64>() as f32;
    (0..cols).map(sum).collect()
}

/// `factor * x[r]`, repeated `cols` times for each row.
pub fn spread_rows(x: &[f32], cols: usize, factor: f32) -> Vec<f32> {
    x.iter().flat_map(|&v| std::iter::repeat_n(factor * v, cols)).collect()
}
