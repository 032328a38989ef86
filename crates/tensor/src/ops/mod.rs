//! Operators: a function with an options struct each, recording one or a few kernels.
//!
//! Every operator checks shapes first and returns a typed error before anything is recorded. `choose` functions say
//! which kernel variant runs for which capabilities and shapes.

mod activation;
mod attention;
mod batch_norm;
mod cast;
mod contrast;
mod cross_entropy;
mod dropout;
mod elementwise;
mod gather;
mod layout;
mod matmul;
mod modulate;
mod norm;
mod optim;
mod patch;
mod reduce;
mod rope;
mod rows;
mod sigreg;
mod softmax;
mod unary;

pub use activation::{activate, activate_backward, gated, gated_backward};
pub use attention::{Attention, AttentionVariant, attention, attention_backward, attention_with_lse, choose_attention};
pub use batch_norm::{
    BatchNormed, batch_norm, batch_norm_backward, batch_norm_fixed, batch_norm_fixed_backward, choose_column_lanes,
    running_statistics_assign,
};
pub use cast::cast;
pub use contrast::{Contrast, ContrastLoss, Duplicates, contrast, contrast_backward};
pub use cross_entropy::{CrossEntropy, CrossEntropyLoss, cross_entropy, cross_entropy_backward};
pub use dropout::{Dropout, dropout};
pub use elementwise::{BinaryOp, add, binary, full, mul, sub};
pub use gather::{gather_rows, gather_rows_of_parts, scatter_add, upload_ids};
pub(crate) use layout::slice_backward;
pub use layout::{choose_chunk, concat, permute, slice, transpose};
pub use matmul::{Layout, Matmul, MatmulVariant, choose_matmul, matmul};
pub use modulate::{gated_add, gated_add_backward, modulate, modulate_backward};
pub use norm::{
    NormWeight, Normalised, RmsNorm, l2_normalize, l2_normalize_backward, layer_norm, layer_norm_backward, rms_norm,
    rms_norm_backward,
};
pub use optim::{
    AdamW, adamw_assign, add_assign, choose_square_partials, clip_scale, ema_assign, scale_assign, square_sums,
};
pub use patch::{
    Conv2dPatches, choose_patch_chunk, conv2d_patches, conv2d_patches_backward, tubelet_patches,
    tubelet_patches_backward,
};
pub use reduce::{
    MaskedMean, count_non_finite, dot, masked_mean, masked_mean_backward, max_cols, mean, mean_cols, spread_rows, sum,
    sum_cols, sum_rows,
};
pub use rope::{
    Llama3Scaling, Rope3d, Rope3dForm, RopeHalf, rope_3d, rope_3d_backward, rope_3d_frequencies, rope_half,
    rope_half_backward, rope_half_frequencies,
};
pub use rows::choose_lanes;
pub use sigreg::{Sigreg, choose_sigreg_stretch, sigreg, sigreg_backward};
pub use softmax::{softmax, softmax_backward};
pub use unary::{UnaryOp, abs, clamp, exp, log, scale, sqrt, unary, unary_backward};
