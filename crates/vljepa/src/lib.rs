//! VL-JEPA on any GPU: embed, classify, search and train from one command.

pub mod bench;
mod embeddings;
mod error;
mod files;
mod folder;
pub mod info;

pub use embeddings::{Embeddings, Match, best, softmax};
pub use error::{Error, Result};
pub use files::{check_writable, write_atomically};
pub use folder::ModelFolder;

/// A device by the command line's name of it: `auto`, `cpu`, an index, part of a name.
///
/// # Errors
/// When there is no such adapter, or the driver refuses it.
pub fn open_device(name: &str) -> Result<vljepa_tensor::Device> {
    let mut options = vljepa_tensor::DeviceOptions::default();
    options.adapter = vljepa_tensor::AdapterChoice::parse(name);
    Ok(vljepa_tensor::Device::open(options)?)
}
