//! Pointwise arithmetic.

use vljepa_shaders::kernels::elementwise::{BINARY, BinaryParams, FILL, FillParams};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::elementwise::BinaryOp;

pub(crate) fn need_f32(op: &'static str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|t| t.dtype() != Dtype::F32) {
        Some(t) => Err(Error::Dtype { op, what: format!("{:?} is {:?}, f32 is needed", t.shape(), t.dtype()) }),
        None => Ok(()),
    }
}

/// `alpha * a OP beta * b`, f32; `b` has the shape of `a` or of its last axes and is repeated along the others.
///
/// # Errors
/// [`Error::Shape`] when `b`'s shape is not a tail of `a`'s (a single element always is).
pub fn binary(op: BinaryOp, a: &Tensor, b: &Tensor, alpha: f32, beta: f32) -> Result<Tensor> {
    need_f32("binary", &[a, b])?;
    if b.len() != 1 && !a.shape().ends_with(b.shape()) {
        return Err(Error::shape("binary", format!("{op:?} of {:?} and {:?}", a.shape(), b.shape())));
    }
    let y = Tensor::empty(a.device(), a.shape(), Dtype::F32)?;
    let params = BinaryParams { len: a.len() as u32, b_len: b.len().max(1) as u32, alpha, beta };
    Launch::op(&BINARY, [Some(a), Some(b), Some(&y)])
        .overrides(&[("OP", op as u32), ("SAME_LEN", (a.len() == b.len()).into())])
        .record_elements(a.device(), &params, a.len() as u64)?;
    Ok(y)
}

/// `a + b`.
///
/// # Errors
/// As [`binary`].
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary(BinaryOp::Add, a, b, 1.0, 1.0)
}

/// `a - b`.
///
/// # Errors
/// As [`binary`].
pub fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary(BinaryOp::Add, a, b, 1.0, -1.0)
}

/// `a * b`.
///
/// # Errors
/// As [`binary`].
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary(BinaryOp::Mul, a, b, 1.0, 1.0)
}

/// An f32 tensor of one value.
///
/// # Errors
/// Allocation errors.
pub fn full(device: &Device, shape: &[usize], value: f32) -> Result<Tensor> {
    let y = Tensor::empty(device, shape, Dtype::F32)?;
    let params = FillParams { len: y.len() as u32, bits: value.to_bits() };
    Launch::op(&FILL, [Some(&y)]).record_elements(device, &params, y.len() as u64)?;
    Ok(y)
}
