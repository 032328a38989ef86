//! Muon: momentum, orthogonalised by Newton–Schulz iterations (K. Jordan et al., 2024).

use vljepa_tensor::Tensor;
use vljepa_tensor::ops::{self, BinaryOp, Matmul, UnaryOp};

use super::Plan;
use crate::config::MuonConfig;
use crate::error::Result;

/// Coefficients of the quintic a·x + b·x³ + c·x⁵ that drives singular values towards 1.
const QUINTIC: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// A matrix near the orthogonal factor of `g` `[rows, cols]`: the singular vectors stay, the singular values go to about
/// 0.7 … 1.2 after five iterations.
///
/// X₀ = g / (‖g‖ + 1e-7); A = X·Xᵀ; X ← a·X + (b·A + c·A²)·X. A tall matrix uses XᵀX from the right, which gives the same.
///
/// # Errors
/// What the operators report.
pub fn newton_schulz(g: &Tensor, iterations: u32) -> Result<Tensor> {
    let [a, b, c] = QUINTIC;
    let (rows, cols) = g.rows_cols();
    let norm = ops::unary(UnaryOp::Sqrt, &ops::square_sums(&[g])?, 1.0, 0.0)?;
    let norm = ops::unary(UnaryOp::Affine, &norm, 1.0, 1e-7)?;
    let mut x = ops::binary(BinaryOp::Div, g, &norm, 1.0, 1.0)?;
    for _ in 0..iterations {
        let gram = if rows <= cols { ops::matmul(&x, &x, &Matmul::nt())? } else { ops::matmul(&x, &x, &Matmul::tn())? };
        let square = ops::matmul(&gram, &gram, &Matmul::nn().alpha(c))?;
        let poly = ops::binary(BinaryOp::Add, &gram, &square, b, 1.0)?;
        let product =
            if rows <= cols { ops::matmul(&poly, &x, &Matmul::nn())? } else { ops::matmul(&x, &poly, &Matmul::nn())? };
        x = ops::binary(BinaryOp::Add, &x, &product, a, 1.0)?;
    }
    Ok(x)
}

/// One step on `weight` and `momentum`, in place. A kernel `[out, in, k, k]` is the matrix `[out, in·k·k]`.
///
/// M ← μM + (1 − μ)g; U = (1 − μ)g + μM (Nesterov); W ← W(1 − lr·wd) − lr·√max(1, out/in)·NS(U).
pub(super) fn step(
    config: &MuonConfig,
    (plan, lr): (&Plan, f64),
    weight: &Tensor,
    grad: &Tensor,
    momentum: &Tensor,
) -> Result<()> {
    let rows = weight.shape().first().copied().unwrap_or(1).max(1);
    let cols = weight.len() / rows;
    let mu = config.momentum;
    ops::ema_assign(momentum, grad, mu)?;
    let ahead = ops::binary(BinaryOp::Add, grad, momentum, (1.0 - mu) as f32, mu as f32)?;
    let update = newton_schulz(&ahead.reshape(&[rows, cols])?, config.iterations)?;
    let stretch = (rows as f64 / cols.max(1) as f64).max(1.0).sqrt();
    ops::scale_assign(weight, (1.0 - lr * plan.weight_decay) as f32, None)?;
    Ok(ops::add_assign(weight, &update, (-lr * stretch) as f32)?)
}
