//! Sums.

use vljepa_shaders::kernels::reduce::{SUM_COLS, SUM_ROWS, SumColsParams, SumRowsParams};

use super::elementwise::need_f32;
use super::rows::choose_lanes;
use crate::{Dtype, Launch, Result, Tensor};

/// Rows that one invocation adds up. Short enough that many invocations share a long column.
pub(super) const STRETCH: usize = 64;

/// Sums over all axes but the last: `[.., cols]` → `[cols]`, f32. The tree of sums depends on the shape alone.
///
/// # Errors
/// [`crate::Error::Dtype`] for other types, allocation errors.
pub fn sum_rows(x: &Tensor) -> Result<Tensor> {
    need_f32("sum_rows", &[x])?;
    let (mut rows, cols) = x.rows_cols();
    if rows == 0 {
        return Tensor::zeros(x.device(), &[cols], Dtype::F32);
    }
    let mut x = x.clone();
    loop {
        let stretches = rows.div_ceil(STRETCH);
        let y = Tensor::empty(x.device(), &[stretches, cols], Dtype::F32)?;
        let params = SumRowsParams {
            rows: rows as u32,
            cols: cols as u32,
            stretch: STRETCH as u32,
            stretches: stretches as u32,
        };
        Launch::new(&SUM_ROWS, [Some(&x), Some(&y)]).record_elements(x.device(), &params, y.len() as u64)?;
        if stretches == 1 {
            return y.reshape(&[cols]);
        }
        (rows, x) = (stretches, y);
    }
}

/// Sums over the last axis: `[.., cols]` → `[..]`, f32; no columns sum to zero.
///
/// # Errors
/// [`crate::Error::Dtype`] for other types, allocation errors.
pub fn sum_cols(x: &Tensor) -> Result<Tensor> {
    need_f32("sum_cols", &[x])?;
    let (rows, cols) = x.rows_cols();
    let y = Tensor::empty(x.device(), &x.shape()[..x.shape().len().saturating_sub(1)], Dtype::F32)?;
    let lanes = choose_lanes(x.device().capabilities(), cols);
    let params = SumColsParams { rows: rows as u32, cols: cols as u32 };
    Launch::new(&SUM_COLS, [Some(x), Some(&y)]).overrides(&[("LANES", lanes)]).record_elements(
        x.device(),
        &params,
        rows as u64 * u64::from(lanes),
    )?;
    Ok(y)
}
