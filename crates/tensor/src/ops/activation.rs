//! Activation functions and gated linear units.

use vljepa_shaders::Activation;
use vljepa_shaders::kernels::elementwise::{ACTIVATION, ACTIVATION_BACKWARD, GATED, GATED_BACKWARD, LenParams};

use super::elementwise::need_f32;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

fn same_len(op: &'static str, tensors: &[&Tensor]) -> Result<LenParams> {
    need_f32(op, tensors)?;
    if tensors.iter().any(|t| t.len() != tensors[0].len()) {
        let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
        return Err(Error::shape(op, format!("sizes differ: {shapes:?}")));
    }
    Ok(LenParams { len: tensors[0].len() as u32 })
}

/// `activation(x)`, f32, any shape.
///
/// # Errors
/// [`Error::Dtype`] for other types, allocation errors.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let params = same_len("activate", &[x])?;
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    Launch::op(&ACTIVATION, [Some(x), Some(&y)]).overrides(&[("ACT", activation as u32)]).record_elements(
        x.device(),
        &params,
        x.len() as u64,
    )?;
    Ok(y)
}

/// Gradient of [`activate`] with respect to `x`, given that of its result.
///
/// # Errors
/// As [`activate`], and [`Error::Shape`] when the sizes differ.
pub fn activate_backward(x: &Tensor, dy: &Tensor, activation: Activation) -> Result<Tensor> {
    let params = same_len("activate_backward", &[x, dy])?;
    let dx = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    Launch::op(&ACTIVATION_BACKWARD, [Some(x), Some(dy), Some(&dx)])
        .overrides(&[("ACT", activation as u32)])
        .record_elements(x.device(), &params, x.len() as u64)?;
    Ok(dx)
}

/// `activation(gate) * up`, f32: SwiGLU with [`Activation::Silu`], GeGLU with [`Activation::GeluTanh`].
///
/// # Errors
/// [`Error::Shape`] when the sizes differ, [`Error::Dtype`] for other types, allocation errors.
pub fn gated(gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    let params = same_len("gated", &[gate, up])?;
    let y = Tensor::empty(gate.device(), gate.shape(), Dtype::F32)?;
    Launch::op(&GATED, [Some(gate), Some(up), Some(&y)]).overrides(&[("ACT", activation as u32)]).record_elements(
        gate.device(),
        &params,
        gate.len() as u64,
    )?;
    Ok(y)
}

/// Gradients of [`gated`] with respect to `gate` and `up`, given that of its result.
///
/// # Errors
/// As [`gated`].
pub fn gated_backward(gate: &Tensor, up: &Tensor, dy: &Tensor, activation: Activation) -> Result<(Tensor, Tensor)> {
    let params = same_len("gated_backward", &[gate, up, dy])?;
    let dgate = Tensor::empty(gate.device(), gate.shape(), Dtype::F32)?;
    let dup = Tensor::empty(gate.device(), up.shape(), Dtype::F32)?;
    Launch::op(&GATED_BACKWARD, [Some(gate), Some(up), Some(dy), Some(&dgate), Some(&dup)])
        .overrides(&[("ACT", activation as u32)])
        .record_elements(gate.device(), &params, gate.len() as u64)?;
    Ok((dgate, dup))
}
