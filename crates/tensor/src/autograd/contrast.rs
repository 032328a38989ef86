//! Gradients of InfoNCE.

use super::matmul::matmul;
use super::norm::l2_normalize;
use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, Contrast, Duplicates, Layout};
use crate::tensor::Tensor;

/// Differentiable [`ops::contrast`].
///
/// # Errors
/// As [`ops::contrast`].
pub fn contrast(cosine: &Var, log_scale: &Var, options: &Contrast<'_>) -> Result<Var> {
    let loss = ops::contrast(cosine.value(), log_scale.value(), options)?;
    let (x, scale, stats) = (cosine.value().clone(), log_scale.value().clone(), loss.stats);
    let [targets, keys, weights] = [options.targets, options.keys, options.weights].map(|t| t.cloned());
    let options = without_tensors(options);
    Ok(record(&[cosine, log_scale], loss.value, move |grad, needs| {
        let (targets, keys, weights) = (targets.as_ref(), keys.as_ref(), weights.as_ref());
        let options = Contrast { targets, keys, weights, ..options };
        let (dx, dscale) = ops::contrast_backward(grad, &x, &scale, &stats, &options, needs[1])?;
        Ok(vec![Some(dx), dscale])
    }))
}

fn without_tensors(options: &Contrast<'_>) -> Contrast<'static> {
    let &Contrast { bidirectional, duplicates, max_scale, .. } = options;
    Contrast { bidirectional, duplicates, max_scale, targets: None, keys: None, weights: None }
}

/// Options of [`info_nce`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InfoNce<'a> {
    /// Whether predictions are L2-normalised first, and targets as well.
    pub normalise: bool,
    /// Whether the targets' rows are of unit length already, so that only predictions are normalised.
    pub targets_normalised: bool,
    /// Smallest norm that is divided by (the default is that of PyTorch's `normalize`, 1e-12).
    pub eps: f32,
    /// Directions, targets, duplicates, weights and the cap of the scale.
    pub contrast: Contrast<'a>,
}

impl Default for InfoNce<'_> {
    fn default() -> Self {
        InfoNce { normalise: true, targets_normalised: false, eps: 1e-12, contrast: Contrast::default() }
    }
}

impl<'a> InfoNce<'a> {
    /// Predictions against the targets of their own batch, both directions.
    pub fn bidirectional() -> Self {
        Self::default()
    }

    /// Predictions against a bank of texts; row `i` belongs to text `targets[i]`.
    pub fn to_bank(targets: &'a Tensor) -> Self {
        InfoNce { contrast: Contrast::to_bank(targets), ..Self::default() }
    }

    /// Says what columns of equal keys are to each other.
    pub fn duplicates(mut self, duplicates: Duplicates, keys: &'a Tensor) -> Self {
        self.contrast = self.contrast.duplicates(duplicates, keys);
        self
    }

    /// Caps the scale 1/τ.
    pub fn max_scale(mut self, max_scale: f32) -> Self {
        self.contrast = self.contrast.max_scale(max_scale);
        self
    }

    /// Takes operands whose rows are all of unit length already.
    pub fn normalised(mut self) -> Self {
        self.normalise = false;
        self
    }

    /// Takes targets whose rows are of unit length already, and normalises the predictions.
    pub fn targets_normalised(mut self) -> Self {
        self.targets_normalised = true;
        self
    }

    /// Weighs the samples, f32 `[rows]`, as [`Contrast::weights`] does.
    pub fn weights(mut self, weights: &'a Tensor) -> Self {
        self.contrast = self.contrast.weights(weights);
        self
    }
}

/// Result of [`info_nce`].
#[derive(Clone, Debug)]
pub struct InfoNceLoss {
    /// The loss, `[1]`.
    pub loss: Var,
    /// Cosines, rows are predictions and columns targets: for retrieval accuracy during training.
    pub cosine: Var,
    /// Predictions as they entered the cosines, `[B, D]`: of unit length unless [`InfoNce::normalised`] was chosen.
    pub prediction: Var,
    /// Targets as they entered the cosines, `[M, D]`.
    pub target: Var,
}

/// InfoNCE of predictions `p [B, D]` and targets `y [M, D]` (VL-JEPA §2): cosines times `exp(log_scale)`, that is 1/τ,
/// then cross-entropy of every prediction among the targets and of every target among the predictions, averaged.
///
/// `log_scale [1]` is a leaf for a learned temperature and a constant `ln(1/τ)` for a fixed one (then its value must
/// stay below the cap). At random initialisation the loss is about ln B.
///
/// # Errors
/// As [`ops::l2_normalize`], [`ops::matmul`] and [`ops::contrast`].
pub fn info_nce(p: &Var, y: &Var, log_scale: &Var, options: &InfoNce<'_>) -> Result<InfoNceLoss> {
    let unit = |x: &Var, already: bool| if already { Ok(x.clone()) } else { l2_normalize(x, options.eps) };
    let prediction = unit(p, !options.normalise)?;
    let target = unit(y, !options.normalise || options.targets_normalised)?;
    let cosine = matmul(&prediction, &target, Layout::Nt)?;
    let loss = contrast(&cosine, log_scale, &options.contrast)?;
    Ok(InfoNceLoss { loss, cosine, prediction, target })
}
