//! Gradients of pointwise arithmetic of two operands.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Sums a gradient over the axes along which an operand was repeated.
fn unrepeat(grad: Tensor, shape: &[usize]) -> Result<Tensor> {
    let len: usize = shape.iter().product();
    if len == grad.len() {
        return grad.reshape(shape);
    }
    ops::sum_rows(&grad.reshape(&[grad.len() / len.max(1), len])?)?.reshape(shape)
}

fn sum(a: &Var, b: &Var, sign: f32) -> Result<Var> {
    let value = ops::binary(ops::BinaryOp::Add, a.value(), b.value(), 1.0, sign)?;
    let b_shape = b.shape().to_vec();
    Ok(record(&[a, b], value, move |grad, needs| {
        let db = needs[1].then(|| -> Result<_> {
            let g = unrepeat(grad.clone(), &b_shape)?;
            // Summed first: what is left to scale is as small as b.
            if sign == 1.0 { Ok(g) } else { ops::scale(&g, sign) }
        });
        Ok(vec![Some(grad.clone()), db.transpose()?])
    }))
}

/// Differentiable [`ops::add`].
///
/// # Errors
/// As [`ops::binary`].
pub fn add(a: &Var, b: &Var) -> Result<Var> {
    sum(a, b, 1.0)
}

/// Differentiable [`ops::sub`].
///
/// # Errors
/// As [`ops::binary`].
pub fn sub(a: &Var, b: &Var) -> Result<Var> {
    sum(a, b, -1.0)
}

/// Differentiable [`ops::mul`].
///
/// # Errors
/// As [`ops::binary`].
pub fn mul(a: &Var, b: &Var) -> Result<Var> {
    let value = ops::mul(a.value(), b.value())?;
    let (at, bt) = (a.value().clone(), b.value().clone());
    Ok(record(&[a, b], value, move |grad, needs| {
        let grad = grad.reshape(at.shape())?;
        let da = needs[0].then(|| ops::mul(&grad, &bt));
        let db = needs[1].then(|| unrepeat(ops::mul(&grad, &at)?, bt.shape()));
        Ok(vec![da.transpose()?, db.transpose()?])
    }))
}
