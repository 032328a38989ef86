//! The masked-latent predictor of V-JEPA 2 (arXiv 2506.09985, §2; names of `VJEPA2Predictor`) and of 2.1
//! (`app/vjepa_2_1/models/predictor.py` of `facebookresearch/vjepa2`).

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::Rope3d;
use vljepa_tensor::{Activation, Device, Error, Tensor};

use super::block::{Block, BlockSizes};
use super::config::Vjepa2Config;
use super::embedding::ModalityEmbedding;
use super::patch_ids::PatchIds;
use crate::error::{ModelError, Result};
use crate::layers::{LayerNorm, Linear};
use crate::param::{Builder, Forward, Param, ParamSource};

/// Predicts, from the tokens of a context, the encoder's tokens at other places of the same clip.
#[derive(Clone, Debug)]
pub struct Vjepa2Predictor {
    config: Vjepa2Config,
    predictor_embeddings: Embeddings,
    modality: Option<ModalityEmbedding>,
    mask_tokens: Param,
    layer: Vec<Block>,
    layernorm: LayerNorm,
    proj: Linear,
    proj_context: Option<Linear>,
    inv_freq: Tensor,
}

/// From the encoder's width to the predictor's.
#[derive(Clone, Debug)]
enum Embeddings {
    /// One level.
    One(Linear),
    /// Several levels side by side: a linear map to the encoder's width, exact GELU, a linear map to the predictor's.
    Several([Linear; 2]),
}

impl Embeddings {
    fn new(b: &mut Builder<'_>, name: &str, c: &Vjepa2Config) -> Result<Self> {
        let (d, p) = (c.hidden_size, c.pred_hidden_size);
        if c.n_output_distillation == 1 {
            return Ok(Embeddings::One(Linear::new(b, name, d, p, true)?));
        }
        let first = Linear::new(b, &format!("{name}.0"), c.predictor_input_size(), d, true)?;
        Ok(Embeddings::Several([first, Linear::new(b, &format!("{name}.2"), d, p, true)?]))
    }

    fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        match self {
            Embeddings::One(linear) => linear.forward(f, x),
            Embeddings::Several([first, second]) => {
                second.forward(f, &autograd::activate(&first.forward(f, x)?, Activation::Gelu)?)
            }
        }
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        match self {
            Embeddings::One(linear) => linear.collect(out),
            Embeddings::Several(linears) => linears.iter().for_each(|linear| linear.collect(out)),
        }
    }
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
    /// transformers always takes 1, the default here. Counted modulo the number of tokens stored, as there. In the
    /// published V-JEPA 2.1 all but token 0 are zero (by the notes of jepa.cpp), and 1 is the default of its code too.
    pub mask_token: usize,
    /// Whether the clips are stills, which V-JEPA 2.1 tells the predictor; the number of tokens does not.
    pub still: bool,
}

impl<'a> Prediction<'a> {
    /// Of videos, with mask token 1.
    pub fn new(context: &'a PatchIds, target: &'a PatchIds, grid: (usize, usize)) -> Self {
        Prediction { context, target, grid, mask_token: 1, still: false }
    }

    /// With another mask token.
    pub fn mask_token(mut self, index: usize) -> Self {
        self.mask_token = index;
        self
    }

    /// Of stills or of videos.
    pub fn still(mut self, still: bool) -> Self {
        self.still = still;
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
        let (p, out) = (sizes.width, config.predictor_output_size());
        let embeddings = format!("{prefix}.embeddings");
        Ok(Vjepa2Predictor {
            mask_tokens: b
                .param(format!("{embeddings}.mask_tokens"), &[config.pred_num_mask_tokens, 1, 1, p])?
                .into_table(),
            predictor_embeddings: Embeddings::new(b, &format!("{embeddings}.predictor_embeddings"), config)?,
            modality: config.use_modality_embeddings.then(|| ModalityEmbedding::new(b, &embeddings, p)).transpose()?,
            layer: (0..config.pred_num_hidden_layers)
                .map(|i| Block::new(b, &format!("{prefix}.layer.{i}"), &sizes))
                .collect::<Result<_>>()?,
            layernorm: LayerNorm::new(b, &format!("{prefix}.layernorm"), p, sizes.eps)?,
            proj: Linear::new(b, &format!("{prefix}.proj"), p, out, true)?,
            proj_context: (config.return_all_tokens)
                .then(|| Linear::new(b, &format!("{prefix}.proj_context"), p, out, true))
                .transpose()?,
            inv_freq: sizes.inv_freq(device)?,
            config: config.clone(),
        })
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = vec![&self.mask_tokens];
        self.predictor_embeddings.collect(&mut out);
        if let Some(modality) = &self.modality {
            modality.collect(&mut out);
        }
        for block in &self.layer {
            block.collect(&mut out);
        }
        self.layernorm.collect(&mut out);
        for proj in [&self.proj].into_iter().chain(&self.proj_context) {
            proj.collect(&mut out);
        }
        out
    }

    /// Predicted tokens, `[B, K, I]` context tokens of the encoder → `[B, M, O]` at the target places, in their order,
    /// with I = [`Vjepa2Config::predictor_input_size`] and O = [`Vjepa2Config::predictor_output_size`]: the encoder's
    /// width in V-JEPA 2. Context tokens come from [`super::Vjepa2Encoder::forward_context`], or by [`PatchIds::select`]
    /// out of all tokens.
    ///
    /// # Errors
    /// [`Error::Shape`] when context, ids and grid do not fit each other or the configuration.
    pub fn forward(&self, f: &Forward, context: &Var, what: &Prediction<'_>) -> Result<Var> {
        let x = self.blocks(f, context, what)?;
        let (known, asked) = (what.context.shape().1, what.target.shape().1);
        self.proj.forward(f, &autograd::slice(&x, 1, known, asked)?)
    }

    /// [`Vjepa2Predictor::forward`], and V-JEPA 2.1's prediction of the context tokens, `[B, K, O]`.
    ///
    /// # Errors
    /// As [`Vjepa2Predictor::forward`], and [`ModelError::Config`] without `return_all_tokens`.
    pub fn forward_all(&self, f: &Forward, context: &Var, what: &Prediction<'_>) -> Result<(Var, Var)> {
        let Some(proj_context) = &self.proj_context else {
            let what = "`return_all_tokens` is false: this predictor does not predict its context".into();
            return Err(ModelError::Config { config: "vjepa2", what });
        };
        let x = self.blocks(f, context, what)?;
        let (known, asked) = (what.context.shape().1, what.target.shape().1);
        let target = self.proj.forward(f, &autograd::slice(&x, 1, known, asked)?)?;
        Ok((target, proj_context.forward(f, &autograd::slice(&x, 1, 0, known)?)?))
    }

    /// Context and mask tokens through the blocks and the norm: `[B, K + M, P]`.
    fn blocks(&self, f: &Forward, context: &Var, what: &Prediction<'_>) -> Result<Var> {
        let (batch, known) = what.context.shape();
        let (targets, asked) = what.target.shape();
        let bad = |what: String| ModelError::Tensor(Error::Shape { op: "vjepa2 predictor", what });
        if context.shape() != [batch, known, self.config.predictor_input_size()] || targets != batch {
            return Err(bad(format!(
                "context {:?} for {known} context ids of {batch} clips of width {} and target ids of {targets} clips",
                context.shape(),
                self.config.predictor_input_size()
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
        if let Some(modality) = &self.modality {
            x = modality.forward(f, &x, what.still)?;
        }
        let ids = vljepa_tensor::ops::concat(&[what.context.ids(), what.target.ids()], 1)?;
        let grid = self.config.predictor_rope_grid(what.grid);
        let rope = Rope3d::new(self.config.pred_num_attention_heads, grid, &self.inv_freq)
            .form(self.config.predictor_rope_form())
            .ids(Some(&ids));
        for block in &self.layer {
            x = block.forward(f, &x, &rope)?;
        }
        self.layernorm.forward(f, &x)
    }
}
