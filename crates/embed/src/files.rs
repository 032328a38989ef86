//! Files and folders: reading with a size limit, memory mapping, file locks, and folders that appear only when
//! complete. Single files are written by `vljepa_data::atomic`.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use same_file::Handle;

pub use vljepa_data::atomic::remove_unfinished;
use vljepa_data::atomic::{self, dangling};
pub use vljepa_data::atomic::{
    UnderWay, destination, stream_atomically, sync_folder_of, temporary_in, temporary_names,
};

use crate::error::{Error, Result};
use crate::foreign;

/// Size limit in bytes of a JSON file such as a configuration or an index of shards; a larger file is something else.
pub const MAX_JSON: u64 = 64 << 20;
/// Size limit in bytes of a `tokenizer.json`; the largest in use have about 35 MB.
pub const MAX_TOKENIZER: u64 = 256 << 20;

/// The bytes of a memory-mapped file.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl std::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    // Before opening: opening a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(Error::io(path, "reading"))?;
    if meta.is_dir() {
        return Err(Error::content(path, "is a folder; name a file"));
    }
    if !meta.is_file() {
        return Err(Error::content(path, "is not a regular file; name one"));
    }
    if meta.len() == 0 {
        return Err(Error::content(path, "the file is empty; get or make it again"));
    }
    Ok((File::open(path).map_err(Error::io(path, "reading"))?, meta.len()))
}

/// Maps a non-empty regular file into memory.
///
/// # Errors
/// Anything but a regular file with content, and errors of the operating system.
pub fn map(path: &Path) -> Result<Mapped> {
    let (file, _) = open(path)?;
    // SAFETY: the mapping is read-only and private. If another program shortens the file meanwhile, the system ends
    // this process; readers of large checkpoints accept that risk to avoid copying gigabytes.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path, "mapping"))?;
    foreign::check(path, &map)?;
    Ok(Mapped(map))
}

/// Reads a whole non-empty file of at most `limit` bytes.
///
/// # Errors
/// As [`map`]; also a file longer than `limit`.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, len) = open(path)?;
    if len > limit {
        return Err(Error::content(
            path,
            format!("{len} bytes, at most {limit} are expected; is this the right file?"),
        ));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "reading"))?;
    foreign::check(path, &bytes)?;
    Ok(bytes)
}

/// Reads a whole UTF-8 file of at most `limit` bytes.
///
/// # Errors
/// As [`read`]; also bytes that are not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|e| {
        Error::content(
            path,
            format!("byte {} is not UTF-8 text; is this the right file?", e.utf8_error().valid_up_to()),
        )
    })
}

/// [`atomic::check_writable`] with this crate's error.
///
/// # Errors
/// A path at which no file can be put, such as a folder or a device, and a folder that is missing or read-only.
pub fn check_writable(path: &Path) -> Result<()> {
    Ok(atomic::check_writable(path)?)
}

/// [`atomic::write_atomically`] with this crate's error.
///
/// # Errors
/// Errors of writing; no partial file is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(atomic::write_atomically(path, bytes)?)
}

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

/// Size in bytes and time of the last change in milliseconds since 1970. A different stamp means that the file has
/// changed.
pub type Stamp = (u64, u64);

/// The stamp of a file; the time is 0 where the system does not tell it.
///
/// # Errors
/// Errors of the operating system.
pub fn stamp(path: &Path) -> std::io::Result<Stamp> {
    Ok(vljepa_data::stamp(&std::fs::metadata(path)?))
}

/// A folder that is being written. Its files go into a temporary folder next to the target, which
/// [`OutFolder::persist`] moves into place. Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct OutFolder {
    temporary: tempfile::TempDir,
    place: PathBuf,
    under_way: UnderWay,
}

impl OutFolder {
    /// Begins a folder whose target is `dir`, which must be an empty folder or not exist.
    ///
    /// # Errors
    /// When `dir` is a file, a folder with content, or a link to nothing, or when its parent is missing or read-only.
    pub fn new(dir: &Path) -> Result<Self> {
        let place = match std::fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => {
                if std::fs::read_dir(dir).map_err(Error::io(dir, "reading"))?.next().is_some() {
                    return Err(Error::content(dir, "the folder is not empty; name a new or an empty one"));
                }
                dir.canonicalize().map_err(Error::io(dir, "reading"))?
            }
            Ok(_) => return Err(Error::content(dir, "is a file; name a new or an empty folder")),
            Err(_) if dir.is_symlink() => return Err(Error::content(dir, dangling("folder"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => dir.to_path_buf(),
            Err(e) => return Err(Error::io(dir, "writing")(e)),
        };
        if place.file_name().is_none() {
            return Err(Error::content(dir, "is not the name of a folder; name one"));
        }
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = temporary_names();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o777));
        }
        let (temporary, under_way) =
            UnderWay::make(|| builder.tempdir_in(parent)).map_err(Error::io(parent, "writing"))?;
        Ok(Self { temporary, place, under_way })
    }

    /// Writes one file. `name` may contain subfolders, which are created.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.stream(name, |out| out.write_all(bytes).map_err(Error::io(&self.place.join(name), "writing")))
    }

    /// Writes one file; `fill` writes its content.
    ///
    /// # Errors
    /// Errors of `fill` and of writing.
    pub fn stream(&self, name: &str, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let shown = self.place.join(name);
        let path = self.temporary.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(&shown, "writing"))?;
        }
        let file = File::create_new(&path).map_err(Error::io(&shown, "writing"))?;
        let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
        fill(&mut out)?;
        let file = out.into_inner().map_err(|e| Error::io(&shown, "writing")(e.into_error()))?;
        file.sync_all().map_err(Error::io(&shown, "writing"))?;
        sync_folder_of(&path);
        Ok(())
    }

    /// Moves the folder to its target.
    ///
    /// # Errors
    /// When the target has been created or filled meanwhile, and errors of the operating system.
    pub fn persist(self) -> Result<()> {
        // On Unix, renaming replaces an empty folder.
        if cfg!(not(unix)) && self.place.exists() {
            std::fs::remove_dir(&self.place).map_err(Error::io(&self.place, "replacing"))?;
        }
        let Self { temporary, place, under_way } = self;
        under_way.settle(|| std::fs::rename(temporary.path(), &place)).map_err(Error::io(&place, "writing"))?;
        let _ = temporary.keep();
        sync_folder_of(&place);
        Ok(())
    }
}

/// The picture and video files that `inputs` name, in the order given. Folders are searched; files are taken as they
/// are.
///
/// # Errors
/// A path that does not exist, and a folder without pictures and videos.
pub fn find_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        let media = vljepa_data::find_media(input)?;
        if media.is_empty() {
            return Err(Error::content(input, no_pictures()));
        }
        files.extend(media);
    }
    Ok(files)
}

fn no_pictures() -> String {
    let (pictures, videos) = (vljepa_data::PICTURE_EXTENSIONS, vljepa_data::video::VIDEO_EXTENSIONS);
    let (pictures, videos) = (pictures.join(", "), videos.join(", "));
    format!("no pictures in this folder, and no videos ({pictures}, {videos}); name one with some")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (place, empty, full) = (dir.path().join("new"), dir.path().join("empty"), dir.path().join("full"));
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let folder = OutFolder::new(&place).unwrap();
        folder.write("a", b"1").unwrap();
        folder.write("below/a", b"2").unwrap();
        assert!(!place.exists());
        drop(folder);
        assert!(names().is_empty(), "{:?}", names());
        std::fs::create_dir(&empty).unwrap();
        for at in [&place, &empty] {
            let folder = OutFolder::new(at).unwrap();
            folder.write("a", b"1").unwrap();
            folder.persist().unwrap();
            assert_eq!(std::fs::read(at.join("a")).unwrap(), b"1");
        }
        assert!(OutFolder::new(&place).unwrap_err().to_string().contains("not empty"));
        std::fs::write(&full, "x").unwrap();
        assert!(OutFolder::new(&full).unwrap_err().to_string().contains("is a file"));
        assert!(OutFolder::new(&dir.path().join("no/such")).is_err());
        assert!(OutFolder::new(Path::new("/")).is_err());
        // The target was filled meanwhile: its content stays.
        let late = dir.path().join("late");
        let folder = OutFolder::new(&late).unwrap();
        std::fs::create_dir(&late).unwrap();
        std::fs::write(late.join("theirs"), "x").unwrap();
        assert!(folder.persist().is_err());
        assert_eq!(names(), ["empty", "full", "late", "new"]);
        assert_eq!(std::fs::read(late.join("theirs")).unwrap(), b"x");
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
        // A link to an empty folder is written through too.
        let (folder, link) = (dir.path().join("folder"), dir.path().join("to_folder"));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let out = OutFolder::new(&link).unwrap();
        out.write("a", b"1").unwrap();
        out.persist().unwrap();
        assert!(link.is_symlink() && folder.join("a").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn links_to_nothing_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for target in [dir.path().join("gone"), dir.path().join("link")] {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let errors = [write_atomically(&link, b"x"), check_writable(&link), OutFolder::new(&link).map(drop)];
            for error in errors {
                let said = error.unwrap_err().to_string();
                assert!(said.contains("link that leads to nothing"), "{said}");
            }
            assert_eq!(std::fs::read_link(&link).unwrap(), target);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
            std::fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn a_signal_leaves_nothing_of_what_is_under_way() {
        // In a separate process: `remove_unfinished` bars all later writes of the process.
        const DIR: &str = "VLJEPA_TEST_UNDER_WAY";
        if let Some(dir) = std::env::var_os(DIR) {
            let dir = Path::new(&dir);
            let out = OutFolder::new(&dir.join("model")).unwrap();
            out.write("config.json", b"{}").unwrap();
            let (file, under_way) = UnderWay::make(|| temporary_in(dir)).unwrap();
            under_way.settle(|| file.persist(dir.join("whole"))).unwrap();
            let (_file, _under_way) = UnderWay::make(|| temporary_in(dir)).unwrap();
            assert_eq!(std::fs::read_dir(dir).unwrap().count(), 3);
            remove_unfinished();
            assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1);
            std::process::exit(0);
        }
        let dir = tempfile::tempdir().unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["a_signal_leaves_nothing_of_what_is_under_way"])
            .env(DIR, dir.path())
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn reading_has_limits_and_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(&*map(&path).unwrap(), [b'a', 0xff]);
        assert!(read(&path, 1).unwrap_err().to_string().contains("2 bytes, at most 1"));
        assert!(read_text(&path, 9).unwrap_err().to_string().contains("byte 1 is not UTF-8"));
        std::fs::write(&path, "").unwrap();
        assert!(map(&path).unwrap_err().to_string().contains("empty"));
        assert!(matches!(map(&dir.path().join("g")).unwrap_err(), Error::Missing(_)));
    }
}
