//! `reduce/`: sums, means and counts.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Sizes of [`SUM_ROWS`].
    SumRowsParams { rows: u32, cols: u32, stretch: u32, stretches: u32 }
    /// Sizes of [`REDUCE_ROWS`], where it writes, and its factor.
    ReduceRowsParams { rows: u32, cols: u32, len: u32, first: u32, factor: f32 }
    /// Sizes of [`COUNT_NON_FINITE`] and where it writes.
    CountNonFiniteParams { rows: u32, cols: u32, len: u32, first: u32 }
    /// Sizes and factor of [`SPREAD_ROWS`].
    SpreadRowsParams { len: u32, cols: u32, factor: f32 }
    /// Sizes of [`MASKED_MEAN`] and [`MASKED_MEAN_GRAD`].
    MaskedMeanParams { batch: u32, tokens: u32, cols: u32 }
}

/// Column sums by stretches of rows.
pub const SUM_ROWS: Kernel =
    Kernel::plain("sum_rows", "reduce/sum_rows.wgsl", &[Read, ReadWrite], SumRowsParams::LAYOUT);

/// Sum, maximum or dot product of each row.
pub const REDUCE_ROWS: Kernel =
    Kernel::plain("reduce_rows", "reduce/reduce_rows.wgsl", &[Read, Read, ReadWrite], ReduceRowsParams::LAYOUT);

/// Counts infinities and NaNs.
pub const COUNT_NON_FINITE: Kernel =
    Kernel::plain("count_non_finite", "reduce/count_non_finite.wgsl", &[Read, ReadWrite], CountNonFiniteParams::LAYOUT);

/// Repeats one number along each row.
pub const SPREAD_ROWS: Kernel =
    Kernel::plain("spread_rows", "reduce/spread_rows.wgsl", &[Read, ReadWrite], SpreadRowsParams::LAYOUT);

/// Mean over the real tokens.
pub const MASKED_MEAN: Kernel = Kernel::plain(
    "masked_mean",
    "reduce/masked_mean.wgsl",
    &[Read, Read, ReadWrite, ReadWrite],
    MaskedMeanParams::LAYOUT,
);

/// Gradient of the mean over the real tokens.
pub const MASKED_MEAN_GRAD: Kernel = Kernel::plain(
    "masked_mean_grad",
    "reduce/masked_mean_grad.wgsl",
    &[Read, Read, Read, ReadWrite],
    MaskedMeanParams::LAYOUT,
);

pub(super) const KERNELS: &[Kernel] =
    &[SUM_ROWS, REDUCE_ROWS, COUNT_NON_FINITE, SPREAD_ROWS, MASKED_MEAN, MASKED_MEAN_GRAD];
