//! V-JEPA 2.1 (`app/vjepa_2_1` and `src/hub/backbones.py` of `facebookresearch/vjepa2`): its published sizes, and what its
//! configuration has beyond V-JEPA 2's.

use vljepa_tensor::ops::Rope3dForm;

use super::config::Vjepa2Config;
use crate::error::Result;
use crate::spec::{Check, MAX_WIDTH};

/// Side of the pictures, pixels, over whose grid positions are stretched.
const ROPE_SIDE: usize = 256;

/// Width of the ViT-G that ViT-B and ViT-L were distilled from.
const TEACHER_WIDTH: usize = 1664;

impl Vjepa2Config {
    /// V-JEPA 2.1 ViT-B at 384², 87 M parameters.
    pub fn v2_1_vit_base() -> Self {
        Self { hidden_size: 768, num_attention_heads: 12, teacher_embed_dim: Some(TEACHER_WIDTH), ..Self::v2_1(12, 12) }
    }

    /// V-JEPA 2.1 ViT-L at 384², 305 M parameters.
    pub fn v2_1_vit_large() -> Self {
        Self { teacher_embed_dim: Some(TEACHER_WIDTH), ..Self::v2_1(24, 12) }
    }

    /// V-JEPA 2.1 ViT-g at 384², 1,013 M parameters.
    pub fn v2_1_vit_giant() -> Self {
        Self {
            hidden_size: 1408,
            num_attention_heads: 22,
            mlp_ratio: 48.0 / 11.0,
            n_output_distillation: 4,
            ..Self::v2_1(40, 24)
        }
    }

    /// V-JEPA 2.1 ViT-G at 384², 1,845 M parameters.
    pub fn v2_1_vit_gigantic() -> Self {
        Self {
            hidden_size: 1664,
            num_attention_heads: 26,
            mlp_ratio: 64.0 / 13.0,
            n_output_distillation: 4,
            ..Self::v2_1(48, 24)
        }
    }

    /// What the published sizes share, with ViT-L's width. Frames of a clip: 64, as `src/hub/backbones.py` builds them.
    fn v2_1(num_hidden_layers: usize, pred_num_hidden_layers: usize) -> Self {
        Self {
            crop_size: 384,
            num_hidden_layers,
            pred_num_hidden_layers,
            pred_num_mask_tokens: 8,
            hierarchical_layers: Self::published_levels(num_hidden_layers).unwrap_or_default(),
            img_temporal_dim_size: Some(1),
            use_modality_embeddings: true,
            use_rope_interleave: true,
            interpolate_rope: true,
            return_all_tokens: true,
            ..Self::default()
        }
    }

    /// Whether it has several levels, which V-JEPA 2.1 alone has.
    pub fn is_v2_1(&self) -> bool {
        !self.hierarchical_layers.is_empty()
    }

    /// `hierarchical_layers` of the published V-JEPA 2.1 of this depth.
    pub(crate) fn published_levels(depth: usize) -> Option<Vec<usize>> {
        match depth {
            12 => Some(vec![2, 5, 8, 11]),
            24 => Some(vec![5, 11, 17, 23]),
            40 => Some(vec![9, 19, 29, 39]),
            48 => Some(vec![11, 23, 37, 47]),
            _ => None,
        }
    }

    /// The layers after which the encoder has an output, ascending, each with the name of the norm before it: the
    /// hierarchical layers, or the last layer alone. The last is the encoder's output.
    pub(crate) fn level_norms(&self, prefix: &str) -> Vec<(usize, String)> {
        if self.hierarchical_layers.is_empty() {
            return vec![(self.num_hidden_layers.saturating_sub(1), format!("{prefix}.layernorm"))];
        }
        let layers = self.hierarchical_layers.iter().enumerate();
        layers.map(|(i, &layer)| (layer, format!("{prefix}.norms_block.{i}"))).collect()
    }

    /// Width of the context tokens that the predictor takes: all its levels side by side.
    pub fn predictor_input_size(&self) -> usize {
        self.n_output_distillation.saturating_mul(self.hidden_size)
    }

    /// Width of the tokens that the predictor predicts: all its levels side by side.
    pub fn predictor_output_size(&self) -> usize {
        self.teacher_embed_dim.unwrap_or_else(|| self.predictor_input_size())
    }

    /// Whether a clip of so many frames goes through the patch embedding of stills.
    pub fn is_still(&self, frames: usize) -> bool {
        self.img_temporal_dim_size == Some(frames)
    }

    /// Rows and columns that the predictor counts rotary positions in: the square of `crop_size` in V-JEPA 2.1, else as
    /// [`Self::rope_grid`].
    pub fn predictor_rope_grid(&self, real: (usize, usize)) -> (usize, usize) {
        if !self.interpolate_rope {
            return self.rope_grid(real);
        }
        let side = self.crop_size / self.patch_size.max(1);
        (side, side)
    }

    /// The rotary embedding of the predictor: never scaled.
    pub fn predictor_rope_form(&self) -> Rope3dForm {
        Rope3dForm { paired: self.use_rope_interleave, ..Rope3dForm::default() }
    }

    /// The rotary embedding of the encoder on `grid` (rows, columns) as [`Self::rope_grid`] gives it. Where positions are
    /// interpolated, n rows stretch over the r rows that 256 pixels have: row · (r − 1) / (n − 1), and columns alike; a
    /// single one stays at 0, where the authors' code divides by zero. The authors name r for patches of 14 (18) and 16
    /// pixels (16) alone; here it is 256 / patch, rounded down, which gives both.
    pub fn rope_form(&self, grid: (usize, usize)) -> Rope3dForm {
        let form = self.predictor_rope_form();
        if !self.interpolate_rope {
            return form;
        }
        let last = (ROPE_SIDE / self.patch_size.max(1)).saturating_sub(1) as f32;
        let scale = |n: usize| if n > 1 { last / (n - 1) as f32 } else { 1.0 };
        Rope3dForm { scale: (scale(grid.0), scale(grid.1)), ..form }
    }

    /// The rules for V-JEPA 2.1's keys.
    pub(super) fn validate_v2_1(&self, c: &Check) -> Result<()> {
        let layers = &self.hierarchical_layers;
        let ascending = layers.windows(2).all(|pair| pair[0] < pair[1]);
        if layers.last().is_some_and(|&last| last.saturating_add(1) != self.num_hidden_layers) || !ascending {
            return c.fail(format!(
                "`hierarchical_layers` is {layers:?}, must ascend to the last of {} layers, counted from 0",
                self.num_hidden_layers
            ));
        }
        if let Some(frames) = self.img_temporal_dim_size {
            c.one_of("img_temporal_dim_size", &frames.to_string(), &["1"])?;
            if self.conv_stem.is_some() {
                return c
                    .fail("`conv_stem` has no patch embedding for stills; leave `img_temporal_dim_size` out".into());
            }
        } else if self.use_modality_embeddings {
            let what = "`use_modality_embeddings` needs `img_temporal_dim_size`, which tells stills from videos";
            return c.fail(what.into());
        }
        if self.interpolate_rope && self.patch_size > ROPE_SIDE / 2 {
            let patch = self.patch_size;
            return c
                .fail(format!("`interpolate_rope` with a patch of {patch} pixels; must be at most {}", ROPE_SIDE / 2));
        }
        c.size("n_output_distillation", self.n_output_distillation, layers.len().max(1))?;
        if let Some(width) = self.teacher_embed_dim {
            c.size("teacher_embed_dim", width, MAX_WIDTH)?;
            c.divides("n_output_distillation", self.n_output_distillation, "teacher_embed_dim", width)?;
        }
        Ok(())
    }
}
