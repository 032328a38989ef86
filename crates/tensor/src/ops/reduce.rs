//! Sums.

use vljepa_shaders::kernels::reduce::{SUM_ROWS, SumRowsParams};

use super::elementwise::need_f32;
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
