//! Optimiser steps.

/// Hyperparameters of AdamW; the defaults are PyTorch's, except for `lr`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay: the parameter shrinks by `lr * weight_decay`.
    pub weight_decay: f64,
}

impl AdamW {
    /// Default moments and weight decay with this learning rate.
    pub fn new(lr: f64) -> Self {
        AdamW { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 }
    }

    /// Sets the decoupled weight decay.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Sets the decays of the moments.
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        self.betas = (first, second);
        self
    }

    /// Sets what is added to the root of the second moment.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

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
