//! GIF, animated WebP and APNG.

use std::io::BufReader;

use image::codecs::{gif::GifDecoder, png::PngDecoder};
use image::{AnimationDecoder, Frames, ImageDecoder, ImageResult};

use super::source::{Facts, Pixels, Raw, Source, check_size};
use super::webp;
use crate::decode::one_line;
use crate::file::{OpenFile, from_start};
use crate::kind::Animation as Format;
use crate::{DataError, Limits, Rgba8Image};

pub(super) struct Animation {
    file: OpenFile,
    format: Format,
    frames: Frames<'static>,
    facts: Facts,
    /// Number of the next frame, and when it is shown in milliseconds.
    at: u64,
    clock: f64,
}

impl Animation {
    pub fn open(file: OpenFile, format: Format, limits: &Limits) -> Result<Self, DataError> {
        let (frames, size) = frames(&file, format, limits)?;
        check_size(&file.origin(), size, limits)?;
        let facts = Facts { format: format.name(), size: Some(size), ..Facts::default() };
        Ok(Self { file, format, frames, facts, at: 0, clock: 0.0 })
    }

    fn corrupt(&self, error: &image::ImageError) -> DataError {
        let reason = one_line(&format!("frame {}: {error}", self.at + 1));
        DataError::Corrupt { origin: self.file.origin(), format: self.format.name(), reason }
    }

    /// Takes a frame, and moves the clock on by its delay.
    fn advance(&mut self) -> Result<Option<image::Frame>, DataError> {
        let Some(frame) = self.frames.next() else {
            return Ok(None);
        };
        let frame = frame.map_err(|e| self.corrupt(&e))?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let delay = f64::from(numerator) / f64::from(denominator.max(1));
        // Shown by browsers and by FFmpeg as a tenth of a second: such files mean "no delay given".
        self.clock += if delay < 20.0 && self.format != Format::Apng { 100.0 } else { delay };
        self.at += 1;
        Ok(Some(frame))
    }
}

impl Source for Animation {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let pts = self.clock / 1000.0;
        let Some(frame) = self.advance()? else {
            return Ok(None);
        };
        let pixels = frame.into_buffer();
        let (width, height) = pixels.dimensions();
        let rgb = Rgba8Image::new(width, height, pixels.into_raw())?.over([255; 3]);
        Ok(Some(Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index < self.at {
            // Limits were checked when it was opened.
            (self.frames, _) = frames(&self.file, self.format, &Limits::default())?;
            (self.at, self.clock) = (0, 0.0);
        }
        while self.at < index && self.advance()?.is_some() {}
        Ok(())
    }
}

/// The frames from the first on, and their size.
fn frames(open: &OpenFile, format: Format, limits: &Limits) -> Result<(Frames<'static>, (u32, u32)), DataError> {
    let file = BufReader::new(from_start(&open.file, &open.path)?);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes);
    let decoder = || -> ImageResult<(Frames<'static>, (u32, u32))> {
        Ok(match format {
            Format::Gif => {
                let mut decoder = GifDecoder::new(file)?;
                decoder.set_limits(bounds)?;
                let size = decoder.dimensions();
                (decoder.into_frames(), size)
            }
            Format::WebP => webp::frames(file)?,
            Format::Apng => {
                let decoder = PngDecoder::with_limits(file, bounds)?;
                let size = decoder.dimensions();
                (decoder.apng()?.into_frames(), size)
            }
        })
    };
    decoder().map_err(|e| DataError::Corrupt {
        origin: open.origin(),
        format: format.name(),
        reason: one_line(&e.to_string()),
    })
}
