//! What the row-wise operators share: how many invocations work on one row.

use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// How many neighbouring invocations of a workgroup of 64 share one row of `cols` elements in the kernels over
/// `shared/reduce.wgsl`.
///
/// On software adapters workgroup barriers are dear and strided loads cost nothing: one invocation per row. On GPUs
/// neighbouring invocations should read neighbouring elements; short rows share a workgroup.
pub fn choose_lanes(caps: &Capabilities, cols: usize) -> u32 {
    match cols {
        _ if caps.software => 1,
        0..=32 => 8,
        _ => 64,
    }
}

/// Rows and columns of a tensor whose rows must not be empty.
pub(super) fn rows_cols(op: &'static str, x: &Tensor) -> Result<(usize, usize)> {
    let (rows, cols) = x.rows_cols();
    if cols == 0 {
        return Err(Error::shape(op, format!("the last axis of {:?} is empty", x.shape())));
    }
    Ok((rows, cols))
}

/// Refuses tensors that are not of the shape of `x`.
pub(super) fn same_shape(op: &'static str, name: &str, t: &Tensor, x: &Tensor) -> Result<()> {
    if t.shape() == x.shape() {
        return Ok(());
    }
    Err(Error::shape(op, format!("{name} {:?} for an input {:?}", t.shape(), x.shape())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_keeps_rows_to_one_invocation() {
        let mut caps = Capabilities::none();
        assert_eq!([1, 32, 33, 2048].map(|cols| choose_lanes(&caps, cols)), [8, 8, 64, 64]);
        caps.software = true;
        assert_eq!([1, 32, 33, 2048].map(|cols| choose_lanes(&caps, cols)), [1; 4]);
    }
}
