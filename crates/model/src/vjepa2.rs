//! V-JEPA 2 (arXiv 2506.09985; names of `VJEPA2Model`) and 2.1. The encoder is here, its configuration, embeddings,
//! masks, predictor and probe in files of their own.

mod block;
mod config;
mod embedding;
mod linear_probe;
mod patch_ids;
mod predictor;
mod probe;
mod tensors;
mod v2_1;

pub use config::{ConvStemConfig, PositionGrid, StemNorm, Vjepa2Config};
pub use linear_probe::LinearProbe;
pub use patch_ids::PatchIds;
pub use predictor::{Prediction, Vjepa2Predictor};
pub use probe::AttentiveProbe;

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Rope3d;
use vljepa_tensor::{Device, Error, Tensor};

use block::{Block, BlockSizes};
use embedding::Embedding;

use crate::error::{ModelError, Result};
use crate::layers::LayerNorm;
use crate::param::{Builder, Forward, Param, ParamSource, Precision};

/// The V-JEPA 2 or 2.1 encoder: pixels to patch tokens.
#[derive(Clone, Debug)]
pub struct Vjepa2Encoder {
    config: Vjepa2Config,
    embedding: Embedding,
    layer: Vec<Block>,
    /// After which layers there is an output, ascending, and its norm; the last one is after the last layer.
    levels: Vec<(usize, LayerNorm)>,
    inv_freq: Tensor,
}

impl Vjepa2Encoder {
    /// Builds the encoder from parameters named `{prefix}.embeddings.…`, `{prefix}.layer.{i}.…`,
    /// `{prefix}.layernorm.…` or `{prefix}.norms_block.{i}.…`.
    pub(crate) fn new(b: &mut Builder<'_>, prefix: &str, config: &Vjepa2Config) -> Result<Self> {
        let sizes = BlockSizes::encoder(config);
        let norm = |b: &mut Builder<'_>, name: &str| LayerNorm::new(b, name, config.hidden_size, config.layer_norm_eps);
        Ok(Vjepa2Encoder {
            embedding: Embedding::new(b, &format!("{prefix}.embeddings"), config)?,
            layer: (0..config.num_hidden_layers)
                .map(|i| Block::new(b, &format!("{prefix}.layer.{i}"), &sizes))
                .collect::<Result<_>>()?,
            levels: (config.level_norms(prefix).iter())
                .map(|(layer, name)| Ok((*layer, norm(b, name)?)))
                .collect::<Result<_>>()?,
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
        for (_, norm) in &self.levels {
            norm.collect(out);
        }
    }

    /// Tokens of the patch embedding, `[B, T, C, H, W]` → `[B, N, D]`, with the spatial grid `(rows, columns)`. One frame
    /// is a still: in V-JEPA 2.1 it has a patch embedding of its own, in V-JEPA 2 it is repeated to fill a tubelet.
    ///
    /// # Errors
    /// When the pixels do not have the configured channels, or a side is no multiple of the patch, or the number of
    /// frames no multiple of the tubelet.
    pub fn embed(&self, f: &Forward, frames: &Tensor) -> Result<(Var, (usize, usize))> {
        self.embedding.forward(f, &self.config, frames)
    }

    /// All patch tokens after the last norm: `[B, T, C, H, W]` → `[B, T/2 · H/p · W/p, D]` (a still: `[B, H/p · W/p, D]`),
    /// ordered by tubelet, row, column. Rotary positions are those of the configured [`PositionGrid`](crate::config::PositionGrid).
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::embed`].
    pub fn forward(&self, f: &Forward, frames: &Tensor) -> Result<Var> {
        self.last_level(self.levels(f, frames, None, 1)?)
    }

    /// The kept patch tokens alone, as if the others were not there: `[B, T, C, H, W]` → `[B, K, D]` in the order of
    /// the ids. This is how the context of masked-latent training is encoded.
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::embed`], and when the ids are of clips of another size or number.
    pub fn forward_kept(&self, f: &Forward, frames: &Tensor, kept: &PatchIds) -> Result<Var> {
        self.last_level(self.levels(f, frames, Some(kept), 1)?)
    }

    /// The tokens of all or of the `kept` places after each of `hierarchical_layers`, each through its own norm, first to
    /// last: `[B, T, C, H, W]` → `[B, N, D]` (`[B, K, D]`) each. The last is [`Vjepa2Encoder::forward`]'s; a V-JEPA 2 has
    /// it alone.
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::forward_kept`].
    pub fn forward_levels(&self, f: &Forward, frames: &Tensor, kept: Option<&PatchIds>) -> Result<Vec<Var>> {
        self.levels(f, frames, kept, self.levels.len())
    }

    /// What [`Vjepa2Predictor::forward`] takes as context, the levels that it uses side by side: `[B, T, C, H, W]` →
    /// `[B, N, n · D]` (`[B, K, n · D]`), n = `n_output_distillation`.
    ///
    /// # Errors
    /// As [`Vjepa2Encoder::forward_kept`].
    pub fn forward_context(&self, f: &Forward, frames: &Tensor, kept: Option<&PatchIds>) -> Result<Var> {
        let levels = self.levels(f, frames, kept, self.config.n_output_distillation)?;
        Ok(autograd::concat(&levels.iter().collect::<Vec<_>>(), 2)?)
    }

    /// The last `count` levels.
    fn levels(&self, f: &Forward, frames: &Tensor, kept: Option<&PatchIds>, count: usize) -> Result<Vec<Var>> {
        let (mut x, grid) = self.embed(f, frames)?;
        if let Some(kept) = kept {
            x = kept.select(&x)?;
        }
        let wanted = &self.levels[self.levels.len().saturating_sub(count)..];
        let mut out = Vec::with_capacity(wanted.len());
        let grid = self.config.rope_grid(grid);
        let (heads, form) = (self.config.num_attention_heads, self.config.rope_form(grid));
        for (i, block) in self.layer.iter().enumerate() {
            let (inv_freq, ids) = (self.inv_freq.clone(), kept.map(|kept| kept.ids().clone()));
            x = f.block(&x, block, Block::collect, move |block, f, x| {
                block.forward(f, x, &Rope3d::new(heads, grid, &inv_freq).form(form).ids(ids.as_ref()))
            })?;
            for (_, norm) in wanted.iter().filter(|(layer, _)| *layer == i) {
                out.push(norm.forward(f, &x)?);
            }
        }
        Ok(out)
    }

    fn last_level(&self, mut levels: Vec<Var>) -> Result<Var> {
        let what = || Error::Invalid("vjepa2: an encoder without layers".into());
        levels.pop().ok_or_else(|| ModelError::Tensor(what()))
    }

    fn rope(&self, grid: (usize, usize)) -> Rope3d<'_> {
        let grid = self.config.rope_grid(grid);
        Rope3d::new(self.config.num_attention_heads, grid, &self.inv_freq).form(self.config.rope_form(grid))
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
