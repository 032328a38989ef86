//! A folder of pictures as a video, and a single picture as one of one frame.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::source::{Facts, Pixels, Raw, Source};
use crate::{DataError, Limits, decode_file};

pub(super) struct Folder {
    files: Vec<PathBuf>,
    limits: Limits,
    fps: f64,
    facts: Facts,
    at: usize,
}

impl Folder {
    /// The pictures directly in a folder, by [`natural_cmp`] of their names.
    pub fn open(dir: &Path, fps: f64, limits: &Limits) -> Result<Self, DataError> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(DataError::io(dir, "listing"))? {
            let path = entry.map_err(DataError::io(dir, "listing"))?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && crate::walk::is_picture_name(&path) && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            let kinds = crate::PICTURE_EXTENSIONS.join(", ");
            return Err(DataError::content(dir, format!("no pictures directly in this folder ({kinds})")));
        }
        files.sort_by(|a, b| natural_cmp(&a.to_string_lossy(), &b.to_string_lossy()));
        Self::of(files, "folder of pictures", fps, limits)
    }

    /// One picture.
    pub fn picture(path: &Path, fps: f64, limits: &Limits) -> Result<Self, DataError> {
        Self::of(vec![path.to_owned()], "picture", fps, limits)
    }

    fn of(files: Vec<PathBuf>, format: &'static str, fps: f64, limits: &Limits) -> Result<Self, DataError> {
        let facts = Facts {
            format,
            // Pictures of one folder may differ in size.
            size: None,
            duration: Some(files.len() as f64 / fps),
            frames: Some(files.len() as u64),
            fps: Some(fps),
            missing_frames: 0,
        };
        Ok(Self { files, limits: *limits, fps, facts, at: 0 })
    }
}

impl Source for Folder {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let Some(path) = self.files.get(self.at) else {
            return Ok(None);
        };
        let rgb = decode_file(path, &self.limits)?.over([255; 3]);
        let pts = self.at as f64 / self.fps;
        self.at += 1;
        Ok(Some(Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        self.at = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        Ok((0..self.files.len()).map(|index| index as f64 / self.fps).collect())
    }
}

/// Orders names as people count: runs of digits by their value, so that `f9` stands before `f10`; all else by characters.
/// Names that differ in leading zeros only stand in plain order.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match (digits(left), digits(right)) {
            (0, _) | (_, 0) => match (left.chars().next(), right.chars().next()) {
                (None, None) => return a.cmp(b),
                (x, y) if x == y => {
                    let step = x.map_or(0, char::len_utf8);
                    (left, right) = (&left[step..], &right[step..]);
                }
                (x, y) => return x.cmp(&y),
            },
            (m, n) => {
                let (x, y) = (left[..m].trim_start_matches('0'), right[..n].trim_start_matches('0'));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (&left[m..], &right[n..]);
            }
        }
    }
}
