//! Files in whose place a download left something else.

use std::path::Path;

use vljepa_data::instead;

use crate::error::{Error, Result};

/// Refuses what a download left in the place of a file. A model card may begin with HTML.
///
/// # Errors
/// A file that is something else, with what to do.
pub(crate) fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    match instead(bytes) {
        Some(what) if path.extension().is_none_or(|extension| extension != "md") => Err(Error::content(path, what)),
        _ => Ok(()),
    }
}
