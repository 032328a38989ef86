//! `optim/`: what a training step does to parameters, in place.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Length and coefficients of [`ADAMW`].
    AdamwParams {
        len: u32, keep: f32, beta1: f32, one_minus_beta1: f32, beta2: f32, one_minus_beta2: f32,
        eps: f32, step_size: f32, root_correction: f32,
    }
    /// Length and factors of [`ASSIGN`].
    AssignParams { len: u32, alpha: f32, beta: f32 }
    /// Length and place of [`SQUARE_SUMS`].
    SquareSumsParams { len: u32, partials: u32, offset: u32 }
    /// Number of sums and bound of [`CLIP_SCALE`].
    ClipScaleParams { len: u32, max_norm: f32 }
}

/// One step of AdamW.
pub const ADAMW: Kernel = Kernel {
    name: "adamw",
    file: "optim/adamw.wgsl",
    bindings: &[Read, Read, ReadWrite, ReadWrite, ReadWrite],
    params: AdamwParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// A tensor overwritten with a combination of itself and another.
pub const ASSIGN: Kernel = Kernel {
    name: "assign",
    file: "optim/assign.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: AssignParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Partial sums of squares.
pub const SQUARE_SUMS: Kernel = Kernel {
    name: "square_sums",
    file: "optim/square_sums.wgsl",
    bindings: &[Read, ReadWrite],
    params: SquareSumsParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// The factor of gradient clipping.
pub const CLIP_SCALE: Kernel = Kernel {
    name: "clip_scale",
    file: "optim/clip_scale.wgsl",
    bindings: &[Read, ReadWrite],
    params: ClipScaleParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[ADAMW, ASSIGN, SQUARE_SUMS, CLIP_SCALE];
