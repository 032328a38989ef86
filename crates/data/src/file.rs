//! Regular files: opened without waiting, read within a limit, and looked at once for their size, their time, and what they
//! are by their first bytes.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::DataError;
use crate::instead::instead;
use crate::kind::{HEAD, Kind, PictureFormat, picture_format};
use crate::names::is_video_name;

/// An open file, its place at the start.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub path: PathBuf,
    /// Shared, so that what decodes it can begin again without opening it again.
    pub file: SharedFile,
    pub kind: Kind,
    /// How it is decoded as a picture.
    pub picture: Option<PictureFormat>,
    /// Size in bytes before it was opened; of a part, its own.
    pub bytes: u64,
    /// Time of its last change before it was opened, in milliseconds since 1970; 0 where the system does not say.
    pub changed: u64,
}

impl OpenFile {
    /// Opens a regular file; a folder, a pipe and a device are no pictures. Errors of asking for its
    /// metadata name `action`.
    pub fn regular(path: &Path, action: &'static str) -> Result<Self, DataError> {
        let meta = std::fs::metadata(path).map_err(DataError::io(path, action))?;
        Self::known(path, &meta).map_err(|error| match error {
            DataError::NotRegular { path, what } => match what {
                "folder" => DataError::NotAPicture(format!("{} is a folder", path.display())),
                _ => DataError::NotAPicture(format!("{} is not a regular file", path.display())),
            },
            other => other,
        })
    }

    /// Opens a file whose metadata was read.
    ///
    /// # Errors
    /// [`DataError::NotRegular`] for all else.
    pub fn known(path: &Path, meta: &Metadata) -> Result<Self, DataError> {
        let file = SharedFile::whole(open_known(path, meta)?);
        Self::looked_at(path, file, stamp(meta))
    }

    /// A part of an open file: `length` bytes from `start`. `name` is what errors call it, and its extension counts as that of a
    /// file. `changed` is the time of the whole file.
    pub fn part(name: &Path, file: File, start: u64, length: u64, changed: u64) -> Result<Self, DataError> {
        Self::looked_at(name, SharedFile { file: Arc::new(file), part: Some((start, length)) }, (length, changed))
    }

    fn looked_at(path: &Path, mut file: SharedFile, (bytes, changed): (u64, u64)) -> Result<Self, DataError> {
        file.rewind().map_err(DataError::io(path, "reading"))?;
        let mut head = [0; HEAD];
        let looked = fill(&mut file, &mut head).and_then(|read| {
            let kind = Kind::of(&head[..read], &mut file)?;
            file.rewind()?;
            Ok((read, kind))
        });
        let (read, kind) = looked.map_err(DataError::io(path, "reading"))?;
        Ok(Self { path: path.to_owned(), file, kind, picture: picture_format(&head[..read]), bytes, changed })
    }

    /// What errors call the file.
    pub fn origin(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether it holds moving pictures: by its content, and by its name where the content says nothing.
    pub fn is_video(&self) -> bool {
        match self.kind {
            Kind::Mp4 | Kind::Y4m | Kind::Animation(_) => true,
            Kind::Picture | Kind::Foreign(_) => false,
            Kind::Empty | Kind::Instead(_) | Kind::Other => is_video_name(&self.path),
        }
    }
}

/// An open file, or a part of one, whose holders share one place in it.
#[derive(Clone, Debug)]
pub(crate) struct SharedFile {
    file: Arc<File>,
    /// Start and length of the part.
    part: Option<(u64, u64)>,
}

impl SharedFile {
    pub fn whole(file: File) -> Self {
        Self { file: Arc::new(file), part: None }
    }

    pub fn is_part(&self) -> bool {
        self.part.is_some()
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut file = &*self.file;
        let Some((start, length)) = self.part else { return file.read(buffer) };
        let at = file.stream_position()?;
        let left = if at < start { 0 } else { start.saturating_add(length).saturating_sub(at) };
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read(&mut buffer[..most])
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let mut file = &*self.file;
        let Some((start, length)) = self.part else { return file.seek(to) };
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => length.checked_add_signed(offset),
            SeekFrom::Current(offset) => {
                file.stream_position()?.checked_sub(start).and_then(|at| at.checked_add_signed(offset))
            }
        };
        let place = place.and_then(|place| start.checked_add(place).map(|absolute| (place, absolute)));
        let (place, absolute) = place.ok_or(std::io::ErrorKind::InvalidInput)?;
        file.seek(SeekFrom::Start(absolute))?;
        Ok(place)
    }
}

/// Size in bytes and time of the last change in milliseconds since 1970, 0 where the system does not say. A different
/// stamp means that the file has changed.
pub fn stamp(meta: &Metadata) -> (u64, u64) {
    let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (meta.len(), changed.map_or(0, |since| since.as_millis() as u64))
}

/// Opens a regular file for reading. Never waits, as opening a pipe would, also where one takes the file's place meanwhile.
///
/// # Errors
/// [`DataError::NotRegular`] for a folder, a pipe, a socket and a device; errors of the operating system.
pub fn open_regular(path: impl AsRef<Path>) -> Result<File, DataError> {
    let path = path.as_ref();
    let meta = std::fs::metadata(path).map_err(DataError::io(path, "reading"))?;
    open_known(path, &meta)
}

/// Reads a whole regular file of at most `max` bytes, in memory of its size.
///
/// # Errors
/// As [`open_regular`]; [`DataError::TooLong`] for a larger file, also for one that grows while it is read; [`DataError::Content`]
/// for what a download leaves [`instead`](instead()) of a file.
pub fn read_limited(path: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, DataError> {
    let path = path.as_ref();
    let file = open_regular(path)?;
    let announced = file.metadata().map_err(DataError::io(path, "reading"))?.len();
    let too_long = |bytes| DataError::TooLong { path: path.to_owned(), bytes, max };
    if announced > max {
        return Err(too_long(announced));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(DataError::io(path, "reading"))?;
    match bytes.len() as u64 {
        read if read > max => Err(too_long(read)),
        _ => match instead(&bytes) {
            Some(what) => Err(DataError::content(path, what)),
            None => Ok(bytes),
        },
    }
}

/// As [`open_regular`], of a path whose metadata was read before.
fn open_known(path: &Path, meta: &Metadata) -> Result<File, DataError> {
    // Before opening, because opening a device may do things; and of the open file, whose path may have changed hands.
    let regular = |meta: &Metadata| match kind_of_entry(meta) {
        None => Ok(()),
        Some(what) => Err(DataError::NotRegular { path: path.to_owned(), what }),
    };
    regular(meta)?;
    let file = open_at_once(path)?;
    regular(&file.metadata().map_err(DataError::io(path, "reading"))?)?;
    Ok(file)
}

/// What stands at a path, where it is no regular file.
fn kind_of_entry(meta: &Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    if kind.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some("pipe");
        }
        if kind.is_socket() {
            return Some("socket");
        }
    }
    Some(if kind.is_dir() { "folder" } else { "device" })
}

/// Opens for reading without waiting for the writer of a pipe.
fn open_at_once(path: &Path) -> Result<File, DataError> {
    #[cfg(test)]
    OPENED.with(|count| count.set(count.get() + 1));
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    match options.open(path) {
        // A file whose lease another program holds, such as a file server, is given up soon.
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => File::open(path),
        opened => opened,
    }
    .map_err(DataError::io(path, "opening"))
}

/// Opens a file or a pipe for reading; of a pipe it waits for the writer.
pub(crate) fn open(path: &Path) -> Result<File, DataError> {
    #[cfg(test)]
    OPENED.with(|count| count.set(count.get() + 1));
    File::open(path).map_err(DataError::io(path, "opening"))
}

#[cfg(test)]
thread_local! {
    /// How many files this thread has opened.
    pub(crate) static OPENED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The same file from its start. Other readers of `file` lose their place.
pub(crate) fn from_start(file: &SharedFile, path: &Path) -> Result<SharedFile, DataError> {
    let mut file = file.clone();
    file.rewind().map_err(DataError::io(path, "reading"))?;
    Ok(file)
}

/// Reads until the buffer is full or the source ends; how many bytes were read.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        let error = read_limited(&path, 4).unwrap_err();
        assert!(matches!(error, DataError::TooLong { bytes: 5, max: 4, .. }), "{error}");
        let error = read_limited(dir.path(), 5).unwrap_err();
        assert!(matches!(error, DataError::NotRegular { what: "folder", .. }), "{error}");
        assert!(matches!(open_regular(dir.path().join("none")), Err(DataError::Missing(_))));
    }

    /// The system gives such a file no length.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_says_is_not_read_on() {
        let error = read_limited("/proc/self/status", 10).unwrap_err();
        assert!(matches!(error, DataError::TooLong { bytes: 11, max: 10, .. }), "{error}");
    }

    /// A test that waits for a writer would never end.
    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::fs::write(&file, b"x").unwrap();
        let what = |found: Result<File, DataError>| match found.unwrap_err() {
            DataError::NotRegular { what, .. } => what,
            other => panic!("{other}"),
        };
        assert_eq!(what(open_regular(&pipe)), "pipe");
        assert_eq!(what(open_regular("/dev/zero")), "device");
        // The pipe came after the metadata of a file was read.
        let meta = std::fs::metadata(&file).unwrap();
        assert_eq!(what(open_known(&pipe, &meta)), "pipe");
    }
}
