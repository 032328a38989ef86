//! Optimiser steps.

use crate::ops::AdamW;

/// One step of AdamW in f64 on `param`, `m` and `v`; `step` counts from 1.
pub fn adamw(param: &mut [f64], grad: &[f32], m: &mut [f64], v: &mut [f64], step: u64, options: &AdamW, factor: f64) {
    let (beta1, beta2) = options.betas;
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    for (i, &g) in grad.iter().enumerate() {
        let g = f64::from(g) * factor;
        param[i] -= options.lr * options.weight_decay * param[i];
        m[i] = beta1 * m[i] + (1.0 - beta1) * g;
        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
        let (mean, spread) = (m[i] / correction(beta1), v[i] / correction(beta2));
        param[i] -= options.lr * mean / (spread.sqrt() + options.eps);
    }
}

/// Factor and norm of gradient clipping by global norm.
pub fn clip_scale<'a>(grads: impl IntoIterator<Item = &'a [f32]>, max_norm: f64) -> (f64, f64) {
    let squares: f64 = grads.into_iter().flatten().map(|&g| f64::from(g) * f64::from(g)).sum();
    let norm = squares.sqrt();
    ((max_norm / (norm + 1e-6)).min(1.0), norm)
}
