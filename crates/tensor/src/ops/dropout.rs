//! Dropout.

use vljepa_shaders::kernels::elementwise::{DROPOUT, DropoutParams};

use super::elementwise::need_f32;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::dropout::Dropout;

/// What kernels draw by: step, seed in two words, threshold and scale of what is kept; `None` where nothing is dropped.
pub(super) fn draw(op: &'static str, options: &Dropout) -> Result<Option<([u32; 4], f32)>> {
    if !(0.0..1.0).contains(&options.p) {
        return Err(Error::Invalid(format!("{op}: the dropout's probability {} is not in [0, 1)", options.p)));
    }
    let threshold = (options.p * 4_294_967_296.0) as u32;
    let counter = [options.step, options.seed as u32, (options.seed >> 32) as u32, threshold];
    Ok((options.p > 0.0).then_some((counter, (1.0 / (1.0 - options.p)) as f32)))
}

/// Sets elements to zero at random and scales the others by `1 / (1 - p)`, f32. Its gradient is the same map of the
/// gradient with the same options.
///
/// # Errors
/// [`Error::Invalid`] when `p` is not in `[0, 1)`, [`Error::Dtype`] for other types.
pub fn dropout(x: &Tensor, options: &Dropout) -> Result<Tensor> {
    need_f32("dropout", &[x])?;
    let Some(([step, seed_low, seed_high, threshold], scale)) = draw("dropout", options)? else {
        return Ok(x.clone());
    };
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let params = DropoutParams { len: x.len() as u32, step, seed_low, seed_high, threshold, scale };
    Launch::op(&DROPOUT, [Some(x), Some(&y)]).record_elements(x.device(), &params, x.len() as u64)?;
    Ok(y)
}
