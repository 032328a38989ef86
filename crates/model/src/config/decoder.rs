//! What Llama, Qwen 3 and Gemma 3 have in common: a stack of decoder layers and the settings in which they differ.

use super::{Check, MAX_ROWS, MAX_WIDTH, Rope, Specs, TensorSpec};
use crate::error::Result;
use std::ops::Range;
use vljepa_tensor::{Activation, ops::NormWeight};

/// One stack of decoder layers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecoderSpec {
    /// Width.
    pub hidden_size: usize,
    /// Inner width of the gated MLP.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads.
    pub num_key_value_heads: usize,
    /// Channels of one head.
    pub head_dim: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// What every RMSNorm multiplies by.
    pub norm: NormWeight,
    /// Of the MLP's gate.
    pub activation: Activation,
    /// Factor of the scores; `None` is 1 / sqrt(head_dim).
    pub scale: Option<f32>,
    /// Whether queries and keys are normalised per head before the rotation.
    pub qk_norm: bool,
    /// Whether the results of attention and MLP are normalised too before they are added (Gemma: four norms a layer).
    pub sandwich: bool,
    /// Whether a token sees only those before it.
    pub causal: bool,
    /// What differs between layers.
    pub layers: Vec<DecoderLayerSpec>,
}

/// What differs between the layers of a stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DecoderLayerSpec {
    /// Rotary embedding.
    pub rope: Rope,
    /// Exclusive distance at which a token is seen; `None` is any.
    pub window: Option<usize>,
}

impl DecoderSpec {
    /// Sizes and numbers that every such model must keep to.
    pub(super) fn check(&self, c: &Check, vocab_size: usize) -> Result<()> {
        c.size("vocab_size", vocab_size, MAX_ROWS)?;
        c.size("hidden_size", self.hidden_size, MAX_WIDTH)?;
        c.size("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        c.size("num_attention_heads", self.num_attention_heads, 1 << 12)?;
        c.size("num_key_value_heads", self.num_key_value_heads, self.num_attention_heads)?;
        c.divides("num_key_value_heads", self.num_key_value_heads, "num_attention_heads", self.num_attention_heads)?;
        c.size("head_dim", self.head_dim, 1 << 12)?;
        c.divides("2", 2, "head_dim", self.head_dim)?;
        c.size("num_attention_heads × head_dim", self.num_attention_heads * self.head_dim, MAX_WIDTH)?;
        c.number("rms_norm_eps", self.rms_norm_eps, 0.0, 1.0)?;
        self.layers.iter().try_for_each(|layer| layer.rope.check(c))
    }

    /// Tensors of some of the layers, under `{prefix}layers.{i}.…`.
    pub(super) fn layer_tensors(&self, prefix: &str, layers: Range<usize>) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let (d, m) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        for i in layers {
            let name = format!("{prefix}layers.{i}");
            s.linear(&format!("{name}.self_attn.q_proj"), d, q, false);
            s.linear(&format!("{name}.self_attn.k_proj"), d, kv, false);
            s.linear(&format!("{name}.self_attn.v_proj"), d, kv, false);
            s.linear(&format!("{name}.self_attn.o_proj"), q, d, false);
            if self.qk_norm {
                s.add(format!("{name}.self_attn.q_norm.weight"), &[self.head_dim]);
                s.add(format!("{name}.self_attn.k_norm.weight"), &[self.head_dim]);
            }
            s.linear(&format!("{name}.mlp.gate_proj"), d, m, false);
            s.linear(&format!("{name}.mlp.up_proj"), d, m, false);
            s.linear(&format!("{name}.mlp.down_proj"), m, d, false);
            s.add(format!("{name}.input_layernorm.weight"), &[d]);
            s.add(format!("{name}.post_attention_layernorm.weight"), &[d]);
            if self.sandwich {
                s.add(format!("{name}.pre_feedforward_layernorm.weight"), &[d]);
                s.add(format!("{name}.post_feedforward_layernorm.weight"), &[d]);
            }
        }
        s.0
    }

    /// Tensors of the whole model under `{prefix}embed_tokens`, `{prefix}layers.{i}` and `{prefix}norm`.
    pub(super) fn tensors(&self, prefix: &str, vocab_size: usize) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        s.add(format!("{prefix}embed_tokens.weight"), &[vocab_size, self.hidden_size]);
        s.0.extend(self.layer_tensors(prefix, 0..self.layers.len()));
        s.add(format!("{prefix}norm.weight"), &[self.hidden_size]);
        s.0
    }
}
