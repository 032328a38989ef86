//! `rope/`: rotary position embeddings.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes, patch grid and scales of rows and columns of [`ROPE_3D`].
    Rope3dParams {
        tokens: u32, heads: u32, head_dim: u32, ids_len: u32, grid_cols: u32, grid_area: u32, row_scale: f32,
        col_scale: f32,
    }
    /// Sizes and first position of [`ROPE_HALF`].
    RopeHalfParams { tokens: u32, heads: u32, head_dim: u32, ids_len: u32, offset: u32 }
}

/// V-JEPA 2's and 2.1's rotation by frame, row and column.
pub const ROPE_3D: Kernel = Kernel {
    name: "rope_3d",
    file: "rope/rope_3d.wgsl",
    bindings: &[Read, Read, Read, ReadWrite],
    params: Rope3dParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Llama's half-split rotation.
pub const ROPE_HALF: Kernel = Kernel {
    name: "rope_half",
    file: "rope/rope_half.wgsl",
    bindings: &[Read, Read, Read, ReadWrite],
    params: RopeHalfParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[ROPE_3D, ROPE_HALF];
