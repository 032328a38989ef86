//! Gradient of cross-entropy.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, CrossEntropy};
use crate::tensor::Tensor;

/// Differentiable [`ops::cross_entropy`].
///
/// # Errors
/// As [`ops::cross_entropy`].
pub fn cross_entropy(logits: &Var, targets: &Tensor, options: CrossEntropy) -> Result<Var> {
    let loss = ops::cross_entropy(logits.value(), targets, &options)?;
    let (x, targets) = (logits.value().clone(), targets.clone());
    Ok(record(&[logits], loss.value.clone(), move |grad, _| {
        Ok(vec![Some(ops::cross_entropy_backward(grad, &x, &targets, &loss, &options)?)])
    }))
}
