//! GIF, animated WebP and APNG.

use std::io::BufReader;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, Frames, ImageDecoder, ImageError, ImageResult};

use super::apng::{self, ApngFrames};
use super::source::{Facts, Pixels, Raw, Source, check_size};
use super::webp::{self, WebpFrames};
use super::work;
use crate::decode::{failed, one_line};
use crate::file::{OpenFile, from_start};
use crate::kind::Animation as Format;
use crate::{DataError, Limits, Rgb8Image, Rgba8Image};

/// What lies behind transparent pixels.
const BEHIND: [u8; 3] = [255; 3];

pub(super) struct Animation {
    file: OpenFile,
    format: Format,
    limits: Limits,
    player: Player,
    facts: Facts,
    /// Number of the next frame, and when it is shown in milliseconds.
    at: u64,
    clock: f64,
}

enum Player {
    /// Frames that are whole pictures.
    Pictures(Frames<'static>),
    /// Frames that are laid over a canvas.
    WebP(WebpFrames),
    Apng(Box<ApngFrames>),
}

impl Player {
    /// Moves on by a frame: how long it is shown in milliseconds, and its pixels where they are `wanted`.
    fn advance(&mut self, wanted: bool) -> ImageResult<Option<(f64, Option<Rgb8Image>)>> {
        match self {
            Self::Pictures(frames) => {
                let Some(frame) = frames.next().transpose()? else {
                    return Ok(None);
                };
                let (numerator, denominator) = frame.delay().numer_denom_ms();
                let delay = f64::from(numerator) / f64::from(denominator.max(1));
                let pixels = wanted.then(|| {
                    let (width, height) = frame.buffer().dimensions();
                    Rgba8Image { width, height, data: frame.into_buffer().into_raw() }.over(BEHIND)
                });
                Ok(Some((delay, pixels)))
            }
            Self::WebP(frames) => {
                let Some(delay) = frames.advance()? else {
                    return Ok(None);
                };
                Ok(Some((f64::from(delay), if wanted { frames.over(BEHIND) } else { None })))
            }
            Self::Apng(frames) => {
                let Some(delay) = frames.advance()? else {
                    return Ok(None);
                };
                Ok(Some((delay, if wanted { frames.over(BEHIND) } else { None })))
            }
        }
    }
}

impl Animation {
    pub fn open(file: OpenFile, format: Format, limits: &Limits) -> Result<Self, DataError> {
        let (_, size) = play(&file, format, limits)?;
        check_size(&file.origin(), size, limits)?;
        work::check(&file, format, size)?;
        // Anew, because whoever reads the open file moves its place.
        let (player, _) = play(&file, format, limits)?;
        let facts = Facts { format: format.name(), size: Some(size), ..Facts::default() };
        Ok(Self { file, format, limits: *limits, player, facts, at: 0, clock: 0.0 })
    }

    /// Moves on by a frame, and the clock by its delay.
    fn advance(&mut self, wanted: bool) -> Result<Option<Option<Rgb8Image>>, DataError> {
        let advanced = self.player.advance(wanted).map_err(|error| match error {
            ImageError::Limits(_) => failed(&self.file.origin(), self.format.name(), &self.limits, &error),
            error => DataError::Corrupt {
                origin: self.file.origin(),
                format: self.format.name(),
                reason: one_line(&format!("frame {}: {error}", self.at + 1)),
            },
        })?;
        let Some((delay, pixels)) = advanced else {
            return Ok(None);
        };
        // Shown by browsers and by FFmpeg as a tenth of a second: such files mean "no delay given".
        self.clock += if delay < 20.0 && self.format != Format::Apng { 100.0 } else { delay };
        self.at += 1;
        Ok(Some(pixels))
    }

    fn rewind(&mut self) -> Result<(), DataError> {
        (self.player, _) = play(&self.file, self.format, &self.limits)?;
        (self.at, self.clock) = (0, 0.0);
        Ok(())
    }
}

impl Source for Animation {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let pts = self.clock / 1000.0;
        let rgb = self.advance(true)?.flatten();
        Ok(rgb.map(|rgb| Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index < self.at {
            self.rewind()?;
        }
        while self.at < index && self.advance(false)?.is_some() {}
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        self.seek(0)?;
        let mut times = Vec::new();
        loop {
            let pts = self.clock / 1000.0;
            if self.advance(false)?.is_none() {
                return Ok(times);
            }
            times.push(pts);
        }
    }
}

/// The frames from the first on, and their size.
fn play(open: &OpenFile, format: Format, limits: &Limits) -> Result<(Player, (u32, u32)), DataError> {
    let file = BufReader::new(from_start(&open.file, &open.path)?);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes);
    let decoder = || -> ImageResult<(Player, (u32, u32))> {
        Ok(match format {
            Format::Gif => {
                let mut decoder = GifDecoder::new(file)?;
                decoder.set_limits(bounds)?;
                let size = decoder.dimensions();
                (Player::Pictures(decoder.into_frames()), size)
            }
            Format::WebP => {
                let (frames, size) = webp::frames(file)?;
                (Player::WebP(frames), size)
            }
            Format::Apng => {
                let (frames, size) = apng::frames(file, limits.max_bytes)?;
                (Player::Apng(Box::new(frames)), size)
            }
        })
    };
    decoder().map_err(|error| failed(&open.origin(), format.name(), limits, &error))
}
