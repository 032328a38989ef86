//! How files become what an encoder takes.

use serde::{Deserialize, Serialize};
use vljepa_data::Crops;
use vljepa_data::video::{Clipping, Damaged, RawFormat, RawPixels, Sampling, VideoOptions};

use super::encoder::VisualEncoder;
use crate::error::{Error, Result};

/// Frames a second of what does not state it: folders of frames, Motion JPEG, raw frames.
pub const DEFAULT_RATE: f64 = 25.0;

/// Size and pixels of raw frames on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawFrames {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of a pixel.
    pub pixels: RawPixels,
}

/// How files become what an encoder takes. By default a picture is its centre crop, a video is one clip of frames from its first to
/// its last, and damage inside of a video is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Which parts of videos become clips. Its rate is also that of folders of frames, Motion JPEG and raw frames, which do not state
    /// one; without a window each of these is one clip.
    #[serde(skip_serializing_if = "Sampling::is_default")]
    pub sampling: Sampling,
    /// Which squares of a picture or frame are looked at.
    #[serde(skip_serializing_if = "is_center")]
    pub crops: Crops,
    /// What happens where a frame inside of a video is damaged.
    #[serde(skip_serializing_if = "is_stop")]
    pub damaged: Damaged,
    /// Frames a second of what does not state one, where sampling has no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Raw frames on standard input; absent: it says itself what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawFrames>,
}

fn is_center(crops: &Crops) -> bool {
    *crops == Crops::Center
}

fn is_stop(damaged: &Damaged) -> bool {
    *damaged == Damaged::Stop
}

impl Reading {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Frames a second of what does not state it.
    pub fn rate(&self) -> f64 {
        self.sampling.fps.or(self.rate).unwrap_or(DEFAULT_RATE)
    }

    /// Checks every number, for an encoder.
    ///
    /// # Errors
    /// As [`Sampling::settle`]; also a number of frames that fills no whole tubelets of the encoder.
    pub fn check(&self, encoder: &dyn VisualEncoder) -> Result<()> {
        self.settle(encoder).map(|_| ())
    }

    pub(super) fn settle(&self, encoder: &dyn VisualEncoder) -> Result<Settled> {
        let own = encoder.frames();
        let timed = self.sampling.settle(own)?;
        let mut untimed = self.sampling;
        if untimed.window.is_none() && untimed.stride.is_none() {
            untimed.fps = None;
        }
        let untimed = untimed.settle(own)?;
        let (frames, tubelet) = (timed.frames(), encoder.tubelet().max(1));
        if frames > 1 && frames % tubelet != 0 {
            return Err(Error::Invalid(format!(
                "clips of {frames} frames: the model takes frames {tubelet} at a time; choose a multiple of {tubelet}, or 1"
            )));
        }
        Ok(Settled { timed, untimed, rate: self.rate(), reading: *self })
    }
}

/// A [`Reading`] for an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// Clips of videos that state their times.
    timed: Clipping,
    /// Clips of others.
    untimed: Clipping,
    /// Frames a second of the others.
    rate: f64,
    reading: Reading,
}

impl Settled {
    pub fn frames(&self) -> usize {
        self.timed.frames()
    }

    pub fn crops(&self) -> Crops {
        self.reading.crops
    }

    pub fn clipping(&self, timed: bool) -> &Clipping {
        if timed { &self.timed } else { &self.untimed }
    }

    pub fn conceals(&self) -> bool {
        self.reading.damaged == Damaged::Conceal
    }

    pub fn video(&self) -> VideoOptions {
        VideoOptions { damaged: self.reading.damaged, folder_fps: self.rate, ..VideoOptions::default() }
    }

    pub fn rate(&self) -> f64 {
        self.rate
    }

    pub fn raw(&self) -> Option<RawFormat> {
        let format = |RawFrames { width, height, pixels }| RawFormat { width, height, pixels, fps: self.rate };
        self.reading.raw.map(format)
    }
}
