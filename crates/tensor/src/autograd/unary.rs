//! Gradients of functions of one number.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, UnaryOp};

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

/// The absolute value of `x`; its gradient at 0 is 0.
///
/// # Errors
/// As [`ops::unary`].
pub fn abs(x: &Var) -> Result<Var> {
    unary(UnaryOp::Abs, x, 1.0, 0.0)
}
