//! The permutation manifest: one module per shader family.

use crate::kernel::Kernel;

pub mod attention;
pub mod elementwise;
pub mod gather;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod optim;
pub mod patch;
pub mod reduce;
pub mod rope;
pub mod softmax;

const FAMILIES: &[&[Kernel]] = &[
    attention::KERNELS,
    elementwise::KERNELS,
    gather::KERNELS,
    loss::KERNELS,
    matmul::KERNELS,
    norm::KERNELS,
    optim::KERNELS,
    patch::KERNELS,
    reduce::KERNELS,
    rope::KERNELS,
    softmax::KERNELS,
];

/// Every kernel of the package.
pub fn all() -> impl Iterator<Item = &'static Kernel> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The kernel of this name.
pub fn find(name: &str) -> Option<&'static Kernel> {
    all().find(|k| k.name == name)
}
