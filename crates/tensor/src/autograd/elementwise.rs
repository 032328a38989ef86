//! Gradients of pointwise arithmetic.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, UnaryOp};
use crate::tensor::Tensor;
use vljepa_shaders::Activation;

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

/// Differentiable [`ops::unary`].
///
/// # Errors
/// As [`ops::unary`].
pub fn unary(op: UnaryOp, x: &Var, alpha: f32, beta: f32) -> Result<Var> {
    let value = ops::unary(op, x.value(), alpha, beta)?;
    // The gradient of an affine map needs no x, which then may leave memory.
    let kept = (op != UnaryOp::Affine).then(|| x.value().clone());
    Ok(record(&[x], value, move |grad, _| {
        let dx = match &kept {
            Some(x) => ops::unary_backward(op, x, grad, alpha, beta)?,
            None => ops::scale(grad, alpha)?,
        };
        Ok(vec![Some(dx)])
    }))
}

/// `alpha * x`.
///
/// # Errors
/// As [`ops::unary`].
pub fn scale(x: &Var, alpha: f32) -> Result<Var> {
    unary(UnaryOp::Affine, x, alpha, 0.0)
}

/// `exp(x)`.
///
/// # Errors
/// As [`ops::unary`].
pub fn exp(x: &Var) -> Result<Var> {
    unary(UnaryOp::Exp, x, 1.0, 0.0)
}

/// `x` clamped to `[low, high]`.
///
/// # Errors
/// As [`ops::unary`].
pub fn clamp(x: &Var, low: f32, high: f32) -> Result<Var> {
    unary(UnaryOp::Clamp { low, high }, x, 1.0, 0.0)
}

/// Differentiable [`ops::activate`].
///
/// # Errors
/// As [`ops::activate`].
pub fn activate(x: &Var, activation: Activation) -> Result<Var> {
    if activation == Activation::None {
        return Ok(x.clone());
    }
    let value = ops::activate(x.value(), activation)?;
    let kept = x.value().clone();
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::activate_backward(&kept, grad, activation)?)])))
}

/// Differentiable [`ops::gated`].
///
/// # Errors
/// As [`ops::gated`].
pub fn gated(gate: &Var, up: &Var, activation: Activation) -> Result<Var> {
    let value = ops::gated(gate.value(), up.value(), activation)?;
    let (gt, ut) = (gate.value().clone(), up.value().clone());
    Ok(record(&[gate, up], value, move |grad, _| {
        let (dgate, dup) = ops::gated_backward(&gt, &ut, grad, activation)?;
        Ok(vec![Some(dgate), Some(dup)])
    }))
}
