//! Gradients of softmax and losses.

use super::matmul::matmul;
use super::norm::l2_normalize;
use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, Contrast, CrossEntropy, Duplicates, Layout};
use crate::tensor::Tensor;

/// Differentiable [`ops::softmax`].
///
/// # Errors
/// As [`ops::softmax`].
pub fn softmax(x: &Var) -> Result<Var> {
    let y = ops::softmax(x.value())?;
    let kept = y.clone();
    Ok(record(&[x], y, move |grad, _| Ok(vec![Some(ops::softmax_backward(grad, &kept)?)])))
}

/// Differentiable [`ops::cross_entropy`].
///
/// # Errors
/// As [`ops::cross_entropy`].
pub fn cross_entropy(logits: &Var, targets: &Tensor, options: CrossEntropy) -> Result<Var> {
    let loss = ops::cross_entropy(logits.value(), targets, &options)?;
    let (x, targets) = (logits.value().clone(), targets.clone());
    Ok(record(&[logits], loss.value.clone(), move |grad, _| {
        Ok(vec![Some(ops::cross_entropy_backward(grad, &x, &targets, &loss, &options)?)])
    }))
}

/// Differentiable [`ops::contrast`].
///
/// # Errors
/// As [`ops::contrast`].
pub fn contrast(cosine: &Var, log_scale: &Var, options: &Contrast<'_>) -> Result<Var> {
    let loss = ops::contrast(cosine.value(), log_scale.value(), options)?;
    let (x, scale, stats) = (cosine.value().clone(), log_scale.value().clone(), loss.stats);
    let (targets, keys, options) = (options.targets.cloned(), options.keys.cloned(), without_tensors(options));
    Ok(record(&[cosine, log_scale], loss.value, move |grad, needs| {
        let options = Contrast { targets: targets.as_ref(), keys: keys.as_ref(), ..options };
        let (dx, dscale) = ops::contrast_backward(grad, &x, &scale, &stats, &options, needs[1])?;
        Ok(vec![Some(dx), dscale])
    }))
}

fn without_tensors(options: &Contrast<'_>) -> Contrast<'static> {
    let &Contrast { bidirectional, duplicates, max_scale, .. } = options;
    Contrast { bidirectional, targets: None, keys: None, duplicates, max_scale }
}

/// Options of [`info_nce`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InfoNce<'a> {
    /// Whether both operands are L2-normalised first.
    pub normalise: bool,
    /// Smallest norm that is divided by.
    pub eps: f32,
    /// Directions, targets, duplicates and the cap of the scale.
    pub contrast: Contrast<'a>,
}

impl Default for InfoNce<'_> {
    fn default() -> Self {
        InfoNce { normalise: true, eps: 1e-6, contrast: Contrast::default() }
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

    /// Takes operands whose rows are normalised already.
    pub fn normalised(mut self) -> Self {
        self.normalise = false;
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
    let cosine = if options.normalise {
        matmul(&l2_normalize(p, options.eps)?, &l2_normalize(y, options.eps)?, Layout::Nt)?
    } else {
        matmul(p, y, Layout::Nt)?
    };
    Ok(InfoNceLoss { loss: contrast(&cosine, log_scale, &options.contrast)?, cosine })
}
