//! Gradients of batch norms.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Result of [`batch_norm`].
#[derive(Clone, Debug)]
pub struct BatchNormed {
    /// The result, of the input's shape.
    pub value: Var,
    /// `[cols]`: mean of each column, for [`ops::running_statistics_assign`].
    pub mean: Tensor,
    /// `[cols]`: biased variance of each column, likewise.
    pub variance: Tensor,
}

/// An operator's gradients for x, weight and bias, given the gradient of its result and which are needed.
type Backward = Box<dyn FnOnce(&Tensor, Option<&Tensor>, [bool; 3]) -> Result<[Option<Tensor>; 3]> + Send>;

fn recorded(x: &Var, weight: Option<&Var>, bias: Option<&Var>, value: Tensor, backward: Backward) -> Var {
    let mut inputs = vec![x];
    inputs.extend(weight);
    inputs.extend(bias);
    let (wt, biased) = (weight.map(|w| w.value().clone()), bias.is_some());
    record(&inputs, value, move |grad, needs| {
        let need = |present: bool, at: usize| present && needs.get(at).copied().unwrap_or(false);
        let wanted = [needs[0], need(wt.is_some(), 1), need(biased, 1 + usize::from(wt.is_some()))];
        let [dx, dw, db] = backward(grad, wt.as_ref(), wanted)?;
        let mut grads = vec![dx];
        grads.extend(wt.is_some().then_some(dw));
        grads.extend(biased.then_some(db));
        Ok(grads)
    })
}

/// Differentiable [`ops::batch_norm`]; the statistics depend on `x`, and its gradient knows it.
///
/// # Errors
/// As [`ops::batch_norm`].
pub fn batch_norm(x: &Var, weight: Option<&Var>, bias: Option<&Var>, eps: f32) -> Result<BatchNormed> {
    let done = ops::batch_norm(x.value(), weight.map(Var::value), bias.map(Var::value), eps)?;
    let (xt, mean, variance) = (x.value().clone(), done.mean.clone(), done.variance.clone());
    let backward: Backward =
        Box::new(move |grad, weight, needs| ops::batch_norm_backward(grad, &xt, &mean, &variance, weight, eps, needs));
    let value = recorded(x, weight, bias, done.value, backward);
    Ok(BatchNormed { value, mean: done.mean, variance: done.variance })
}

/// Differentiable [`ops::batch_norm_fixed`]; the statistics are constants.
///
/// # Errors
/// As [`ops::batch_norm_fixed`].
pub fn batch_norm_fixed(
    x: &Var,
    mean: &Tensor,
    variance: &Tensor,
    weight: Option<&Var>,
    bias: Option<&Var>,
    eps: f32,
) -> Result<Var> {
    let value = ops::batch_norm_fixed(x.value(), mean, variance, weight.map(Var::value), bias.map(Var::value), eps)?;
    let (xt, mean, variance) = (x.value().clone(), mean.clone(), variance.clone());
    let backward: Backward = Box::new(move |grad, weight, needs| {
        ops::batch_norm_fixed_backward(grad, &xt, &mean, &variance, weight, eps, needs)
    });
    Ok(recorded(x, weight, bias, value, backward))
}
