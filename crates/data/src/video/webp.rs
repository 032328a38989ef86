//! Animated WebP: the container and how frames are laid over each other, as libwebp does it (RFC 9649, section 2.7). The frames
//! themselves are decoded by `image`; its own composition does not clear frames away without a background colour, and rounds
//! opaque pixels down.

use std::io::{BufReader, Cursor, Read};

use image::codecs::webp::WebPDecoder;
use image::error::{DecodingError, ImageFormatHint};
use image::{DynamicImage, ImageError, ImageFormat, ImageResult, RgbaImage};

use super::canvas::{Area, made, rows};
use crate::file::{SharedFile, fill};
use crate::{Rgb8Image, Rgba8Image, riff};

/// A frame of 16,384 x 16,384 pixels is smaller.
const MAX_CHUNK: u32 = 1 << 30;

fn corrupt(reason: &str) -> ImageError {
    ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::WebP), reason.to_owned()))
}

fn three(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// The frames of a file, each of the size of the canvas, and that size.
pub(super) fn frames(mut file: BufReader<SharedFile>) -> ImageResult<(WebpFrames, (u32, u32))> {
    let mut head = [0; 30];
    file.read_exact(&mut head)?;
    if &head[..4] != b"RIFF" || &head[8..16] != b"WEBPVP8X" {
        return Err(corrupt("it has no extended header"));
    }
    let size = (three(&head[24..]) + 1, three(&head[27..]) + 1);
    let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])) + 8;
    let left = length.saturating_sub(head.len() as u64);
    Ok((WebpFrames { file, left, size, canvas: None, clear: None }, size))
}

pub(super) struct WebpFrames {
    file: BufReader<SharedFile>,
    /// Bytes that the file announces and that were not read yet.
    left: u64,
    size: (u32, u32),
    /// Made with the first frame.
    canvas: Option<Rgba8Image>,
    /// What is to be cleared before the next frame.
    clear: Option<Area>,
}

impl WebpFrames {
    /// Lays the next frame over the canvas, at the cost of its own size; how long it is shown, in milliseconds.
    pub fn advance(&mut self) -> ImageResult<Option<u32>> {
        loop {
            let mut header = [0; 8];
            match fill(&mut self.file, &mut header)? {
                8 => {}
                0 if self.left < 8 => return Ok(None),
                _ => return Err(corrupt("it is cut off")),
            }
            let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            self.left = self.left.saturating_sub(8 + u64::from(size) + u64::from(size & 1));
            if &header[..4] == b"ANMF" {
                return self.frame(size).map(Some);
            }
            self.file.seek_relative(i64::from(size) + i64::from(size & 1))?;
        }
    }

    /// The canvas over one colour.
    pub fn over(&self, background: [u8; 3]) -> Option<Rgb8Image> {
        self.canvas.as_ref().map(|canvas| canvas.over(background))
    }

    fn frame(&mut self, size: u32) -> ImageResult<u32> {
        if !(24..=MAX_CHUNK).contains(&size) {
            return Err(corrupt("a frame has an impossible size"));
        }
        let mut chunk = Vec::new();
        (&mut self.file).take(u64::from(size + (size & 1))).read_to_end(&mut chunk)?;
        if chunk.len() < size as usize {
            return Err(corrupt("it is cut off"));
        }
        let (info, data) = chunk[..size as usize].split_at(16);
        let number = |at: usize| three(&info[at..]);
        let area = Area { left: number(0) * 2, top: number(3) * 2, width: number(6) + 1, height: number(9) + 1 };
        if area.left + area.width > self.size.0 || area.top + area.height > self.size.1 {
            return Err(corrupt("a frame lies outside the canvas"));
        }
        let pixels = decode(data, area)?;
        let canvas = made(&mut self.canvas, self.size);
        if let Some(area) = self.clear.take() {
            rows(canvas, area).for_each(|row| row.fill(0));
        }
        let replace = info[15] & 2 != 0;
        let source = pixels.as_raw().chunks_exact(area.width as usize * 4);
        for (row, source) in rows(canvas, area).zip(source) {
            for (under, over) in row.as_chunks_mut::<4>().0.iter_mut().zip(source.as_chunks::<4>().0) {
                *under = if replace { *over } else { blend(*over, *under) };
            }
        }
        self.clear = (info[15] & 1 != 0).then_some(area);
        Ok(number(12))
    }
}

/// One frame, as a WebP file of its own.
fn decode(data: &[u8], area: Area) -> ImageResult<RgbaImage> {
    let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
    if data.starts_with(b"ALPH") {
        file.extend(b"VP8X\x0a\0\0\0\x10\0\0\0");
        file.extend(&(area.width - 1).to_le_bytes()[..3]);
        file.extend(&(area.height - 1).to_le_bytes()[..3]);
    }
    file.extend(data);
    let length = u32::try_from(file.len() - 8).unwrap_or(u32::MAX);
    file[4..8].copy_from_slice(&length.to_le_bytes());
    let mut file = Cursor::new(file);
    riff::check(&mut file)?.map_err(|reason| corrupt(&reason))?;
    file.set_position(0);
    let decoder = WebPDecoder::new(file)?;
    if image::ImageDecoder::dimensions(&decoder) != (area.width, area.height) {
        return Err(corrupt("a frame has another size than its header says"));
    }
    Ok(DynamicImage::from_decoder(decoder)?.into_rgba8())
}

/// A straight-alpha pixel over another, with libwebp's roundings.
fn blend(over: [u8; 4], under: [u8; 4]) -> [u8; 4] {
    let alpha = u32::from(over[3]);
    if alpha == 255 {
        return over;
    }
    if alpha == 0 {
        return under;
    }
    let rest = (u32::from(under[3]) * (256 - alpha)) >> 8;
    let sum = alpha + rest;
    let scale = (1_u64 << 24) / u64::from(sum);
    let channel = |i: usize| {
        let value = u64::from(u32::from(over[i]) * alpha + u32::from(under[i]) * rest);
        ((value * scale) >> 24).min(255) as u8
    };
    [channel(0), channel(1), channel(2), sum.min(255) as u8]
}
