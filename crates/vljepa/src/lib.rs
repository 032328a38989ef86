//! Tasks with VL-JEPA models on any GPU: classify and search pictures, convert and fetch models, measure, demonstrate.
//! The command `vljepa` is a thin layer over this library.
//!
//! ```no_run
//! use vljepa::classify::Classifier;
//! use vljepa::embed::Model;
//! # fn main() -> vljepa::Result<()> {
//! let folder = vljepa::Builtin::Compact.open()?; // or vljepa::embed::folder::ModelFolder::open(dir)
//! let model = Model::load(&vljepa::open_device("auto")?, &folder)?;
//! let pictures = model.embed_files(&["cat.png".into()], None)?;
//! let labels = vec!["cat".to_string(), "dog".to_string()];
//! let best = Classifier::new(&model, labels, "{}")?.rank(&pictures, 0, 1)?;
//! println!("{}: {:.0} %", best[0].label, 100.0 * best[0].score);
//! # Ok(()) }
//! ```

mod allowed;
pub mod bench;
mod builtin;
pub mod classify;
pub mod contact_sheet;
pub mod convert;
pub mod demo;
mod device;
mod error;
mod html;
pub mod hub;
pub mod index;
pub mod info;
pub mod inspect;
mod kind;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod plan;
pub mod report;
pub mod run_report;
#[cfg(feature = "serve")]
pub mod serve;
pub mod sprites;
pub mod sprites_page;
pub mod stream;
mod strip;
mod thumbnail;

pub use allowed::{AllowedFolders, NotAllowed};
pub use builtin::{Builtin, find};
pub use device::open_device;
pub use error::{Error, Hint, Result};
pub use vljepa_embed as embed;
