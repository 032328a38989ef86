//! Kernels against their CPU twins, on the adapter that the run prints.

// Helpers outside of test functions are not covered by clippy.toml's exemption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
mod own_kernel;
mod patch;
mod reduce;
mod rope;
mod runtime;
mod sigreg;
mod softmax;
mod support;
mod threads;
mod unary;
