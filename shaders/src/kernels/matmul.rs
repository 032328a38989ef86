//! `matmul/`: matrix products.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Elem, Kernel, Params, params,
};

params! {
    /// Sizes and strides, in elements, of a batched matrix product.
    MatmulParams {
        m: u32, n: u32, k: u32, batch: u32,
        a_row: u32, a_col: u32, b_row: u32, b_col: u32,
        a_batch: u32, b_batch: u32, alpha: f32, epilogue: u32,
    }
}

/// Portable workgroup tiles, any shape.
pub const MATMUL_TILE: Kernel = Kernel {
    name: "matmul_tile",
    file: "matmul/matmul_tile.wgsl",
    bindings: &[Read, Read, Read, Read, ReadWrite],
    params: MatmulParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 256,
};

/// Workgroup tiles with vector loads, sizes divisible by 4; the element type is that of the second operand.
pub const MATMUL_TILE4: Kernel = Kernel {
    name: "matmul_tile4",
    file: "matmul/matmul_tile4.wgsl",
    bindings: &[Read, Read, Read, Read, ReadWrite],
    params: MatmulParams::LAYOUT,
    elems: &[Elem::F32, Elem::F16, Elem::F16Packed, Elem::I8],
    consts: &[],
    subgroup: false,
    workgroup_size: 256,
};

/// Register tiles with broadcast rows, for subgroups of 8.
pub const MATMUL_SUBGROUP: Kernel = Kernel {
    name: "matmul_subgroup",
    file: "matmul/matmul_subgroup.wgsl",
    bindings: &[Read, Read, Read, Read, ReadWrite],
    params: MatmulParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: true,
    workgroup_size: 8,
};

/// Register tiles with broadcast rows and vector loads, for subgroups of 8 and sizes divisible by 4.
pub const MATMUL_SUBGROUP4: Kernel = Kernel {
    name: "matmul_subgroup4",
    file: "matmul/matmul_subgroup4.wgsl",
    bindings: &[Read, Read, Read, Read, ReadWrite],
    params: MatmulParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: true,
    workgroup_size: 8,
};

pub(super) const KERNELS: &[Kernel] = &[MATMUL_TILE, MATMUL_TILE4, MATMUL_SUBGROUP, MATMUL_SUBGROUP4];
