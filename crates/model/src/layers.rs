//! Layers that every block is made of.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops;

use crate::error::Result;
use crate::param::{Builder, Forward, Param};

/// `x · weightᵀ + bias`, weight `[out, in]`.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param,
    /// `[out]`
    pub bias: Option<Param>,
}

impl Linear {
    pub(crate) fn new(b: &mut Builder<'_>, name: &str, input: usize, output: usize, bias: bool) -> Result<Self> {
        let weight = b.param(format!("{name}.weight"), &[output, input])?;
        let bias = bias.then(|| b.param(format!("{name}.bias"), &[output])).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// `[.., in]` → `[.., out]`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        let bias = self.bias.as_ref().map(|b| f.var(b));
        Ok(autograd::linear(x, &f.var(&self.weight), bias.as_ref())?)
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.push(&self.weight);
        out.extend(&self.bias);
    }
}

/// Layer norm over the last axis with scale and shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// `[width]`
    pub weight: Param,
    /// `[width]`
    pub bias: Param,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    pub(crate) fn new(b: &mut Builder<'_>, name: &str, width: usize, eps: f64) -> Result<Self> {
        Ok(LayerNorm {
            weight: b.param(format!("{name}.weight"), &[width])?,
            bias: b.param(format!("{name}.bias"), &[width])?,
            eps: eps as f32,
        })
    }

    /// Same shape as `x`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        Ok(autograd::layer_norm(x, Some(&f.var(&self.weight)), Some(&f.var(&self.bias)), self.eps)?)
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.weight, &self.bias]);
    }
}

/// RMS norm over the last axis, times `weight` (Llama, Qwen 3) or one plus `weight` (Gemma 3).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// `[width]`
    pub weight: Param,
    /// Epsilon, and how the weight enters.
    pub options: ops::RmsNorm,
}

impl RmsNorm {
    pub(crate) fn new(
        b: &mut Builder<'_>,
        name: &str,
        width: usize,
        eps: f64,
        weight: ops::NormWeight,
    ) -> Result<Self> {
        let options = ops::RmsNorm { eps: eps as f32, weight };
        let name = format!("{name}.weight");
        let weight = match weight {
            ops::NormWeight::Plain => b.param(name, &[width])?,
            ops::NormWeight::OnePlus => b.offset_norm(name, &[width])?,
        };
        Ok(RmsNorm { weight, options })
    }

    /// Same shape as `x`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        Ok(autograd::rms_norm(x, Some(&f.var(&self.weight)), self.options)?)
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.push(&self.weight);
    }
}
