//! The predictor of LeWM: causal blocks over a few latents, each block steered by the actions (AdaLN-zero).

use vljepa_tensor::Activation;
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Attention, Dropout};

use super::config::LewmConfig;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear};
use crate::param::{Builder, Forward, Param};

/// Epsilon of the norms without scale and shift.
const PLAIN_EPS: f32 = 1e-6;
/// Epsilon of the norms with scale and shift.
const NORM_EPS: f64 = 1e-5;

/// What a training pass drops at random: a function of seed and step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the step.
    pub step: u32,
}

/// Where in the predictor something is dropped.
#[derive(Clone, Copy)]
enum Place {
    Embedding,
    Attention,
    Mixed,
    Inner,
    Outer,
}

impl Drops {
    /// Dropout of a place in a layer; each has a stream of its own.
    fn at(self, p: f64, layer: usize, place: Place) -> Option<Dropout> {
        let own = (8 * layer as u64 + place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (p > 0.0).then(|| Dropout::new(p, self.seed ^ own, self.step))
    }
}

fn drop(x: Var, dropout: Option<Dropout>) -> Result<Var> {
    match dropout {
        Some(dropout) => Ok(autograd::dropout(&x, &dropout)?),
        None => Ok(x),
    }
}

/// Latents and actions to the next latents.
#[derive(Clone, Debug)]
pub(super) struct FramePredictor {
    history: usize,
    emb_dropout: f64,
    pos_embedding: Param,
    layers: Vec<Block>,
    norm: LayerNorm,
}

impl FramePredictor {
    pub fn new(b: &mut Builder<'_>, c: &LewmConfig) -> Result<Self> {
        Ok(Self {
            history: c.history,
            emb_dropout: c.predictor.emb_dropout,
            pos_embedding: b.param("predictor.pos_embedding", &[1, c.history, c.hidden_size])?,
            layers: (0..c.predictor.depth).map(|i| Block::new(b, i, c)).collect::<Result<_>>()?,
            norm: LayerNorm::new(b, "predictor.transformer.norm", c.hidden_size, NORM_EPS)?,
        })
    }

    /// Latents `[B, T, D]` and as many encoded actions → `[B, T, D]`; row `t` foretells latent `t + 1` from those up to `t`.
    pub fn forward(&self, f: &Forward, latents: &Var, actions: &Var, drops: Option<Drops>) -> Result<Var> {
        let &[batch, len, d] = latents.shape() else { return Err(misfit(latents, actions, self.history)) };
        if len > self.history || actions.shape() != latents.shape() {
            return Err(misfit(latents, actions, self.history));
        }
        let places = f.var(&self.pos_embedding).reshape(&[self.history, d])?;
        let places = if len == self.history { places } else { autograd::slice(&places, 0, 0, len)? };
        let at = |p: f64, place: Place| drops.and_then(|drops| drops.at(p, self.layers.len(), place));
        let mut x = drop(autograd::add(latents, &places)?, at(self.emb_dropout, Place::Embedding))?;
        let steer = autograd::activate(actions, Activation::Silu)?.reshape(&[batch * len, d])?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(f, &x, &steer, drops.map(|drops| (drops, i)))?;
        }
        self.norm.forward(f, &x)
    }

    pub fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.push(&self.pos_embedding);
        self.layers.iter().for_each(|layer| layer.collect(out));
        self.norm.collect(out);
    }
}

fn misfit(latents: &Var, actions: &Var, history: usize) -> ModelError {
    let what = format!(
        "latents {:?} and encoded actions {:?}; both must be [B, T, D] with T at most {history}",
        latents.shape(),
        actions.shape()
    );
    ModelError::Tensor(vljepa_tensor::Error::Shape { op: "lewm predictor", what })
}

/// `x += gate · Attn(mod(LN x))`, `x += gate · MLP(mod(LN x))`, with shift, scale and gate of each from the action.
#[derive(Clone, Debug)]
struct Block {
    heads: usize,
    dropout: f64,
    attn_norm: LayerNorm,
    to_qkv: Linear,
    to_out: Linear,
    mlp_norm: LayerNorm,
    mlp_in: Linear,
    mlp_out: Linear,
    modulation: Linear,
}

impl Block {
    fn new(b: &mut Builder<'_>, i: usize, c: &LewmConfig) -> Result<Self> {
        let (d, p, name) = (c.hidden_size, &c.predictor, format!("predictor.transformer.layers.{i}"));
        Ok(Self {
            heads: p.heads,
            dropout: p.dropout,
            attn_norm: LayerNorm::new(b, &format!("{name}.attn.norm"), d, NORM_EPS)?,
            to_qkv: Linear::new(b, &format!("{name}.attn.to_qkv"), d, 3 * c.inner_size(), false)?,
            to_out: Linear::new(b, &format!("{name}.attn.to_out.0"), c.inner_size(), d, true)?,
            mlp_norm: LayerNorm::new(b, &format!("{name}.mlp.net.0"), d, NORM_EPS)?,
            mlp_in: Linear::new(b, &format!("{name}.mlp.net.1"), d, p.mlp_dim, true)?,
            mlp_out: Linear::new(b, &format!("{name}.mlp.net.4"), p.mlp_dim, d, true)?,
            modulation: Linear::new(b, &format!("{name}.adaLN_modulation.1"), d, 6 * d, true)?,
        })
    }

    /// `x [B, T, D]`, `steer [B · T, D]` → `[B, T, D]`.
    fn forward(&self, f: &Forward, x: &Var, steer: &Var, drops: Option<(Drops, usize)>) -> Result<Var> {
        let shape = x.shape().to_vec();
        let (rows, d) = x.value().rows_cols();
        let at = |place: Place| drops.and_then(|(drops, layer)| drops.at(self.dropout, layer, place));
        // Of the row of an action: shift, scale and gate of attention, then those of the MLP.
        let m = self.modulation.forward(f, steer)?;
        let x = x.reshape(&[rows, d])?;
        let h = autograd::modulate(&autograd::layer_norm(&x, None, None, PLAIN_EPS)?, &m, [0, 1])?;
        let h = self.attention(f, &h, &shape, at(Place::Attention))?;
        let x = autograd::gated_add(&x, &drop(h, at(Place::Mixed))?, &m, 2)?;
        let h = autograd::modulate(&autograd::layer_norm(&x, None, None, PLAIN_EPS)?, &m, [3, 4])?;
        let h = self.mlp_in.forward(f, &self.mlp_norm.forward(f, &h)?)?;
        let h = drop(autograd::activate(&h, Activation::Gelu)?, at(Place::Inner))?;
        let h = drop(self.mlp_out.forward(f, &h)?, at(Place::Outer))?;
        Ok(autograd::gated_add(&x, &h, &m, 5)?.reshape(&shape)?)
    }

    /// `[B · T, D]` → `[B · T, D]`.
    fn attention(&self, f: &Forward, x: &Var, shape: &[usize], dropout: Option<Dropout>) -> Result<Var> {
        let qkv = self.to_qkv.forward(f, &self.attn_norm.forward(f, x)?)?;
        let (rows, inner) = (x.shape()[0], qkv.shape()[1] / 3);
        let &[batch, len, _] = shape else { return Ok(qkv) };
        let part = |i: usize| autograd::slice(&qkv, 1, i * inner, inner)?.reshape(&[batch, len, inner]);
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let options = Attention::new(self.heads).causal(true).dropout(dropout);
        let mixed = autograd::attention(&q, &k, &v, &options)?;
        self.to_out.forward(f, &mixed.reshape(&[rows, inner])?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.attn_norm.collect(out);
        self.to_qkv.collect(out);
        self.to_out.collect(out);
        self.mlp_norm.collect(out);
        self.mlp_in.collect(out);
        self.mlp_out.collect(out);
        self.modulation.collect(out);
    }
}
