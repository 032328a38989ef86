//! Picture files and bytes to pixels, with limits and one clear error for each kind of bad file.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

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

/// File name extensions of the formats that [`decode_file`] reads, lower case.
pub const PICTURE_EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "gif", "webp"];

/// Decodes a PNG, JPEG, GIF (first frame) or WebP (first frame) file, upright by its EXIF orientation.
///
/// The format is told by the content, not by the name. Errors name the file.
pub fn decode_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Rgba8Image, DataError> {
    let path = path.as_ref();
    // Asked before opening, because opening a pipe waits for its writer.
    let meta = std::fs::metadata(path).map_err(DataError::io(path, "opening"))?;
    if meta.is_dir() {
        return Err(DataError::NotAPicture(format!("{} is a folder", path.display())));
    }
    if !meta.is_file() {
        return Err(DataError::NotAPicture(format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path).map_err(DataError::io(path, "opening"))?;
    decode(&path.display().to_string(), BufReader::new(file), limits)
}

/// Decodes a picture in memory; `origin` is what errors call it. Otherwise as [`decode_file`].
pub fn decode_bytes(origin: &str, bytes: &[u8], limits: &Limits) -> Result<Rgba8Image, DataError> {
    decode(origin, Cursor::new(bytes), limits)
}

fn format_name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Png => Some("PNG"),
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::WebP => Some("WebP"),
        _ => None,
    }
}

/// Whether bytes begin as a picture of a format that is read here.
pub(crate) fn is_picture(head: &[u8]) -> bool {
    image::guess_format(head).ok().and_then(format_name).is_some()
}

fn decode(origin: &str, mut source: impl BufRead + Seek, limits: &Limits) -> Result<Rgba8Image, DataError> {
    let mut magic = [0; 16];
    let read = fill(&mut source, &mut magic).map_err(DataError::io(origin, "reading"))?;
    if read == 0 {
        return Err(DataError::Empty(origin.to_owned()));
    }
    let format = image::guess_format(&magic[..read]).ok();
    let Some((format, name)) = format.and_then(|format| Some((format, format_name(format)?))) else {
        return Err(DataError::NotAPicture(origin.to_owned()));
    };
    source.rewind().map_err(DataError::io(origin, "reading"))?;
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

pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Decoders' messages may span lines; ours may not.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
