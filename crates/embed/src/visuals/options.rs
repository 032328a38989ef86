//! What callers say about files, and what they are told of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reading::Reading;

/// When a part of a video begins and ends, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When it begins.
    pub start: f64,
    /// When it ends.
    pub end: f64,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowOf {
    /// Index of the file among all.
    pub file: usize,
    /// The part of the video; `None` for a picture, and for a video as a whole.
    pub moment: Option<Moment>,
}

/// How far long work is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Files that are done.
    pub files: usize,
    /// Rows that were made.
    pub rows: usize,
    /// The part of the present file that is done, 0..1, where it is known.
    pub within: f64,
}

/// What to do about a file that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Stop with its error and [`Hint::SkipBroken`](crate::Hint::SkipBroken).
    #[default]
    Stop,
    /// Leave the file out.
    Skip,
}

impl Broken {
    /// [`Broken::Skip`] if `skip`, else [`Broken::Stop`].
    pub fn skip(skip: bool) -> Self {
        if skip { Self::Skip } else { Self::Stop }
    }
}

/// A file that could not be read and was left out.
#[derive(Debug)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The reason, one line.
    pub error: String,
}

/// A file that was embedded though it is not as it says: a video that is cut off, or whose damaged frames others stand in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The file.
    pub path: PathBuf,
    /// What is to be known of it, one line.
    pub note: String,
}

/// Options for embedding files. By default the first unreadable or damaged file is an error, videos are one clip, and neither progress
/// nor what is noted of files is reported.
#[derive(Default)]
pub struct FileOptions<'a> {
    pub(super) broken: Broken,
    pub(super) reading: Reading,
    pub(super) progress: Option<&'a mut dyn FnMut(Progress)>,
    pub(super) on_note: Option<&'a mut dyn FnMut(Noted)>,
}

impl std::fmt::Debug for FileOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { broken, reading, .. } = self;
        f.debug_struct("FileOptions").field("broken", broken).field("reading", reading).finish_non_exhaustive()
    }
}

impl<'a> FileOptions<'a> {
    /// Sets what to do about files that cannot be read.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// Sets how files become clips.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Calls `on_note` with what is to be known of files that were embedded.
    #[must_use]
    pub fn on_note(mut self, on_note: &'a mut dyn FnMut(Noted)) -> Self {
        self.on_note = Some(on_note);
        self
    }

    /// Calls `progress` after each batch.
    #[must_use]
    pub fn on_progress(mut self, progress: &'a mut dyn FnMut(Progress)) -> Self {
        self.progress = Some(progress);
        self
    }
}
