//! Batch norm: columns normalised over all other axes (Ioffe and Szegedy, arXiv 1502.03167).

use vljepa_shaders::kernels::norm::{BATCH_NORM, BATCH_NORM_FIXED, BATCH_NORM_GRAD, BatchNormParams};

use super::elementwise::need_f32;
use super::optim::assign;
use super::rows::{rows_cols, same_shape};
use crate::caps::Capabilities;
use crate::device::pipelines::Override;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

/// Result of [`batch_norm`], with what its gradient needs.
#[derive(Clone, Debug)]
pub struct BatchNormed {
    /// The result, of the input's shape.
    pub value: Tensor,
    /// `[cols]`: mean of each column.
    pub mean: Tensor,
    /// `[cols]`: mean squared distance from it, that is the biased variance.
    pub variance: Tensor,
}

/// How many invocations share a column of `rows` elements, and how many of `cols` columns stand side by side in a workgroup,
/// in the kernels over `norm/columns.wgsl`.
///
/// On software adapters barriers are dear: one invocation a column. GPUs need many invocations, also where columns are few;
/// eight neighbours still read a whole 32 bytes.
pub fn choose_column_lanes(caps: &Capabilities, rows: usize, cols: usize) -> (u32, u32) {
    match (rows, cols) {
        _ if caps.software => (1, 64),
        (0..=64, _) => (4, 64),
        (_, 0..512) => (32, 8),
        _ => (16, 16),
    }
}

/// Checked sizes of one call.
struct Sizes {
    params: BatchNormParams,
    lanes: u32,
    width: u32,
}

impl Sizes {
    /// Workgroups of `width` columns each.
    fn groups(&self) -> u64 {
        u64::from(self.params.cols.div_ceil(self.width))
    }

    fn shares(&self) -> [Override; 2] {
        [("LANES", self.lanes), ("WIDTH", self.width)]
    }
}

/// Compares the tensors of `[cols]`, each with its name, with `x`.
fn sizes(op: &'static str, x: &Tensor, columns: &[(&str, Option<&Tensor>)], eps: f32) -> Result<Sizes> {
    let (rows, cols) = rows_cols(op, x)?;
    need_f32(op, &[x])?;
    for &(name, t) in columns {
        let Some(t) = t else { continue };
        need_f32(op, &[t])?;
        if t.len() != cols {
            return Err(Error::shape(op, format!("{name} {:?} for rows of {cols}", t.shape())));
        }
    }
    let (lanes, width) = choose_column_lanes(x.device().capabilities(), rows, cols);
    Ok(Sizes { params: BatchNormParams { rows: rows as u32, cols: cols as u32, eps }, lanes, width })
}

/// Refuses a batch that has no statistics.
fn need_rows(op: &'static str, x: &Tensor) -> Result<()> {
    if x.is_empty() {
        Err(Error::shape(op, format!("{:?} has no rows to take statistics of", x.shape())))
    } else {
        Ok(())
    }
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias`, mean and biased variance of each column over all axes but the last:
/// what a batch norm does in training. One row gives its bias.
///
/// `x [.., cols]`, `weight [cols]`, `bias [cols]`, both optional, f32.
///
/// # Errors
/// [`Error::Shape`] when weight or bias do not have the length of a row or `x` is empty, [`Error::Dtype`].
pub fn batch_norm(x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Result<BatchNormed> {
    const OP: &str = "batch_norm";
    let s = sizes(OP, x, &[("weight", weight), ("bias", bias)], eps)?;
    need_rows(OP, x)?;
    let cols = s.params.cols as usize;
    let value = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let mean = Tensor::empty(x.device(), &[cols], Dtype::F32)?;
    let variance = Tensor::empty(x.device(), &[cols], Dtype::F32)?;
    Launch::op(&BATCH_NORM, [Some(x), weight, bias, Some(&value), Some(&mean), Some(&variance)])
        .overrides(&s.shares())
        .overrides(&[("HAS_WEIGHT", weight.is_some().into()), ("HAS_BIAS", bias.is_some().into())])
        .work(8 * x.len() as u64)
        .record(x.device(), &s.params, s.groups())?;
    Ok(BatchNormed { value, mean, variance })
}

/// As [`batch_norm`] with statistics that are given, `mean [cols]` and `variance [cols]`: what a batch norm does outside of
/// training, with its running statistics.
///
/// # Errors
/// [`Error::Shape`] when statistics, weight or bias do not have the length of a row or rows are empty, [`Error::Dtype`].
pub fn batch_norm_fixed(
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f32,
) -> Result<Tensor> {
    let columns = [("mean", Some(mean)), ("variance", Some(variance)), ("weight", weight), ("bias", bias)];
    let s = sizes("batch_norm_fixed", x, &columns, eps)?;
    let value = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    Launch::op(&BATCH_NORM_FIXED, [Some(x), Some(mean), Some(variance), weight, bias, Some(&value)])
        .overrides(&[("HAS_WEIGHT", weight.is_some().into()), ("HAS_BIAS", bias.is_some().into())])
        .work(6 * x.len() as u64)
        .record_elements(x.device(), &s.params, x.len() as u64)?;
    Ok(value)
}

/// What [`batch_norm_backward`] and [`batch_norm_fixed_backward`] share.
fn backward(
    op: &'static str,
    fixed: bool,
    grad: &Tensor,
    x: &Tensor,
    [weight, mean, variance]: [Option<&Tensor>; 3],
    eps: f32,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let s = sizes(op, x, &[("weight", weight), ("mean", mean), ("variance", variance)], eps)?;
    need_f32(op, &[grad])?;
    same_shape(op, "gradient", grad, x)?;
    if !needs.contains(&true) {
        return Ok([None, None, None]);
    }
    let cols = s.params.cols as usize;
    let device = x.device();
    // A written binding is never absent: one element stands for a gradient that nobody needs.
    let dx = Tensor::empty(device, if needs[0] { x.shape() } else { &[1] }, Dtype::F32)?;
    let dweight = Tensor::empty(device, &[cols], Dtype::F32)?;
    let dbias = Tensor::empty(device, &[cols], Dtype::F32)?;
    let sums = !fixed || needs[1] || needs[2];
    Launch::op(
        &BATCH_NORM_GRAD,
        [Some(grad), Some(x), weight, mean, variance, Some(&dx), Some(&dweight), Some(&dbias)],
    )
    .overrides(&s.shares())
    .overrides(&[
        ("HAS_WEIGHT", weight.is_some().into()),
        ("FIXED", fixed.into()),
        ("SUMS", sums.into()),
        ("NEED_X", needs[0].into()),
    ])
    .work(12 * x.len() as u64)
    .record(device, &s.params, s.groups())?;
    Ok([needs[0].then_some(dx), needs[1].then_some(dweight), needs[2].then_some(dbias)])
}

/// Gradients of [`batch_norm`] with respect to `x`, `weight` and `bias`, each where `needs` says so.
///
/// `mean` and `variance` are those of the forward pass.
///
/// # Errors
/// As [`batch_norm`]; also when the gradient has another shape than `x`.
pub fn batch_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    weight: Option<&Tensor>,
    eps: f32,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    const OP: &str = "batch_norm";
    need_rows(OP, x)?;
    backward(OP, false, grad, x, [weight, Some(mean), Some(variance)], eps, needs)
}

/// Gradients of [`batch_norm_fixed`] with respect to `x`, `weight` and `bias`, each where `needs` says so.
///
/// # Errors
/// As [`batch_norm_fixed`]; also when the gradient has another shape than `x`.
pub fn batch_norm_fixed_backward(
    grad: &Tensor,
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    weight: Option<&Tensor>,
    eps: f32,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    backward("batch_norm_fixed", true, grad, x, [weight, Some(mean), Some(variance)], eps, needs)
}

/// `running = (1 - momentum) * running + momentum * batch` in place, for the mean and the variance of a batch of `rows` rows.
/// The running variance takes the unbiased one of the batch, `variance * rows / (rows - 1)`, as PyTorch's `BatchNorm1d` does.
///
/// All four tensors are f32 of one size; `mean` and `variance` are those of [`BatchNormed`].
///
/// # Errors
/// [`Error::Shape`] when the sizes differ, [`Error::Invalid`] for fewer than two rows, which have no unbiased variance, or a
/// momentum outside `[0, 1]`; [`Error::Dtype`].
pub fn running_statistics_assign(
    running_mean: &Tensor,
    running_variance: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    rows: usize,
    momentum: f64,
) -> Result<()> {
    const OP: &str = "running_statistics_assign";
    let all = [running_mean, running_variance, mean, variance];
    need_f32(OP, &all)?;
    if let Some(t) = all.iter().find(|t| t.len() != mean.len()) {
        return Err(Error::shape(OP, format!("{:?} beside a mean of {:?}", t.shape(), mean.shape())));
    }
    if rows < 2 || !(0.0..=1.0).contains(&momentum) {
        return Err(Error::Invalid(format!(
            "{OP}: {rows} rows, momentum {momentum}: a variance needs two rows, and momentum lies in [0, 1]"
        )));
    }
    let unbiased = rows as f64 / (rows - 1) as f64;
    assign(OP, running_mean, Some(mean), None, 1.0 - momentum, momentum)?;
    assign(OP, running_variance, Some(variance), None, 1.0 - momentum, momentum * unbiased)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_shared_on_gpus_only_and_fit_a_workgroup() {
        let mut caps = Capabilities::none();
        for (rows, cols, want) in [(1, 1, (4, 64)), (64, 2048, (4, 64)), (65, 511, (32, 8)), (4096, 512, (16, 16))] {
            let (lanes, width) = choose_column_lanes(&caps, rows, cols);
            assert_eq!((lanes, width), want, "{rows} {cols}");
            assert!(lanes.is_power_of_two() && lanes * width <= 256);
        }
        caps.software = true;
        assert_eq!([1, 4096].map(|rows| choose_column_lanes(&caps, rows, 64)), [(1, 64); 2]);
    }
}
