//! Gradients of patches.

use super::tape::{Var, record};
use crate::error::{Error, Result};
use crate::ops::{self, Conv2dPatches};

/// Differentiable [`ops::conv2d_patches`].
///
/// # Errors
/// As [`ops::conv2d_patches`].
pub fn conv2d_patches(x: &Var, options: &Conv2dPatches) -> Result<Var> {
    let value = ops::conv2d_patches(x.value(), options)?;
    let (shape, options) = (axes("conv2d_patches", x)?, *options);
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::conv2d_patches_backward(grad, shape, &options)?)])))
}

/// Differentiable [`ops::tubelet_patches`].
///
/// # Errors
/// As [`ops::tubelet_patches`].
pub fn tubelet_patches(clip: &Var, tubelet: usize, patch: usize) -> Result<Var> {
    let value = ops::tubelet_patches(clip.value(), tubelet, patch)?;
    let shape = axes("tubelet_patches", clip)?;
    Ok(record(&[clip], value, move |grad, _| {
        Ok(vec![Some(ops::tubelet_patches_backward(grad, shape, tubelet, patch)?)])
    }))
}

fn axes<const N: usize>(op: &'static str, x: &Var) -> Result<[usize; N]> {
    x.shape().try_into().map_err(|_| Error::shape(op, format!("{:?} does not have {N} axes", x.shape())))
}
