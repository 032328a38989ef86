//! From pixels to tokens: the patch embeddings of V-JEPA 2 and 2.1, and our convolutional stem.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Conv2dPatches;
use vljepa_tensor::{Activation, Error, Tensor};

use super::config::{ConvStemConfig, Vjepa2Config};
use crate::error::{ModelError, Result};
use crate::layers::LayerNorm;
use crate::param::{Builder, Forward, Param};

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
    /// The layers of a stem, `{name}.{i}.…`, for pictures of `input` channels.
    fn all(b: &mut Builder<'_>, name: &str, stem: &ConvStemConfig, input: usize, eps: f64) -> Result<Vec<Self>> {
        let ConvStemConfig { channels, kernel, stride, residual, .. } = stem;
        let mut input = input;
        let mut layer = |(i, &output): (usize, &usize)| -> Result<Self> {
            let name = format!("{name}.{i}");
            let unit = |b: &mut Builder<'_>, j: usize| -> Result<_> {
                let name = format!("{name}.residual.{j}");
                let norm = LayerNorm::new(b, &format!("{name}.norm"), output, eps)?;
                Ok((norm, Conv::new(b, &format!("{name}.conv"), output, output, *kernel, 1)?))
            };
            let layer = StemLayer {
                conv: Conv::new(b, &format!("{name}.conv"), input, output, *kernel, *stride)?,
                residual: (0..residual.get(i).copied().unwrap_or(0)).map(|j| unit(b, j)).collect::<Result<_>>()?,
                norm: LayerNorm::new(b, &format!("{name}.norm"), output, eps)?,
            };
            input = output;
            Ok(layer)
        };
        channels.iter().enumerate().map(&mut layer).collect()
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.conv.collect(out);
        for (norm, conv) in &self.residual {
            norm.collect(out);
            conv.collect(out);
        }
        self.norm.collect(out);
    }

    fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        let mut x = self.conv.forward(f, x)?;
        for (norm, conv) in &self.residual {
            let inner = autograd::activate(&norm.forward(f, &x)?, Activation::Gelu)?;
            x = autograd::add(&x, &conv.forward(f, &inner)?)?;
        }
        Ok(autograd::activate(&self.norm.forward(f, &x)?, Activation::Gelu)?)
    }
}

/// A second stem, which sees one frame of each tubelet.
#[derive(Clone, Debug)]
struct StillStem {
    layers: Vec<StemLayer>,
    weight: Param,
}

impl StillStem {
    fn new(b: &mut Builder<'_>, name: &str, stem: &ConvStemConfig, c: &Vjepa2Config) -> Result<Self> {
        let layers = StemLayer::all(b, &format!("{name}.still_stem"), stem, c.in_chans, c.layer_norm_eps)?;
        let weight = b.matrix(format!("{name}.patch_embeddings.still.weight"), &[c.hidden_size, stem.width()])?;
        Ok(StillStem { layers, weight })
    }

    /// `video` `[B, T, C, H, W]` → `[B · tubelets, cells, D]`, from the frame in the middle of each tubelet.
    fn forward(&self, f: &Forward, c: &Vjepa2Config, video: &Tensor) -> Result<Var> {
        let &[batch, time, channels, height, width] = video.shape() else {
            return Err(not_clips(video));
        };
        let tubelets = time.div_ceil(c.tubelet_size);
        let pixels = channels * height * width;
        let frames = Var::constant(video.clone()).reshape(&[batch * tubelets, time / tubelets, pixels])?;
        let middle = autograd::slice(&frames, 1, time / tubelets / 2, 1)?;
        let mut x = as_pictures(&middle, batch * tubelets, [channels, height, width])?;
        for layer in &self.layers {
            x = layer.forward(f, &x)?;
        }
        let cells = (height / c.patch_size) * (width / c.patch_size);
        let features = x.value().rows_cols().1;
        Ok(autograd::linear(&x.reshape(&[batch * tubelets, cells, features])?, &f.var(&self.weight), None)?)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.layers.iter().for_each(|layer| layer.collect(out));
        out.push(&self.weight);
    }
}

/// Frames as channels-last pictures `[pictures, H, W, C]`: patches of one pixel are exactly that transposition.
fn as_pictures(frames: &Var, pictures: usize, [channels, height, width]: [usize; 3]) -> Result<Var> {
    let x = autograd::tubelet_patches(&frames.reshape(&[pictures, 1, channels, height, width])?, 1, 1)?;
    Ok(x.reshape(&[pictures, height, width, channels])?)
}

fn bad(what: String) -> ModelError {
    ModelError::Tensor(Error::Shape { op: "vjepa2 embeddings", what })
}

fn not_clips(frames: &Tensor) -> ModelError {
    bad(format!("{:?}, expected [batch, frames, channels, height, width]", frames.shape()))
}

/// From frames to tokens.
#[derive(Clone, Debug)]
enum Pixels {
    /// One linear map of flattened tubelets (spec: Conv3d with kernel = stride).
    Patches { weight: Param, bias: Param },
    /// Ours: convolutions on every frame, then one linear map per frame of a tubelet; or both on all frames of a tubelet at once.
    Stem { layers: Vec<StemLayer>, taps: Vec<Param>, bias: Param, still: Option<StillStem> },
}

impl Pixels {
    fn new(b: &mut Builder<'_>, name: &str, c: &Vjepa2Config) -> Result<Self> {
        let d = c.hidden_size;
        let proj = format!("{name}.patch_embeddings.proj");
        let Some(stem) = &c.conv_stem else {
            let p = c.patch_size;
            return Ok(Pixels::Patches {
                weight: b.matrix(format!("{proj}.weight"), &[d, c.in_chans, c.tubelet_size, p, p])?,
                bias: b.param(format!("{proj}.bias"), &[d])?,
            });
        };
        let together = stem.frames_together(c.tubelet_size);
        let layers = StemLayer::all(b, &format!("{name}.stem"), stem, c.in_chans * together, c.layer_norm_eps)?;
        let input = stem.width();
        let taps = (0..c.tubelet_size / together)
            .map(|t| b.matrix(format!("{proj}.{t}.weight"), &[d, input]))
            .collect::<Result<_>>()?;
        let bias = b.param(format!("{proj}.bias"), &[d])?;
        let still = c.still_stem.as_ref().map(|stem| StillStem::new(b, name, stem, c)).transpose()?;
        Ok(Pixels::Stem { layers, taps, bias, still })
    }

    /// `frames` `[B, T, C, H, W]`, checked by [`Embedding::forward`], to rows of tokens; one frame is repeated to fill
    /// a tubelet.
    fn forward(&self, f: &Forward, c: &Vjepa2Config, frames: &Tensor) -> Result<Var> {
        let &[batch, time, channels, height, width] = frames.shape() else {
            return Err(not_clips(frames));
        };
        match self {
            Pixels::Patches { weight, bias } => {
                let mut video = Var::constant(frames.clone());
                if time == 1 {
                    let copies: Vec<&Var> = vec![&video; c.tubelet_size];
                    video = autograd::concat(&copies, 1)?;
                }
                patches(f, &video, c.tubelet_size, c, weight, bias)
            }
            Pixels::Stem { layers, taps, bias, still } => {
                let mut video = Var::constant(frames.clone());
                // One tap: the stem has seen all frames of a tubelet.
                let together = c.tubelet_size / taps.len().max(1);
                if time == 1 && together > 1 {
                    video = autograd::concat(&vec![&video; together], 1)?;
                }
                let (pictures, channels) = (batch * time.div_ceil(together), channels * together);
                let mut x = as_pictures(&video, pictures, [channels, height, width])?;
                for layer in layers {
                    x = layer.forward(f, &x)?;
                }
                let cells = (height / c.patch_size) * (width / c.patch_size);
                let (tubelets, features) = (time.div_ceil(c.tubelet_size), x.value().rows_cols().1);
                let mut sum: Option<Var> = None;
                for (t, tap) in taps.iter().enumerate() {
                    let part = if time == 1 {
                        x.reshape(&[batch, cells, features])?
                    } else {
                        let clips = x.reshape(&[batch * tubelets, taps.len() * cells, features])?;
                        if taps.len() == 1 { clips } else { autograd::slice(&clips, 1, t * cells, cells)? }
                    };
                    let bias = (t == 0).then(|| f.var(bias));
                    let part = autograd::linear(&part, &f.var(tap), bias.as_ref())?;
                    sum = Some(match sum {
                        Some(sum) => autograd::add(&sum, &part)?,
                        None => part,
                    });
                }
                let sum = sum.ok_or_else(|| bad("a tubelet of no frames".into()))?;
                let Some(still) = still else { return Ok(sum) };
                let still = still.forward(f, c, frames)?.reshape(sum.shape())?;
                Ok(autograd::add(&sum, &still)?)
            }
        }
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        match self {
            Pixels::Patches { weight, bias } => out.extend([weight, bias]),
            Pixels::Stem { layers, taps, bias, still } => {
                layers.iter().for_each(|layer| layer.collect(out));
                out.extend(taps);
                out.push(bias);
                still.iter().for_each(|still| still.collect(out));
            }
        }
    }
}

/// From pixels to tokens.
#[derive(Clone, Debug)]
pub(super) struct Embedding {
    pixels: Pixels,
    /// V-JEPA 2.1: weight and bias of the patches of stills.
    still: Option<(Param, Param)>,
    /// V-JEPA 2.1: what is added to the tokens.
    modality: Option<ModalityEmbedding>,
}

/// A learned vector for stills and one for videos.
#[derive(Clone, Debug)]
pub(super) struct ModalityEmbedding {
    img: Param,
    video: Param,
}

impl ModalityEmbedding {
    /// `{name}.img_mod_embed` and `{name}.video_mod_embed`, both `[1, 1, width]`.
    pub(super) fn new(b: &mut Builder<'_>, name: &str, width: usize) -> Result<Self> {
        let mut vector = |kind: &str| b.param(format!("{name}.{kind}_mod_embed"), &[1, 1, width]);
        Ok(ModalityEmbedding { img: vector("img")?, video: vector("video")? })
    }

    /// Adds the vector to every token of `x` `[.., D]`.
    pub(super) fn forward(&self, f: &Forward, x: &Var, still: bool) -> Result<Var> {
        let vector = f.var(if still { &self.img } else { &self.video });
        let width = vector.value().len();
        Ok(autograd::add(x, &vector.reshape(&[width])?)?)
    }

    pub(super) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.img, &self.video]);
    }
}

/// `[B, T, C, H, W]` as tubelets of `tubelet` frames through one linear map: `[.., width]`.
fn patches(f: &Forward, video: &Var, tubelet: usize, c: &Vjepa2Config, weight: &Param, bias: &Param) -> Result<Var> {
    let patches = autograd::tubelet_patches(video, tubelet, c.patch_size)?;
    let flat = patches.value().rows_cols().1;
    let weight = f.var(weight).reshape(&[c.hidden_size, flat])?;
    Ok(autograd::linear(&patches, &weight, Some(&f.var(bias)))?)
}

impl Embedding {
    /// From parameters `{name}.patch_embeddings.…`, `{name}.stem.…`, and V-JEPA 2.1's `{name}.patch_embed_img.…`,
    /// `{name}.img_mod_embed`, `{name}.video_mod_embed`.
    pub(super) fn new(b: &mut Builder<'_>, name: &str, c: &Vjepa2Config) -> Result<Self> {
        let (d, p) = (c.hidden_size, c.patch_size);
        let mut still = |frames: usize| -> Result<_> {
            let proj = format!("{name}.patch_embed_img.proj");
            let weight = b.matrix(format!("{proj}.weight"), &[d, c.in_chans, frames, p, p])?;
            Ok((weight, b.param(format!("{proj}.bias"), &[d])?))
        };
        let still = c.img_temporal_dim_size.map(&mut still).transpose()?;
        let modality = c.use_modality_embeddings.then(|| ModalityEmbedding::new(b, name, d)).transpose()?;
        Ok(Embedding { pixels: Pixels::new(b, name, c)?, still, modality })
    }

    pub(super) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.pixels.collect(out);
        if let Some((weight, bias)) = &self.still {
            out.extend([weight, bias]);
        }
        if let Some(modality) = &self.modality {
            modality.collect(out);
        }
    }

    /// `[B, T, C, H, W]` → `[B, N, D]`, with the spatial grid `(rows, columns)`.
    pub(super) fn forward(&self, f: &Forward, c: &Vjepa2Config, frames: &Tensor) -> Result<(Var, (usize, usize))> {
        let &[batch, time, channels, height, width] = frames.shape() else {
            return Err(not_clips(frames));
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
        let x = match self.still.as_ref().filter(|_| c.is_still(time)) {
            Some((weight, bias)) => patches(f, &Var::constant(frames.clone()), time, c, weight, bias)?,
            None => self.pixels.forward(f, c, frames)?,
        };
        let x = x.reshape(&[batch, tokens, c.hidden_size])?;
        match &self.modality {
            Some(modality) => Ok((modality.forward(f, &x, c.is_still(time))?, grid)),
            None => Ok((x, grid)),
        }
    }
}
