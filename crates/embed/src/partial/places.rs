//! Paths of the unfinished files of a run, and checks whether they exist.

use std::path::{Path, PathBuf};

use crate::error::{Error, OtherRun, Result};
use crate::files::{check_own, destination};

/// For an output file `F`: the paths of `F.partial` and `F.partial.jsonl`, and the folder of `F`.
pub(super) fn partial_paths(out: &Path) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let (real, dir) = destination(out)?;
    let name = real.file_name().unwrap_or_default();
    let beside = |suffix: &str| {
        let mut name = name.to_os_string();
        name.push(suffix);
        dir.join(name)
    };
    Ok((beside(".partial"), beside(".partial.jsonl"), dir))
}

/// The unfinished file of rows and its journal that a run which writes `out` makes.
///
/// # Errors
/// When no file can be written at `out`, and when a link, a folder, a pipe or a device is in their place.
pub fn unfinished(out: &Path) -> Result<[PathBuf; 2]> {
    let (data, journal, _) = partial_paths(out)?;
    check_own(&data)?;
    check_own(&journal)?;
    Ok([data, journal])
}

/// Whether an unfinished run has begun `out`.
///
/// # Errors
/// When no file can be written at `out`.
pub fn is_begun(out: &Path) -> Result<bool> {
    let (_, journal, _) = partial_paths(out)?;
    Ok(journal.exists())
}

/// Refuses an output file that an unfinished run has begun.
///
/// # Errors
/// [`Error::Begun`]; also when no file can be written at `out`.
pub fn check_unbegun(out: &Path) -> Result<()> {
    let (data, journal, _) = partial_paths(out)?;
    if journal.exists() { Err(begun(&journal, &data, OtherRun::Unknown)) } else { Ok(()) }
}

/// The error for an output file that another run has begun.
pub(super) fn begun(journal: &Path, data: &Path, run: OtherRun) -> Error {
    let data = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Error::Begun { journal: journal.to_path_buf(), data, run }
}
