//! A tensor runtime straight on wgpu: devices, pooled memory, recorded commands, operators with CPU twins, and
//! reverse-mode differentiation.
//!
//! ```no_run
//! use vljepa_tensor::{Device, DeviceOptions, Tensor, ops};
//! # fn main() -> vljepa_tensor::Result<()> {
//! let device = Device::open(DeviceOptions::default())?;
//! let x = Tensor::from_f32(&device, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let w = Tensor::from_f32(&device, &[4, 3], &[0.5; 12])?;
//! let y = ops::matmul(&x, &w, &ops::Matmul::nt())?;
//! assert_eq!(y.shape(), [2, 4]);
//! # Ok(()) }
//! ```

pub mod autograd;
mod caps;
mod device;
mod error;
mod grid;
mod launch;
pub mod ops;
mod pool;
pub mod reference;
mod tensor;

pub use caps::Capabilities;
pub use device::pipelines::Override;
pub use device::{AdapterChoice, Device, DeviceOptions, KernelTime, adapters};
pub use error::{Error, Result};
pub use grid::fold;
pub use launch::Launch;
pub use pool::PoolStats;
pub use tensor::{Dtype, Tensor, element_count};
pub use vljepa_shaders::{self as shaders, Activation, Elem};
pub use wgpu;
