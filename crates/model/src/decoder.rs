//! The decoder layers of Llama, Qwen 3 and Gemma 3: one implementation, the differences in [`DecoderSpec`].

use std::ops::Range;

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Attention, NormWeight, RopeHalf};
use vljepa_tensor::{Activation, Error, Tensor, ops};

use crate::error::{ModelError, Result};
use crate::layers::{Linear, RmsNorm, chunked};
use crate::param::{Builder, Forward, Param};
use crate::rope::Rope;
use crate::spec::{Check, MAX_ROWS, MAX_WIDTH, Specs, TensorSpec};

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
    /// Activation of the MLP's gate.
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
    /// Exclusive distance at which a token is seen; `None`: at any.
    pub window: Option<usize>,
}

impl DecoderSpec {
    /// Checks sizes and numbers, as every such model needs them.
    pub(crate) fn check(&self, c: &Check, vocab_size: usize) -> Result<()> {
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
    pub(crate) fn layer_tensors(&self, prefix: &str, layers: Range<usize>) -> Vec<TensorSpec> {
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
    pub(crate) fn tensors(&self, prefix: &str, vocab_size: usize) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        s.add(format!("{prefix}embed_tokens.weight"), &[vocab_size, self.hidden_size]);
        s.0.extend(self.layer_tensors(prefix, 0..self.layers.len()));
        s.add(format!("{prefix}norm.weight"), &[self.hidden_size]);
        s.0
    }
}

/// Norms of queries and keys, each over one head.
#[derive(Clone, Debug)]
struct HeadNorms {
    q_norm: RmsNorm,
    k_norm: RmsNorm,
}

/// Gemma's norms around the MLP; its `post_attention_layernorm` then follows attention and does not precede the MLP.
#[derive(Clone, Debug)]
struct Sandwich {
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
}

#[derive(Clone, Debug)]
struct Layer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    head_norms: Option<HeadNorms>,
    post_attention_layernorm: RmsNorm,
    sandwich: Option<Sandwich>,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    activation: Activation,
    window: Option<usize>,
    /// Index into [`DecoderLayers::inv_freq`].
    rope: usize,
}

/// Keys, turned, and values of a layer, `[B, tokens, heads · head_dim]`.
#[derive(Clone, Debug, Default)]
struct KeyValue(Option<(Tensor, Tensor)>);

/// What the layers of a causal stack keep of the tokens before.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyValueCache {
    layers: Vec<KeyValue>,
    tokens: usize,
}

impl KeyValue {
    /// Adds keys and values of further tokens, and gives all of them.
    fn extend(&mut self, k: &Var, v: &Var) -> Result<(Var, Var)> {
        let (k, v) = match &self.0 {
            Some((keys, values)) => (ops::concat(&[keys, k.value()], 1)?, ops::concat(&[values, v.value()], 1)?),
            None => (k.value().clone(), v.value().clone()),
        };
        self.0 = Some((k.clone(), v.clone()));
        Ok((Var::constant(k), Var::constant(v)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl KeyValueCache {
    /// Goes on with these rows of the batch, in this order; a row may come more than once.
    pub(crate) fn select(&mut self, rows: &[u32]) -> Result<()> {
        let take = |x: &Tensor| -> Result<Tensor> {
            let [batch, tokens, width] = *x.shape() else { return Ok(x.clone()) };
            let ids = ops::upload_ids(x.device(), &[rows.len()], rows, batch)?;
            Ok(ops::gather_rows(&x.reshape(&[batch, tokens * width])?, &ids)?.reshape(&[rows.len(), tokens, width])?)
        };
        for KeyValue(layer) in &mut self.layers {
            if let Some((keys, values)) = layer {
                (*keys, *values) = (take(keys)?, take(values)?);
            }
        }
        Ok(())
    }
}

/// A slice of a stack of decoder layers with an optional final norm.
#[derive(Clone, Debug)]
pub(crate) struct DecoderLayers {
    spec: DecoderSpec,
    layers: Vec<Layer>,
    norm: Option<RmsNorm>,
    /// One table per kind of rotation, shared by the layers.
    inv_freq: Vec<Tensor>,
}

impl Layer {
    fn new(b: &mut Builder<'_>, name: &str, c: &DecoderSpec, window: Option<usize>, rope: usize) -> Result<Self> {
        let d = c.hidden_size;
        let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
        let mut linear = |part: &str, input, output| Linear::new(b, &format!("{name}.{part}"), input, output, false);
        let (q_proj, k_proj) = (linear("self_attn.q_proj", d, q)?, linear("self_attn.k_proj", d, kv)?);
        let (v_proj, o_proj) = (linear("self_attn.v_proj", d, kv)?, linear("self_attn.o_proj", q, d)?);
        let gate_proj = linear("mlp.gate_proj", d, c.intermediate_size)?;
        let up_proj = linear("mlp.up_proj", d, c.intermediate_size)?;
        let down_proj = linear("mlp.down_proj", c.intermediate_size, d)?;
        let mut norm = |part: &str, width| RmsNorm::new(b, &format!("{name}.{part}"), width, c.rms_norm_eps, c.norm);
        Ok(Layer {
            input_layernorm: norm("input_layernorm", d)?,
            post_attention_layernorm: norm("post_attention_layernorm", d)?,
            head_norms: match c.qk_norm {
                true => Some(HeadNorms {
                    q_norm: norm("self_attn.q_norm", c.head_dim)?,
                    k_norm: norm("self_attn.k_norm", c.head_dim)?,
                }),
                false => None,
            },
            sandwich: match c.sandwich {
                true => Some(Sandwich {
                    pre_feedforward_layernorm: norm("pre_feedforward_layernorm", d)?,
                    post_feedforward_layernorm: norm("post_feedforward_layernorm", d)?,
                }),
                false => None,
            },
            q_proj,
            k_proj,
            v_proj,
            o_proj,
            gate_proj,
            up_proj,
            down_proj,
            activation: c.activation,
            window,
            rope,
        })
    }

    /// With `past`, the keys and values of the tokens before, to which those of `x` are added.
    fn forward(
        &self,
        f: &Forward,
        x: &Var,
        attention: &Attention<'_>,
        rope: (&RopeHalf<'_>, &RopeHalf<'_>),
        past: Option<&mut KeyValue>,
    ) -> Result<Var> {
        let h = self.input_layernorm.forward(f, x)?;
        let (mut q, mut k) = (self.q_proj.forward(f, &h)?, self.k_proj.forward(f, &h)?);
        if let Some(norms) = &self.head_norms {
            q = per_head(f, &norms.q_norm, &q)?;
            k = per_head(f, &norms.k_norm, &k)?;
        }
        let (q, mut k) = (autograd::rope_half(&q, rope.0)?, autograd::rope_half(&k, rope.1)?);
        let mut v = self.v_proj.forward(f, &h)?;
        if let Some(past) = past {
            (k, v) = past.extend(&k, &v)?;
        }
        let attention = attention.window(self.window);
        let mut h = self.o_proj.forward(f, &autograd::attention(&q, &k, &v, &attention)?)?;
        if self.sandwich.is_some() {
            h = self.post_attention_layernorm.forward(f, &h)?;
        }
        let x = autograd::add(x, &h)?;
        let before = self.sandwich.as_ref().map_or(&self.post_attention_layernorm, |s| &s.pre_feedforward_layernorm);
        let h = before.forward(f, &x)?;
        let mut h = chunked(f, &h, self.gate_proj.outputs(), |h| {
            let (gate, up) = (self.gate_proj.forward(f, h)?, self.up_proj.forward(f, h)?);
            self.down_proj.forward(f, &autograd::gated(&gate, &up, self.activation)?)
        })?;
        if let Some(sandwich) = &self.sandwich {
            h = sandwich.post_feedforward_layernorm.forward(f, &h)?;
        }
        Ok(autograd::add(&x, &h)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.input_layernorm.collect(out);
        for linear in [&self.q_proj, &self.k_proj, &self.v_proj, &self.o_proj] {
            linear.collect(out);
        }
        if let Some(norms) = &self.head_norms {
            norms.q_norm.collect(out);
            norms.k_norm.collect(out);
        }
        self.post_attention_layernorm.collect(out);
        if let Some(sandwich) = &self.sandwich {
            sandwich.pre_feedforward_layernorm.collect(out);
            sandwich.post_feedforward_layernorm.collect(out);
        }
        for linear in [&self.gate_proj, &self.up_proj, &self.down_proj] {
            linear.collect(out);
        }
    }
}

/// A norm over each head of `[B, N, heads · head_dim]`.
fn per_head(f: &Forward, norm: &RmsNorm, x: &Var) -> Result<Var> {
    let (shape, width) = (x.shape().to_vec(), norm.weight.tensor().len().max(1));
    let heads = norm.forward(f, &x.reshape(&[x.value().len() / width, width])?)?;
    Ok(heads.reshape(&shape)?)
}

impl DecoderLayers {
    /// Builds layers named `{prefix}layers.{i}.…`, and `{prefix}norm` when `final_norm`.
    ///
    /// # Errors
    /// When the slice is empty or ends beyond the stack, and what the source reports.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        prefix: &str,
        spec: DecoderSpec,
        layers: Range<usize>,
        final_norm: bool,
    ) -> Result<Self> {
        let Some(slice) = spec.layers.get(layers.clone()).filter(|slice| !slice.is_empty()) else {
            let (Range { start, end }, depth) = (layers, spec.layers.len());
            let what = format!("layers {start}..{end} asked for, the model has {depth}");
            return Err(ModelError::Config { config: "decoder", what });
        };
        let mut ropes: Vec<Rope> = Vec::new();
        let mut built = Vec::with_capacity(slice.len());
        for (i, layer) in layers.zip(slice) {
            let rope = ropes.iter().position(|r| *r == layer.rope).unwrap_or(ropes.len());
            if rope == ropes.len() {
                ropes.push(layer.rope);
            }
            built.push(Layer::new(b, &format!("{prefix}layers.{i}"), &spec, layer.window, rope)?);
        }
        let norm = match final_norm {
            true => Some(RmsNorm::new(b, &format!("{prefix}norm"), spec.hidden_size, spec.rms_norm_eps, spec.norm)?),
            false => None,
        };
        let table = |rope: &Rope| {
            let frequencies = rope.inv_freq(spec.head_dim);
            Tensor::from_f32(b.device, &[frequencies.len()], &frequencies)
        };
        let inv_freq = ropes.iter().map(table).collect::<Result<_, Error>>()?;
        Ok(DecoderLayers { layers: built, norm, inv_freq, spec })
    }

    /// Runs the layers and the final norm on `[B, N, D]`; `each` is called with the state after every layer. Positions
    /// count from 0; `key_mask` `[B, N]` (u32) is 0 for padding.
    pub(crate) fn run(
        &self,
        f: &Forward,
        x: &Var,
        key_mask: Option<&Tensor>,
        mut each: impl FnMut(&Var),
    ) -> Result<Var> {
        let mut x = x.clone();
        let c = &self.spec;
        let (heads, kv_heads, causal, scale) = (c.num_attention_heads, c.num_key_value_heads, c.causal, c.scale);
        for layer in &self.layers {
            let (inv_freq, mask) = (self.inv_freq[layer.rope].clone(), key_mask.cloned());
            x = f.block(&x, layer, Layer::collect, move |layer, f, x| {
                let mut attention = Attention::new(heads).kv_heads(kv_heads).causal(causal).key_mask(mask.as_ref());
                attention.scale = scale;
                let rope = |heads| RopeHalf::new(heads, &inv_freq);
                layer.forward(f, x, &attention, (&rope(heads), &rope(kv_heads)), None)
            })?;
            each(&x);
        }
        match &self.norm {
            Some(norm) => norm.forward(f, &x),
            None => Ok(x),
        }
    }

    /// Runs the layers and the final norm on the tokens `[B, N, D]` that follow those of `cache`, which takes theirs in: as
    /// [`Self::run`] on all of them, for causal layers.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn extend(&self, f: &Forward, x: &Var, cache: &mut KeyValueCache) -> Result<Var> {
        let c = &self.spec;
        let (mut x, added) = (x.clone(), x.shape().get(1).copied().unwrap_or(0));
        cache.layers.resize_with(self.layers.len(), KeyValue::default);
        for (layer, past) in self.layers.iter().zip(&mut cache.layers) {
            let mut attention = Attention::new(c.num_attention_heads).kv_heads(c.num_key_value_heads).causal(true);
            attention.scale = c.scale;
            let rope = |heads| RopeHalf::new(heads, &self.inv_freq[layer.rope]).offset(cache.tokens);
            let ropes = (&rope(c.num_attention_heads), &rope(c.num_key_value_heads));
            x = layer.forward(f, &x, &attention, ropes, Some(past))?;
        }
        cache.tokens += added;
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
