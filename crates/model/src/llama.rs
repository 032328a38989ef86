//! Llama blocks as the Predictor uses them: any slice of layers, causal or not.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Attention, RopeHalf};
use vljepa_tensor::{Activation, Device, Tensor};

use crate::config::LlamaConfig;
use crate::error::Result;
use crate::layers::{Linear, RmsNorm};
use crate::param::{Builder, Forward, Param, ParamSource};

#[derive(Clone, Debug)]
struct Layer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// A stack of Llama layers with an optional final norm.
#[derive(Clone, Debug)]
pub struct LlamaLayers {
    config: LlamaConfig,
    causal: bool,
    layers: Vec<Layer>,
    norm: Option<RmsNorm>,
    inv_freq: Tensor,
}

impl Layer {
    fn new(b: &mut Builder<'_>, name: &str, c: &LlamaConfig) -> Result<Self> {
        let d = c.hidden_size;
        let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
        let mut linear = |part: &str, input, output| Linear::new(b, &format!("{name}.{part}"), input, output, false);
        let (q_proj, k_proj) = (linear("self_attn.q_proj", d, q)?, linear("self_attn.k_proj", d, kv)?);
        let (v_proj, o_proj) = (linear("self_attn.v_proj", d, kv)?, linear("self_attn.o_proj", q, d)?);
        let gate_proj = linear("mlp.gate_proj", d, c.intermediate_size)?;
        let up_proj = linear("mlp.up_proj", d, c.intermediate_size)?;
        let down_proj = linear("mlp.down_proj", c.intermediate_size, d)?;
        Ok(Layer {
            input_layernorm: RmsNorm::new(b, &format!("{name}.input_layernorm"), d, c.rms_norm_eps)?,
            post_attention_layernorm: RmsNorm::new(b, &format!("{name}.post_attention_layernorm"), d, c.rms_norm_eps)?,
            q_proj,
            k_proj,
            v_proj,
            o_proj,
            gate_proj,
            up_proj,
            down_proj,
        })
    }

    fn forward(
        &self,
        f: &Forward,
        x: &Var,
        attention: &Attention<'_>,
        rope: (&RopeHalf<'_>, &RopeHalf<'_>),
    ) -> Result<Var> {
        let h = self.input_layernorm.forward(f, x)?;
        let q = autograd::rope_half(&self.q_proj.forward(f, &h)?, rope.0)?;
        let k = autograd::rope_half(&self.k_proj.forward(f, &h)?, rope.1)?;
        let v = self.v_proj.forward(f, &h)?;
        let mixed = autograd::attention(&q, &k, &v, attention)?;
        let x = autograd::add(x, &self.o_proj.forward(f, &mixed)?)?;
        let h = self.post_attention_layernorm.forward(f, &x)?;
        let h = autograd::gated(&self.gate_proj.forward(f, &h)?, &self.up_proj.forward(f, &h)?, Activation::Silu)?;
        Ok(autograd::add(&x, &self.down_proj.forward(f, &h)?)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.input_layernorm.collect(out);
        for linear in [&self.q_proj, &self.k_proj, &self.v_proj, &self.o_proj] {
            linear.collect(out);
        }
        self.post_attention_layernorm.collect(out);
        for linear in [&self.gate_proj, &self.up_proj, &self.down_proj] {
            linear.collect(out);
        }
    }
}

impl LlamaLayers {
    /// Builds layers named `{prefix}.layers.{i}.…`, i from `first`, and `{prefix}.norm` when `final_norm`.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        prefix: &str,
        config: &LlamaConfig,
        layers: std::ops::Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        let inv_freq = config.rope.inv_freq(config.head_dim);
        Ok(LlamaLayers {
            causal,
            layers: layers.map(|i| Layer::new(b, &format!("{prefix}.layers.{i}"), config)).collect::<Result<_>>()?,
            norm: final_norm
                .then(|| RmsNorm::new(b, &format!("{prefix}.norm"), config.hidden_size, config.rms_norm_eps))
                .transpose()?,
            inv_freq: Tensor::from_f32(b.device, &[inv_freq.len()], &inv_freq)?,
            config: config.clone(),
        })
    }

    /// Some layers alone, from parameters named `{prefix}.layers.{i}.…` (`model` in the published files).
    ///
    /// # Errors
    /// What the source reports.
    pub fn load(
        device: &Device,
        config: &LlamaConfig,
        source: &mut dyn ParamSource,
        prefix: &str,
        layers: std::ops::Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder { device, source }, prefix, config, layers, causal, final_norm)
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// Runs the layers on embeddings `[B, N, D]`; positions count from 0. `key_mask` `[B, N]` (u32) is 0 for padding,
    /// which no token attends to.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, f: &Forward, x: &Var, key_mask: Option<&Tensor>) -> Result<Var> {
        let c = &self.config;
        let attention = Attention::new(c.num_attention_heads)
            .kv_heads(c.num_key_value_heads)
            .causal(self.causal)
            .key_mask(key_mask);
        let q_rope = RopeHalf::new(c.num_attention_heads, &self.inv_freq);
        let k_rope = RopeHalf::new(c.num_key_value_heads, &self.inv_freq);
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(f, &x, &attention, (&q_rope, &k_rope))?;
        }
        match &self.norm {
            Some(norm) => norm.forward(f, &x),
            None => Ok(x),
        }
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        for layer in &self.layers {
            layer.collect(out);
        }
        if let Some(norm) = &self.norm {
            norm.collect(out);
        }
    }
}
