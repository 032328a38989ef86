//! The pre-norm block that encoder and predictor are made of.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Attention, Rope3d, rope_3d_frequencies};
use vljepa_tensor::{Activation, Device, Tensor};

use super::config::Vjepa2Config;
use crate::error::Result;
use crate::layers::{LayerNorm, Linear, chunked};
use crate::param::{Builder, Forward, Param};

/// Sizes of a stack of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSizes {
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) mlp: usize,
    pub(super) eps: f64,
    pub(super) qkv_bias: bool,
}

impl BlockSizes {
    pub(super) fn encoder(c: &Vjepa2Config) -> Self {
        Self {
            width: c.hidden_size,
            heads: c.num_attention_heads,
            mlp: c.mlp_size(),
            eps: c.layer_norm_eps,
            qkv_bias: c.qkv_bias,
        }
    }

    pub(super) fn predictor(c: &Vjepa2Config) -> Self {
        Self {
            width: c.pred_hidden_size,
            heads: c.pred_num_attention_heads,
            mlp: c.predictor_mlp_size(),
            eps: c.layer_norm_eps,
            qkv_bias: c.qkv_bias,
        }
    }

    /// The rotary frequencies of a head, on the device.
    pub(super) fn inv_freq(&self, device: &Device) -> Result<Tensor> {
        let frequencies = rope_3d_frequencies(self.width / self.heads);
        Ok(Tensor::from_f32(device, &[frequencies.len()], &frequencies)?)
    }
}

/// `x + proj(Attn(norm1 x))`, then `x + fc2(GELU(fc1(norm2 x)))`, with rotated queries and keys.
#[derive(Clone, Debug)]
pub(super) struct Block {
    heads: usize,
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    pub(super) fn new(b: &mut Builder<'_>, name: &str, s: &BlockSizes) -> Result<Self> {
        let d = s.width;
        Ok(Block {
            heads: s.heads,
            norm1: LayerNorm::new(b, &format!("{name}.norm1"), d, s.eps)?,
            query: Linear::new(b, &format!("{name}.attention.query"), d, d, s.qkv_bias)?,
            key: Linear::new(b, &format!("{name}.attention.key"), d, d, s.qkv_bias)?,
            value: Linear::new(b, &format!("{name}.attention.value"), d, d, s.qkv_bias)?,
            proj: Linear::new(b, &format!("{name}.attention.proj"), d, d, true)?,
            norm2: LayerNorm::new(b, &format!("{name}.norm2"), d, s.eps)?,
            mlp: Mlp::new(b, &format!("{name}.mlp"), d, s.mlp)?,
        })
    }

    pub(super) fn forward(&self, f: &Forward, x: &Var, rope: &Rope3d<'_>) -> Result<Var> {
        let h = self.norm1.forward(f, x)?;
        let q = autograd::rope_3d(&self.query.forward(f, &h)?, rope)?;
        let k = autograd::rope_3d(&self.key.forward(f, &h)?, rope)?;
        let v = self.value.forward(f, &h)?;
        let mixed = autograd::attention(&q, &k, &v, &Attention::new(self.heads))?;
        let x = autograd::add(x, &self.proj.forward(f, &mixed)?)?;
        let h = self.mlp.forward(f, &self.norm2.forward(f, &x)?)?;
        Ok(autograd::add(&x, &h)?)
    }

    pub(super) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.norm1.collect(out);
        for linear in [&self.query, &self.key, &self.value, &self.proj] {
            linear.collect(out);
        }
        self.norm2.collect(out);
        self.mlp.collect(out);
    }
}

/// `fc2(GELU(fc1 x))`, the exact GELU.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    pub(super) fn new(b: &mut Builder<'_>, name: &str, width: usize, inner: usize) -> Result<Self> {
        Ok(Mlp {
            fc1: Linear::new(b, &format!("{name}.fc1"), width, inner, true)?,
            fc2: Linear::new(b, &format!("{name}.fc2"), inner, width, true)?,
        })
    }

    pub(super) fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        chunked(f, x, self.fc1.outputs(), |x| {
            let h = autograd::activate(&self.fc1.forward(f, x)?, Activation::Gelu)?;
            self.fc2.forward(f, &h)
        })
    }

    pub(super) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.fc1.collect(out);
        self.fc2.collect(out);
    }
}
