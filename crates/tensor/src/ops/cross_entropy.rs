//! Cross-entropy of logits against class numbers.

use vljepa_shaders::kernels::loss::{
    CROSS_ENTROPY, CROSS_ENTROPY_GRAD, CrossEntropyParams, WEIGHTED_MEAN, WeightedMeanParams,
};

use super::elementwise::need_f32;
use super::reduce::sum_rows;
use super::rows::{choose_lanes, rows_cols};
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

const OP: &str = "cross_entropy";

/// Options of [`cross_entropy`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropy {
    /// Share of the target that is spread evenly over all classes, in `0..1`.
    pub label_smoothing: f32,
    /// Rows with this target do not count.
    pub ignore_index: Option<u32>,
}

impl CrossEntropy {
    /// Spreads a share of the target over all classes.
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.label_smoothing = share;
        self
    }

    /// Leaves rows with this target out.
    pub fn ignore_index(mut self, index: u32) -> Self {
        self.ignore_index = Some(index);
        self
    }

    fn check(&self) -> Result<()> {
        if (0.0..1.0).contains(&self.label_smoothing) {
            return Ok(());
        }
        Err(Error::Invalid(format!("{OP}: label smoothing {} is not in 0..1", self.label_smoothing)))
    }

    fn params(&self, rows: usize, cols: usize) -> CrossEntropyParams {
        CrossEntropyParams {
            rows: rows as u32,
            cols: cols as u32,
            ignore: self.ignore_index.unwrap_or(u32::MAX),
            smoothing: self.label_smoothing,
            invalid: f32::NAN,
        }
    }
}

/// A loss with what its gradient needs.
#[derive(Clone, Debug)]
pub struct CrossEntropyLoss {
    /// Mean over the rows that count, `[1]`; 0 without any.
    pub value: Tensor,
    /// Maximum of each row and log-sum-exp above it, `[rows, 2]`.
    pub stats: Tensor,
    /// Sum of losses and number of rows that count, `[2]`.
    pub totals: Tensor,
}

fn check_targets(logits: &Tensor, targets: &Tensor) -> Result<(usize, usize)> {
    need_f32(OP, &[logits])?;
    let (rows, cols) = rows_cols(OP, logits)?;
    if targets.dtype() != Dtype::U32 {
        return Err(Error::Dtype { op: OP, what: format!("targets are {:?}, u32 is needed", targets.dtype()) });
    }
    if targets.len() != rows {
        let what = format!("targets {:?} for logits {:?}", targets.shape(), logits.shape());
        return Err(Error::shape(OP, what));
    }
    Ok((rows, cols))
}

/// Mean of `-log softmax(logits)[target]` over rows, as PyTorch's `cross_entropy` defines it with smoothing.
///
/// `logits [.., classes]` f32, `targets` u32 with one class per row. A target that is neither a class nor ignored makes
/// the loss NaN.
///
/// # Errors
/// [`Error::Shape`], [`Error::Dtype`], and [`Error::Invalid`] for a smoothing outside `0..1`.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, options: &CrossEntropy) -> Result<CrossEntropyLoss> {
    options.check()?;
    let (rows, cols) = check_targets(logits, targets)?;
    let device = logits.device();
    let stats = Tensor::empty(device, &[rows, 2], Dtype::F32)?;
    let terms = Tensor::empty(device, &[rows, 2], Dtype::F32)?;
    let lanes = choose_lanes(device.capabilities(), cols);
    Launch::op(&CROSS_ENTROPY, [Some(logits), Some(targets), Some(&stats), Some(&terms)])
        .overrides(&[
            ("LANES", lanes),
            ("HAS_IGNORE", options.ignore_index.is_some().into()),
            ("SMOOTH", (options.label_smoothing > 0.0).into()),
        ])
        .work(20 * logits.len() as u64)
        .record_elements(device, &options.params(rows, cols), rows as u64 * u64::from(lanes))?;
    let totals = sum_rows(&terms)?;
    let value = Tensor::empty(device, &[1], Dtype::F32)?;
    Launch::op(&WEIGHTED_MEAN, [Some(&totals), Some(&value)]).record(device, &WeightedMeanParams::default(), 1)?;
    Ok(CrossEntropyLoss { value, stats, totals })
}

/// Gradient of [`cross_entropy`] with respect to the logits; `grad` is that of the loss, `[1]`.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_backward(
    grad: &Tensor,
    logits: &Tensor,
    targets: &Tensor,
    loss: &CrossEntropyLoss,
    options: &CrossEntropy,
) -> Result<Tensor> {
    options.check()?;
    let (rows, cols) = check_targets(logits, targets)?;
    need_f32(OP, &[grad])?;
    if grad.len() != 1 || loss.stats.len() != 2 * rows {
        return Err(Error::shape(OP, format!("gradient {:?} of a loss over {rows} rows", grad.shape())));
    }
    let device = logits.device();
    let dlogits = Tensor::empty(device, logits.shape(), Dtype::F32)?;
    let lanes = choose_lanes(device.capabilities(), cols);
    Launch::op(
        &CROSS_ENTROPY_GRAD,
        [Some(grad), Some(logits), Some(targets), Some(&loss.stats), Some(&loss.totals), Some(&dlogits)],
    )
    .overrides(&[("LANES", lanes), ("HAS_IGNORE", options.ignore_index.is_some().into())])
    .work(10 * logits.len() as u64)
    .record_elements(device, &options.params(rows, cols), rows as u64 * u64::from(lanes))?;
    Ok(dlogits)
}
