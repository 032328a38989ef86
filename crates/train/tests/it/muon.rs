//! Newton–Schulz against a plain host version and against what it is for.

use vljepa_tensor::Tensor;
use vljepa_train::optim::NewtonSchulz;

use crate::support::device;

fn noise(n: usize) -> Vec<f32> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `a [m, k] · b [k, n]`, b given transposed `[n, k]`.
fn product_nt(a: &[f64], b: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
    (0..m * n).map(|i| (0..k).map(|l| a[i / n * k + l] * b[i % n * k + l]).sum()).collect()
}

fn transpose(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|i| a[i % m * n + i / m]).collect()
}

/// The definition, with a transposition for tall matrices.
fn twin(g: &[f32], m: usize, n: usize) -> Vec<f64> {
    let wide: Vec<f64> = g.iter().map(|v| f64::from(*v)).collect();
    let (mut x, rows, cols) = if m > n { (transpose(&wide, m, n), n, m) } else { (wide, m, n) };
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-7;
    x.iter_mut().for_each(|v| *v /= norm);
    for _ in 0..5 {
        let a = product_nt(&x, &x, rows, rows, cols);
        let aa = product_nt(&a, &transpose(&a, rows, rows), rows, rows, rows);
        let b: Vec<f64> = a.iter().zip(&aa).map(|(a, aa)| -4.7750 * a + 2.0315 * aa).collect();
        let bx = product_nt(&b, &transpose(&x, rows, cols), rows, cols, rows);
        x.iter_mut().zip(&bx).for_each(|(x, bx)| *x = 3.4445 * *x + bx);
    }
    if m > n { transpose(&x, n, m) } else { x }
}

#[test]
fn it_is_what_the_definition_says_wide_and_tall() {
    for (m, n) in [(5, 17), (17, 5), (8, 8), (8, 9), (9, 8), (1, 9)] {
        let g = noise(m * n);
        let got = NewtonSchulz::default()
            .run(&Tensor::from_f32(&device(), &[m, n], &g).unwrap(), 5)
            .unwrap()
            .to_f32()
            .unwrap();
        let want = twin(&g, m, n);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            // Five iterations multiply rounding errors by at most 3.4445⁵ ≈ 485: 485 · 2⁻²⁴ · a few operations.
            assert!((f64::from(*got) - want).abs() < 3e-4, "{m}x{n}, element {i}: {got} is not {want}");
        }
    }
}

#[test]
fn singular_values_come_near_one() {
    let (m, n) = (6, 20);
    let got = NewtonSchulz::default().run(&Tensor::from_f32(&device(), &[m, n], &noise(m * n)).unwrap(), 5).unwrap();
    let got: Vec<f64> = got.to_f32().unwrap().iter().map(|v| f64::from(*v)).collect();
    let gram = product_nt(&got, &got, m, m, n);
    let trace: f64 = (0..m).map(|i| gram[i * m + i]).sum();
    // All six singular values lie in 0.7..1.2, so do their mean squares.
    assert!((0.49..1.45).contains(&(trace / m as f64)), "mean squared singular value {}", trace / m as f64);
}
