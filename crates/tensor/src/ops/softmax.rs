//! Softmax over the last axis.

use vljepa_shaders::kernels::softmax::{SOFTMAX, SOFTMAX_GRAD, SoftmaxParams};

use super::elementwise::need_f32;
use super::rows::{choose_lanes, rows_cols, same_shape};
use crate::error::Result;
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

const OP: &str = "softmax";

/// Softmax over the last axis, f32.
///
/// # Errors
/// [`crate::Error::Shape`] when the last axis is empty, [`crate::Error::Dtype`].
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    need_f32(OP, &[x])?;
    let (rows, cols) = rows_cols(OP, x)?;
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let lanes = choose_lanes(x.device().capabilities(), cols);
    Launch::op(&SOFTMAX, [Some(x), Some(&y)])
        .overrides(&[("LANES", lanes)])
        .work(20 * x.len() as u64)
        .record_elements(
            x.device(),
            &SoftmaxParams { rows: rows as u32, cols: cols as u32 },
            rows as u64 * u64::from(lanes),
        )?;
    Ok(y)
}

/// Gradient of [`softmax`] from its result `y`.
///
/// # Errors
/// As [`softmax`].
pub fn softmax_backward(grad: &Tensor, y: &Tensor) -> Result<Tensor> {
    need_f32(OP, &[grad, y])?;
    same_shape(OP, "gradient", grad, y)?;
    let (rows, cols) = rows_cols(OP, y)?;
    let dx = Tensor::empty(y.device(), y.shape(), Dtype::F32)?;
    let lanes = choose_lanes(y.device().capabilities(), cols);
    Launch::op(&SOFTMAX_GRAD, [Some(grad), Some(y), Some(&dx)])
        .overrides(&[("LANES", lanes)])
        .work(6 * y.len() as u64)
        .record_elements(
            y.device(),
            &SoftmaxParams { rows: rows as u32, cols: cols as u32 },
            rows as u64 * u64::from(lanes),
        )?;
    Ok(dx)
}
