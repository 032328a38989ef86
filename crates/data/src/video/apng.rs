//! Animated PNG: how frames are laid over each other (Portable Network Graphics, third edition, section 13.2). The frames
//! themselves are decoded by `png`; the composition of `image` takes 28 bytes a pixel and refuses 16 bits a channel.

use std::io::BufReader;

use image::error::{DecodingError, ImageFormatHint, LimitError, LimitErrorKind};
use image::{ImageError, ImageFormat, ImageResult, Pixel, Rgba};
use png::{BitDepth, BlendOp, ColorType, DisposeOp, OutputInfo, Transformations};

use super::canvas::{Area, made, rows};
use crate::file::SharedFile;
use crate::{Rgb8Image, Rgba8Image};

pub(super) struct ApngFrames {
    reader: png::Reader<BufReader<SharedFile>>,
    size: (u32, u32),
    /// Made with the first frame.
    canvas: Option<Rgba8Image>,
    /// One frame as it is decoded.
    raw: Vec<u8>,
    /// Frames that the file announces and that were not read yet.
    left: u32,
    /// Whether the next picture stands before the animation, and is no part of it.
    apart: bool,
    undo: Undo,
}

/// What becomes of the last frame before the next one.
enum Undo {
    Nothing,
    Clear(Area),
    Restore(Area, Vec<u8>),
}

fn failed(error: png::DecodingError) -> ImageError {
    match error {
        png::DecodingError::IoError(error) => ImageError::IoError(error),
        png::DecodingError::LimitsExceeded => limit(),
        other => ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Png), other)),
    }
}

fn limit() -> ImageError {
    ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory))
}

fn corrupt(reason: &str) -> ImageError {
    ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Png), reason.to_owned()))
}

/// The frames of a file, each of the size of the canvas, and that size. A frame as it is decoded has at most `max_bytes`.
pub(super) fn frames(file: BufReader<SharedFile>, max_bytes: u64) -> ImageResult<(ApngFrames, (u32, u32))> {
    let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes });
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(failed)?;
    let info = reader.info();
    let (size, left, apart) = (
        (info.width, info.height),
        info.animation_control().map_or(0, |control| control.num_frames),
        info.frame_control().is_none(),
    );
    let frames = ApngFrames { reader, size, canvas: None, raw: Vec::new(), left, apart, undo: Undo::Nothing };
    match frames.reader.output_buffer_size() {
        Some(raw) if raw <= bytes => Ok((frames, size)),
        _ => Err(limit()),
    }
}

impl ApngFrames {
    /// Lays the next frame over the canvas, at the cost of its own size; how long it is shown, in milliseconds.
    pub fn advance(&mut self) -> ImageResult<Option<f64>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        // Pages that no frame reaches are never filled.
        let raw = self.reader.output_buffer_size().ok_or_else(limit)?;
        if self.raw.len() < raw {
            self.raw = vec![0; raw];
        }
        if std::mem::take(&mut self.apart) {
            self.reader.next_frame(&mut self.raw).map_err(failed)?;
        }
        let decoded = self.reader.next_frame(&mut self.raw).map_err(failed)?;
        let Some(control) = self.reader.info().frame_control().copied() else {
            return Err(corrupt("a frame has no fcTL before it"));
        };
        let area = Area { left: control.x_offset, top: control.y_offset, width: decoded.width, height: decoded.height };
        if !area.is_inside(self.size) {
            return Err(corrupt("a frame lies outside the canvas"));
        }
        let first = self.canvas.is_none();
        let canvas = made(&mut self.canvas, self.size);
        match std::mem::replace(&mut self.undo, Undo::Nothing) {
            Undo::Nothing => {}
            Undo::Clear(area) => rows(canvas, area).for_each(|row| row.fill(0)),
            Undo::Restore(area, pixels) => {
                let saved = pixels.chunks_exact(area.width as usize * 4);
                rows(canvas, area).zip(saved).for_each(|(row, saved)| row.copy_from_slice(saved));
            }
        }
        self.undo = match control.dispose_op {
            DisposeOp::None => Undo::Nothing,
            DisposeOp::Previous if !first => {
                Undo::Restore(area, rows(canvas, area).flat_map(|row| row.iter().copied()).collect())
            }
            DisposeOp::Background | DisposeOp::Previous => Undo::Clear(area),
        };
        lay(canvas, area, &self.raw, &decoded, control.blend_op)?;
        let over = if control.delay_den == 0 { 100 } else { control.delay_den };
        Ok(Some(f64::from(u32::from(control.delay_num) * 1000) / f64::from(over)))
    }

    /// The canvas over one colour.
    pub fn over(&self, background: [u8; 3]) -> Option<Rgb8Image> {
        self.canvas.as_ref().map(|canvas| canvas.over(background))
    }
}

/// Lays a decoded frame over an area.
fn lay(canvas: &mut Rgba8Image, area: Area, raw: &[u8], decoded: &OutputInfo, blend: BlendOp) -> ImageResult<()> {
    let wide = decoded.bit_depth == BitDepth::Sixteen;
    // Rounded as `image` rounds the first frame, where that is read as a picture.
    let level = |pixel: &[u8], channel: usize| match wide {
        true => ((u32::from(u16::from_be_bytes([pixel[channel * 2], pixel[channel * 2 + 1]])) + 128) / 257) as u8,
        false => pixel[channel],
    };
    let (channels, places): (usize, [usize; 3]) = match decoded.color_type {
        ColorType::Grayscale => (1, [0; 3]),
        ColorType::GrayscaleAlpha => (2, [0; 3]),
        ColorType::Rgb => (3, [0, 1, 2]),
        ColorType::Rgba => (4, [0, 1, 2]),
        ColorType::Indexed => return Err(corrupt("its colours were not looked up")),
    };
    let bytes = channels * if wide { 2 } else { 1 };
    for (row, line) in rows(canvas, area).zip(raw.chunks_exact(decoded.line_size)) {
        for (under, pixel) in row.as_chunks_mut::<4>().0.iter_mut().zip(line.chunks_exact(bytes)) {
            let [red, green, blue] = places.map(|place| level(pixel, place));
            let alpha = if channels % 2 == 0 { level(pixel, channels - 1) } else { 255 };
            let over = Rgba([red, green, blue, alpha]);
            *under = match blend {
                BlendOp::Source => over.0,
                BlendOp::Over => {
                    let mut mixed = Rgba(*under);
                    mixed.blend(&over);
                    mixed.0
                }
            };
        }
    }
    Ok(())
}
