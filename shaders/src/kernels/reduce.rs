//! `reduce/`: sums.

use crate::kernel::params;
use crate::{
    Access::{Read, ReadWrite},
    Kernel, Params,
};

params! {
    /// Sizes of [`SUM_ROWS`].
    SumRowsParams { rows: u32, cols: u32, stretch: u32, stretches: u32 }
    /// Sizes of [`SUM_COLS`].
    SumColsParams { rows: u32, cols: u32 }
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

/// Sums of rows.
pub const SUM_COLS: Kernel = Kernel {
    name: "sum_cols",
    file: "reduce/sum_cols.wgsl",
    bindings: &[Read, ReadWrite],
    params: SumColsParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[SUM_ROWS, SUM_COLS];
