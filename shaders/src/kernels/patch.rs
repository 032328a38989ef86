//! `patch/`: pictures and clips as rows of patches.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes of [`CONV2D_PATCHES`] and [`CONV2D_PATCHES_BACKWARD`].
    Conv2dPatchesParams {
        chunks: u32, chunk: u32, height: u32, width: u32, channels: u32, out_h: u32, out_w: u32,
        kernel_h: u32, kernel_w: u32, stride_y: u32, stride_x: u32, pad_y: u32, pad_x: u32,
    }
    /// Sizes of [`TUBELET_PATCHES`].
    TubeletPatchesParams {
        chunks: u32, chunk: u32, grid_h: u32, grid_w: u32,
        channels: u32, tubelet: u32, patch_size: u32,
    }
}

/// Patches of a channels-last picture.
pub const CONV2D_PATCHES: Kernel = Kernel {
    name: "conv2d_patches",
    file: "patch/conv2d_patches.wgsl",
    bindings: &[Read, ReadWrite],
    params: Conv2dPatchesParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Its gradient.
pub const CONV2D_PATCHES_BACKWARD: Kernel = Kernel {
    name: "conv2d_patches_backward",
    file: "patch/conv2d_patches_backward.wgsl",
    bindings: &[Read, ReadWrite],
    params: Conv2dPatchesParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Tubelets of a clip, and back.
pub const TUBELET_PATCHES: Kernel = Kernel {
    name: "tubelet_patches",
    file: "patch/tubelet_patches.wgsl",
    bindings: &[Read, ReadWrite],
    params: TubeletPatchesParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[CONV2D_PATCHES, CONV2D_PATCHES_BACKWARD, TUBELET_PATCHES];
