//! The masked-latent predictor of V-JEPA 2 (arXiv 2506.09985, §2; names of `VJEPA2Predictor`).

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Rope3d;
use vljepa_tensor::{Device, Error, Tensor};

use super::block::{Block, BlockSizes};
use super::config::Vjepa2Config;
use super::patch_ids::PatchIds;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear};
use crate::param::{Builder, Forward, Param, ParamSource};

/// Predicts, from the tokens of a context, the encoder's tokens at other places of the same clip.
#[derive(Clone, Debug)]
pub struct Vjepa2Predictor {
    config: Vjepa2Config,
    predictor_embeddings: Linear,
    mask_tokens: Param,
    layer: Vec<Block>,
    layernorm: LayerNorm,
    proj: Linear,
    inv_freq: Tensor,
}

/// Which tokens are known and which are to be predicted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Prediction<'a> {
    /// Places of the context tokens.
    pub context: &'a PatchIds,
    /// Places to predict.
    pub target: &'a PatchIds,
    /// Patch rows and columns of the input.
    pub grid: (usize, usize),
    /// Which of the stored mask tokens stands at the target places. Training uses one for each kind of mask;
    /// transformers always takes 1, the default here. Counted modulo the number of tokens stored, as there.
    pub mask_token: usize,
}

impl<'a> Prediction<'a> {
    /// With mask token 1.
    pub fn new(context: &'a PatchIds, target: &'a PatchIds, grid: (usize, usize)) -> Self {
        Prediction { context, target, grid, mask_token: 1 }
    }

    /// With another mask token.
    pub fn mask_token(mut self, index: usize) -> Self {
        self.mask_token = index;
        self
    }
}

impl Vjepa2Predictor {
    /// The predictor, from parameters named `{prefix}.embeddings.…` and so on (`predictor` in the published files).
    ///
    /// # Errors
    /// An invalid configuration, and what the source reports.
    pub fn load(device: &Device, config: &Vjepa2Config, source: &mut dyn ParamSource, prefix: &str) -> Result<Self> {
        config.validate()?;
        let b = &mut Builder::new(device, source);
        let sizes = BlockSizes::predictor(config);
        let (d, p) = (config.hidden_size, sizes.width);
        let embeddings = format!("{prefix}.embeddings");
        Ok(Vjepa2Predictor {
            mask_tokens: b
                .param(format!("{embeddings}.mask_tokens"), &[config.pred_num_mask_tokens, 1, 1, p])?
                .into_table(),
            predictor_embeddings: Linear::new(b, &format!("{embeddings}.predictor_embeddings"), d, p, true)?,
            layer: (0..config.pred_num_hidden_layers)
                .map(|i| Block::new(b, &format!("{prefix}.layer.{i}"), &sizes))
                .collect::<Result<_>>()?,
            layernorm: LayerNorm::new(b, &format!("{prefix}.layernorm"), p, sizes.eps)?,
            proj: Linear::new(b, &format!("{prefix}.proj"), p, d, true)?,
            inv_freq: sizes.inv_freq(device)?,
            config: config.clone(),
        })
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = vec![&self.mask_tokens];
        self.predictor_embeddings.collect(&mut out);
        for block in &self.layer {
            block.collect(&mut out);
        }
        self.layernorm.collect(&mut out);
        self.proj.collect(&mut out);
        out
    }

    /// Predicted tokens, `[B, K, D]` context tokens of the encoder → `[B, M, D]` at the target places, in their order.
    /// Context tokens come from [`super::Vjepa2Encoder::forward_kept`] or by [`PatchIds::select`] out of all tokens.
    ///
    /// # Errors
    /// [`Error::Shape`] when context, ids and grid do not fit each other or the configuration.
    pub fn forward(&self, f: &Forward, context: &Var, what: &Prediction<'_>) -> Result<Var> {
        let (batch, known) = what.context.shape();
        let (targets, asked) = what.target.shape();
        let bad = |what: String| ModelError::Tensor(Error::Shape { op: "vjepa2 predictor", what });
        if context.shape() != [batch, known, self.config.hidden_size] || targets != batch {
            return Err(bad(format!(
                "context {:?} for {known} context ids of {batch} clips of width {} and target ids of {targets} clips",
                context.shape(),
                self.config.hidden_size
            )));
        }
        let cells = what.grid.0 * what.grid.1;
        if what.context.tokens() != what.target.tokens() || cells == 0 || !what.target.tokens().is_multiple_of(cells) {
            return Err(bad(format!(
                "context ids of {} tokens and target ids of {} for a grid of {} by {}",
                what.context.tokens(),
                what.target.tokens(),
                what.grid.0,
                what.grid.1
            )));
        }
        let device = what.context.ids().device();
        let width = self.config.pred_hidden_size;
        let context = self.predictor_embeddings.forward(f, context)?;
        let index = (what.mask_token % self.config.pred_num_mask_tokens) as u32;
        let index = Tensor::from_u32(device, &[batch, asked], &vec![index; batch * asked])?;
        let table = f.var(&self.mask_tokens).reshape(&[self.config.pred_num_mask_tokens, width])?;
        let masked = autograd::gather_rows(&table, &index)?.reshape(&[batch, asked, width])?;

        // Attention does not depend on the order of tokens; positions come from the ids.
        let mut x = autograd::concat(&[&context, &masked], 1)?;
        let ids = vljepa_tensor::ops::concat(&[what.context.ids(), what.target.ids()], 1)?;
        let grid = self.config.rope_grid(what.grid);
        let rope = Rope3d::new(self.config.pred_num_attention_heads, grid, &self.inv_freq).ids(Some(&ids));
        for block in &self.layer {
            x = block.forward(f, &x, &rope)?;
        }
        let x = self.layernorm.forward(f, &x)?;
        let x = autograd::slice(&x, 1, known, asked)?;
        self.proj.forward(f, &x)
    }
}
