//! CPU twins: plain loops with f64 sums, the specification that kernels are tested against.

mod activation;
mod matmul;

pub use activation::{activate, activate_grad, erf};
pub use matmul::matmul;
