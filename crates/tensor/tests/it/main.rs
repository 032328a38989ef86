//! Kernels against their CPU twins, on the adapter that the run prints.

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
mod support;
