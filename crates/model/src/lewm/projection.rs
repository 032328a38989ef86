//! `projector` and `pred_proj` of LeWM: linear, batch norm, GELU, linear.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops;
use vljepa_tensor::{Activation, Tensor};

use crate::error::Result;
use crate::layers::Linear;
use crate::param::{Builder, Forward, Param};

/// Epsilon and momentum of PyTorch's `BatchNorm1d`.
const EPS: f32 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// What a batch norm saw of a batch.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    mean: Tensor,
    variance: Tensor,
    rows: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Projection {
    linear_in: Linear,
    weight: Param,
    bias: Param,
    running_mean: Param,
    running_var: Param,
    linear_out: Linear,
}

impl Projection {
    pub fn new(b: &mut Builder<'_>, name: &str, width: usize, inner: usize) -> Result<Self> {
        let norm = |part: &str| format!("{name}.net.1.{part}");
        Ok(Self {
            linear_in: Linear::new(b, &format!("{name}.net.0"), width, inner, true)?,
            weight: b.param(norm("weight"), &[inner])?,
            bias: b.param(norm("bias"), &[inner])?,
            running_mean: b.param(norm("running_mean"), &[inner])?,
            running_var: b.param(norm("running_var"), &[inner])?,
            linear_out: Linear::new(b, &format!("{name}.net.3"), inner, width, true)?,
        })
    }

    /// `[rows, D]` → `[rows, D]`; in training by the statistics of the rows, which are returned, else by the running ones.
    pub fn forward(&self, f: &Forward, x: &Var, training: bool) -> Result<(Var, Option<Seen>)> {
        let h = self.linear_in.forward(f, x)?;
        let (weight, bias) = (f.var(&self.weight), f.var(&self.bias));
        let (h, seen) = if training {
            let rows = h.value().rows_cols().0;
            let normed = autograd::batch_norm(&h, Some(&weight), Some(&bias), EPS)?;
            (normed.value, Some(Seen { mean: normed.mean, variance: normed.variance, rows }))
        } else {
            let (mean, variance) = (self.running_mean.tensor(), self.running_var.tensor());
            (autograd::batch_norm_fixed(&h, mean, variance, Some(&weight), Some(&bias), EPS)?, None)
        };
        Ok((self.linear_out.forward(f, &autograd::activate(&h, Activation::Gelu)?)?, seen))
    }

    /// Moves the running statistics towards those of a batch; the variance as an estimate without bias.
    pub fn remember(&self, seen: &Seen) -> Result<()> {
        let (mean, variance) = (self.running_mean.tensor(), self.running_var.tensor());
        Ok(ops::running_statistics_assign(mean, variance, &seen.mean, &seen.variance, seen.rows, MOMENTUM)?)
    }

    pub fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.linear_in.collect(out);
        out.extend([&self.weight, &self.bias, &self.running_mean, &self.running_var]);
        self.linear_out.collect(out);
    }
}
