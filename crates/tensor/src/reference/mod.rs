//! CPU twins: plain loops with f64 sums, the specification that kernels are tested against.

mod activation;
mod matmul;
mod rope;

pub use activation::{activate, activate_grad, erf};
pub use matmul::matmul;
pub use rope::{rope_3d, rope_half};
