//! VL-JEPA on any GPU: embed, classify, search and train from one command.
//!
//! The command `vljepa` is a thin layer over this library:
//!
//! ```no_run
//! use vljepa::{Classifier, Model, ModelFolder};
//! # fn main() -> vljepa::Result<()> {
//! let folder = ModelFolder::find(None)?; // the compact model; Some(dir) for another
//! let device = vljepa::open_device("auto")?;
//! let model = Model::load(&device, &folder)?;
//! let pictures = model.embed_files(&["cat.png".into()], None, |_| ())?;
//! let labels = vec!["cat".to_string(), "dog".to_string()];
//! let best = Classifier::new(&model, labels, "{}", |_| ())?.rank(&pictures, 0, 1);
//! println!("{}: {:.0} %", best[0].label, 100.0 * best[0].score);
//! # Ok(()) }
//! ```

pub mod bench;
mod checkpoint;
mod classify;
mod convert;
mod demo;
mod embeddings;
mod encoders;
mod error;
mod files;
mod folder;
pub mod hub;
mod index;
pub mod info;
mod inspect;
mod media;
mod model;
mod partial;
mod row_file;
mod texts;

pub use classify::{Classifier, Prediction, answers_from_list, labels_from_list};
pub use convert::{CROP_SIZE, ConvertFrom, ConvertOptions, Converted, convert};
pub use demo::{Demo, Floor, Named, Score, Search, Timing};
pub use embeddings::{Embeddings, Match, best, softmax};
pub use encoders::{
    AnyFolder, ClassScore, Need, PooledVision, TextFolder, TextModel, TextPool, VisionFolder, VisionModel, VisionPool,
};
pub use error::{Error, Result};
pub use files::{check_writable, remove_unfinished, write_atomically};
pub use folder::ModelFolder;
pub use index::{Entry, Index, Indexed, PictureFolder};
pub use inspect::{Inspection, TensorInfo};
pub use media::{Broken, PictureEncoder, Skipped, embed_files, kept, picture_files};
pub use model::{Asked, Model, open_device};
pub use partial::{Resumed, RowEvent, is_begun};
pub use row_file::{RowFile, RowFormat, check_rows, embed_to_file, write_rows};
pub use texts::check_texts;
