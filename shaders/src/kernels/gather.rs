//! `gather/`: moving elements.

use super::elementwise::LenParams;
use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes of [`GATHER_ROWS`].
    GatherRowsParams { rows: u32, cols: u32, table_rows: u32, first_row: u32, part_rows: u32, chunk: u32 }
    /// Sizes of [`SCATTER_ADD`].
    ScatterAddParams { rows: u32, cols: u32, table_rows: u32 }
    /// Sizes and places of [`COPY_LINES`].
    CopyLinesParams {
        lines: u32, width: u32, x_pitch: u32, x_offset: u32, y_pitch: u32, y_offset: u32, chunk: u32,
    }
    /// Sizes of the result and strides of the source of [`PERMUTE`].
    PermuteParams {
        lines: u32, d1: u32, d2: u32, d3: u32, s0: u32, s1: u32, s2: u32, s3: u32, chunk: u32,
    }
}

/// Rows of a table by number.
pub const GATHER_ROWS: Kernel = Kernel {
    name: "gather_rows",
    file: "gather/gather_rows.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: GatherRowsParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Chains of equal ids.
pub const ID_CHAINS: Kernel = Kernel {
    name: "id_chains",
    file: "gather/id_chains.wgsl",
    bindings: &[Read, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Sums of rows into the rows of a table.
pub const SCATTER_ADD: Kernel = Kernel {
    name: "scatter_add",
    file: "gather/scatter_add.wgsl",
    bindings: &[Read, Read, Read, ReadWrite],
    params: ScatterAddParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// A stretch of every line into another tensor.
pub const COPY_LINES: Kernel = Kernel {
    name: "copy_lines",
    file: "gather/copy_lines.wgsl",
    bindings: &[Read, ReadWrite],
    params: CopyLinesParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Reordered axes.
pub const PERMUTE: Kernel = Kernel {
    name: "permute",
    file: "gather/permute.wgsl",
    bindings: &[Read, ReadWrite],
    params: PermuteParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[GATHER_ROWS, ID_CHAINS, SCATTER_ADD, COPY_LINES, PERMUTE];
