//! CPU twins: plain loops with f64 sums, the specification that kernels are tested against.

mod activation;
mod attention;
mod elementwise;
mod gather;
mod loss;
mod matmul;
mod norm;
mod optim;
mod patch;
mod reduce;
mod rope;

pub use activation::{activate, activate_grad, erf};
pub use attention::{AttentionSpec, attention, attention_backward};
pub use elementwise::{binary, gated, gated_backward, round_f16, round_i8, unary, unary_at, unary_backward};
pub use gather::{dropout, gather_rows, permute, random4, scatter_add};
pub use loss::{InfoNceGrads, Pairs, cross_entropy, info_nce, softmax, softmax_backward};
pub use matmul::matmul;
pub use norm::{Norm, NormGrads, norm, norm_backward};
pub use optim::{adamw, clip_scale};
pub use patch::{conv2d_patches, conv2d_patches_backward, tubelet_patches};
pub use reduce::{masked_mean, sum_rows};
pub use rope::{rope_3d, rope_half};
