//! Muon: momentum, orthogonalised by Newton–Schulz iterations (K. Jordan et al., 2024).

use std::collections::HashMap;

use vljepa_tensor::ops::{self, BinaryOp, Matmul, UnaryOp};
use vljepa_tensor::{Device, Tensor};

use super::Plan;
use crate::config::MuonConfig;
use crate::error::Result;

/// Coefficients of the quintic a·x + b·x³ + c·x⁵ that drives singular values towards 1.
const QUINTIC: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// Newton–Schulz iterations, with the identity matrices they need.
#[derive(Clone, Debug, Default)]
pub struct NewtonSchulz {
    identities: HashMap<usize, Tensor>,
}

impl NewtonSchulz {
    fn identity(&mut self, device: &Device, n: usize) -> Result<Tensor> {
        if let Some(found) = self.identities.get(&n) {
            return Ok(found.clone());
        }
        let values: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
        let made = Tensor::from_f32(device, &[n, n], &values)?;
        self.identities.insert(n, made.clone());
        Ok(made)
    }

    /// A matrix near the orthogonal factor of `g` `[rows, cols]`: the singular vectors stay, the singular values go to
    /// about 0.7 … 1.2 after five iterations.
    ///
    /// X₀ = g / (‖g‖ + 1e-7); A = X·Xᵀ; Q = a·I + b·A + c·A²; X ← Q·X. A tall matrix has A = Xᵀ·X and X ← X·Q, which
    /// gives the same. Where one side is much longer than the other, Q and A are iterated alone (A ← Q·A·Q, P ← Q·P) and
    /// X is multiplied once, by P: 2.7 times fewer operations at 1:9.
    ///
    /// # Errors
    /// What the operators report.
    pub fn run(&mut self, g: &Tensor, iterations: u32) -> Result<Tensor> {
        let [a, b, c] = QUINTIC;
        let (rows, cols) = g.rows_cols();
        let (wide, short, long) = (rows <= cols, rows.min(cols), rows.max(cols));
        let identity = self.identity(g.device(), short)?;
        let norm = ops::unary(UnaryOp::Sqrt, &ops::square_sums(&[g])?, 1.0, 0.0)?;
        let norm = ops::unary(UnaryOp::Affine, &norm, 1.0, 1e-7)?;
        let mut x = ops::binary(BinaryOp::Div, g, &norm, 1.0, 1.0)?;
        let gram = |x: &Tensor| ops::matmul(x, x, &if wide { Matmul::nt() } else { Matmul::tn() });
        let product = |l: &Tensor, r: &Tensor| ops::matmul(l, r, &Matmul::nn());
        let apply = |q: &Tensor, x: &Tensor| if wide { product(q, x) } else { product(x, q) };
        let quadratic = |m: &Tensor| -> Result<Tensor> {
            let linear = ops::binary(BinaryOp::Add, m, &identity, b, a)?;
            Ok(ops::matmul(m, m, &Matmul::nn().alpha(c).residual(Some(&linear)))?)
        };
        // Direct: 4·s²·l + 2·s³ operations an iteration; on A alone: 8·s³ an iteration and 4·s²·l once.
        if 2 * long < 5 * short {
            for _ in 0..iterations {
                x = apply(&quadratic(&gram(&x)?)?, &x)?;
            }
            return Ok(x);
        }
        let mut inner = gram(&x)?;
        let mut outer: Option<Tensor> = None;
        for left in (0..iterations).rev() {
            let q = quadratic(&inner)?;
            if left > 0 {
                inner = product(&q, &product(&inner, &q)?)?;
            }
            outer = Some(match outer {
                Some(p) => product(&q, &p)?,
                None => q,
            });
        }
        match outer {
            Some(p) => Ok(apply(&p, &x)?),
            None => Ok(x),
        }
    }
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
    newton_schulz: &mut NewtonSchulz,
) -> Result<()> {
    let rows = weight.shape().first().copied().unwrap_or(1).max(1);
    let cols = weight.len() / rows;
    let mu = config.momentum;
    ops::ema_assign(momentum, grad, mu)?;
    let ahead = ops::binary(BinaryOp::Add, grad, momentum, (1.0 - mu) as f32, mu as f32)?;
    let update = newton_schulz.run(&ahead.reshape(&[rows, cols])?, config.iterations)?;
    let stretch = (rows as f64 / cols.max(1) as f64).max(1.0).sqrt();
    ops::scale_assign(weight, (1.0 - lr * plan.weight_decay) as f32, None)?;
    Ok(ops::add_assign(weight, &update, (-lr * stretch) as f32)?)
}
