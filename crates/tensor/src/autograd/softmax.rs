//! Gradient of softmax.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;

/// Differentiable [`ops::softmax`].
///
/// # Errors
/// As [`ops::softmax`].
pub fn softmax(x: &Var) -> Result<Var> {
    let y = ops::softmax(x.value())?;
    let kept = y.clone();
    Ok(record(&[x], y, move |grad, _| Ok(vec![Some(ops::softmax_backward(grad, &kept)?)])))
}
