//! Gradients of sums and means.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Differentiable [`ops::sum`].
///
/// # Errors
/// As [`ops::sum`].
pub fn sum(x: &Var) -> Result<Var> {
    spread(x, ops::sum(x.value())?, 1.0)
}

/// Differentiable [`ops::mean`].
///
/// # Errors
/// As [`ops::mean`].
pub fn mean(x: &Var) -> Result<Var> {
    spread(x, ops::mean(x.value())?, 1.0 / x.value().len().max(1) as f32)
}

/// Differentiable [`ops::sum_cols`].
///
/// # Errors
/// As [`ops::sum_cols`].
pub fn sum_cols(x: &Var) -> Result<Var> {
    spread(x, ops::sum_cols(x.value())?, 1.0)
}

/// Differentiable [`ops::mean_cols`].
///
/// # Errors
/// As [`ops::mean_cols`].
pub fn mean_cols(x: &Var) -> Result<Var> {
    spread(x, ops::mean_cols(x.value())?, 1.0 / x.value().rows_cols().1 as f32)
}

fn spread(x: &Var, value: Tensor, factor: f32) -> Result<Var> {
    let shape = x.shape().to_vec();
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::spread_rows(grad, &shape, factor)?)])))
}

/// Differentiable [`ops::masked_mean`].
///
/// # Errors
/// As [`ops::masked_mean`].
pub fn masked_mean(x: &Var, mask: Option<&Tensor>) -> Result<Var> {
    let done = ops::masked_mean(x.value(), mask)?;
    let (shape, mask) = (x.shape().to_vec(), mask.cloned());
    Ok(record(&[x], done.value, move |grad, _| {
        Ok(vec![Some(ops::masked_mean_backward(grad, mask.as_ref(), &done.factor, &shape)?)])
    }))
}
