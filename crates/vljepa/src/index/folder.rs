//! A folder that is to be indexed.

use std::path::{Path, PathBuf};

use vljepa_embed::files::{self, PassedOver, find_files_counting};

use super::entry::{NOT_UTF8, check_files};
use crate::error::{Error, Result};

/// A folder to be indexed, with the pictures and videos found in it.
#[derive(Debug)]
pub struct PictureFolder {
    pub(super) root: PathBuf,
    pub(super) files: Vec<PathBuf>,
    pub(super) frame_folders: bool,
    passed: PassedOver,
}

impl PictureFolder {
    /// Searches the folder `dir` for pictures and videos.
    ///
    /// # Errors
    /// A path that is not a folder, a folder without pictures and videos, a path that is not UTF-8.
    pub fn open(dir: &Path) -> Result<Self> {
        if !std::fs::metadata(dir).map_err(Error::io(dir, "reading"))?.is_dir() {
            return Err(Error::content(dir, "is a file; name the folder to index"));
        }
        let root = dir.canonicalize().map_err(Error::io(dir, "reading"))?;
        if root.to_str().is_none() {
            return Err(Error::content(root, NOT_UTF8));
        }
        let (files, passed) = find_files_counting(std::slice::from_ref(&root))?;
        check_files(&root, files.len())?;
        Ok(Self { root, files, passed, frame_folders: false })
    }

    /// Takes the pictures of each folder below this one as the frames of one clip.
    ///
    /// # Errors
    /// Pictures in the folder itself: it would be a clip and has no name in its own index.
    pub fn frame_folders(self) -> Result<Self> {
        let files = files::frame_folders(std::slice::from_ref(&self.root), self.files);
        if files.contains(&self.root) {
            let reason = "its own pictures would be frames of the folder itself; index the folder that it lies in";
            return Err(Error::content(self.root, reason));
        }
        Ok(Self { files, frame_folders: true, ..self })
    }

    /// The folder, without links and `..` in its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pictures and videos of the folder.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What of the folder looks like media and is not read.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed
    }
}
