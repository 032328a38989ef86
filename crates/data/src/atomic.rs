//! Files that are written whole or not at all, whatever stops the program: beside their place, to the disk, then moved.

use std::collections::BTreeSet;
#[cfg(unix)]
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::DataError;

/// For `map_err`. The system's words for a folder that is not there are of a missing file, which one being written is
/// before it is there.
fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::content(path, "writing failed: its folder is not there or takes no new files")
        }
        _ => DataError::Io { path: path.to_path_buf(), action: "writing", source },
    }
}

/// Where a path really is, once links are followed, and its folder.
///
/// # Errors
/// When there is what a file cannot replace, or no folder to write into.
pub fn destination(path: &Path) -> Result<(PathBuf, PathBuf), DataError> {
    let real = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return Err(DataError::content(path, "is a folder; name a file to write"));
        }
        Ok(meta) if !meta.is_file() => {
            return Err(DataError::content(path, "is not a regular file, so it is not replaced; name another"));
        }
        Ok(_) => path.canonicalize().map_err(failed(path))?,
        Err(_) if path.is_symlink() => return Err(DataError::content(path, dangling("file"))),
        Err(_) => path.to_path_buf(),
    };
    if real.file_name().is_none() {
        return Err(DataError::content(path, "is not the name of a file; give one"));
    }
    let dir = match real.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    };
    match std::fs::metadata(&dir) {
        Ok(meta) if meta.is_dir() => Ok((real, dir)),
        Ok(_) => {
            Err(DataError::content(dir, "is not a folder, so nothing can be written into it; name a file in another"))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(DataError::content(dir, "there is no such folder to write into; create it first"))
        }
        Err(e) => Err(failed(&dir)(e)),
    }
}

/// What is wrong with a link that leads nowhere: what is written would take its place, or lie where nobody looks for it.
pub fn dangling(what: &str) -> String {
    format!("is a link that leads to nothing, so it is not replaced; remove it or name another {what}")
}

/// Temporary files and folders of writes under way, for [`remove_unfinished`].
static UNDER_WAY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A temporary path while it is under way.
#[derive(Debug)]
pub struct UnderWay(PathBuf);

impl UnderWay {
    /// From now until it is dropped.
    pub fn new(path: &Path) -> Self {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
        UnderWay(path.to_path_buf())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Removes what writes under way have put beside their places, and lets no other begin: for a process that is about to
/// end by a signal, where nothing is dropped.
pub fn remove_unfinished() {
    let under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in under_way.iter() {
        // One of the two fits; there is nobody left to tell of a failure.
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_dir_all(path);
    }
    std::mem::forget(under_way);
}

/// Unique names for what is not yet in its place.
pub fn temporary_names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".vljepa-").suffix(".tmp");
    builder
}

/// A file to be moved to a place in `dir`, which is removed when it is dropped before.
///
/// # Errors
/// The operating system's.
pub fn temporary_in(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = temporary_names();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less the process's mask, as for any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

fn temporary(path: &Path, dir: &Path) -> Result<tempfile::NamedTempFile, DataError> {
    temporary_in(dir).map_err(failed(path))
}

/// Checks that `path` can be written, so that long work does not end in a refusal. Leaves nothing behind.
///
/// # Errors
/// As [`write_atomically`].
pub fn check_writable(path: &Path) -> Result<(), DataError> {
    let (real, dir) = destination(path)?;
    temporary(path, &dir)?.close().map_err(failed(path))?;
    match std::fs::metadata(&real) {
        Ok(meta) if meta.permissions().readonly() => {
            Err(DataError::content(path, "the file is read-only; allow writing or name another"))
        }
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all: into a temporary file beside it, to the disk, then into its place.
///
/// # Errors
/// When the folder is missing or cannot be written, when `path` is a folder or a device, when the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    stream_atomically(path, |out| out.write_all(bytes).map_err(failed(path)))
}

/// [`write_atomically`], part by part.
///
/// # Errors
/// As [`write_atomically`], and those of `fill`.
pub fn stream_atomically<E: From<DataError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let (real, dir) = destination(path)?;
    let mut file = temporary(path, &dir)?;
    let _under_way = UnderWay::new(file.path());
    let mut out = std::io::BufWriter::with_capacity(1 << 20, file.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(failed(path))?;
    drop(out);
    file.as_file().sync_all().map_err(failed(path))?;
    file.persist(&real).map_err(|e| failed(path)(e.error))?;
    sync_folder_of(&real);
    Ok(())
}

/// Puts the name of a file or folder that was just moved to `path` on the disk: a name is there once its folder is. Where
/// that cannot be asked for, it is the system's turn.
pub fn sync_folder_of(path: &Path) {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let _ = File::open(parent).and_then(|dir| dir.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_whole_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"other").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_file_cannot_replace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("no/such/file");
        for path in [dir.path(), Path::new("/dev/null"), &gone, Path::new("")] {
            assert!(check_writable(path).is_err(), "{path:?}");
            assert!(write_atomically(path, b"x").is_err(), "{path:?}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
