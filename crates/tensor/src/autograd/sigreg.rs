//! Gradient of the statistic of SIGReg.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;

/// Differentiable [`ops::sigreg`], `[1]`.
///
/// # Errors
/// As [`ops::sigreg`].
pub fn sigreg(h: &Var, knots: usize, last: f32) -> Result<Var> {
    let done = ops::sigreg(h.value(), knots, last)?;
    let (ht, pulls) = (h.value().clone(), done.pulls);
    Ok(record(&[h], done.value, move |grad, _| Ok(vec![Some(ops::sigreg_backward(grad, &ht, &pulls, knots, last)?)])))
}
