//! `elementwise/`: one output element per invocation.

use crate::kernel::params;
use crate::{
    Access::{Read, ReadWrite},
    Kernel, Params,
};

params! {
    /// Lengths and factors of [`BINARY`].
    BinaryParams { len: u32, b_len: u32, alpha: f32, beta: f32 }
    /// Length and bit pattern of [`FILL`].
    FillParams { len: u32, bits: u32 }
}

/// Arithmetic of two tensors.
pub const BINARY: Kernel = Kernel {
    name: "binary",
    file: "elementwise/binary.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: BinaryParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Sets every element.
pub const FILL: Kernel = Kernel {
    name: "fill",
    file: "elementwise/fill.wgsl",
    bindings: &[ReadWrite],
    params: FillParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[BINARY, FILL];
