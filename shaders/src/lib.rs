//! Hand-written WGSL kernels of the vljepa tensor runtime, as text with typed descriptions.
//!
//! The package knows every kernel's file, bindings, parameter struct, element types and constants ([`Kernel`]),
//! expands the text of one permutation ([`Kernel::source`]), and needs no GPU API. Its tests parse, validate and lower
//! every permutation, and compare each parameter struct with its Rust twin by reflection.

mod expand;
mod kernel;
pub mod kernels;

pub use expand::{ExpandError, Target, sources};
pub use kernel::{Access, Activation, Const, Elem, Kernel, ParamField, Params, ParamsLayout};
