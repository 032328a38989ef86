//! `loss/`: cross-entropy, contrastive losses and what keeps embeddings apart without negatives.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes and options of [`CROSS_ENTROPY`] and [`CROSS_ENTROPY_GRAD`].
    CrossEntropyParams { rows: u32, cols: u32, ignore: u32, smoothing: f32, invalid: f32 }
    /// Nothing: [`WEIGHTED_MEAN`] has no sizes.
    WeightedMeanParams { unused: u32 }
    /// Sizes, strides and options of [`CONTRAST`].
    ContrastParams {
        rows: u32, cols: u32, row_stride: u32, col_stride: u32, first: u32, max_log_scale: f32, invalid: f32,
    }
    /// Sizes and factors of [`CONTRAST_GRAD`].
    ContrastGradParams { rows: u32, cols: u32, factor: f32, max_log_scale: f32 }
    /// The cap of [`LOG_SCALE_GRAD`].
    LogScaleGradParams { max_log_scale: f32 }
    /// Sizes and knots of [`SIGREG_SUMS`], without the knot 0.
    SigregSumsParams { groups: u32, rows: u32, cols: u32, knots: u32, spacing: f32, stretch: u32, stretches: u32 }
    /// Sizes of [`SIGREG`].
    SigregParams { groups: u32, rows: u32, cols: u32, knots: u32, stretches: u32 }
    /// Sizes, knots and factor of [`SIGREG_GRAD`].
    SigregGradParams { groups: u32, rows: u32, cols: u32, knots: u32, spacing: f32, factor: f32 }
}

/// Log-sum-exp and loss of each row of logits.
pub const CROSS_ENTROPY: Kernel = Kernel::plain(
    "cross_entropy",
    "loss/cross_entropy.wgsl",
    &[Read, Read, ReadWrite, ReadWrite],
    CrossEntropyParams::LAYOUT,
);

/// Gradient of the mean cross-entropy.
pub const CROSS_ENTROPY_GRAD: Kernel = Kernel::plain(
    "cross_entropy_grad",
    "loss/cross_entropy_grad.wgsl",
    &[Read, Read, Read, Read, Read, ReadWrite],
    CrossEntropyParams::LAYOUT,
);

/// A mean from a sum and a count.
pub const WEIGHTED_MEAN: Kernel = Kernel {
    workgroup_size: 1,
    ..Kernel::plain("weighted_mean", "loss/weighted_mean.wgsl", &[Read, ReadWrite], WeightedMeanParams::LAYOUT)
};

/// One direction of InfoNCE over cosines.
pub const CONTRAST: Kernel = Kernel::plain(
    "contrast",
    "loss/contrast.wgsl",
    &[Read, Read, Read, Read, Read, ReadWrite, ReadWrite],
    ContrastParams::LAYOUT,
);

/// Gradient of InfoNCE with respect to the cosines.
pub const CONTRAST_GRAD: Kernel = Kernel::plain(
    "contrast_grad",
    "loss/contrast_grad.wgsl",
    &[Read, Read, Read, Read, Read, Read, Read, ReadWrite],
    ContrastGradParams::LAYOUT,
);

/// Gradient of a capped log-scale.
pub const LOG_SCALE_GRAD: Kernel = Kernel {
    workgroup_size: 1,
    ..Kernel::plain("log_scale_grad", "loss/log_scale_grad.wgsl", &[Read, Read, ReadWrite], LogScaleGradParams::LAYOUT)
};

/// Characteristic functions of samples by stretches of them.
pub const SIGREG_SUMS: Kernel =
    Kernel::plain("sigreg_sums", "loss/sigreg_sums.wgsl", &[Read, ReadWrite], SigregSumsParams::LAYOUT);

/// How far they lie from that of a standard normal distribution.
pub const SIGREG: Kernel =
    Kernel::plain("sigreg", "loss/sigreg.wgsl", &[Read, Read, ReadWrite, ReadWrite], SigregParams::LAYOUT);

/// Gradient of the mean of these distances.
pub const SIGREG_GRAD: Kernel =
    Kernel::plain("sigreg_grad", "loss/sigreg_grad.wgsl", &[Read, Read, Read, ReadWrite], SigregGradParams::LAYOUT);

pub(super) const KERNELS: &[Kernel] = &[
    CROSS_ENTROPY,
    CROSS_ENTROPY_GRAD,
    WEIGHTED_MEAN,
    CONTRAST,
    CONTRAST_GRAD,
    LOG_SCALE_GRAD,
    SIGREG_SUMS,
    SIGREG,
    SIGREG_GRAD,
];
