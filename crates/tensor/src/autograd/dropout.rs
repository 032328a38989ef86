//! Gradient of dropout.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, Dropout};

/// Differentiable [`ops::dropout`]; the backward pass draws the same elements again.
///
/// # Errors
/// As [`ops::dropout`].
pub fn dropout(x: &Var, options: &Dropout) -> Result<Var> {
    let value = ops::dropout(x.value(), options)?;
    let options = *options;
    Ok(record(&[x], value, move |grad, _| Ok(vec![Some(ops::dropout(grad, &options)?)])))
}
