//! The files of an index, and what its rows show of them.

use std::path::Path;

use vljepa_embed::files::Stamp;
use vljepa_embed::visuals::Moment;

use crate::error::{Error, Result};

pub(super) const NOT_UTF8: &str = "the name is not UTF-8, so an index cannot hold it; rename it";

/// A picture or video of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Path relative to the index's folder, with `/` as separator.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Time of the last change in milliseconds since 1970.
    pub modified: u64,
    /// Whether something was to be known of the file when it was embedded, such as frames that are missing. Its row is not
    /// taken over into a later index, so that this is said again.
    pub noted: bool,
    /// The parts of a video that its rows show; empty where the one row shows the file as a whole.
    pub clips: Vec<Moment>,
}

impl Entry {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.clips.len().max(1)
    }

    /// Whether the file of `now` has not changed, and nothing was to be known of it.
    pub(super) fn is_still(&self, now: &Self) -> bool {
        (&self.path, self.size, self.modified) == (&now.path, now.size, now.modified) && !self.noted
    }

    /// An entry without clips.
    ///
    /// # Errors
    /// A name that is not UTF-8.
    pub(super) fn of(root: &Path, path: &Path, (size, modified): Stamp) -> vljepa_embed::Result<Self> {
        let below = path.strip_prefix(root).unwrap_or(path);
        let mut parts = Vec::new();
        for part in below.components() {
            match part.as_os_str().to_str() {
                Some(text) => parts.push(text),
                None => return Err(vljepa_embed::Error::content(path, NOT_UTF8)),
            }
        }
        Ok(Self { path: parts.join("/"), size, modified, noted: false, clips: Vec::new() })
    }
}

/// The most files of an index: their numbers are of 32 bits.
const MAX_FILES: usize = u32::MAX as usize;

/// Checks that an index can hold so many files.
///
/// # Errors
/// More than [`MAX_FILES`].
pub(super) fn check_files(root: &Path, files: usize) -> Result<()> {
    match files > MAX_FILES {
        true => Err(Error::content(
            root,
            format!("{files} files, an index holds at most {MAX_FILES}; index its folders apart"),
        )),
        false => Ok(()),
    }
}
