//! Reverse-mode differentiation: a tape of closures over the operators of [`crate::ops`].
//!
//! [`Var`] is a tensor that may stand on a [`Tape`]. Every function here mirrors an operator of the same name; when no
//! input stands on a tape it only computes, so that one model definition serves inference and training.

mod activation;
mod attention;
mod batch_norm;
mod contrast;
mod cross_entropy;
mod dropout;
mod elementwise;
mod gather;
mod layout;
mod matmul;
mod modulate;
mod norm;
mod patch;
mod reduce;
mod rope;
mod sigreg;
mod softmax;
mod tape;
mod unary;

pub use activation::{activate, gated};
pub use attention::attention;
pub use batch_norm::{BatchNormed, batch_norm, batch_norm_fixed};
pub use contrast::{InfoNce, InfoNceLoss, contrast, info_nce};
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use elementwise::{add, mul, sub};
pub use gather::gather_rows;
pub use layout::{concat, permute, slice, transpose};
pub use matmul::{linear, matmul};
pub use modulate::{gated_add, modulate};
pub use norm::{l2_normalize, layer_norm, rms_norm};
pub use patch::{conv2d_patches, tubelet_patches};
pub use reduce::{masked_mean, mean, mean_cols, sum, sum_cols};
pub use rope::{rope_3d, rope_half};
pub use sigreg::sigreg;
pub use softmax::softmax;
pub use tape::{Gradients, Tape, Var, checkpoint};
pub use unary::{abs, clamp, exp, scale, unary};
