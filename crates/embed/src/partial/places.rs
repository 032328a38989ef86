//! Where an unfinished file of rows lies, and whether one is there.

use std::path::{Path, PathBuf};

use crate::error::{Error, OtherRun, Result};
use crate::files::destination;

/// `F.partial` and `F.partial.jsonl` of a file `F`, and its folder.
pub(super) fn places(out: &Path) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let (real, dir) = destination(out)?;
    let name = real.file_name().unwrap_or_default();
    let beside = |suffix: &str| {
        let mut name = name.to_os_string();
        name.push(suffix);
        dir.join(name)
    };
    Ok((beside(".partial"), beside(".partial.jsonl"), dir))
}

/// Whether an unfinished run has begun `out`.
///
/// # Errors
/// What a file cannot replace.
pub fn is_begun(out: &Path) -> Result<bool> {
    let (_, journal, _) = places(out)?;
    Ok(journal.exists())
}

/// Refuses a file that an unfinished run has begun.
///
/// # Errors
/// [`Error::Begun`], and what a file cannot replace.
pub fn check_unbegun(out: &Path) -> Result<()> {
    let (data, journal, _) = places(out)?;
    if journal.exists() { Err(begun(&journal, &data, OtherRun::Unknown)) } else { Ok(()) }
}

/// The error of an unfinished file that another run has begun.
pub(super) fn begun(journal: &Path, data: &Path, run: OtherRun) -> Error {
    let data = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Error::Begun { journal: journal.to_path_buf(), data, run }
}
