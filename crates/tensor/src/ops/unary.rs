//! Functions of one tensor.

use vljepa_shaders::kernels::elementwise::{UNARY, UnaryParams};

use super::elementwise::need_f32;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::unary::UnaryOp;

/// `OP` of `elementwise/unary.wgsl`.
fn code(op: UnaryOp) -> u32 {
    match op {
        UnaryOp::Affine => 0,
        UnaryOp::Exp => 1,
        UnaryOp::Log => 2,
        UnaryOp::Sqrt => 3,
        UnaryOp::Clamp { .. } => 4,
        UnaryOp::Abs => 5,
        UnaryOp::Sin => 6,
        UnaryOp::Cos => 7,
    }
}

fn launch(op: UnaryOp, x: &Tensor, dy: Option<&Tensor>, alpha: f32, beta: f32) -> Result<Tensor> {
    let (low, high) = match op {
        UnaryOp::Clamp { low, high } if low <= high => (low, high),
        UnaryOp::Clamp { low, high } => {
            return Err(Error::Invalid(format!("clamp: the bounds {low} and {high} are out of order")));
        }
        _ => (0.0, 0.0),
    };
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let params = UnaryParams { len: x.len() as u32, alpha, beta, low, high };
    Launch::op(&UNARY, [Some(x), dy, Some(&y)])
        .overrides(&[("OP", code(op)), ("GRAD", dy.is_some().into())])
        .record_elements(x.device(), &params, x.len() as u64)?;
    Ok(y)
}

/// `op(alpha * x + beta)`, f32, any shape.
///
/// # Errors
/// [`Error::Dtype`] for other types, [`Error::Invalid`] for bounds out of order, allocation errors.
pub fn unary(op: UnaryOp, x: &Tensor, alpha: f32, beta: f32) -> Result<Tensor> {
    need_f32("unary", &[x])?;
    launch(op, x, None, alpha, beta)
}

/// Gradient of [`unary`] with respect to `x`, given that of its result.
///
/// # Errors
/// As [`unary`], and [`Error::Shape`] when `dy` has another size than `x`.
pub fn unary_backward(op: UnaryOp, x: &Tensor, dy: &Tensor, alpha: f32, beta: f32) -> Result<Tensor> {
    need_f32("unary_backward", &[x, dy])?;
    if x.len() != dy.len() {
        return Err(Error::shape("unary_backward", format!("gradient {:?} for {:?}", dy.shape(), x.shape())));
    }
    launch(op, x, Some(dy), alpha, beta)
}

/// `alpha * x`.
///
/// # Errors
/// As [`unary`].
pub fn scale(x: &Tensor, alpha: f32) -> Result<Tensor> {
    unary(UnaryOp::Affine, x, alpha, 0.0)
}

/// `exp(x)`.
///
/// # Errors
/// As [`unary`].
pub fn exp(x: &Tensor) -> Result<Tensor> {
    unary(UnaryOp::Exp, x, 1.0, 0.0)
}

/// `ln(x)`.
///
/// # Errors
/// As [`unary`].
pub fn log(x: &Tensor) -> Result<Tensor> {
    unary(UnaryOp::Log, x, 1.0, 0.0)
}

/// The square root of `x`.
///
/// # Errors
/// As [`unary`].
pub fn sqrt(x: &Tensor) -> Result<Tensor> {
    unary(UnaryOp::Sqrt, x, 1.0, 0.0)
}

/// `x` clamped to `[low, high]`.
///
/// # Errors
/// As [`unary`].
pub fn clamp(x: &Tensor, low: f32, high: f32) -> Result<Tensor> {
    unary(UnaryOp::Clamp { low, high }, x, 1.0, 0.0)
}

/// The absolute value of `x`.
///
/// # Errors
/// As [`unary`].
pub fn abs(x: &Tensor) -> Result<Tensor> {
    unary(UnaryOp::Abs, x, 1.0, 0.0)
}
