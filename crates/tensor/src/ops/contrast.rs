//! InfoNCE over a matrix of cosines.

use vljepa_shaders::kernels::loss::{
    CONTRAST, CONTRAST_GRAD, ContrastGradParams, ContrastParams, LOG_SCALE_GRAD, LogScaleGradParams,
};

use super::elementwise::{BinaryOp, binary, need_f32};
use super::reduce::{dot, mean, sum};
use super::rows::choose_lanes;
use super::unary::clamp;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::contrast::Duplicates;

const OP: &str = "contrast";

/// Options of [`contrast`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Contrast<'a> {
    /// Whether columns are also matched to rows; needs a square matrix without `targets`.
    pub bidirectional: bool,
    /// The own column of each row, u32 `[rows]`; without it row `i` belongs to column `i`.
    pub targets: Option<&'a Tensor>,
    /// Keys of the columns, u32 `[cols]`: equal keys mark equal texts. Read when `duplicates` is not `Negatives`.
    pub keys: Option<&'a Tensor>,
    /// What columns of equal keys are to each other.
    pub duplicates: Duplicates,
    /// Cap of the scale 1/τ.
    pub max_scale: f32,
    /// Weight of each sample, f32 `[rows]`, none below zero: the loss is the weighted mean over rows, and with both
    /// directions over columns with the same weights. Without it all count the same.
    pub weights: Option<&'a Tensor>,
}

impl Default for Contrast<'_> {
    fn default() -> Self {
        Contrast {
            bidirectional: true,
            targets: None,
            keys: None,
            duplicates: Duplicates::Negatives,
            max_scale: 100.0,
            weights: None,
        }
    }
}

impl<'a> Contrast<'a> {
    /// Matches rows to columns and columns to rows.
    pub fn bidirectional() -> Self {
        Self::default()
    }

    /// Matches row `i` to column `targets[i]` of a bank, one direction only.
    pub fn to_bank(targets: &'a Tensor) -> Self {
        Contrast { bidirectional: false, targets: Some(targets), ..Self::default() }
    }

    /// Says what columns of equal keys are to each other.
    pub fn duplicates(mut self, duplicates: Duplicates, keys: &'a Tensor) -> Self {
        (self.duplicates, self.keys) = (duplicates, Some(keys));
        self
    }

    /// Caps the scale 1/τ.
    pub fn max_scale(mut self, max_scale: f32) -> Self {
        self.max_scale = max_scale;
        self
    }

    /// Weighs the samples, `[rows]`. A sample of weight zero has no loss of its own and stays a negative of the others; where
    /// all weights are zero the loss is zero.
    pub fn weights(mut self, weights: &'a Tensor) -> Self {
        self.weights = Some(weights);
        self
    }

    /// The keys that the kernels read.
    fn used_keys(&self) -> Option<&'a Tensor> {
        self.keys.filter(|_| self.duplicates != Duplicates::Negatives)
    }

    fn overrides(&self) -> [(&'static str, u32); 3] {
        [
            ("HAS_TARGETS", self.targets.is_some().into()),
            ("DUPLICATES", self.duplicates as u32),
            ("HAS_SHARES", self.weights.is_some().into()),
        ]
    }

    /// Each sample's share of the loss, so that the shares of all `total` losses add up to one.
    fn shares(&self, rows: usize, total: usize) -> Result<Option<Tensor>> {
        let Some(weights) = self.weights else { return Ok(None) };
        // Zero over the least number is zero.
        let sum = clamp(&sum(weights)?, f32::MIN_POSITIVE, f32::MAX)?;
        Ok(Some(binary(BinaryOp::Div, weights, &sum, 1.0, (total / rows) as f32)?))
    }

    fn check(&self, cosine: &Tensor, log_scale: &Tensor) -> Result<(usize, usize)> {
        need_f32(OP, &[cosine, log_scale])?;
        let &[rows, cols] = cosine.shape() else {
            return Err(Error::shape(OP, format!("{:?} is not a matrix", cosine.shape())));
        };
        if rows == 0 || cols == 0 || log_scale.len() != 1 {
            let what = format!("cosines {:?} with log-scale {:?}", cosine.shape(), log_scale.shape());
            return Err(Error::shape(OP, what));
        }
        if self.bidirectional && (rows != cols || self.targets.is_some()) {
            let what = format!("both directions need a square matrix and no targets, got {rows} by {cols}");
            return Err(Error::shape(OP, what));
        }
        if self.targets.is_none() && rows > cols {
            return Err(Error::shape(OP, format!("{rows} rows have no own column among {cols}")));
        }
        for (name, t, len) in [("targets", self.targets, rows), ("keys", self.keys, cols)] {
            let Some(t) = t else { continue };
            if t.dtype() != Dtype::U32 {
                return Err(Error::Dtype { op: OP, what: format!("{name} are {:?}, u32 is needed", t.dtype()) });
            }
            if t.len() != len {
                let what = format!("{name} {:?} for cosines {:?}", t.shape(), cosine.shape());
                return Err(Error::shape(OP, what));
            }
        }
        if let Some(weights) = self.weights {
            need_f32(OP, &[weights])?;
            if weights.len() != rows {
                let what = format!("weights {:?} for cosines {:?}", weights.shape(), cosine.shape());
                return Err(Error::shape(OP, what));
            }
        }
        if self.duplicates != Duplicates::Negatives && self.keys.is_none() {
            return Err(Error::Invalid(format!("{OP}: {:?} needs keys", self.duplicates)));
        }
        if self.max_scale.is_nan() || self.max_scale <= 0.0 {
            return Err(Error::Invalid(format!("{OP}: the largest scale {} is not positive", self.max_scale)));
        }
        Ok((rows, cols))
    }

    fn max_log_scale(&self) -> f32 {
        self.max_scale.min(f32::MAX).ln()
    }
}

/// A loss with what its gradient needs.
#[derive(Clone, Debug)]
pub struct ContrastLoss {
    /// Mean over rows, and over columns with both directions, `[1]`; weighted where there are weights.
    pub value: Tensor,
    /// Log-sum-exp and 1 / positives of rows, then of columns, `[rows (+ cols), 2]`.
    pub stats: Tensor,
}

/// InfoNCE of cosines `[rows, cols]` times `exp(min(log_scale, ln max_scale))`, `log_scale` f32 `[1]`:
/// `mean_i(logsumexp_j s_ij - s_i,own(i))`, averaged with the same of the columns when bidirectional. The weights, if any,
/// are constants: they get no gradient.
///
/// A target beyond the columns makes the loss NaN.
///
/// # Errors
/// [`Error::Shape`], [`Error::Dtype`] and [`Error::Invalid`] for options that do not fit.
pub fn contrast(cosine: &Tensor, log_scale: &Tensor, options: &Contrast<'_>) -> Result<ContrastLoss> {
    let (rows, cols) = options.check(cosine, log_scale)?;
    let device = cosine.device();
    let total = if options.bidirectional { rows + cols } else { rows };
    let stats = Tensor::empty(device, &[total, 2], Dtype::F32)?;
    let losses = Tensor::empty(device, &[total], Dtype::F32)?;
    let mut params = ContrastParams {
        rows: rows as u32,
        cols: cols as u32,
        row_stride: cols as u32,
        col_stride: 1,
        first: 0,
        max_log_scale: options.max_log_scale(),
        invalid: f32::NAN,
    };
    let shares = options.shares(rows, total)?;
    let run = |params: &ContrastParams, lanes: u32| {
        let bindings = [
            Some(cosine),
            Some(log_scale),
            options.targets,
            options.used_keys(),
            shares.as_ref(),
            Some(&stats),
            Some(&losses),
        ];
        Launch::op(&CONTRAST, bindings)
            .overrides(&options.overrides())
            .overrides(&[("LANES", lanes)])
            .work(20 * cosine.len() as u64)
            .record_elements(device, params, u64::from(params.rows) * u64::from(lanes))
    };
    run(&params, choose_lanes(device.capabilities(), cols))?;
    if options.bidirectional {
        (params.row_stride, params.col_stride, params.first) = (1, cols as u32, rows as u32);
        // With one invocation per column neighbours read neighbours.
        run(&params, 1)?;
    }
    let value = if shares.is_some() { sum(&losses)? } else { mean(&losses)? };
    Ok(ContrastLoss { value, stats })
}

/// Gradients of [`contrast`] with respect to the cosines and, where `needs` says so, the log-scale. At the cap the
/// log-scale receives only a gradient that lowers it.
///
/// # Errors
/// As [`contrast`].
pub fn contrast_backward(
    grad: &Tensor,
    cosine: &Tensor,
    log_scale: &Tensor,
    stats: &Tensor,
    options: &Contrast<'_>,
    needs_log_scale: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (rows, cols) = options.check(cosine, log_scale)?;
    need_f32(OP, &[grad, stats])?;
    let total = if options.bidirectional { rows + cols } else { rows };
    if grad.len() != 1 || stats.len() != 2 * total {
        let what = format!("gradient {:?} and statistics {:?} of {total} losses", grad.shape(), stats.shape());
        return Err(Error::shape(OP, what));
    }
    let device = cosine.device();
    let dcosine = Tensor::empty(device, cosine.shape(), Dtype::F32)?;
    let params = ContrastGradParams {
        rows: rows as u32,
        cols: cols as u32,
        factor: if options.weights.is_some() { 1.0 } else { 1.0 / total as f32 },
        max_log_scale: options.max_log_scale(),
    };
    let shares = options.shares(rows, total)?;
    let bindings = [
        Some(grad),
        Some(cosine),
        Some(log_scale),
        options.targets,
        options.used_keys(),
        shares.as_ref(),
        Some(stats),
        Some(&dcosine),
    ];
    Launch::op(&CONTRAST_GRAD, bindings)
        .overrides(&options.overrides())
        .overrides(&[("BOTH", options.bidirectional.into())])
        .work(30 * cosine.len() as u64)
        .record_elements(device, &params, cosine.len() as u64)?;
    if !needs_log_scale {
        return Ok((dcosine, None));
    }
    // s = exp(log_scale) * cosine, so that d s / d log_scale = s: the scale already stands in dcosine.
    let d = dot(&dcosine, cosine)?;
    let dy = Tensor::empty(device, log_scale.shape(), Dtype::F32)?;
    Launch::op(&LOG_SCALE_GRAD, [Some(&d), Some(log_scale), Some(&dy)]).record(
        device,
        &LogScaleGradParams { max_log_scale: options.max_log_scale() },
        1,
    )?;
    Ok((dcosine, Some(dy)))
}
