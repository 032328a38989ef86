//! Gradients of attention.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops::{self, Attention};

/// Differentiable [`ops::attention`]; keeps the result and the log-sum-exp, not the scores. Dropout is
/// drawn again in the backward pass.
///
/// # Errors
/// As [`ops::attention`].
pub fn attention(q: &Var, k: &Var, v: &Var, options: &Attention<'_>) -> Result<Var> {
    let (o, lse) = ops::attention_with_lse(q.value(), k.value(), v.value(), options)?;
    let inputs = [q, k, v].map(|x| x.value().clone());
    let mask = options.key_mask.cloned();
    let Attention { heads, kv_heads, scale, causal, window, dropout, .. } = *options;
    let result = o.clone();
    Ok(record(&[q, k, v], o, move |grad, _| {
        let options = Attention { heads, kv_heads, scale, causal, window, dropout, key_mask: mask.as_ref() };
        let [q, k, v] = &inputs;
        let grads = ops::attention_backward([q, k, v], &result, &lse, grad, &options)?;
        Ok(grads.into_iter().map(Some).collect())
    }))
}
