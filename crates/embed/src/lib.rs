//! Embeddings of pictures, clips and texts: loads a model folder onto a device and returns one vector per input.
//!
//! ```no_run
//! use vljepa_embed::folder::ModelFolder;
//! use vljepa_embed::models::Model;
//! use vljepa_tensor::{Device, DeviceOptions};
//! # fn main() -> vljepa_embed::Result<()> {
//! let folder = ModelFolder::open("model".as_ref())?;
//! let model = Model::load(&Device::open(DeviceOptions::default())?, &folder)?;
//! let clips = model.embed_files(&["cat.png".into(), "dog.mp4".into()], None)?;
//! let (texts, _) = model.embed_texts(&["a cat".into(), "a dog".into()])?;
//! println!("cosines of the first picture: {:?}", clips.cosines(0, &texts)?);
//! # Ok(()) }
//! ```

mod apart;
pub mod checkpoint;
mod error;
pub mod features;
pub mod files;
mod find;
pub mod folder;
mod foreign;
pub mod hash;
mod listing;
mod lock;
pub mod models;
pub mod names;
#[cfg(feature = "parquet")]
mod parquet_file;
pub mod partial;
mod preprocess;
pub mod row_file;
pub mod rows;
pub mod texts;
pub mod visuals;

pub use apart::{check_all_apart, check_apart, model_files};
pub use error::{Error, Hint, OtherRun, Result};
pub use listing::list_of;
pub use models::{Embedder, Model};
pub use preprocess::{at_size, preprocess};
pub use rows::Embeddings;
