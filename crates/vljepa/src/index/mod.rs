//! Persistent indices of folders of pictures and videos: building, updating, reading and searching them.
//!
//! An index is a safetensors file. Its tensors are the rows, `embeddings` `[rows, dim]` (f32, of unit length); for each row the number of
//! its `file` and the seconds `start` and `end` of what it shows (NaN: the file as a whole); and for each file its `sizes`, `modified`,
//! `noted` and, in `paths` up to `path_ends`, its path. Its header holds the version, the hash of the model, the folder, and how the
//! rows were made. It is searched where it lies: a large one is mapped into memory and not copied.
//!
//! Building an index where there is one of the same model, folder and settings, and updating one, take over the rows of files whose size and
//! time are the same. Rows that are computed in other batches than in a build from nothing differ from those by rounding.

mod build;
mod entry;
mod folder;
mod made;
mod rows;
mod search;
mod state;
mod table;
mod write;

use std::path::{Path, PathBuf};

use vljepa_embed::files;
use vljepa_embed::folder::ModelFolder;
use vljepa_embed::visuals::Reading;

use crate::error::{Error, Hint, Result};

pub use build::Indexed;
pub use entry::Entry;
pub use folder::PictureFolder;
pub use made::Made;
pub use search::{Filter, Found, Wanted, search};
pub use state::{IndexInfo, State};
pub use write::write_index;

use table::Table;

const VERSION: &str = "3";
/// The key of an index in the metadata of its file, with the version as value.
pub const FORMAT_KEY: &str = "vljepa_index";

/// An index.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    made: Made,
    table: Table,
}

impl Index {
    /// Reads an index and checks that it is complete and was built with the model `folder`.
    ///
    /// # Errors
    /// As [`Self::read`], and as [`Self::check_model`].
    pub fn open(path: &Path, folder: &ModelFolder) -> Result<Self> {
        let index = Self::read(path)?;
        index.check_model(folder.hash(), folder.origin(), folder.config().embedding_dim)?;
        Ok(index)
    }

    /// Reads an index and checks that it is complete. That its rows are of unit length is checked by each search.
    ///
    /// # Errors
    /// A file that is not an index, an index of another version, and an index that is truncated or inconsistent.
    pub fn read(path: &Path) -> Result<Self> {
        let map = files::map_headers(path)?;
        let fail = |reason: String| Error::content(path, reason);
        let broken = |reason: String| fail(format!("not a whole index: {reason}")).hint(Hint::RebuildIndex);
        if map.starts_with(b"\x93NUMPY") {
            return Err(fail("a NumPy file, but no index of pictures".into()).hint(Hint::NameIndex));
        }
        let metadata = {
            let file = vljepa_model::weights::SafeTensors::parse("index", &map).map_err(|e| broken(e.to_string()))?;
            file.metadata().clone()
        };
        match metadata.get(FORMAT_KEY).map(String::as_str) {
            Some(VERSION) => {}
            Some(other) => {
                let reason = format!("index of version {other:?}, this program reads {VERSION}");
                return Err(fail(reason).hint(Hint::RebuildIndex));
            }
            None => return Err(fail("a safetensors file, but no index of pictures".into()).hint(Hint::NameIndex)),
        }
        let made = Made::from_metadata(&metadata).map_err(broken)?;
        let table = Table::new(map).map_err(broken)?;
        Ok(Self { path: path.to_path_buf(), made, table })
    }

    /// Checks that the rows are of the model with this hash, whose rows have `dim` values. `origin` is what messages call it.
    ///
    /// # Errors
    /// Another model.
    pub fn check_model(&self, hash: &str, origin: &str, dim: usize) -> Result<()> {
        let model = &self.made.model;
        if model != hash {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let reason = format!("built with another model ({}, {origin} is {})", short(model), short(hash));
            return Err(Error::content(&self.path, reason).hint(Hint::ModelOfIndex));
        }
        if self.table.dim() != dim {
            let reason =
                format!("not a whole index: rows of {} values, the model has {dim} dimensions", self.table.dim());
            return Err(Error::content(&self.path, reason).hint(Hint::RebuildIndex));
        }
        Ok(())
    }

    /// The file of the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of pictures and videos.
    pub fn len(&self) -> usize {
        self.table.files()
    }

    /// Whether the index has no pictures.
    pub fn is_empty(&self) -> bool {
        self.table.files() == 0
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// The folder that was indexed.
    pub fn root(&self) -> &Path {
        &self.made.root
    }

    /// How the files were read.
    pub fn reading(&self) -> &Reading {
        &self.made.reading
    }

    /// The setting of this name that the rows depend on, as the program that built the index gave it.
    pub fn setting(&self, name: &str) -> Option<&serde_json::Value> {
        self.made.settings.get(name)
    }

    /// The indexed folder as it is now.
    ///
    /// # Errors
    /// As [`PictureFolder::open`]: the folder may be gone or empty.
    pub fn folder(&self) -> Result<PictureFolder> {
        let folder = PictureFolder::open(&self.made.root)?;
        if self.made.frame_folders { folder.frame_folders() } else { Ok(folder) }
    }
}

#[cfg(test)]
mod tests;
