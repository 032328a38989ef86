//! Kernels against their CPU twins, on the adapter that the run prints.

// Helpers outside of test functions are not covered by clippy.toml's exemption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attention;
mod elementwise;
mod gather;
mod loss;
mod matmul;
mod norm;
mod optim;
mod own_kernel;
mod patch;
mod reduce;
mod rope;
mod runtime;
mod support;
