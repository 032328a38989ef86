//! Reading files with limits, mapping large ones, and writing so that no half-written file is ever seen.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The bytes of a file, mapped where that is possible.
#[derive(Debug)]
pub(crate) struct Mapped(memmap2::Mmap);

impl std::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    // Asked before opening, because opening a pipe waits for its writer.
    let meta = std::fs::metadata(path).map_err(Error::io(path, "reading"))?;
    if meta.is_dir() {
        return Err(Error::content(path, "is a folder, a file is expected"));
    }
    if !meta.is_file() {
        return Err(Error::content(path, "is not a regular file"));
    }
    if meta.len() == 0 {
        return Err(Error::content(path, "the file is empty"));
    }
    Ok((File::open(path).map_err(Error::io(path, "reading"))?, meta.len()))
}

/// Maps a non-empty file.
pub(crate) fn map(path: &Path) -> Result<Mapped> {
    let (file, _) = open(path)?;
    // SAFETY: the mapping is read-only and private to us. Should another program shorten the file meanwhile, the system
    // stops this one; that risk is taken, as by every reader of large checkpoints, for not copying gigabytes.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path, "mapping"))?;
    Ok(Mapped(map))
}

/// Reads a whole non-empty file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, len) = open(path)?;
    if len > limit {
        return Err(Error::content(path, format!("{len} bytes, at most {limit} are expected")));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "reading"))?;
    Ok(bytes)
}

/// Reads a whole UTF-8 file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|e| {
        Error::content(
            path,
            format!("byte {} is not UTF-8 text; is this the right file?", e.utf8_error().valid_up_to()),
        )
    })
}

/// Where a path really is, once links are followed, and its folder. Refuses what a file cannot replace.
fn destination(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let real = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(Error::content(path, "is a folder, the name of a file is expected")),
        Ok(meta) if !meta.is_file() => {
            return Err(Error::content(path, "is not a regular file, so it is not replaced"));
        }
        Ok(_) => path.canonicalize().map_err(Error::io(path, "writing"))?,
        Err(_) => path.to_path_buf(),
    };
    if real.file_name().is_none() {
        return Err(Error::content(path, "is not the name of a file"));
    }
    let dir = match real.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    };
    match std::fs::metadata(&dir) {
        Ok(meta) if meta.is_dir() => Ok((real, dir)),
        Ok(_) => Err(Error::content(dir, "is not a folder, so nothing can be written into it")),
        Err(e) => Err(Error::io(&dir, "writing")(e)),
    }
}

fn temporary(path: &Path, dir: &Path) -> Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".vljepa-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less the process's mask, as for any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir).map_err(Error::io(path, "writing"))
}

/// Checks that `path` can be written, so that long work does not end in a refusal. Leaves nothing behind.
pub fn check_writable(path: &Path) -> Result<()> {
    let (real, dir) = destination(path)?;
    temporary(path, &dir)?.close().map_err(Error::io(path, "writing"))?;
    match std::fs::metadata(&real) {
        Ok(meta) if meta.permissions().readonly() => Err(Error::content(path, "the file is read-only")),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all: into a temporary file beside it, to the disk, then into its place.
///
/// # Errors
/// When the folder is missing or cannot be written, when `path` is a folder or a device, when the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let (real, dir) = destination(path)?;
    let mut file = temporary(path, &dir)?;
    file.write_all(bytes).map_err(Error::io(path, "writing"))?;
    file.as_file().sync_all().map_err(Error::io(path, "writing"))?;
    file.persist(&real).map_err(|e| Error::io(path, "writing")(e.error))?;
    Ok(())
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
        assert_eq!(&*map(&path).unwrap(), b"other");
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

    #[cfg(unix)]
    #[test]
    fn links_are_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn reading_has_limits_and_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        assert!(read(&path, 1).unwrap_err().to_string().contains("2 bytes, at most 1"));
        assert!(read_text(&path, 9).unwrap_err().to_string().contains("byte 1 is not UTF-8"));
        std::fs::write(&path, "").unwrap();
        assert!(map(&path).unwrap_err().to_string().contains("empty"));
        assert!(matches!(map(&dir.path().join("g")).unwrap_err(), Error::Missing(_)));
    }
}
