//! The attentive probe: classes from frozen tokens (names of `VJEPA2ForVideoClassification`).

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Attention;
use vljepa_tensor::{Device, Error, Tensor};

use super::block::Mlp;
use super::config::Vjepa2Config;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear};
use crate::param::{Builder, Forward, Param, ParamSource, Precision};

/// Queries, keys and values; `out_proj` only where a layer has one.
#[derive(Clone, Debug)]
struct Mixer {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Option<Linear>,
    layer_norm1: LayerNorm,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl Mixer {
    fn new(b: &mut Builder<'_>, name: &str, attention: &str, out_proj: bool, c: &Vjepa2Config) -> Result<Self> {
        let d = c.hidden_size;
        let linear =
            |b: &mut Builder<'_>, part: &str| Linear::new(b, &format!("{name}.{attention}.{part}"), d, d, true);
        Ok(Mixer {
            q_proj: linear(b, "q_proj")?,
            k_proj: linear(b, "k_proj")?,
            v_proj: linear(b, "v_proj")?,
            out_proj: out_proj.then(|| linear(b, "out_proj")).transpose()?,
            layer_norm1: LayerNorm::new(b, &format!("{name}.layer_norm1"), d, c.layer_norm_eps)?,
            layer_norm2: LayerNorm::new(b, &format!("{name}.layer_norm2"), d, c.layer_norm_eps)?,
            mlp: Mlp::new(b, &format!("{name}.mlp"), d, c.probe_mlp_size())?,
        })
    }

    /// Attention of `q` over `kv`, added to `residual`, then the MLP.
    fn forward(&self, f: &Forward, residual: &Var, q: &Var, kv: &Var, heads: usize) -> Result<Var> {
        let (q, k, v) = (self.q_proj.forward(f, q)?, self.k_proj.forward(f, kv)?, self.v_proj.forward(f, kv)?);
        let mut mixed = autograd::attention(&q, &k, &v, &Attention::new(heads))?;
        if let Some(out_proj) = &self.out_proj {
            mixed = out_proj.forward(f, &mixed)?;
        }
        let x = autograd::add(residual, &mixed)?;
        let h = self.mlp.forward(f, &self.layer_norm2.forward(f, &x)?)?;
        Ok(autograd::add(&x, &h)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        for linear in [&self.q_proj, &self.k_proj, &self.v_proj].into_iter().chain(&self.out_proj) {
            linear.collect(out);
        }
        self.layer_norm1.collect(out);
        self.layer_norm2.collect(out);
        self.mlp.collect(out);
    }
}

/// Self-attention layers over the tokens, one learned query that attends to them, a linear classifier.
///
/// In the last layer the query is not normalised (keys and values are) and there is no output projection.
#[derive(Clone, Debug)]
pub struct AttentiveProbe {
    config: Vjepa2Config,
    labels: usize,
    query_tokens: Param,
    self_attention_layers: Vec<Mixer>,
    cross_attention_layer: Mixer,
    classifier: Linear,
}

impl AttentiveProbe {
    /// A probe of `labels` classes, from parameters named `pooler.…` and `classifier.…`.
    ///
    /// # Errors
    /// An invalid configuration, and what the source reports.
    pub fn load(device: &Device, config: &Vjepa2Config, labels: usize, source: &mut dyn ParamSource) -> Result<Self> {
        Self::load_as(device, config, labels, source, Precision::F32)
    }

    /// [`AttentiveProbe::load`] with matrices in `precision`.
    ///
    /// # Errors
    /// As [`AttentiveProbe::load`], and a number that the precision cannot hold.
    pub fn load_as(
        device: &Device,
        config: &Vjepa2Config,
        labels: usize,
        source: &mut dyn ParamSource,
        precision: Precision,
    ) -> Result<Self> {
        config.validate()?;
        let b = &mut Builder { device, source, precision };
        let d = config.hidden_size;
        Ok(AttentiveProbe {
            query_tokens: b.param("pooler.query_tokens", &[1, 1, d])?,
            self_attention_layers: (0..config.num_pooler_layers)
                .map(|i| Mixer::new(b, &format!("pooler.self_attention_layers.{i}"), "self_attn", true, config))
                .collect::<Result<_>>()?,
            cross_attention_layer: Mixer::new(b, "pooler.cross_attention_layer", "cross_attn", false, config)?,
            classifier: Linear::new(b, "classifier", d, labels, true)?,
            config: config.clone(),
            labels,
        })
    }

    /// Number of classes.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = vec![&self.query_tokens];
        for layer in &self.self_attention_layers {
            layer.collect(&mut out);
        }
        self.cross_attention_layer.collect(&mut out);
        self.classifier.collect(&mut out);
        out
    }

    /// One vector for each clip, `[B, N, D]` tokens of the encoder → `[B, D]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the tokens have another width.
    pub fn pool(&self, f: &Forward, tokens: &Var) -> Result<Var> {
        let &[batch, _, width] = tokens.shape() else {
            let what = format!("{:?}, expected [batch, tokens, width]", tokens.shape());
            return Err(ModelError::Tensor(Error::Shape { op: "attentive probe", what }));
        };
        let heads = self.config.num_attention_heads;
        let mut x = tokens.clone();
        for layer in &self.self_attention_layers {
            let h = layer.layer_norm1.forward(f, &x)?;
            x = layer.forward(f, &x, &h, &h, heads)?;
        }
        let first = Tensor::from_u32(tokens.value().device(), &[batch, 1], &vec![0; batch])?;
        let query = f.var(&self.query_tokens).reshape(&[1, self.config.hidden_size])?;
        let query = autograd::gather_rows(&query, &first)?.reshape(&[batch, 1, self.config.hidden_size])?;
        let last = &self.cross_attention_layer;
        let keys = last.layer_norm1.forward(f, &x)?;
        let pooled = last.forward(f, &query, &query, &keys, heads)?;
        Ok(pooled.reshape(&[batch, width])?)
    }

    /// Scores of the classes before the softmax, `[B, N, D]` → `[B, labels]`.
    ///
    /// # Errors
    /// As [`AttentiveProbe::pool`].
    pub fn forward(&self, f: &Forward, tokens: &Var) -> Result<Var> {
        let pooled = self.pool(f, tokens)?;
        self.classifier.forward(f, &pooled)
    }
}
