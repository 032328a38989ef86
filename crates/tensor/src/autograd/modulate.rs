//! Gradients of modulation and of gated residuals.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;

/// Differentiable [`ops::modulate`].
///
/// # Errors
/// As [`ops::modulate`].
pub fn modulate(x: &Var, m: &Var, [shift_part, scale_part]: [usize; 2]) -> Result<Var> {
    let parts = [shift_part, scale_part];
    let value = ops::modulate(x.value(), m.value(), parts)?;
    let (xt, mt) = (x.value().clone(), m.value().clone());
    Ok(record(&[x, m], value, move |grad, needs| {
        Ok(ops::modulate_backward(grad, &xt, &mt, parts, [needs[0], needs[1]])?.into())
    }))
}

/// Differentiable [`ops::gated_add`].
///
/// # Errors
/// As [`ops::gated_add`].
pub fn gated_add(x: &Var, h: &Var, m: &Var, gate_part: usize) -> Result<Var> {
    let value = ops::gated_add(x.value(), h.value(), m.value(), gate_part)?;
    let (ht, mt) = (h.value().clone(), m.value().clone());
    Ok(record(&[x, h, m], value, move |grad, needs| {
        let [dh, dm] = ops::gated_add_backward(grad, &ht, &mt, gate_part, [needs[1], needs[2]])?;
        Ok(vec![Some(grad.clone()), dh, dm])
    }))
}
