//! Frames without compression, one after the other: raw RGB or YUV from a file or a pipe. Y4M reads its stream as well.

use std::io::{BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

use super::source::{Access, Facts, Pixels, Raw, Source, check_size};
use super::yuv::{Colour, YuvFrame};
use crate::file::fill;
use crate::{DataError, Limits, Rgb8Image};

/// How the bytes of a raw frame stand for pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawPixels {
    /// Red, green, blue, a byte each (FFmpeg's `rgb24`).
    Rgb24,
    /// Planes Y, U, V, chroma halved both ways (FFmpeg's `yuv420p`), limited range, BT.601.
    Yuv420p,
}

/// Size, pixels and rate of raw frames, which their bytes do not state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawFormat {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of a pixel.
    pub pixels: RawPixels,
    /// Frames a second.
    pub fps: f64,
}

/// Reads the stream again from its start.
pub(super) type Reopen = Box<dyn FnMut() -> Result<Box<dyn Read>, DataError>>;

/// Bytes that are read once, or again from the start where they come from a file.
pub(super) struct Stream {
    pub origin: String,
    reader: BufReader<Box<dyn Read>>,
    reopen: Option<Reopen>,
}

impl Stream {
    pub fn new(origin: &str, reader: Box<dyn Read>, reopen: Option<Reopen>) -> Self {
        Self { origin: origin.to_owned(), reader: BufReader::with_capacity(1 << 16, reader), reopen }
    }

    pub fn buffered(&mut self) -> &mut impl BufRead {
        &mut self.reader
    }

    pub fn access(&self) -> Access {
        if self.reopen.is_some() { Access::Sequential } else { Access::Once }
    }

    pub fn rewind(&mut self) -> Result<(), DataError> {
        let Some(reopen) = &mut self.reopen else {
            return Err(DataError::Shape {
                what: "video",
                reason: format!("{}: a pipe cannot be read again from an earlier frame", self.origin),
            });
        };
        self.reader = BufReader::with_capacity(1 << 16, reopen()?);
        Ok(())
    }

    /// Fills `into`, or finds the stream at its end. Anything between is a cut-off stream.
    pub fn fill(&mut self, into: &mut [u8], format: &'static str, what: &str) -> Result<bool, DataError> {
        let read = fill(&mut self.reader, into).map_err(DataError::io(&self.origin, "reading"))?;
        match read {
            0 => Ok(into.is_empty()),
            read if read == into.len() => Ok(true),
            read => Err(DataError::Corrupt {
                origin: self.origin.clone(),
                format,
                reason: format!("{what} ends after {read} of {} bytes", into.len()),
            }),
        }
    }

    /// A line without its end, at most `limit` bytes; `None` at the end of the stream.
    pub fn line(&mut self, limit: u64, format: &'static str) -> Result<Option<String>, DataError> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        read.map_err(DataError::io(&self.origin, "reading"))?;
        if line.is_empty() {
            return Ok(None);
        }
        match (line.pop(), String::from_utf8(line)) {
            (Some(b'\n'), Ok(text)) => Ok(Some(text)),
            _ => Err(DataError::Corrupt {
                origin: self.origin.clone(),
                format,
                reason: format!("a header line does not end within {limit} bytes, or is not text"),
            }),
        }
    }
}

pub(super) struct RawSource {
    stream: Stream,
    format: RawFormat,
    facts: Facts,
    /// Number of the next frame.
    at: u64,
}

const NAME: &str = "raw frames";

impl RawSource {
    /// `bytes` is the length of the stream where it is known.
    pub fn new(stream: Stream, format: RawFormat, bytes: Option<u64>, limits: &Limits) -> Result<Self, DataError> {
        check_size(&stream.origin, (format.width, format.height), limits)?;
        if !(format.fps.is_finite() && format.fps > 0.0) {
            let reason = format!("{}: {} frames a second", stream.origin, format.fps);
            return Err(DataError::Shape { what: "video", reason });
        }
        let frames = bytes.map(|bytes| bytes / frame_bytes(&format).max(1) as u64);
        let facts = Facts {
            format: NAME,
            size: Some((format.width, format.height)),
            duration: frames.map(|frames| frames as f64 / format.fps),
            frames,
            fps: Some(format.fps),
            missing_frames: 0,
        };
        Ok(Self { stream, format, facts, at: 0 })
    }
}

fn frame_bytes(format: &RawFormat) -> usize {
    let size = (format.width, format.height);
    match format.pixels {
        RawPixels::Rgb24 => size.0 as usize * size.1 as usize * 3,
        RawPixels::Yuv420p => YuvFrame::plane_bytes(size, (2, 2), 8).map_or(0, |(luma, chroma)| luma + 2 * chroma),
    }
}

impl Source for RawSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn access(&self) -> Access {
        self.stream.access()
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let mut data = vec![0; frame_bytes(&self.format)];
        let what = format!("frame {}", self.at + 1);
        if !self.stream.fill(&mut data, NAME, &what)? {
            return Ok(None);
        }
        let pts = self.at as f64 / self.format.fps;
        self.at += 1;
        let RawFormat { width, height, .. } = self.format;
        let pixels = match self.format.pixels {
            RawPixels::Rgb24 => Pixels::Rgb(Rgb8Image::new(width, height, data)?),
            RawPixels::Yuv420p => Pixels::Yuv(YuvFrame {
                width,
                height,
                chroma_step_x: 2,
                chroma_step_y: 2,
                depth: 8,
                colour: Colour::default(),
                data,
            }),
        };
        Ok(Some(Raw { pixels, pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index < self.at {
            self.stream.rewind()?;
            self.at = 0;
        }
        let mut frame = Vec::new();
        while self.at < index {
            frame.resize(frame_bytes(&self.format), 0);
            if !self.stream.fill(&mut frame, NAME, "a frame")? {
                break;
            }
            self.at += 1;
        }
        Ok(())
    }
}
