//! `reduce/`: sums.

use crate::kernel::params;
use crate::{
    Access::{Read, ReadWrite},
    Kernel, Params,
};

params! {
    /// Sizes of [`SUM_ROWS`].
    SumRowsParams { rows: u32, cols: u32, stretch: u32, stretches: u32 }
}

/// Column sums by stretches of rows.
pub const SUM_ROWS: Kernel = Kernel {
    name: "sum_rows",
    file: "reduce/sum_rows.wgsl",
    bindings: &[Read, ReadWrite],
    params: SumRowsParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[SUM_ROWS];
