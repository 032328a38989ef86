//! Dropout.

use vljepa_shaders::kernels::elementwise::{DROPOUT, DropoutParams};

use super::elementwise::need_f32;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::dropout::Dropout;

/// Sets elements to zero at random and scales the others by `1 / (1 - p)`, f32. Its gradient is the same map of the
/// gradient with the same options.
///
/// # Errors
/// [`Error::Invalid`] when `p` is not in `[0, 1)`, [`Error::Dtype`] for other types.
pub fn dropout(x: &Tensor, options: &Dropout) -> Result<Tensor> {
    need_f32("dropout", &[x])?;
    if !(0.0..1.0).contains(&options.p) {
        return Err(Error::Invalid(format!("dropout: the probability {} is not in [0, 1)", options.p)));
    }
    if options.p == 0.0 {
        return Ok(x.clone());
    }
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let params = DropoutParams {
        len: x.len() as u32,
        step: options.step,
        seed_low: options.seed as u32,
        seed_high: (options.seed >> 32) as u32,
        threshold: (options.p * 4_294_967_296.0) as u32,
        scale: (1.0 / (1.0 - options.p)) as f32,
    };
    Launch::op(&DROPOUT, [Some(x), Some(&y)]).record_elements(x.device(), &params, x.len() as u64)?;
    Ok(y)
}
