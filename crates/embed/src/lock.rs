//! Locks on files, which end with the process that holds them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;
use vljepa_data::atomic::UnderWay;

use crate::error::{Error, Result};

/// Most bytes of a lock's file that are read.
const MAX_HOLDER: u64 = 256;

/// The outcome of an attempt to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// This process holds it.
    Ours,
    /// Another process holds it.
    Theirs,
    /// The file system does not support locks; work goes on without one. Systems report this with several codes, among
    /// them ENOTSUP, and ENOLCK for a network file system whose server has no lock daemon.
    Unsupported,
}

impl From<std::result::Result<(), TryLockError>> for Locked {
    fn from(tried: std::result::Result<(), TryLockError>) -> Self {
        match tried {
            Ok(()) => Self::Ours,
            Err(TryLockError::WouldBlock) => Self::Theirs,
            Err(TryLockError::Error(_)) => Self::Unsupported,
        }
    }
}

/// Whether `path` still leads to the open file `file`.
pub fn same_file(file: &File, path: &Path) -> bool {
    let open = file.try_clone().and_then(Handle::from_file);
    matches!((open, Handle::from_path(path)), (Ok(open), Ok(named)) if open == named)
}

/// The right to write into a folder. It ends when this value is dropped, which removes the lock's file, or when the process ends.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    file: Option<File>,
    /// A signal removes the lock's file too.
    under_way: Option<UnderWay>,
    /// Folders that were made for it, the deepest first.
    made: Vec<PathBuf>,
}

impl FolderLock {
    /// Makes the folder `dir` where it is missing, and locks the file `name` in it. Where the file system has no locks, there is
    /// none, and no error.
    ///
    /// # Errors
    /// A folder that cannot be made or written, something in the place of the file that is no regular file, and another process
    /// that holds the lock; the message names that process as far as it is known.
    pub fn take(dir: &Path, name: &str) -> Result<Self> {
        let made = dir.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        let mut lock =
            Self { path: dir.join(name), file: None, under_way: None, made: made.map(Path::to_path_buf).collect() };
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
        loop {
            let mut file = open_own(&lock.path)?;
            match Locked::from(file.try_lock()) {
                Locked::Theirs => {
                    let since =
                        file.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
                    let since = since.map_or(String::new(), |since| format!(", for {} s", since.as_secs()));
                    let mut holder = String::new();
                    // Some systems let nobody else read a locked file.
                    let _ = file.take(MAX_HOLDER).read_to_string(&mut holder);
                    let by = match holder.trim() {
                        "" => String::new(),
                        holder => format!(" ({holder}{since})"),
                    };
                    let reason = format!(
                        "another run writes into this folder{by}; wait for it, stop it, or name another folder"
                    );
                    return Err(Error::content(dir, reason));
                }
                // The run that held it may have removed the file; then this lock is on a deleted file.
                Locked::Ours if !same_file(&file, &lock.path) => {}
                Locked::Ours | Locked::Unsupported => {
                    lock.under_way = Some(UnderWay::new(&lock.path));
                    let written = file
                        .set_len(0)
                        .and_then(|()| file.rewind())
                        .and_then(|()| writeln!(file, "process {}", std::process::id()));
                    lock.file = Some(file);
                    written.map_err(Error::io(&lock.path, "writing"))?;
                    return Ok(lock);
                }
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.file.is_some() {
            // While it is still locked: another process then finds another file, or none.
            let _ = std::fs::remove_file(&self.path);
        }
        (self.file, self.under_way) = (None, None);
        for dir in &self.made {
            // Fails where there is something in it, as it should.
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// Opens or makes a file that this program alone writes, for reading and writing. Links are not followed.
///
/// # Errors
/// A link, a folder, a pipe or a device in its place, and errors of the operating system.
pub fn open_own(path: &Path) -> Result<File> {
    check_own(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(Error::io(path, "writing"))
}

/// Checks that a file of this program's own is a regular one, or not there.
///
/// # Errors
/// A link, a folder, a pipe or a device in its place.
pub fn check_own(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(meta) => {
            let what = if meta.is_symlink() {
                "a link"
            } else if meta.is_dir() {
                "a folder"
            } else {
                "not a regular file"
            };
            Err(Error::content(path, format!("is {what}, in the way of a file that this program writes; move it away")))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(path, "writing")(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_writes_into_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/run");
        let lock = FolderLock::take(&folder, "run.lock").unwrap();
        let error = FolderLock::take(&folder, "run.lock").unwrap_err().to_string();
        let mine = format!("process {}", std::process::id());
        assert!(error.contains("another run") && (cfg!(windows) || error.contains(&mine)), "{error}");
        drop(lock);
        assert!(!dir.path().join("a").exists(), "what was made for it alone is gone");
        let lock = FolderLock::take(&folder, "run.lock").unwrap();
        std::fs::write(folder.join("result"), "x").unwrap();
        drop(lock);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_of_ours_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (other, link) = (dir.path().join("other"), dir.path().join("link"));
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(open_own(&link).unwrap_err().to_string().contains("is a link"));
        assert!(open_own(dir.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(open_own(Path::new("/dev/null")).unwrap_err().to_string().contains("not a regular file"));
        assert!(FolderLock::take(dir.path(), "link").is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    }

    #[test]
    fn locks_are_ours_theirs_or_not_to_be_had() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (one, other) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert_eq!(Locked::from(one.try_lock()), Locked::Ours);
        assert_eq!(Locked::from(other.try_lock()), Locked::Theirs);
        drop(one);
        assert_eq!(Locked::from(other.try_lock()), Locked::Ours);
        // ENOLCK, ENOSYS, EIO of Linux.
        for code in [37, 38, 5] {
            let error = std::io::Error::from_raw_os_error(code);
            assert_eq!(Locked::from(Err(TryLockError::Error(error))), Locked::Unsupported, "{code}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_open_file_is_told_from_another_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = File::create(&path).unwrap();
        assert!(same_file(&file, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(!same_file(&file, &path), "gone");
        File::create(&path).unwrap();
        assert!(!same_file(&file, &path), "another");
    }
}
