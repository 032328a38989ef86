//! A regular file that is opened and looked at once: its size, its time, and what it is by its first bytes.

use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::DataError;
use crate::kind::{HEAD, Kind, PictureFormat, picture_format};
use crate::names::is_video_name;

/// An open file, its place at the start.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub path: PathBuf,
    /// Shared, so that what decodes it can begin again without opening it again.
    pub file: Arc<File>,
    pub kind: Kind,
    /// How it is decoded as a picture.
    pub picture: Option<PictureFormat>,
    /// Size in bytes before it was opened.
    pub bytes: u64,
    /// Time of its last change before it was opened, in milliseconds since 1970; 0 where the system does not say.
    pub changed: u64,
}

impl OpenFile {
    /// Opens a regular file; a folder, a pipe and a device are no pictures. Errors of asking for its
    /// metadata name `action`.
    pub fn regular(path: &Path, action: &'static str) -> Result<Self, DataError> {
        // Asked before opening, because opening a pipe waits for its writer.
        let meta = std::fs::metadata(path).map_err(DataError::io(path, action))?;
        if meta.is_dir() {
            return Err(DataError::NotAPicture(format!("{} is a folder", path.display())));
        }
        if !meta.is_file() {
            return Err(DataError::NotAPicture(format!("{} is not a regular file", path.display())));
        }
        Self::known(path, &meta)
    }

    /// Opens a file that is known to be regular.
    pub fn known(path: &Path, meta: &Metadata) -> Result<Self, DataError> {
        let mut file = open(path)?;
        let mut head = [0; HEAD];
        let read = fill(&mut file, &mut head).map_err(DataError::io(path, "reading"))?;
        file.rewind().map_err(DataError::io(path, "reading"))?;
        let (bytes, changed) = stamp(meta);
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            kind: Kind::of(&head[..read]),
            picture: picture_format(&head[..read]),
            bytes,
            changed,
        })
    }

    /// What errors call the file.
    pub fn origin(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether it holds moving pictures: by its content, and by its name where the content says nothing.
    pub fn is_video(&self) -> bool {
        match self.kind {
            Kind::Mp4 | Kind::Y4m | Kind::Animation(_) => true,
            Kind::Picture => false,
            Kind::Empty | Kind::Other => is_video_name(&self.path),
        }
    }
}

/// Size in bytes and time of the last change in milliseconds since 1970, 0 where the system does not say. A different
/// stamp means that the file has changed.
pub fn stamp(meta: &Metadata) -> (u64, u64) {
    let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (meta.len(), changed.map_or(0, |since| since.as_millis() as u64))
}

/// Opens a file for reading.
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
pub(crate) fn from_start(file: &Arc<File>, path: &Path) -> Result<Arc<File>, DataError> {
    let mut file = Arc::clone(file);
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
