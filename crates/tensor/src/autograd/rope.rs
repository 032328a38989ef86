//! Gradients of rotary position embeddings.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, Rope3d, RopeHalf};

/// Differentiable [`ops::rope_3d`].
///
/// # Errors
/// As [`ops::rope_3d`].
pub fn rope_3d(x: &Var, options: &Rope3d<'_>) -> Result<Var> {
    let value = ops::rope_3d(x.value(), options)?;
    let (heads, grid, form) = (options.heads, options.grid, options.form);
    let (inv_freq, ids) = (options.inv_freq.clone(), options.ids.cloned());
    Ok(record(&[x], value, move |grad, _| {
        let options = Rope3d::new(heads, grid, &inv_freq).ids(ids.as_ref()).form(form);
        Ok(vec![Some(ops::rope_3d_backward(grad, &options)?)])
    }))
}

/// Differentiable [`ops::rope_half`].
///
/// # Errors
/// As [`ops::rope_half`].
pub fn rope_half(x: &Var, options: &RopeHalf<'_>) -> Result<Var> {
    let value = ops::rope_half(x.value(), options)?;
    let (heads, offset) = (options.heads, options.offset);
    let (inv_freq, positions) = (options.inv_freq.clone(), options.positions.cloned());
    Ok(record(&[x], value, move |grad, _| {
        let options = RopeHalf::new(heads, &inv_freq).offset(offset).positions(positions.as_ref());
        Ok(vec![Some(ops::rope_half_backward(grad, &options)?)])
    }))
}
