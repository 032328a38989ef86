//! V-JEPA 2 (arXiv 2506.09985; names of `VJEPA2Model`). The encoder is here, its configuration, masks, predictor and
//! probe in files of their own.

mod block;
mod config;
mod patch_ids;
mod predictor;
mod probe;

pub use config::{ConvStemConfig, PositionGrid, StemNorm, Vjepa2Config};
pub use patch_ids::PatchIds;
pub use predictor::{Prediction, Vjepa2Predictor};
pub use probe::AttentiveProbe;

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Conv2dPatches, Rope3d};
use vljepa_tensor::{Activation, Device, Error, Tensor};

use block::{Block, BlockSizes};

use crate::error::{ModelError, Result};
use crate::layers::LayerNorm;
use crate::param::{Builder, Forward, Param, ParamSource, Precision};

/// One convolution over channels-last feature maps, as a product with gathered patches.
#[derive(Clone, Debug)]
struct Conv {
    weight: Param,
    bias: Param,
    kernel: usize,
    stride: usize,
}

impl Conv {
    fn new(b: &mut Builder<'_>, name: &str, input: usize, output: usize, kernel: usize, stride: usize) -> Result<Self> {
        Ok(Conv {
            weight: b.matrix(format!("{name}.weight"), &[output, kernel, kernel, input])?,
            bias: b.param(format!("{name}.bias"), &[output])?,
            kernel,
            stride,
        })
    }

    /// `[B, H, W, C]` → `[B, H/stride, W/stride, out]`.
    fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        let patches = Conv2dPatches::new(self.kernel, self.stride, (self.kernel - 1) / 2);
        let columns = autograd::conv2d_patches(x, &patches)?;
        let (out, width) = (self.weight.tensor().shape()[0], columns.value().rows_cols().1);
        let weight = f.var(&self.weight).reshape(&[out, width])?;
        Ok(autograd::linear(&columns, &weight, Some(&f.var(&self.bias)))?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.weight, &self.bias]);
    }
}

/// One strided convolution with its residual units and norm.
#[derive(Clone, Debug)]
struct StemLayer {
    conv: Conv,
    residual: Vec<(LayerNorm, Conv)>,
    norm: LayerNorm,
}

impl StemLayer {
    fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        let mut x = self.conv.forward(f, x)?;
        for (norm, conv) in &self.residual {
            let inner = autograd::activate(&norm.forward(f, &x)?, Activation::Gelu)?;
            x = autograd::add(&x, &conv.forward(f, &inner)?)?;
        }
        Ok(autograd::activate(&self.norm.forward(f, &x)?, Activation::Gelu)?)
    }
}

/// From pixels to tokens.
#[derive(Clone, Debug)]
enum Embedding {
    /// One linear map of flattened tubelets (spec: Conv3d with kernel = stride).
    Patches { weight: Param, bias: Param },
    /// Ours: convolutions on every frame, then one linear map per frame of a tubelet.
    Stem { layers: Vec<StemLayer>, taps: Vec<Param>, bias: Param },
}

/// The V-JEPA 2 encoder: pixels to patch tokens.
#[derive(Clone, Debug)]
pub struct Vjepa2Encoder {
    config: Vjepa2Config,
    embedding: Embedding,
    layer: Vec<Block>,
    layernorm: LayerNorm,
    inv_freq: Tensor,
}

impl Embedding {
    fn new(b: &mut Builder<'_>, name: &str, c: &Vjepa2Config) -> Result<Self> {
        let d = c.hidden_size;
        let proj = format!("{name}.patch_embeddings.proj");
        let Some(stem) = &c.conv_stem else {
            let p = c.patch_size;
            return Ok(Embedding::Patches {
                weight: b.matrix(format!("{proj}.weight"), &[d, c.in_chans, c.tubelet_size, p, p])?,
                bias: b.param(format!("{proj}.bias"), &[d])?,
            });
        };
        let ConvStemConfig { channels, kernel, stride, residual, .. } = stem;
        let mut layers = Vec::new();
        let mut input = c.in_chans;
        for (i, &output) in channels.iter().enumerate() {
            let name = format!("{name}.stem.{i}");
            let unit = |b: &mut Builder<'_>, j: usize| -> Result<_> {
                let name = format!("{name}.residual.{j}");
                let norm = LayerNorm::new(b, &format!("{name}.norm"), output, c.layer_norm_eps)?;
                Ok((norm, Conv::new(b, &format!("{name}.conv"), output, output, *kernel, 1)?))
            };
            layers.push(StemLayer {
                conv: Conv::new(b, &format!("{name}.conv"), input, output, *kernel, *stride)?,
                residual: (0..residual.get(i).copied().unwrap_or(0)).map(|j| unit(b, j)).collect::<Result<_>>()?,
                norm: LayerNorm::new(b, &format!("{name}.norm"), output, c.layer_norm_eps)?,
            });
            input = output;
        }
        let taps =
            (0..c.tubelet_size).map(|t| b.matrix(format!("{proj}.{t}.weight"), &[d, input])).collect::<Result<_>>()?;
        Ok(Embedding::Stem { layers, taps, bias: b.param(format!("{proj}.bias"), &[d])? })
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        match self {
            Embedding::Patches { weight, bias } => out.extend([weight, bias]),
            Embedding::Stem { layers, taps, bias } => {
                for layer in layers {
                    layer.conv.collect(out);
                    for (norm, conv) in &layer.residual {
                        norm.collect(out);
                        conv.collect(out);
                    }
                    layer.norm.collect(out);
                }
                out.extend(taps);
                out.push(bias);
            }
        }
    }
}

impl Vjepa2Encoder {
    /// Builds the encoder from parameters named `{prefix}.embeddings.…`, `{prefix}.layer.{i}.…`,
    /// `{prefix}.layernorm.…`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &Vjepa2Config) -> Result<Self> {
        let sizes = BlockSizes::encoder(config);
        Ok(Vjepa2Encoder {
            embedding: Embedding::new(b, &format!("{prefix}.embeddings"), config)?,
            layer: (0..config.num_hidden_layers)
                .map(|i| Block::new(b, &format!("{prefix}.layer.{i}"), &sizes))
                .collect::<Result<_>>()?,
            layernorm: LayerNorm::new(b, &format!("{prefix}.layernorm"), config.hidden_size, config.layer_norm_eps)?,
            inv_freq: sizes.inv_freq(b.device)?,
            config: config.clone(),
        })
    }

    /// The encoder alone, from parameters named `{prefix}.embeddings.…` and so on (`encoder` in the published files).
    ///
    /// # Errors
    /// What the source reports.
    pub fn load(device: &Device, config: &Vjepa2Config, source: &mut dyn ParamSource, prefix: &str) -> Result<Self> {
        Self::load_as(device, config, source, prefix, Precision::F32)
    }

    /// [`Vjepa2Encoder::load`] with matrices in `precision`.
    ///
    /// # Errors
    /// What the source reports, and a number that the precision cannot hold.
    pub fn load_as(
        device: &Device,
        config: &Vjepa2Config,
        source: &mut dyn ParamSource,
        prefix: &str,
        precision: Precision,
    ) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder { device, source, precision }, prefix, config)
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.embedding.collect(out);
        for block in &self.layer {
            block.collect(out);
        }
        self.layernorm.collect(out);
    }

    /// Tokens of the patch embedding, `[B, T, C, H, W]` → `[B, N, D]`, with the spatial grid `(rows, columns)`.
    ///
    /// # Errors
    /// When the pixels do not have the configured channels, or a side is no multiple of the patch, or the number of
    /// frames no multiple of the tubelet (one frame is repeated to fill one).
    pub fn embed(&self, f: &Forward, frames: &Tensor) -> Result<(Var, (usize, usize))> {
        let c = &self.config;
        let bad = |what: String| ModelError::Tensor(Error::Shape { op: "vjepa2 embeddings", what });
        let &[batch, time, channels, height, width] = frames.shape() else {
            return Err(bad(format!("{:?}, expected [batch, frames, channels, height, width]", frames.shape())));
        };
        let p = c.patch_size;
        if channels != c.in_chans || height % p != 0 || width % p != 0 || height == 0 || width == 0 {
            return Err(bad(format!(
                "{:?} does not divide into {p} x {p} patches of {} channels",
                frames.shape(),
                c.in_chans
            )));
        }
        if time != 1 && (time == 0 || time % c.tubelet_size != 0) {
            return Err(bad(format!("{time} frames do not divide into tubelets of {}", c.tubelet_size)));
        }
        let grid = (height / p, width / p);
        let tubelets = time.div_ceil(c.tubelet_size);
        let tokens = tubelets * grid.0 * grid.1;
        let x = match &self.embedding {
            Embedding::Patches { weight, bias } => {
                let mut video = Var::constant(frames.clone());
                if time == 1 {
                    let copies: Vec<&Var> = vec![&video; c.tubelet_size];
                    video = autograd::concat(&copies, 1)?;
                }
                let patches = autograd::tubelet_patches(&video, c.tubelet_size, p)?;
                let flat = patches.value().rows_cols().1;
                let weight = f.var(weight).reshape(&[c.hidden_size, flat])?;
                autograd::linear(&patches, &weight, Some(&f.var(bias)))?
            }
            Embedding::Stem { layers, taps, bias } => {
                // Frames as channels-last pictures: patches of one pixel are exactly that transposition.
                let pictures = Var::constant(frames.reshape(&[batch * time, 1, channels, height, width])?);
                let mut x = autograd::tubelet_patches(&pictures, 1, 1)?;
                x = x.reshape(&[batch * time, height, width, channels])?;
                for layer in layers {
                    x = layer.forward(f, &x)?;
                }
                let (cells, features) = (grid.0 * grid.1, x.value().rows_cols().1);
                let mut sum: Option<Var> = None;
                for (t, tap) in taps.iter().enumerate() {
                    let part = if time == 1 {
                        x.reshape(&[batch, cells, features])?
                    } else {
                        let clips = x.reshape(&[batch * tubelets, c.tubelet_size * cells, features])?;
                        autograd::slice(&clips, 1, t * cells, cells)?
                    };
                    let bias = (t == 0).then(|| f.var(bias));
                    let part = autograd::linear(&part, &f.var(tap), bias.as_ref())?;
                    sum = Some(match sum {
                        Some(sum) => autograd::add(&sum, &part)?,
                        None => part,
                    });
                }
                sum.ok_or_else(|| bad("a tubelet of no frames".into()))?
            }
        };
        Ok((x.reshape(&[batch, tokens, c.hidden_size])?, grid))
    }

    /// All patch tokens after the last norm: `[B, T, C, H, W]` → `[B, T/2 · H/p · W/p, D]`, ordered by tubelet, row,
    /// column. Rotary positions are those of the configured [`PositionGrid`](crate::config::PositionGrid).
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::embed`].
    pub fn forward(&self, f: &Forward, frames: &Tensor) -> Result<Var> {
        let (x, grid) = self.embed(f, frames)?;
        self.blocks(f, x, grid, None)
    }

    /// The kept patch tokens alone, as if the others were not there: `[B, T, C, H, W]` → `[B, K, D]` in the order of
    /// the ids. This is how the context of masked-latent training is encoded.
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::embed`], and when the ids are of clips of another size or number.
    pub fn forward_kept(&self, f: &Forward, frames: &Tensor, kept: &PatchIds) -> Result<Var> {
        let (x, grid) = self.embed(f, frames)?;
        self.blocks(f, kept.select(&x)?, grid, Some(kept.ids()))
    }

    fn blocks(&self, f: &Forward, mut x: Var, grid: (usize, usize), ids: Option<&Tensor>) -> Result<Var> {
        let rope = self.rope(grid).ids(ids);
        for block in &self.layer {
            x = block.forward(f, &x, &rope)?;
        }
        self.layernorm.forward(f, &x)
    }

    fn rope(&self, grid: (usize, usize)) -> Rope3d<'_> {
        Rope3d::new(self.config.num_attention_heads, self.config.rope_grid(grid), &self.inv_freq)
    }

    /// The tokens after the embedding and after each block, before the last norm, for comparison with other
    /// implementations.
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::embed`].
    pub fn hidden_states(&self, f: &Forward, frames: &Tensor) -> Result<Vec<Var>> {
        let (x, grid) = self.embed(f, frames)?;
        let rope = self.rope(grid);
        let mut states = vec![x];
        for block in &self.layer {
            let next = block.forward(f, &states[states.len() - 1], &rope)?;
            states.push(next);
        }
        Ok(states)
    }
}
