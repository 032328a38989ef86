//! Reverse-mode differentiation: a tape of closures over the operators of [`crate::ops`].
//!
//! [`Var`] is a tensor that may stand on a [`Tape`]. Every function here mirrors an operator of the same name; when no
//! input stands on a tape it only computes, so that one model definition serves inference and training.

mod attention;
mod elementwise;
mod gather;
mod loss;
mod matmul;
mod norm;
mod patch;
mod reduce;
mod rope;
mod tape;

pub use attention::attention;
pub use elementwise::{activate, add, clamp, exp, gated, mul, scale, sub, unary};
pub use gather::{concat, dropout, gather_rows, permute, slice, transpose};
pub use loss::{InfoNce, InfoNceLoss, contrast, cross_entropy, info_nce, softmax};
pub use matmul::{linear, matmul};
pub use norm::{l2_normalize, layer_norm, rms_norm};
pub use patch::{conv2d_patches, tubelet_patches};
pub use reduce::{masked_mean, mean, mean_cols, sum, sum_cols};
pub use rope::{rope_3d, rope_half};
pub use tape::{Gradients, Tape, Var, checkpoint};
