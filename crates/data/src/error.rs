//! The one error type of this crate.

use std::path::PathBuf;

/// What went wrong with a picture, a text list or a data set, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("{path}: {action} failed: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "reading", "writing".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// No such file.
    #[error("{path}: no such file or folder", path = .0.display())]
    Missing(PathBuf),
    /// Something else stands where a regular file is expected. Opening a pipe would wait, and a device may never end.
    #[error("{path}: is a {what}; name a regular file", path = path.display())]
    NotRegular {
        /// Where it stands.
        path: PathBuf,
        /// "folder", "pipe", "socket" or "device".
        what: &'static str,
    },
    /// A file that is read whole has more bytes than such files have.
    #[error("{path}: {bytes} bytes, at most {max} are expected; is this the right file?", path = path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size, or how much of it was read.
        bytes: u64,
        /// Limit on the size.
        max: u64,
    },
    /// A file of zero bytes.
    #[error("{0}: the file is empty")]
    Empty(String),
    /// Neither the content nor the name is that of a picture this build reads.
    #[error("{0}: not a picture (expected PNG, JPEG, GIF or WebP)")]
    NotAPicture(String),
    /// A video in a format that this crate leaves to the program `ffmpeg`, which is not installed.
    #[error(
        "{path}: {why}; MP4 and MOV with H.264, GIF, WebP, APNG, Y4M and folders of pictures are read without help, for this \
         install ffmpeg 5.1 or later (apt install ffmpeg, brew install ffmpeg, winget install ffmpeg)",
        path = path.display()
    )]
    NeedsFfmpeg {
        /// The file.
        path: PathBuf,
        /// Why this crate cannot read it itself.
        why: String,
    },
    /// The picture starts well and then breaks.
    #[error("{origin}: broken or truncated {format}: {reason}")]
    Corrupt {
        /// The file, or what the bytes were called.
        origin: String,
        /// The format that its first bytes announce.
        format: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// The header announces more than the limits allow.
    #[error("{origin}: the header says {width}x{height} pixels, the limit is {max_side} a side and {max_bytes} bytes")]
    TooLarge {
        /// The file, or what the bytes were called.
        origin: String,
        /// Announced width in pixels.
        width: u32,
        /// Announced height in pixels.
        height: u32,
        /// Limit on each side.
        max_side: u32,
        /// Limit on the decoded size.
        max_bytes: u64,
    },
    /// Opening it asks for more than the limits allow, before a size is known.
    #[error("{origin}: this {format} needs more than the limit of {max_bytes} bytes")]
    OverLimit {
        /// The file, or what the bytes were called.
        origin: String,
        /// The format that its first bytes announce.
        format: &'static str,
        /// Limit on the decoded size.
        max_bytes: u64,
    },
    /// An impossible size, rectangle or buffer.
    #[error("{what}: {reason}")]
    Shape {
        /// The operation.
        what: &'static str,
        /// Why it is impossible, with the numbers.
        reason: String,
    },
    /// A file has the right kind and the wrong content.
    #[error("{path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what is expected.
        reason: String,
    },
    /// A label list names one thing twice.
    #[error("{origin}: line {second} repeats \"{label}\" of line {first}: every line must differ, leave one out")]
    DuplicateLabel {
        /// The file, or what the list was called.
        origin: String,
        /// The repeated label.
        label: String,
        /// First line, from 1.
        first: usize,
        /// Second line, from 1.
        second: usize,
    },
    /// A program that the build of a data set needs is missing or failed.
    #[error("{program}: {reason}")]
    Tool {
        /// The program's name.
        program: &'static str,
        /// What happened and what to do.
        reason: String,
    },
}

impl DataError {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound if path.is_symlink() => {
                let reason = "is a link that leads to nothing; remove it, or put back what it leads to";
                Self::content(path, reason)
            }
            std::io::ErrorKind::NotFound => Self::Missing(path),
            _ => Self::Io { path, action, source },
        }
    }

    pub(crate) fn content(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Content { path: path.into(), reason: reason.into() }
    }
}
