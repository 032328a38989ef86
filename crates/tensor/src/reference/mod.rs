//! CPU twins: plain loops with f64 sums, the specification that kernels are tested against.

mod activation;
mod elementwise;
mod matmul;
mod norm;
mod rope;

pub use activation::{activate, activate_grad, erf};
pub use elementwise::{binary, gated, gated_grad, round_f16, unary, unary_at, unary_grad};
pub use matmul::matmul;
pub use norm::{Norm, NormGrads, norm, norm_backward};
pub use rope::{rope_3d, rope_half};
