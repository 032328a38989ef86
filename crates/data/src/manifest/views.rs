//! The views of a row: clips that follow each other in it, and crops of them.

use super::row::Row;
use super::visual::Opened;
use crate::video::{Clips, Sampling, VideoOptions};
use crate::{Crops, DataError, Limits, Preprocess, Rgb8Image};

/// Memory in bytes for the frames of a stream that is read once.
const HELD: usize = 1 << 30;

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
        let mut reader = match self.place.open(options)? {
            Opened::Clip(reader) => reader,
            Opened::Still(_) if self.is_timed() => {
                return Err(DataError::content(
                    self.place.name(),
                    "a picture has no `start` and `end`; leave them out",
                ));
            }
            Opened::Still(media) => {
                let numbers = media.numbers(to, crops, &Limits::default())?;
                return Ok(RowViews { views: crops.count(), frames: 1, numbers });
            }
        };
        let _part = reader.hold_memory();
        let wanted = frames.saturating_mul(segments);
        let sampling = Sampling { frames: Some(wanted), start: self.start, end: self.end, ..Sampling::default() };
        let square = to.values();
        let hold = (HELD / (size_of::<f32>() * square * crops.count()).max(1)).max(1);
        let mut clips = Clips::new(&mut reader, &sampling.settle(wanted)?, 0, hold)?;
        let mut prepare = |rgb: Rgb8Image| -> Result<Vec<f32>, DataError> {
            to.views(&rgb, crops, true).map_err(|error| error.of_file(&self.place.name()))
        };
        let clip = clips.next_clip(&mut prepare)?;
        let clip =
            clip.ok_or_else(|| DataError::content(self.place.name(), "the video has no frames; leave it out"))?;
        let views = segments * crops.count();
        let mut numbers = Vec::with_capacity(views * frames * square);
        for segment in clip.frames.chunks(frames.max(1)) {
            for crop in 0..crops.count() {
                for frame in segment {
                    numbers.extend_from_slice(frame.get(crop * square..(crop + 1) * square).unwrap_or_default());
                }
            }
        }
        Ok(RowViews { views, frames, numbers })
    }
}
