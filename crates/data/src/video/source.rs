//! What every kind of video source gives.

use super::boxes::Orientation;
use super::yuv::YuvFrame;
use crate::{DataError, Limits, Rgb8Image};

/// What is known of a video before any frame is decoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What it is: "MP4 with H.264", "GIF", "folder of pictures", …
    pub format: &'static str,
    /// Width and height in pixels as frames come out: cropped and turned upright.
    pub size: Option<(u32, u32)>,
    /// When the last frame ends, in seconds.
    pub duration: Option<f64>,
    /// How many frames come out; exact where it is known.
    pub frames: Option<u64>,
    /// Frames a second on average.
    pub fps: Option<f64>,
    /// Frames that the index of a cut-off file names and that are not there; they are not among `frames`.
    pub missing_frames: u64,
}

/// A frame as its decoder left it.
pub(super) enum Pixels {
    Yuv(YuvFrame),
    /// Upright already.
    Rgb(Rgb8Image),
}

/// A frame and its time in seconds.
pub(super) struct Raw {
    pub pixels: Pixels,
    pub pts: f64,
}

/// What of a video can be had, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The times of all frames, before any is decoded.
    Indexed,
    /// One frame after the other, from any place.
    Sequential,
    /// One frame after the other, once.
    Once,
}

/// A stream of frames.
pub(super) trait Source {
    fn facts(&self) -> &Facts;

    fn access(&self) -> Access {
        Access::Sequential
    }

    /// What of the video is not as its file says, a line each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How frames of [`Pixels::Yuv`] are turned.
    fn orientation(&self) -> Orientation {
        Orientation::default()
    }

    /// The next frame; `None` after the last.
    fn next(&mut self) -> Result<Option<Raw>, DataError>;

    /// Makes frame `index` the next one, or the end where there is none.
    fn seek(&mut self, index: u64) -> Result<(), DataError>;

    /// Times of all frames in seconds. Which frame is next afterwards is not defined.
    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        self.seek(0)?;
        let mut times = Vec::new();
        while let Some(raw) = self.next()? {
            times.push(raw.pts);
        }
        Ok(times)
    }
}

/// Refuses pictures of no pixels, or of more than the limits allow at four bytes a pixel.
pub(super) fn check_size(origin: &str, (width, height): (u32, u32), limits: &Limits) -> Result<(), DataError> {
    if width == 0 || height == 0 {
        let reason = format!("frames of {width}x{height} pixels");
        return Err(DataError::Shape { what: "video", reason: format!("{origin}: {reason}") });
    }
    let bytes = (u64::from(width) * u64::from(height)).saturating_mul(4);
    if width.max(height) > limits.max_side || bytes > limits.max_bytes {
        return Err(DataError::TooLarge {
            origin: origin.to_owned(),
            width,
            height,
            max_side: limits.max_side,
            max_bytes: limits.max_bytes,
        });
    }
    Ok(())
}
