//! Picture files and bytes to pixels, with limits and one clear error for each kind of bad file.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::file::{OpenFile, from_start};
use crate::kind::{Kind, PictureFormat, picture_format};
use crate::{DataError, Rgba8Image};

/// How large a picture may be before it is refused; checked against the header, before any pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub max_side: u32,
    /// Decoded size in bytes.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 16,384 pixels a side and 512 MiB.
    fn default() -> Self {
        Self { max_side: 16_384, max_bytes: 512 << 20 }
    }
}

/// Decodes a PNG, JPEG, GIF (first frame) or WebP (first frame) file, upright by its EXIF orientation.
///
/// The format is recognised by the content, not by the name. Errors name the file.
pub fn decode_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Rgba8Image, DataError> {
    decode_open(&OpenFile::regular(path.as_ref(), "opening")?, limits)
}

/// Decodes a picture in memory; `origin` is what errors call it. Otherwise as [`decode_file`].
pub fn decode_bytes(origin: &str, bytes: &[u8], limits: &Limits) -> Result<Rgba8Image, DataError> {
    if bytes.is_empty() {
        return Err(DataError::Empty(origin.to_owned()));
    }
    decode(origin, picture_format(bytes), Cursor::new(bytes), limits)
}

/// As [`decode_file`], of a file that is open already.
pub(crate) fn decode_open(file: &OpenFile, limits: &Limits) -> Result<Rgba8Image, DataError> {
    let origin = file.origin();
    if file.kind == Kind::Empty {
        return Err(DataError::Empty(origin));
    }
    decode(&origin, file.picture, BufReader::new(from_start(&file.file, &file.path)?), limits)
}

fn decode(
    origin: &str,
    format: Option<PictureFormat>,
    source: impl BufRead + Seek,
    limits: &Limits,
) -> Result<Rgba8Image, DataError> {
    let (format, name) = format.ok_or_else(|| DataError::NotAPicture(origin.to_owned()))?;
    let corrupt =
        |reason: String| DataError::Corrupt { origin: origin.to_owned(), format: name, reason: one_line(&reason) };
    let mut reader = ImageReader::with_format(source, format);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(|e| match e {
        ImageError::Limits(_) => {
            DataError::OverLimit { origin: origin.to_owned(), format: name, max_bytes: limits.max_bytes }
        }
        other => corrupt(other.to_string()),
    })?;
    let (width, height) = decoder.dimensions();
    let too_large = || DataError::TooLarge {
        origin: origin.to_owned(),
        width,
        height,
        max_side: limits.max_side,
        max_bytes: limits.max_bytes,
    };
    if width == 0 || height == 0 {
        return Err(corrupt(format!("the header says {width}x{height} pixels")));
    }
    let bytes = u64::from(width) * u64::from(height) * 4;
    if width.max(height) > limits.max_side || bytes > limits.max_bytes || decoder.total_bytes() > limits.max_bytes {
        return Err(too_large());
    }
    let orientation = decoder.orientation().map_err(|e| corrupt(e.to_string()))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| match e {
        ImageError::Limits(e) if matches!(e.kind(), LimitErrorKind::InsufficientMemory) => too_large(),
        other => corrupt(other.to_string()),
    })?;
    picture.apply_orientation(orientation);
    let pixels = picture.into_rgba8();
    let (width, height) = pixels.dimensions();
    Rgba8Image::new(width, height, pixels.into_raw())
}

/// A decoder's message, which may span lines, on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
