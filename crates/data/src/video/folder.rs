//! A folder of pictures as a video, and a single picture as one of one frame.

use std::path::{Path, PathBuf};

use super::source::{Access, Facts, Pixels, Raw, Source};
use crate::decode::{To, decode_file, decode_open};
use crate::file::{OpenFile, stamp};
use crate::names::{PICTURE_EXTENSIONS, is_hidden, is_picture_name, natural_cmp};
use crate::{DataError, Limits, Rgba8Image};

/// Pictures that are shown one after the other at a steady rate.
struct Slides {
    fps: f64,
    facts: Facts,
    /// Number of the next picture.
    at: usize,
    count: usize,
}

impl Slides {
    fn new(count: usize, format: &'static str, fps: f64) -> Self {
        let facts = Facts {
            format,
            // Pictures of one folder may differ in size.
            size: None,
            duration: Some(count as f64 / fps),
            frames: Some(count as u64),
            fps: Some(fps),
            missing_frames: 0,
        };
        Self { fps, facts, at: 0, count }
    }

    /// The next picture, which `decode` makes from its number.
    fn next(&mut self, decode: impl Fn(usize) -> Result<Rgba8Image, DataError>) -> Result<Option<Raw>, DataError> {
        if self.at >= self.count {
            return Ok(None);
        }
        let rgb = decode(self.at)?.over([255; 3]);
        let pts = self.at as f64 / self.fps;
        self.at += 1;
        Ok(Some(Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) {
        self.at = usize::try_from(index).unwrap_or(usize::MAX);
    }

    fn times(&self) -> Vec<f64> {
        (0..self.count).map(|index| index as f64 / self.fps).collect()
    }
}

pub(super) struct Folder {
    files: Vec<PathBuf>,
    limits: Limits,
    slides: Slides,
}

/// The pictures directly in a folder, by [`natural_cmp`] of their names.
pub(crate) fn frames_in(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(DataError::io(dir, "listing"))? {
        let path = entry.map_err(DataError::io(dir, "listing"))?.path();
        if !is_hidden(&path) && is_picture_name(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort_by(|a, b| natural_cmp(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(files)
}

/// Bytes of all frames of a folder, and the latest change of one of them or of the folder, in milliseconds since 1970: as
/// [`stamp`](crate::stamp) for a file.
///
/// # Errors
/// A folder or frame that cannot be read.
pub fn folder_stamp(dir: impl AsRef<Path>) -> Result<(u64, u64), DataError> {
    let dir = dir.as_ref();
    let of = |path: &Path| Ok(stamp(&std::fs::metadata(path).map_err(DataError::io(path, "reading"))?));
    let mut whole = (0, of(dir)?.1);
    for frame in frames_in(dir)? {
        let (bytes, changed) = of(&frame)?;
        whole = (whole.0 + bytes, whole.1.max(changed));
    }
    Ok(whole)
}

impl Folder {
    /// The frames of a folder ([`frames_in`]).
    pub fn open(dir: &Path, fps: f64, limits: &Limits) -> Result<Self, DataError> {
        let files = frames_in(dir)?;
        if files.is_empty() {
            let kinds = PICTURE_EXTENSIONS.join(", ");
            return Err(DataError::content(dir, format!("no pictures directly in this folder ({kinds})")));
        }
        let slides = Slides::new(files.len(), "folder of pictures", fps);
        Ok(Self { files, limits: *limits, slides })
    }
}

impl Source for Folder {
    fn facts(&self) -> &Facts {
        &self.slides.facts
    }

    fn access(&self) -> Access {
        Access::Indexed
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        self.slides.next(|index| decode_file(&self.files[index], &self.limits))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        self.slides.seek(index);
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        Ok(self.slides.times())
    }
}

/// One picture, as a video of one frame.
pub(super) struct Still {
    file: OpenFile,
    limits: Limits,
    slides: Slides,
}

impl Still {
    pub fn new(file: OpenFile, fps: f64, limits: &Limits) -> Self {
        Self { file, limits: *limits, slides: Slides::new(1, "picture", fps) }
    }
}

impl Source for Still {
    fn facts(&self) -> &Facts {
        &self.slides.facts
    }

    fn access(&self) -> Access {
        Access::Indexed
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        self.slides.next(|_| decode_open(&self.file, &self.limits, To::Rgba)?.rgba())
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        self.slides.seek(index);
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        Ok(self.slides.times())
    }
}
