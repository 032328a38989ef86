//! `norm/`: layer norm, RMS norm and L2 normalisation of rows; batch norm of columns.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes and epsilon of [`NORM`] and [`NORM_GRAD_X`].
    NormParams { rows: u32, cols: u32, eps: f32 }
    /// Sizes of [`NORM_GRAD_WEIGHT`].
    NormGradWeightParams { rows: u32, cols: u32, stretch: u32, stretches: u32 }
    /// Sizes and epsilon of [`BATCH_NORM`], [`BATCH_NORM_FIXED`] and [`BATCH_NORM_GRAD`].
    BatchNormParams { rows: u32, cols: u32, eps: f32 }
}

/// Normalised rows and their statistics.
pub const NORM: Kernel = Kernel {
    name: "norm",
    file: "norm/norm.wgsl",
    bindings: &[Read, Read, Read, ReadWrite, ReadWrite],
    params: NormParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Gradient with respect to the input.
pub const NORM_GRAD_X: Kernel = Kernel {
    name: "norm_grad_x",
    file: "norm/norm_grad_x.wgsl",
    bindings: &[Read, Read, Read, Read, ReadWrite],
    params: NormParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Gradient with respect to the weight, by stretches of rows.
pub const NORM_GRAD_WEIGHT: Kernel = Kernel {
    name: "norm_grad_weight",
    file: "norm/norm_grad_weight.wgsl",
    bindings: &[Read, Read, Read, ReadWrite],
    params: NormGradWeightParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Columns normalised by their own statistics, and these.
pub const BATCH_NORM: Kernel = Kernel {
    workgroup_size: 256,
    ..Kernel::plain(
        "batch_norm",
        "norm/batch_norm.wgsl",
        &[Read, Read, Read, ReadWrite, ReadWrite, ReadWrite],
        BatchNormParams::LAYOUT,
    )
};

/// Columns normalised by given statistics.
pub const BATCH_NORM_FIXED: Kernel = Kernel::plain(
    "batch_norm_fixed",
    "norm/batch_norm_fixed.wgsl",
    &[Read, Read, Read, Read, Read, ReadWrite],
    BatchNormParams::LAYOUT,
);

/// Gradients of both.
pub const BATCH_NORM_GRAD: Kernel = Kernel {
    workgroup_size: 256,
    ..Kernel::plain(
        "batch_norm_grad",
        "norm/batch_norm_grad.wgsl",
        &[Read, Read, Read, Read, Read, ReadWrite, ReadWrite, ReadWrite],
        BatchNormParams::LAYOUT,
    )
};

pub(super) const KERNELS: &[Kernel] =
    &[NORM, NORM_GRAD_X, NORM_GRAD_WEIGHT, BATCH_NORM, BATCH_NORM_FIXED, BATCH_NORM_GRAD];
