//! Gradients of normalisations.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, RmsNorm};

/// Differentiable [`ops::layer_norm`].
///
/// # Errors
/// As [`ops::layer_norm`].
pub fn layer_norm(x: &Var, weight: Option<&Var>, bias: Option<&Var>, eps: f32) -> Result<Var> {
    let done = ops::layer_norm(x.value(), weight.map(Var::value), bias.map(Var::value), eps)?;
    let mut inputs = vec![x];
    inputs.extend(weight);
    inputs.extend(bias);
    let (xt, wt, stats) = (x.value().clone(), weight.map(|w| w.value().clone()), done.stats);
    let (weighted, biased) = (weight.is_some(), bias.is_some());
    Ok(record(&inputs, done.value, move |grad, needs| {
        let need = |present: bool, at: usize| present && needs.get(at).copied().unwrap_or(false);
        let wanted = [needs[0], need(weighted, 1), need(biased, 1 + usize::from(weighted))];
        let [dx, dw, db] = ops::layer_norm_backward(grad, &xt, wt.as_ref(), &stats, eps, wanted)?;
        let mut grads = vec![dx];
        grads.extend(weighted.then_some(dw));
        grads.extend(biased.then_some(db));
        Ok(grads)
    }))
}

/// Differentiable [`ops::rms_norm`].
///
/// # Errors
/// As [`ops::rms_norm`].
pub fn rms_norm(x: &Var, weight: Option<&Var>, options: RmsNorm) -> Result<Var> {
    let done = ops::rms_norm(x.value(), weight.map(Var::value), &options)?;
    let mut inputs = vec![x];
    inputs.extend(weight);
    let (xt, wt, stats) = (x.value().clone(), weight.map(|w| w.value().clone()), done.stats);
    Ok(record(&inputs, done.value, move |grad, needs| {
        let wanted = [needs[0], needs.get(1).copied().unwrap_or(false)];
        let [dx, dw] = ops::rms_norm_backward(grad, &xt, wt.as_ref(), &stats, &options, wanted)?;
        let mut grads = vec![dx];
        grads.extend(wt.is_some().then_some(dw));
        Ok(grads)
    }))
}

/// Differentiable [`ops::l2_normalize`].
///
/// # Errors
/// As [`ops::l2_normalize`].
pub fn l2_normalize(x: &Var, eps: f32) -> Result<Var> {
    let done = ops::l2_normalize(x.value(), eps)?;
    let (xt, stats) = (x.value().clone(), done.stats);
    Ok(record(&[x], done.value, move |grad, _| Ok(vec![Some(ops::l2_normalize_backward(grad, &xt, &stats, eps)?)])))
}
