//! Gradients of slices, concatenations and reordered axes.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Differentiable [`ops::concat`].
///
/// # Errors
/// As [`ops::concat`].
pub fn concat(parts: &[&Var], axis: usize) -> Result<Var> {
    let tensors: Vec<&Tensor> = parts.iter().map(|v| v.value()).collect();
    let value = ops::concat(&tensors, axis)?;
    let shape = value.shape().to_vec();
    let lens: Vec<usize> = parts.iter().map(|v| v.shape()[axis]).collect();
    Ok(record(parts, value, move |grad, needs| {
        let grad = grad.reshape(&shape)?;
        let mut start = 0;
        let mut grads = Vec::with_capacity(lens.len());
        for (&len, &need) in lens.iter().zip(needs) {
            grads.push(need.then(|| ops::slice(&grad, axis, start, len)).transpose()?);
            start += len;
        }
        Ok(grads)
    }))
}

/// Differentiable [`ops::slice`].
///
/// # Errors
/// As [`ops::slice`].
pub fn slice(x: &Var, axis: usize, start: usize, len: usize) -> Result<Var> {
    let value = ops::slice(x.value(), axis, start, len)?;
    let shape = x.shape().to_vec();
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::slice_backward(grad, &shape, axis, start)?)])))
}

/// Differentiable [`ops::permute`].
///
/// # Errors
/// As [`ops::permute`].
pub fn permute(x: &Var, axes: &[usize]) -> Result<Var> {
    let value = ops::permute(x.value(), axes)?;
    let shape = value.shape().to_vec();
    let mut back = vec![0; axes.len()];
    for (i, &axis) in axes.iter().enumerate() {
        back[axis] = i;
    }
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::permute(&grad.reshape(&shape)?, &back)?)])))
}

/// Differentiable [`ops::transpose`].
///
/// # Errors
/// As [`ops::transpose`].
pub fn transpose(x: &Var) -> Result<Var> {
    let value = ops::transpose(x.value())?;
    let shape = value.shape().to_vec();
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::transpose(&grad.reshape(&shape)?)?)])))
}
