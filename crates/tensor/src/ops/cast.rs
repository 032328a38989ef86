//! Conversion between element types.

use vljepa_shaders::kernels::elementwise::{CAST, DEQUANTIZE, DequantizeParams, LenParams};

use super::layout::choose_chunk;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

/// `x` with elements of type `to`; a tensor that has the type already is shared, not copied.
///
/// To f16: round to nearest even, overflow becomes infinity. To u32: towards zero; negative numbers and NaN become 0.
///
/// # Errors
/// [`Error::Dtype`] for any two types of which neither is f32 (f16, u32 and i8 reach each other by way of it), and from f32
/// to i8 ([`Tensor::from_f32_as_i8`] makes those); allocation errors.
pub fn cast(x: &Tensor, to: Dtype) -> Result<Tensor> {
    let mode = match (x.dtype(), to) {
        (from, to) if from == to => return Ok(x.clone()),
        (Dtype::I8, Dtype::F32) => return dequantize(x),
        (Dtype::F32, Dtype::F16) => 0,
        (Dtype::F16, Dtype::F32) => 1,
        (Dtype::U32, Dtype::F32) => 2,
        (Dtype::F32, Dtype::U32) => 3,
        (from, to) => return Err(Error::Dtype { op: "cast", what: format!("{from:?} to {to:?}: go by way of F32") }),
    };
    let y = Tensor::empty(x.device(), x.shape(), to)?;
    let params = LenParams { len: x.len() as u32 };
    Launch::op(&CAST, [Some(x), Some(&y)]).overrides(&[("MODE", mode)]).record_elements(
        x.device(),
        &params,
        x.len().div_ceil(2) as u64,
    )?;
    Ok(y)
}

fn dequantize(x: &Tensor) -> Result<Tensor> {
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let (rows, cols) = x.rows_cols();
    let chunk = choose_chunk(x.device().capabilities(), cols);
    let params = DequantizeParams { rows: rows as u32, cols: cols as u32, chunk: chunk as u32 };
    let chunks = rows * cols.div_ceil(chunk);
    Launch::op(&DEQUANTIZE, [Some(x), Some(&y)]).record_elements(x.device(), &params, chunks as u64)?;
    Ok(y)
}
