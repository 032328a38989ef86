//! The file of an index.

use std::path::{Path, PathBuf};

use vljepa_embed::files;
use vljepa_embed::folder::ModelFolder;
use vljepa_embed::visuals::Reading;
use vljepa_model::weights::SafeTensors;

use super::folder::PictureFolder;
use super::made::{FORMAT_KEY, Made, VERSION};
use super::table::Table;
use crate::error::{Error, Hint, Result};

/// An index.
#[derive(Debug)]
pub struct Index {
    pub(super) path: PathBuf,
    pub(super) made: Made,
    pub(super) table: Table,
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
            let file = SafeTensors::parse("index", &map).map_err(|e| broken(e.to_string()))?;
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
    /// As [`PictureFolder::open`]: the folder may be gone, or none of its files may be there any more.
    pub fn folder(&self) -> Result<PictureFolder> {
        let root = &self.made.root;
        let empty =
            || vljepa_data::find_media_counting(root, &mut Default::default()).is_ok_and(|media| media.is_empty());
        if root.is_dir() && empty() {
            let gone = match self.len() {
                1 => "its only file is gone".to_owned(),
                count => format!("all {count} files are gone"),
            };
            return Err(Error::content(&self.path, format!("{gone} from {}; remove the index", root.display())));
        }
        let folder = PictureFolder::open(&self.made.root)?;
        if self.made.frame_folders { folder.frame_folders() } else { Ok(folder) }
    }
}
