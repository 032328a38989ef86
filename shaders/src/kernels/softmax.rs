//! `softmax/`: softmax of rows.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes of [`SOFTMAX`] and [`SOFTMAX_GRAD`].
    SoftmaxParams { rows: u32, cols: u32 }
}

/// Softmax of rows.
pub const SOFTMAX: Kernel = Kernel::plain("softmax", "softmax/softmax.wgsl", &[Read, ReadWrite], SoftmaxParams::LAYOUT);

/// Gradient of softmax from its result.
pub const SOFTMAX_GRAD: Kernel =
    Kernel::plain("softmax_grad", "softmax/softmax_grad.wgsl", &[Read, Read, ReadWrite], SoftmaxParams::LAYOUT);

pub(super) const KERNELS: &[Kernel] = &[SOFTMAX, SOFTMAX_GRAD];
