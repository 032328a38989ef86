//! Sums, means, maxima and counts.

use vljepa_shaders::kernels::reduce::{
    COUNT_NON_FINITE, CountNonFiniteParams, MASKED_MEAN, MASKED_MEAN_GRAD, MaskedMeanParams, REDUCE_ROWS,
    ReduceRowsParams, SPREAD_ROWS, SUM_ROWS, SpreadRowsParams, SumRowsParams,
};

use super::elementwise::need_f32;
use super::rows::{choose_lanes, rows_cols, same_shape};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

/// Rows that one invocation adds up. Short enough that many invocations share a long column.
pub(super) const STRETCH: usize = 64;

/// How many elements become one in each step, when a whole tensor is reduced.
const CHUNK: usize = 1024;

/// `OP` of `reduce/reduce_rows.wgsl`.
#[derive(Clone, Copy, PartialEq)]
#[repr(u32)]
enum Op {
    Sum = 0,
    Max = 1,
    Dot = 2,
}

/// Sums over all axes but the last: `[.., cols]` → `[cols]`, f32. The tree of sums depends on the shape alone.
///
/// # Errors
/// [`crate::Error::Dtype`] for other types, allocation errors.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    need_f32("sum_rows", &[x])?;
    let (mut rows, cols) = x.rows_cols();
    if rows == 0 {
        return Tensor::zeros(x.device(), &[cols], Dtype::F32);
    }
    let mut x = x.clone();
    loop {
        let stretches = rows.div_ceil(STRETCH);
        let y = Tensor::empty(x.device(), &[stretches, cols], Dtype::F32)?;
        let params = SumRowsParams {
            rows: rows as u32,
            cols: cols as u32,
            stretch: STRETCH as u32,
            stretches: stretches as u32,
        };
        Launch::op(&SUM_ROWS, [Some(&x), Some(&y)]).record_elements(x.device(), &params, y.len() as u64)?;
        if stretches == 1 {
            return y.reshape(&[cols]);
        }
        (rows, x) = (stretches, y);
    }
}

/// Reduces stretches of `cols` elements of `x` to one each, into `y` from element `first` on.
fn reduce_into(
    op: Op,
    x: &Tensor,
    b: Option<&Tensor>,
    cols: usize,
    factor: f32,
    y: &Tensor,
    first: usize,
) -> Result<()> {
    let rows = x.len().div_ceil(cols);
    let lanes = choose_lanes(x.device().capabilities(), cols.min(x.len()));
    let params =
        ReduceRowsParams { rows: rows as u32, cols: cols as u32, len: x.len() as u32, first: first as u32, factor };
    Launch::op(&REDUCE_ROWS, [Some(x), b, Some(y)])
        .overrides(&[("OP", op as u32), ("LANES", lanes)])
        .work(2 * x.len() as u64)
        .record_elements(x.device(), &params, rows as u64 * u64::from(lanes))
}

fn reduce_cols(name: &'static str, op: Op, x: &Tensor, factor: f32) -> Result<Tensor> {
    need_f32(name, &[x])?;
    let (_, cols) = rows_cols(name, x)?;
    let lead = &x.shape()[..x.shape().len().saturating_sub(1)];
    let y = Tensor::empty(x.device(), lead, Dtype::F32)?;
    if !y.is_empty() {
        reduce_into(op, x, None, cols, factor, &y, 0)?;
    }
    Ok(y)
}

/// Sum over the last axis: `[.., cols]` → `[..]`, f32; no columns sum to zero.
///
/// # Errors
/// [`Error::Dtype`] for other types, allocation errors.
pub fn sum_cols(x: &Tensor) -> Result<Tensor> {
    if let [lead @ .., 0] = x.shape() {
        need_f32("sum_cols", &[x])?;
        return Tensor::zeros(x.device(), lead, Dtype::F32);
    }
    reduce_cols("sum_cols", Op::Sum, x, 1.0)
}

/// Mean over the last axis: `[.., cols]` → `[..]`, f32.
///
/// # Errors
/// [`Error::Shape`] when the last axis is empty, [`Error::Dtype`].
pub fn mean_cols(x: &Tensor) -> Result<Tensor> {
    reduce_cols("mean_cols", Op::Sum, x, 1.0 / x.rows_cols().1.max(1) as f32)
}

/// Maximum over the last axis: `[.., cols]` → `[..]`, f32. Which number a row with a NaN gives is up to the adapter.
///
/// # Errors
/// As [`mean_cols`].
pub fn max_cols(x: &Tensor) -> Result<Tensor> {
    reduce_cols("max_cols", Op::Max, x, 1.0)
}

/// Adds up `partial` until one number is left; the last step multiplies by `factor`.
fn finish(mut partial: Tensor, factor: f32) -> Result<Tensor> {
    loop {
        let rows = partial.len().div_ceil(CHUNK);
        let y = Tensor::empty(partial.device(), &[rows], Dtype::F32)?;
        reduce_into(Op::Sum, &partial, None, CHUNK, if rows == 1 { factor } else { 1.0 }, &y, 0)?;
        if rows == 1 {
            return Ok(y);
        }
        partial = y;
    }
}

fn reduce_all(op: Op, x: &Tensor, b: Option<&Tensor>, factor: f32) -> Result<Tensor> {
    let rows = x.len().div_ceil(CHUNK);
    if rows == 0 {
        return Tensor::zeros(x.device(), &[1], Dtype::F32);
    }
    let partial = Tensor::empty(x.device(), &[rows], Dtype::F32)?;
    reduce_into(op, x, b, CHUNK, if rows == 1 { factor } else { 1.0 }, &partial, 0)?;
    if rows == 1 { Ok(partial) } else { finish(partial, factor) }
}

/// Sum of all elements, `[1]`, f32. The tree of sums depends on the length and the adapter's capabilities alone.
///
/// # Errors
/// [`Error::Dtype`], allocation errors.
pub fn sum(x: &Tensor) -> Result<Tensor> {
    need_f32("sum", &[x])?;
    reduce_all(Op::Sum, x, None, 1.0)
}

/// Mean of all elements, `[1]`, f32; 0 of an empty tensor.
///
/// # Errors
/// As [`sum`].
pub fn mean(x: &Tensor) -> Result<Tensor> {
    need_f32("mean", &[x])?;
    reduce_all(Op::Sum, x, None, 1.0 / x.len().max(1) as f32)
}

/// Sum of products of the elements of two tensors of one shape, `[1]`, f32.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, and as [`sum`].
pub fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    need_f32("dot", &[a, b])?;
    same_shape("dot", "second operand", b, a)?;
    reduce_all(Op::Dot, a, Some(b), 1.0)
}

fn first_device<'a>(op: &'static str, tensors: &[&'a Tensor]) -> Result<&'a Device> {
    need_f32(op, tensors)?;
    tensors.first().map(|t| t.device()).ok_or_else(|| Error::Invalid(format!("{op}: no tensors were given")))
}

/// Number of infinities and NaNs in all `tensors`, `[1]`, u32: a guard that costs one small read-back.
///
/// # Errors
/// [`Error::Invalid`] for an empty list, [`Error::Dtype`], allocation errors.
pub fn count_non_finite(tensors: &[&Tensor]) -> Result<Tensor> {
    let device = first_device("count_non_finite", tensors)?;
    let rows: usize = tensors.iter().map(|t| t.len().div_ceil(CHUNK)).sum();
    if rows == 0 {
        return Tensor::zeros(device, &[1], Dtype::U32);
    }
    let count_into = |x: &Tensor, sum: bool, y: &Tensor, first: usize| {
        let rows = x.len().div_ceil(CHUNK);
        let params =
            CountNonFiniteParams { rows: rows as u32, cols: CHUNK as u32, len: x.len() as u32, first: first as u32 };
        Launch::op(&COUNT_NON_FINITE, [Some(x), Some(y)]).overrides(&[("SUM", sum.into())]).record_elements(
            device,
            &params,
            rows as u64,
        )
    };
    let mut partial = Tensor::empty(device, &[rows], Dtype::U32)?;
    let mut first = 0;
    for t in tensors.iter().filter(|t| !t.is_empty()) {
        count_into(t, false, &partial, first)?;
        first += t.len().div_ceil(CHUNK);
    }
    while partial.len() > 1 {
        let y = Tensor::empty(device, &[partial.len().div_ceil(CHUNK)], Dtype::U32)?;
        count_into(&partial, true, &y, 0)?;
        partial = y;
    }
    Ok(partial)
}

/// `factor * x[r]` repeated along rows: the elements of `x` over `x.len()` equal stretches of `shape`.
/// The gradient of sums over trailing axes.
///
/// # Errors
/// [`Error::Shape`] when `x` does not divide `shape` into rows, [`Error::Dtype`].
pub fn spread_rows(x: &Tensor, shape: &[usize], factor: f32) -> Result<Tensor> {
    need_f32("spread_rows", &[x])?;
    let y = Tensor::empty(x.device(), shape, Dtype::F32)?;
    if y.is_empty() {
        return Ok(y);
    }
    if x.is_empty() || !y.len().is_multiple_of(x.len()) {
        return Err(Error::shape("spread_rows", format!("{:?} over {shape:?}", x.shape())));
    }
    let params = SpreadRowsParams { len: y.len() as u32, cols: (y.len() / x.len()) as u32, factor };
    Launch::op(&SPREAD_ROWS, [Some(x), Some(&y)]).record_elements(x.device(), &params, y.len() as u64)?;
    Ok(y)
}

/// Result of [`masked_mean`].
#[derive(Clone, Debug)]
pub struct MaskedMean {
    /// `[batch, cols]`.
    pub value: Tensor,
    /// `[batch]`, 1 / number of real tokens (0 without any): what the gradient needs.
    pub factor: Tensor,
}

fn masked_shapes(x: &[usize], mask: Option<&Tensor>) -> Result<MaskedMeanParams> {
    const OP: &str = "masked_mean";
    let &[batch, tokens, cols] = x else {
        return Err(Error::shape(OP, format!("{x:?} is not [batch, tokens, cols]")));
    };
    if let Some(mask) = mask {
        if mask.dtype() != Dtype::U32 {
            return Err(Error::Dtype { op: OP, what: format!("the mask is {:?}, u32 is needed", mask.dtype()) });
        }
        if mask.shape() != [batch, tokens] {
            return Err(Error::shape(OP, format!("mask {:?} for tokens {x:?}", mask.shape())));
        }
    }
    Ok(MaskedMeanParams { batch: batch as u32, tokens: tokens as u32, cols: cols as u32 })
}

/// Mean over the tokens whose mask is not zero: `[batch, tokens, cols]`, mask u32 `[batch, tokens]` → `[batch, cols]`.
///
/// Without a mask every token is real. Masked tokens may hold anything, NaN included; a sample without real tokens
/// gives zeros.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Dtype`] when input or mask do not fit.
pub fn masked_mean(x: &Tensor, mask: Option<&Tensor>) -> Result<MaskedMean> {
    need_f32("masked_mean", &[x])?;
    let params = masked_shapes(x.shape(), mask)?;
    let (batch, cols) = (params.batch as usize, params.cols as usize);
    let value = Tensor::empty(x.device(), &[batch, cols], Dtype::F32)?;
    let factor = Tensor::empty(x.device(), &[batch], Dtype::F32)?;
    Launch::op(&MASKED_MEAN, [Some(x), mask, Some(&value), Some(&factor)])
        .overrides(&[("HAS_MASK", mask.is_some().into())])
        .work(x.len() as u64)
        .record_elements(x.device(), &params, value.len() as u64)?;
    Ok(MaskedMean { value, factor })
}

/// Gradient of [`masked_mean`] with respect to its input of `shape`.
///
/// # Errors
/// As [`masked_mean`].
pub fn masked_mean_backward(grad: &Tensor, mask: Option<&Tensor>, factor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    need_f32("masked_mean", &[grad, factor])?;
    let params = masked_shapes(shape, mask)?;
    if grad.len() as u64 != u64::from(params.batch) * u64::from(params.cols) || factor.len() != params.batch as usize {
        return Err(Error::shape("masked_mean", format!("gradient {:?} of a mean over {shape:?}", grad.shape())));
    }
    let dx = Tensor::empty(grad.device(), shape, Dtype::F32)?;
    Launch::op(&MASKED_MEAN_GRAD, [Some(grad), mask, Some(factor), Some(&dx)])
        .overrides(&[("HAS_MASK", mask.is_some().into())])
        .record_elements(grad.device(), &params, dx.len() as u64)?;
    Ok(dx)
}
