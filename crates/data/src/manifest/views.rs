//! The views of a row: clips that follow each other in it, and crops of them.

use super::row::Row;
use super::visual::Opened;
use crate::video::VideoOptions;
use crate::{Crops, DataError, Limits, Preprocess, Rgb8Image};

/// How a row becomes views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewing {
    /// Frames of a clip.
    pub frames: usize,
    /// Clips that a video is cut into, one after the other; a picture is one.
    pub segments: usize,
    /// Squares of each that are looked at.
    pub crops: Crops,
}

impl Viewing {
    /// Bytes of the numbers of a row's views, at most.
    pub fn bytes(&self, to: &Preprocess) -> usize {
        let &Self { frames, segments, crops } = self;
        let counts = [frames, segments, crops.count(), to.values()];
        counts.iter().fold(size_of::<f32>(), |bytes, &count| bytes.saturating_mul(count))
    }
}

/// The numbers of a row's views.
#[derive(Clone, Debug, PartialEq)]
pub struct RowViews {
    /// Views: segments times crops.
    pub views: usize,
    /// Frames of each; 1 for a picture.
    pub frames: usize,
    /// `[views, frames, 3, size, size]`, all crops of a segment before those of the next.
    pub numbers: Vec<f32>,
}

impl Row {
    /// What an encoder takes of the row's views: of a video `frames × segments` frames, spread evenly over the row's times,
    /// `frames` for each segment (V-JEPA 2 evaluates on 2 segments and 3 crops); a picture is one frame. Threads that decode
    /// at once share 1 GiB.
    ///
    /// # Errors
    /// Media that cannot be read, times of a picture, times between which no frame lies, more frames than a clip has; each names
    /// the row's place and the file.
    pub fn views(&self, viewing: &Viewing, to: &Preprocess, options: &VideoOptions) -> Result<RowViews, DataError> {
        self.seen(viewing, to, options).map_err(|error| DataError::content(self.origin(), error.to_string()))
    }

    fn seen(&self, viewing: &Viewing, to: &Preprocess, options: &VideoOptions) -> Result<RowViews, DataError> {
        let &Viewing { frames, segments, crops } = viewing;
        let reader = match self.opened(options)? {
            Opened::Clip(reader) => reader,
            Opened::Still(media) => {
                let numbers = media.numbers(to, crops, &Limits::default())?;
                return Ok(RowViews { views: crops.count(), frames: 1, numbers });
            }
        };
        let square = to.values();
        let bytes = size_of::<f32>() * square * crops.count();
        let all = |rgb: Rgb8Image| to.views(&rgb, crops, true);
        let seen = self.frames_of(reader, frames.saturating_mul(segments), bytes, &all)?;
        let views = segments * crops.count();
        let mut numbers = Vec::with_capacity(views * frames * square);
        for segment in seen.chunks(frames.max(1)) {
            for crop in 0..crops.count() {
                for frame in segment {
                    numbers.extend_from_slice(frame.get(crop * square..(crop + 1) * square).unwrap_or_default());
                }
            }
        }
        Ok(RowViews { views, frames, numbers })
    }
}
