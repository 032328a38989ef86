//! Configuration of the V-JEPA 2 and 2.1 encoder (and of its masked-latent predictor).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::spec::{Check, MAX_LAYERS, MAX_WIDTH, parse, parse_value};

/// `config.json` of `VJEPA2Model` (transformers, `models/vjepa2/configuration_vjepa2.py`). A key that is absent takes
/// the reference's default, which is ViT-L at 256²; keys that are not listed here are ignored.
///
/// V-JEPA 2.1 is described by eight further keys, from [`Self::hierarchical_layers`] on, which V-JEPA 2 leaves out.
/// They are named as in transformers' pull request 45497; what values mean there is not stated by any published file,
/// here it is what each field says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vjepa2Config {
    /// `vjepa2`.
    pub model_type: Option<String>,
    /// Side of a square patch, pixels.
    pub patch_size: usize,
    /// Side of the square input, pixels.
    pub crop_size: usize,
    /// Frames of a clip; a single image is doubled to fill a tubelet, unless stills have an embedding of their own.
    pub frames_per_clip: usize,
    /// Frames per token.
    pub tubelet_size: usize,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Colour channels.
    pub in_chans: usize,
    /// Attention heads of the encoder.
    pub num_attention_heads: usize,
    /// Depth of the encoder.
    pub num_hidden_layers: usize,
    /// Stochastic depth at the last layer, training only.
    pub drop_path_rate: f64,
    /// MLP width over `hidden_size`; the product is rounded down.
    pub mlp_ratio: f64,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Whether query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Dropout on attention probabilities, training only.
    pub attention_probs_dropout_prob: f64,
    /// `gelu`, the exact erf form.
    pub hidden_act: String,
    /// Standard deviation of the truncated normal at initialisation.
    pub initializer_range: f64,
    /// Dropout in the attentive probe, training only.
    pub attention_dropout: f64,
    /// Self-attention layers of the attentive probe.
    pub num_pooler_layers: usize,
    /// Width of the masked-latent predictor.
    pub pred_hidden_size: usize,
    /// Attention heads of the predictor.
    pub pred_num_attention_heads: usize,
    /// Depth of the predictor.
    pub pred_num_hidden_layers: usize,
    /// Stored mask tokens.
    pub pred_num_mask_tokens: usize,
    /// Whether mask tokens start at zero.
    pub pred_zero_init_mask_tokens: bool,
    /// MLP width of the predictor over `pred_hidden_size`.
    pub pred_mlp_ratio: f64,
    /// V-JEPA 2.1: the layers (from 0, ascending, the last one among them) whose output has a norm of its own in
    /// `norms_block`. Empty in V-JEPA 2, which has one norm after the last layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hierarchical_layers: Vec<usize>,
    /// V-JEPA 2.1: frames of a clip that is a still and has a patch embedding of its own; 1 in the published models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub img_temporal_dim_size: Option<usize>,
    /// V-JEPA 2.1: whether a learned vector for stills or for videos is added to every token.
    #[serde(skip_serializing_if = "is_false")]
    pub use_modality_embeddings: bool,
    /// V-JEPA 2.1: whether both channels of a rotary pair turn by one angle.
    #[serde(skip_serializing_if = "is_false")]
    pub use_rope_interleave: bool,
    /// V-JEPA 2.1: whether the encoder stretches rows and columns of any input over the grid of 256 pixels. The
    /// predictor does not: it counts in the square of `crop_size`, whatever the input.
    #[serde(skip_serializing_if = "is_false")]
    pub interpolate_rope: bool,
    /// V-JEPA 2.1: how many of the last `hierarchical_layers` the predictor takes and predicts, side by side; 1 in
    /// V-JEPA 2.
    #[serde(skip_serializing_if = "is_one")]
    pub n_output_distillation: usize,
    /// V-JEPA 2.1: width of all levels together that the predictor predicts, where they are another encoder's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_embed_dim: Option<usize>,
    /// V-JEPA 2.1: whether the predictor predicts its context tokens too, by `proj_context`.
    #[serde(skip_serializing_if = "is_false")]
    pub return_all_tokens: bool,
    /// Ours, not in the published files: where rotary positions of inputs of another size come from.
    #[serde(skip_serializing_if = "PositionGrid::is_default")]
    pub position_grid: PositionGrid,
    /// Ours, not in the published files: convolutions on every frame before the tubelet embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conv_stem: Option<ConvStemConfig>,
    /// Ours, not in the published files: a second stem beside `conv_stem`, on the frame in the middle of each tubelet. What it sees
    /// goes through a linear map of its own and is added to the tokens: it tells what things are, where a `conv_stem` over time
    /// tells how they move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_stem: Option<ConvStemConfig>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

/// Which patch grid turns a token's number into its frame, row and column. The two agree on square inputs of
/// `crop_size`; on others they give the same weights different positions, and so different results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PositionGrid {
    /// The grid of the input (the authors' code). The default, since it keeps rows and columns apart at every size.
    #[default]
    Real,
    /// The square of `crop_size / patch_size` cells, whatever the input (transformers).
    Config,
}

impl PositionGrid {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Convolutions on every frame before the tubelet embedding. Layer i is a strided convolution, `residual[i]` units
/// `x + conv(GELU(norm(x)))`, then a norm over channels and exact GELU.
///
/// Padding is (kernel − 1)/2 and each layer divides height and width by `stride`. The strides multiply to `patch_size`,
/// so that the token grid is the one without a stem; the tubelet embedding is then one linear map per frame of a
/// tubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvStemConfig {
    /// Output channels of each convolution, first to last.
    pub channels: Vec<usize>,
    /// Side of the square kernel, odd.
    #[serde(default = "ConvStemConfig::default_kernel")]
    pub kernel: usize,
    /// Stride of each convolution.
    #[serde(default = "ConvStemConfig::default_stride")]
    pub stride: usize,
    /// Norm after each convolution.
    #[serde(default)]
    pub norm: StemNorm,
    /// Residual units after each convolution, first to last; none where the list ends.
    #[serde(default)]
    pub residual: Vec<usize>,
    /// Whether convolutions see the frames of a tubelet together, as further channels, instead of one frame at a time. They cost
    /// `tubelet_size` times less then, and see motion from the first one on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_time: bool,
}

/// Norm of the convolutional stem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StemNorm {
    /// LayerNorm over the channels of each pixel.
    #[default]
    Layer,
}

impl ConvStemConfig {
    fn default_kernel() -> usize {
        3
    }

    fn default_stride() -> usize {
        2
    }

    /// Frames that the first convolution sees at once.
    pub(super) fn frames_together(&self, tubelet_size: usize) -> usize {
        if self.over_time { tubelet_size } else { 1 }
    }

    /// Channels of the last feature map.
    pub(super) fn width(&self) -> usize {
        self.channels.last().copied().unwrap_or(0)
    }

    fn check(&self, key: &str, patch: usize, c: &Check) -> Result<()> {
        c.size(&format!("{key}.channels (count)"), self.channels.len(), 8)?;
        for &n in &self.channels {
            c.size(&format!("{key}.channels"), n, 1 << 14)?;
        }
        c.size(&format!("{key}.kernel"), self.kernel, 15)?;
        c.size(&format!("{key}.stride"), self.stride, 8)?;
        if self.kernel.is_multiple_of(2) {
            return c.fail(format!("`{key}.kernel` is {}, must be odd", self.kernel));
        }
        if self.total_stride() != patch {
            let total = self.total_stride();
            return c.fail(format!("`{key}` divides frames by {total}, `patch_size` is {patch}; they must be equal"));
        }
        if self.residual.len() > self.channels.len() || self.residual.iter().any(|&n| n > 16) {
            let units = &self.residual;
            return c.fail(format!("`{key}.residual` is {units:?}: at most 16 units for each convolution"));
        }
        Ok(())
    }

    /// How many times smaller the last feature map is than the frame, per axis. Saturates.
    pub fn total_stride(&self) -> usize {
        self.channels.iter().fold(1, |s, _| s.saturating_mul(self.stride))
    }
}

impl Default for Vjepa2Config {
    fn default() -> Self {
        Self {
            model_type: Some("vjepa2".into()),
            patch_size: 16,
            crop_size: 256,
            frames_per_clip: 64,
            tubelet_size: 2,
            hidden_size: 1024,
            in_chans: 3,
            num_attention_heads: 16,
            num_hidden_layers: 24,
            drop_path_rate: 0.0,
            mlp_ratio: 4.0,
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            attention_probs_dropout_prob: 0.0,
            hidden_act: "gelu".into(),
            initializer_range: 0.02,
            attention_dropout: 0.0,
            num_pooler_layers: 3,
            pred_hidden_size: 384,
            pred_num_attention_heads: 12,
            pred_num_hidden_layers: 12,
            pred_num_mask_tokens: 10,
            pred_zero_init_mask_tokens: true,
            pred_mlp_ratio: 4.0,
            hierarchical_layers: Vec::new(),
            img_temporal_dim_size: None,
            use_modality_embeddings: false,
            use_rope_interleave: false,
            interpolate_rope: false,
            n_output_distillation: 1,
            teacher_embed_dim: None,
            return_all_tokens: false,
            position_grid: PositionGrid::Real,
            conv_stem: None,
            still_stem: None,
        }
    }
}

impl Vjepa2Config {
    /// ViT-L, 304 M parameters: the X-Encoder of the VL-JEPA paper.
    pub fn vit_large() -> Self {
        Self::default()
    }

    /// ViT-H, 632 M parameters.
    pub fn vit_huge() -> Self {
        Self { hidden_size: 1280, num_hidden_layers: 32, num_attention_heads: 16, ..Self::default() }
    }

    /// ViT-g, 1,012 M parameters.
    pub fn vit_giant() -> Self {
        Self {
            hidden_size: 1408,
            num_hidden_layers: 40,
            num_attention_heads: 22,
            mlp_ratio: 48.0 / 11.0,
            ..Self::default()
        }
    }

    /// ViT-g at 384², 576 tokens a tubelet.
    pub fn vit_giant_384() -> Self {
        Self { crop_size: 384, ..Self::vit_giant() }
    }

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config), with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("vjepa2", json)?;
        config.validate()?;
        Ok(config)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config).
    pub fn from_value(json: &Value) -> Result<Self> {
        let config: Self = parse_value("vjepa2", json)?;
        config.validate()?;
        Ok(config)
    }

    /// Channels of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Inner width of the MLP.
    pub fn mlp_size(&self) -> usize {
        (self.hidden_size as f64 * self.mlp_ratio) as usize
    }

    /// Inner width of the predictor's MLP.
    pub fn predictor_mlp_size(&self) -> usize {
        (self.pred_hidden_size as f64 * self.pred_mlp_ratio) as usize
    }

    /// Inner width of the attentive probe's MLP: four times the width, whatever `mlp_ratio` says (as in transformers).
    pub fn probe_mlp_size(&self) -> usize {
        4 * self.hidden_size
    }

    /// Rows and columns that rotary positions are counted in, for an input of `real` rows and columns of patches.
    pub fn rope_grid(&self, real: (usize, usize)) -> (usize, usize) {
        match self.position_grid {
            PositionGrid::Real => real,
            PositionGrid::Config => {
                let side = self.crop_size / self.patch_size.max(1);
                (side, side)
            }
        }
    }

    /// Token grid (tubelets, rows, columns) of a clip of the given size; a clip shorter than a tubelet is repeated.
    pub fn grid(&self, frames: usize, height: usize, width: usize) -> (usize, usize, usize) {
        let t = frames.max(self.tubelet_size) / self.tubelet_size.max(1);
        (t, height / self.patch_size.max(1), width / self.patch_size.max(1))
    }

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config) with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("vjepa2");
        c.model_type(self.model_type.as_deref(), "vjepa2")?;
        c.size("patch_size", self.patch_size, 1 << 10)?;
        c.size("crop_size", self.crop_size, 1 << 14)?;
        c.size("frames_per_clip", self.frames_per_clip, 1 << 16)?;
        c.size("tubelet_size", self.tubelet_size, 1 << 8)?;
        c.size("in_chans", self.in_chans, 1 << 8)?;
        c.divides("patch_size", self.patch_size, "crop_size", self.crop_size)?;
        for (key, hidden, heads, layers, ratio) in [
            ("", self.hidden_size, self.num_attention_heads, self.num_hidden_layers, self.mlp_ratio),
            (
                "pred_",
                self.pred_hidden_size,
                self.pred_num_attention_heads,
                self.pred_num_hidden_layers,
                self.pred_mlp_ratio,
            ),
        ] {
            c.size(&format!("{key}hidden_size"), hidden, MAX_WIDTH)?;
            c.size(&format!("{key}num_attention_heads"), heads, hidden)?;
            c.size(&format!("{key}num_hidden_layers"), layers, MAX_LAYERS)?;
            c.divides(&format!("{key}num_attention_heads"), heads, &format!("{key}hidden_size"), hidden)?;
            c.number(&format!("{key}mlp_ratio"), ratio, 0.0, 64.0)?;
            if hidden as f64 * ratio < 1.0 {
                return c.fail(format!("`{key}mlp_ratio` ({ratio}) leaves an MLP of width 0"));
            }
            if hidden / heads < 6 {
                let dim = hidden / heads;
                return c
                    .fail(format!("head dimension {dim} is below 6, the least that 3-D rotary embeddings can split"));
            }
        }
        c.size("pred_num_mask_tokens", self.pred_num_mask_tokens, 1 << 10)?;
        if self.num_pooler_layers > MAX_LAYERS {
            return c.fail(format!("`num_pooler_layers` is {}, must be at most {MAX_LAYERS}", self.num_pooler_layers));
        }
        c.number("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        for (key, p) in [
            ("drop_path_rate", self.drop_path_rate),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("attention_dropout", self.attention_dropout),
        ] {
            if !(0.0..1.0).contains(&p) {
                return c.fail(format!("`{key}` is {p}, must be in 0..1"));
            }
        }
        c.one_of("hidden_act", &self.hidden_act, &["gelu"])?;
        self.validate_v2_1(&c)?;
        if let Some(stem) = &self.conv_stem {
            stem.check("conv_stem", self.patch_size, &c)?;
        }
        if let Some(stem) = &self.still_stem {
            stem.check("still_stem", self.patch_size, &c)?;
            if self.conv_stem.is_none() || stem.over_time {
                return c
                    .fail("`still_stem` goes beside a `conv_stem` and sees one frame: it has no `over_time`".into());
            }
        }
        c.parameters(&self.tensors())
    }
}
