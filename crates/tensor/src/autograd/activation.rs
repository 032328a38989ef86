//! Gradients of activations and gated units.

use vljepa_shaders::Activation;

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;

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
