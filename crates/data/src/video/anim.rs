//! GIF, animated WebP and APNG.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::codecs::{gif::GifDecoder, png::PngDecoder};
use image::{AnimationDecoder, Frames, ImageDecoder, ImageResult};

use super::source::{Facts, Pixels, Raw, Source, check_size};
use crate::{DataError, Limits, Rgba8Image};

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Gif,
    WebP,
    Apng,
}

impl Format {
    /// By the first bytes of a file; PNG and WebP count only where the file says that it is animated. PNG of 16 bits is left to
    /// others: the decoder of its frames knows 8.
    pub fn guess(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
            return Some(Self::Gif);
        }
        // VP8X with the animation flag.
        let webp = head.starts_with(b"RIFF") && head.get(8..16) == Some(b"WEBPVP8X");
        if webp && head.get(20).is_some_and(|flags| flags & 2 != 0) {
            return Some(Self::WebP);
        }
        // The chunk acTL stands before the first IDAT, as a rule right after IHDR.
        let png = head.starts_with(b"\x89PNG\r\n\x1a\n");
        let find = |kind: &[u8]| head.windows(4).position(|bytes| bytes == kind);
        let first = |at: usize| find(b"IDAT").is_none_or(|data| at < data);
        (png && head.get(24) != Some(&16) && find(b"acTL").is_some_and(first)).then_some(Self::Apng)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Apng => "PNG",
        }
    }
}

pub(super) struct Animation {
    path: PathBuf,
    format: Format,
    frames: Frames<'static>,
    facts: Facts,
    /// Number of the next frame, and when it is shown in milliseconds.
    at: u64,
    clock: f64,
}

impl Animation {
    pub fn open(path: &Path, format: Format, limits: &Limits) -> Result<Self, DataError> {
        let (frames, size) = frames(path, format, limits)?;
        check_size(&path.display().to_string(), size, limits)?;
        let facts = Facts { format: format.name(), size: Some(size), ..Facts::default() };
        Ok(Self { path: path.to_owned(), format, frames, facts, at: 0, clock: 0.0 })
    }

    fn corrupt(&self, error: &image::ImageError) -> DataError {
        let reason = crate::decode::one_line(&format!("frame {}: {error}", self.at + 1));
        DataError::Corrupt { origin: self.path.display().to_string(), format: self.format.name(), reason }
    }

    /// Takes a frame, and lets the clock go on by its delay.
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
            (self.frames, _) = frames(&self.path, self.format, &Limits::default())?;
            (self.at, self.clock) = (0, 0.0);
        }
        while self.at < index && self.advance()?.is_some() {}
        Ok(())
    }
}

fn frames(path: &Path, format: Format, limits: &Limits) -> Result<(Frames<'static>, (u32, u32)), DataError> {
    let file = BufReader::new(File::open(path).map_err(DataError::io(path, "opening"))?);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes);
    let open = || -> ImageResult<(Frames<'static>, (u32, u32))> {
        Ok(match format {
            Format::Gif => {
                let mut decoder = GifDecoder::new(file)?;
                decoder.set_limits(bounds)?;
                let size = decoder.dimensions();
                (decoder.into_frames(), size)
            }
            Format::WebP => super::webp::frames(file)?,
            Format::Apng => {
                let decoder = PngDecoder::with_limits(file, bounds)?;
                let size = decoder.dimensions();
                (decoder.apng()?.into_frames(), size)
            }
        })
    };
    open().map_err(|e| DataError::Corrupt {
        origin: path.display().to_string(),
        format: format.name(),
        reason: crate::decode::one_line(&e.to_string()),
    })
}
