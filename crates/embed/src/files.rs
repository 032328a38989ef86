//! Files and folders: reading with a size limit, memory mapping, file locks, and folders that appear only when
//! complete. Single files are written by `vljepa_data::atomic`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use vljepa_data::PassedOver;
pub use vljepa_data::atomic::remove_unfinished;
use vljepa_data::atomic::{self, dangling};
pub use vljepa_data::atomic::{
    UnderWay, destination, remove_leftovers, stream_atomically, sync_folder_of, temporary_folder_in, temporary_in,
    temporary_names,
};
use vljepa_data::{DataError, open_regular};

use crate::error::{Error, Hint, Result};
pub use crate::find::{STDIN, find_files, find_files_counting, frame_folders, is_stdin, passed_over};
use crate::foreign;
use crate::hash::hex;
pub use crate::lock::{FolderLock, Locked, check_own, open_own, same_file};

/// Size limit in bytes of a JSON file such as a configuration or an index of shards; a larger file is something else.
pub const MAX_JSON: u64 = 64 << 20;
/// Size limit in bytes of a `tokenizer.json`; the largest in use have about 35 MB.
pub const MAX_TOKENIZER: u64 = 256 << 20;

/// Part of the memory that is free which a file may take when it is read as a whole, as a divisor.
const SHARE: u64 = 4;
/// The largest file that is read as a whole where the free memory is not known, in bytes.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// The bytes of a file: read, or mapped into memory where they are many.
#[derive(Debug)]
pub struct Mapped(Bytes);

#[derive(Debug)]
enum Bytes {
    Read(Vec<u8>),
    Map(memmap2::Mmap),
}

impl std::ops::Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Read(bytes) => bytes,
            Bytes::Map(map) => map,
        }
    }
}

/// Opens a non-empty regular file; also its length.
fn open(path: &Path) -> Result<(File, u64)> {
    let file = open_regular(path).map_err(|error| match error {
        DataError::NotRegular { path, what: "folder" } => Error::content(path, "is a folder; name a file"),
        DataError::NotRegular { path, .. } => Error::content(path, "is not a regular file; name one"),
        DataError::Missing(path) => Error::Missing(path),
        DataError::Content { .. } if path.is_symlink() && !path.exists() => to_nothing(path),
        DataError::Io { source, .. } => Error::io(path, "reading")(source),
        other => other.into(),
    })?;
    let len = file.metadata().map_err(Error::io(path, "reading"))?.len();
    if len == 0 {
        return Err(Error::content(path, "the file is empty; get or make it again"));
    }
    Ok((file, len))
}

/// The error for a link that leads to nothing, such as one of the hub's cache whose file was removed.
pub fn to_nothing(path: &Path) -> Error {
    let target = std::fs::read_link(path).map_or_else(|_| "nothing".into(), |to| to.display().to_string());
    Error::content(path, format!("is a link to {target}, where there is nothing")).hint(Hint::GetAgain)
}

/// Whether something is at `path`.
///
/// # Errors
/// A link that leads to nothing, and errors of the operating system: what cannot be asked for is not known to be missing.
pub fn is_there(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => Err(to_nothing(path)),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(Error::io(path, "reading")(e)),
    }
}

/// The bytes of a non-empty regular file. They are read where they fit into a quarter of the free memory, and mapped
/// otherwise: the system ends a program that reads a mapping whose file another program has shortened meanwhile.
///
/// # Errors
/// Anything but a regular file with content, a file that changes while it is read, and errors of the operating system.
pub fn map(path: &Path) -> Result<Mapped> {
    map_beyond(path, free_memory().map_or(UNKNOWN_MEMORY, |bytes| bytes / SHARE))
}

/// As [`map`], for a file of which only headers are needed: what is larger than a header is mapped.
///
/// # Errors
/// As [`map`].
pub fn map_headers(path: &Path) -> Result<Mapped> {
    map_beyond(path, MAX_JSON)
}

fn map_beyond(path: &Path, most: u64) -> Result<Mapped> {
    let (file, len) = open(path)?;
    if len > most {
        // SAFETY: the mapping is read-only and private. If another program shortens the file meanwhile, the system ends
        // this process; for files of this size that is better than to fill the memory.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path, "mapping"))?;
        foreign::check(path, &map)?;
        return Ok(Mapped(Bytes::Map(map)));
    }
    let mut bytes = vec![0; len as usize];
    let read = fill(&file, &mut bytes);
    if read.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof) {
        return Err(Error::content(path, "was shortened while it was read; read it again when nothing writes to it"));
    }
    read.map_err(Error::io(path, "reading"))?;
    foreign::check(path, &bytes)?;
    Ok(Mapped(Bytes::Read(bytes)))
}

/// Reads a file from its start until `bytes` is full, on several threads: most of the time goes into new pages of memory.
#[cfg(unix)]
fn fill(file: &File, bytes: &mut [u8]) -> std::io::Result<()> {
    use rayon::prelude::*;
    use std::os::unix::fs::FileExt;
    const PART: usize = 8 << 20;
    let read = |(i, part): (usize, &mut [u8])| file.read_exact_at(part, (i * PART) as u64);
    bytes.par_chunks_mut(PART).enumerate().try_for_each(read)
}

#[cfg(not(unix))]
fn fill(mut file: &File, bytes: &mut [u8]) -> std::io::Result<()> {
    file.read_exact(bytes)
}

/// Bytes of memory that new work may take; `None` where the system does not say.
fn free_memory() -> Option<u64> {
    let mut text = String::new();
    File::open("/proc/meminfo").ok()?.take(1 << 14).read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
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

/// Opens a non-empty regular file of at most `limit` bytes, which is neither a page nor a pointer in its place; also its stamp.
///
/// # Errors
/// As [`read`].
pub(crate) fn open_at_most(path: &Path, limit: u64) -> Result<(File, Stamp)> {
    let (mut file, len) = open(path)?;
    if len > limit {
        return Err(Error::content(
            path,
            format!("{len} bytes, at most {limit} are expected; is this the right file?"),
        ));
    }
    let mut head = Vec::new();
    let read = (&file).take(1 << 10).read_to_end(&mut head).and_then(|_| std::io::Seek::rewind(&mut file));
    read.map_err(Error::io(path, "reading"))?;
    foreign::check(path, &head)?;
    let stamp = vljepa_data::stamp(&file.metadata().map_err(Error::io(path, "reading"))?);
    Ok((file, stamp))
}

/// SHA-256 of a non-empty regular file in hexadecimal digits, and its length in bytes. Little of it is in memory at a time.
///
/// # Errors
/// As [`map`].
pub fn hash(path: &Path) -> Result<(String, u64)> {
    let (mut file, _) = open(path)?;
    let mut hash = Sha256::new();
    let (mut buffer, mut length) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hex(&hash.finalize()), length)),
            Ok(n) => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path, "reading")(e)),
        }
    }
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

/// Size in bytes and time of the last change in milliseconds since 1970. A different stamp means that the file has
/// changed.
pub type Stamp = (u64, u64);

/// The stamp of a file, or of a folder of frames; the time is 0 where the system does not tell it.
///
/// # Errors
/// Errors of the operating system, and a frame that cannot be read.
pub fn stamp(path: &Path) -> Result<Stamp> {
    let meta = std::fs::metadata(path).map_err(Error::io(path, "reading"))?;
    Ok(if meta.is_dir() { vljepa_data::video::folder_stamp(path)? } else { vljepa_data::stamp(&meta) })
}

/// A folder that is being written. Its files go into a temporary folder next to the target, which
/// [`OutFolder::persist`] moves into place. Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct OutFolder {
    temporary: tempfile::TempDir,
    /// Shows other processes that the folder is somebody's.
    lock: Option<File>,
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
        let mut lock = None;
        let make = || {
            temporary_folder_in(parent).map(|(folder, held)| {
                lock = held;
                folder
            })
        };
        let (temporary, under_way) = UnderWay::make(make).map_err(Error::io(parent, "writing"))?;
        Ok(Self { temporary, lock, place, under_way })
    }

    /// Where the folder is to be.
    pub fn place(&self) -> &Path {
        &self.place
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
        let mut folder = self.temporary.path().to_owned();
        // Below the temporary folder only: a signal may have removed that one, for good.
        for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            match std::fs::create_dir(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io(&shown, "writing")(e)),
                _ => {}
            }
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
        let Self { temporary, lock, place, under_way } = self;
        under_way.settle(|| std::fs::rename(temporary.path(), &place)).map_err(Error::io(&place, "writing"))?;
        let _ = temporary.keep();
        drop(lock);
        sync_folder_of(&place);
        Ok(())
    }
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
            // Another thread may still be writing.
            for name in ["weights", "folder/weights"] {
                assert!(out.write(name, b"0").is_err());
            }
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
    fn a_file_that_is_cut_after_it_was_opened_is_the_one_that_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [7; 100_000]).unwrap();
        let bytes = map(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        // A mapping would end the process here.
        assert!(bytes.len() == 100_000 && bytes.iter().all(|b| *b == 7));
        // Where files are too large to be read, they are mapped.
        assert!(matches!(map_beyond(&path, 9).unwrap(), Mapped(Bytes::Map(_))));
        assert!(cfg!(not(target_os = "linux")) || free_memory().is_some_and(|bytes| bytes > 1 << 20));
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
