//! CPU twins: plain loops with f64 sums, the specification that kernels are tested against.
//!
//! Options that have a meaning without a device are declared here, beside the loops that define it, and re-exported by
//! `ops`.

mod activation;
mod attention;
mod batch_norm;
mod cast;
pub(crate) mod contrast;
mod cross_entropy;
#[cfg(test)]
mod differences;
pub(crate) mod dropout;
pub(crate) mod elementwise;
mod gather;
mod layout;
pub(crate) mod matmul;
mod modulate;
mod norm;
pub(crate) mod optim;
pub(crate) mod patch;
mod reduce;
pub(crate) mod rope;
mod sigreg;
mod softmax;
pub(crate) mod unary;

pub use activation::{activate, activate_grad, erf, gated, gated_backward};
pub use attention::{AttentionSpec, attention, attention_backward};
pub use batch_norm::{BatchNorm, batch_norm, batch_norm_backward, batch_norm_fixed, batch_norm_fixed_backward};
pub use cast::{round_f16, round_i8};
pub use contrast::{InfoNceGrads, Pairs, info_nce};
pub use cross_entropy::cross_entropy;
pub use dropout::{drop_factor, dropout, random4};
pub use elementwise::binary;
pub use gather::{gather_rows, scatter_add};
pub use layout::permute;
pub use matmul::matmul;
pub use modulate::{gated_add, gated_add_backward, modulate, modulate_backward};
pub use norm::{Norm, NormGrads, norm, norm_backward};
pub use optim::{adamw, clip_scale};
pub use patch::{conv2d_patches, conv2d_patches_backward, tubelet_patches};
pub use reduce::{masked_mean, spread_rows, sum_rows};
pub use rope::{rope_3d, rope_half};
pub use sigreg::{sigreg, sigreg_backward, sigreg_knots};
pub use softmax::{softmax, softmax_backward};
pub use unary::{unary, unary_at, unary_backward};
