//! AdamW (Loshchilov & Hutter, 2019).

use vljepa_tensor::Tensor;
use vljepa_tensor::ops::{self, AdamW};

use super::Plan;
use crate::config::OptimizerConfig;
use crate::error::Result;

/// One step on `weight` and the moments `(m, v)`, in place; `step` counts from 1, the gradient is multiplied by the
/// first element of `clip`.
///
/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; W ← W(1 − lr·wd) − lr · m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
pub(super) fn step(
    config: &OptimizerConfig,
    (plan, lr): (&Plan, f64),
    weight: &Tensor,
    grad: &Tensor,
    (m, v): (&Tensor, &Tensor),
    step: u64,
    clip: Option<&Tensor>,
) -> Result<()> {
    let [first, second] = config.betas;
    let options = AdamW::new(lr).betas(first, second).eps(config.eps).weight_decay(plan.weight_decay);
    Ok(ops::adamw_assign(weight, grad, m, v, step, &options, clip)?)
}
