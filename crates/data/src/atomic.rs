//! Files that are written whole or not at all, even when the program is stopped: into a temporary file beside their place,
//! flushed to the disk, then moved.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::DataError;
use crate::leftover::{hold, hold_folder};
pub use crate::leftover::{remove_leftovers, temporary_names};

/// Tries of [`remove_unfinished`] at a folder into which another thread still writes.
const REMOVALS: usize = 100;

/// For `map_err`. Where the folder is missing the system says "no such file", which says nothing about a file that is only
/// about to be written.
fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::content(path, "writing failed: its folder is not there or takes no new files")
        }
        _ => DataError::Io { path: path.to_path_buf(), action: "writing", source },
    }
}

/// The path with links followed, and its folder.
///
/// # Errors
/// A folder, a device or a link to nothing in the file's place, and a folder that is missing.
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

/// What is wrong with a link to nothing: writing would replace the link, or put the file where nobody expects it.
pub fn dangling(what: &str) -> String {
    format!("is a link that leads to nothing, so it is not replaced; remove it or name another {what}")
}

/// Temporary files and folders of writes under way, for [`remove_unfinished`].
static UNDER_WAY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn under_way() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file or folder that [`remove_unfinished`] removes, until this is dropped or [settled](Self::settle).
#[derive(Debug)]
pub struct UnderWay(PathBuf);

impl UnderWay {
    /// Registers `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        under_way().insert(path.to_path_buf());
        Self(path.to_path_buf())
    }

    /// Makes a temporary file or folder and registers its path; [`remove_unfinished`] waits for both.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn make<T: AsRef<Path>, E>(make: impl FnOnce() -> Result<T, E>) -> Result<(T, Self), E> {
        let mut paths = under_way();
        let made = make()?;
        let path = made.as_ref().to_path_buf();
        paths.insert(path.clone());
        drop(paths);
        Ok((made, Self(path)))
    }

    /// Moves what is under way into its place; [`remove_unfinished`] comes before or after, never between. When `persist`
    /// fails, the temporary path stays registered until the error is returned.
    ///
    /// # Errors
    /// Those of `persist`.
    pub fn settle<T, E>(self, persist: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut paths = under_way();
        let persisted = persist();
        if persisted.is_ok() {
            paths.remove(&self.0);
        }
        drop(paths);
        persisted
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        under_way().remove(&self.0);
    }
}

/// Removes the temporary files and folders of unfinished writes, and blocks new ones: for a process that is about to end by a
/// signal, where nothing is dropped.
pub fn remove_unfinished() {
    let paths = under_way();
    for path in paths.iter() {
        // It is a file or a folder, so one of the two fails; nothing can be reported any more. A thread may still be adding
        // files to a folder, which then is not empty when it is about to go.
        let _ = std::fs::remove_file(path);
        for _ in 0..REMOVALS {
            match std::fs::remove_dir_all(path) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                _ => break,
            }
        }
    }
    std::mem::forget(paths);
}

/// A temporary file in `dir`, locked while it is open; dropping it before it was moved into its place removes it. What killed
/// processes left in `dir` goes first.
///
/// # Errors
/// The operating system's.
pub fn temporary_in(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    remove_leftovers(dir);
    loop {
        let file = new_in(dir)?;
        // Another process may take it for a leftover before it is locked; then that one removes it.
        if hold(file.as_file()) && file.path().exists() {
            return Ok(file);
        }
    }
}

/// A temporary folder in `dir`, with its lock where the system locks folders; dropping it before it was moved into its place
/// removes it. What killed processes left in `dir` goes first.
///
/// # Errors
/// The operating system's.
pub fn temporary_folder_in(dir: &Path) -> std::io::Result<(tempfile::TempDir, Option<File>)> {
    remove_leftovers(dir);
    let mut builder = temporary_names();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o777));
    }
    loop {
        let folder = builder.tempdir_in(dir)?;
        let lock = hold_folder(folder.path());
        if folder.path().exists() {
            return Ok((folder, lock));
        }
    }
}

fn new_in(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = temporary_names();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Reduced by the process's umask, as for any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

fn temporary(path: &Path, dir: &Path) -> Result<tempfile::NamedTempFile, DataError> {
    temporary_in(dir).map_err(failed(path))
}

/// Checks that `path` can be written, before long work begins. Leaves no file.
///
/// # Errors
/// As [`write_atomically`].
pub fn check_writable(path: &Path) -> Result<(), DataError> {
    let (real, dir) = destination(path)?;
    let (file, under_way) = UnderWay::make(|| temporary(path, &dir))?;
    file.close().map_err(failed(path))?;
    drop(under_way);
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

/// As [`write_atomically`], with contents that `fill` writes.
///
/// # Errors
/// As [`write_atomically`], and those of `fill`.
pub fn stream_atomically<E: From<DataError>>(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
) -> Result<(), E> {
    let (real, dir) = destination(path)?;
    let (mut file, under_way) = UnderWay::make(|| temporary(path, &dir))?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, file.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(failed(path))?;
    drop(out);
    file.as_file().sync_all().map_err(failed(path))?;
    under_way.settle(|| file.persist(&real)).map_err(|e| failed(path)(e.error))?;
    sync_folder_of(&real);
    Ok(())
}

/// Flushes the folder of `path` to the disk, so that the name of what was just moved there survives a loss of power. Does
/// nothing where the system has no such call.
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

    #[test]
    fn a_signal_comes_before_or_after_a_folder_is_moved_and_never_between() {
        // In separate processes: `remove_unfinished` bars all later writes of a process.
        const DIR: &str = "VLJEPA_TEST_SETTLE";
        const FILES: usize = 300;
        if let Some(dir) = std::env::var_os(DIR) {
            let place = Path::new(&dir).join("place");
            let (folder, under_way) = UnderWay::make(|| temporary_folder_in(Path::new(&dir)).map(|(f, _)| f)).unwrap();
            for i in 0..FILES {
                std::fs::write(folder.path().join(i.to_string()), [7; 100]).unwrap();
            }
            let signal = std::thread::spawn(|| {
                remove_unfinished();
                std::process::exit(0);
            });
            // While the other thread removes the first files.
            while folder.path().join("0").exists() && std::fs::read_dir(folder.path()).unwrap().count() == FILES {}
            let _ = under_way.settle(|| std::fs::rename(folder.path(), &place));
            let _ = folder.keep();
            signal.join().unwrap();
        }
        for _ in 0..8 {
            let dir = tempfile::tempdir().unwrap();
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["a_signal_comes_before_or_after_a_folder_is_moved_and_never_between"])
                .env(DIR, dir.path())
                .status()
                .unwrap();
            assert!(status.success());
            let files = |path: PathBuf| std::fs::read_dir(path).map(|entries| entries.count());
            assert!(files(dir.path().join("place")).map_or(true, |count| count == FILES), "a folder without its files");
            assert!(files(dir.path().to_path_buf()).unwrap() <= 1, "a leftover");
        }
    }
}
