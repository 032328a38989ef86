//! Picture files and bytes to pixels, with limits and one clear error for each kind of bad file.

use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::file::{OpenFile, from_start};
use crate::kind::{Kind, PictureFormat, picture_format};
use crate::memory::{Held, hold};
use crate::{DataError, Rgb8Image, Rgba8Image, jpeg, riff};

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
/// The format is recognised by the content, not by the name. A file that was cut off is refused. Threads that decode at once
/// share 1 GiB, and wait for each other where that is not enough.
///
/// # Errors
/// A file that is missing, empty, broken, cut off, no picture, of a format that is not read, or beyond the limits; errors name
/// the file.
pub fn decode_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Rgba8Image, DataError> {
    decode_open(&OpenFile::regular(path.as_ref(), "opening")?, limits, To::Rgba)?.rgba()
}

/// Decodes a picture in memory; `origin` is what errors call it. Otherwise as [`decode_file`].
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(origin: &str, bytes: &[u8], limits: &Limits) -> Result<Rgba8Image, DataError> {
    if bytes.is_empty() {
        return Err(DataError::Empty(origin.to_owned()));
    }
    decode(origin, Kind::of_no_picture(bytes), picture_format(bytes), Cursor::new(bytes), limits, To::Rgba)?.rgba()
}

/// As [`decode_file`], of a file that is open already.
pub(crate) fn decode_open(file: &OpenFile, limits: &Limits, to: To) -> Result<Decoded, DataError> {
    let origin = file.origin();
    if file.kind == Kind::Empty {
        return Err(DataError::Empty(origin));
    }
    decode(&origin, file.kind, file.picture, BufReader::new(from_start(&file.file, &file.path)?), limits, to)
}

/// What a decoded picture is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// [`Decoded::rgba`].
    Rgba,
    /// [`Decoded::rgb_over`].
    Rgb,
}

/// A picture as it was decoded, with its part of the memory that decoders share.
pub(crate) struct Decoded {
    image: DynamicImage,
    held: Held,
}

impl Decoded {
    /// The picture with its transparency.
    pub fn rgba(self) -> Result<Rgba8Image, DataError> {
        let pixels = self.image.into_rgba8();
        let (width, height) = pixels.dimensions();
        Rgba8Image::new(width, height, pixels.into_raw())
    }

    /// The picture over one colour, and the part of the memory that it fills.
    pub fn rgb_over(self, background: [u8; 3]) -> Result<(Rgb8Image, Held), DataError> {
        let Self { image, held } = self;
        if image.color().has_alpha() {
            let pixels = image.into_rgba8();
            let (width, height) = pixels.dimensions();
            return Ok((Rgba8Image::new(width, height, pixels.into_raw())?.over(background), held));
        }
        let pixels = image.into_rgb8();
        let (width, height) = pixels.dimensions();
        Ok((Rgb8Image::new(width, height, pixels.into_raw())?, held))
    }
}

/// Bytes that decoding fills at most at one time, and turning the result into bytes of RGB or RGBA.
fn peak(format: ImageFormat, pixels: u64, decoded: u64, color: ColorType, kept: u64, turned: bool, to: To) -> u64 {
    let beside = match format {
        // Coefficients.
        ImageFormat::Jpeg => kept,
        // The frame beside its canvas; planes or the codes of pixels.
        ImageFormat::Gif | ImageFormat::WebP => pixels * 4,
        _ => 0,
    };
    let again = if turned { decoded } else { 0 };
    // Of a picture with alpha, RGBA and then RGB beside it.
    let plain = match (to, color) {
        (To::Rgb, ColorType::Rgb8) | (To::Rgba, ColorType::Rgba8) => 0,
        (To::Rgb, ColorType::Rgba8) => pixels * 3,
        (To::Rgb, color) if color.has_alpha() => pixels * 7,
        (To::Rgb, _) => pixels * 3,
        (To::Rgba, _) => pixels * 4,
    };
    decoded + beside.max(again).max(plain)
}

/// A JPEG file is held in memory.
const MAX_JPEG: u64 = 256 << 20;

fn decode(
    origin: &str,
    kind: Kind,
    format: Option<PictureFormat>,
    mut source: impl BufRead + Seek,
    limits: &Limits,
    to: To,
) -> Result<Decoded, DataError> {
    let Some((format, name)) = format else {
        return Err(match kind {
            Kind::Foreign(format) => DataError::ForeignPicture { origin: origin.to_owned(), format },
            Kind::Instead(what) => DataError::content(origin, what),
            _ => DataError::NotAPicture(origin.to_owned()),
        });
    };
    if format != ImageFormat::Jpeg {
        if format == ImageFormat::WebP {
            let checked = riff::check(&mut source).and_then(|whole| source.rewind().map(|()| whole));
            checked.map_err(DataError::io(origin, "reading"))?.map_err(|reason| DataError::Corrupt {
                origin: origin.to_owned(),
                format: name,
                reason,
            })?;
        }
        return decode_as(origin, (format, name), source, limits, to, || Ok(0));
    }
    let mut bytes = Vec::new();
    source.by_ref().take(MAX_JPEG + 1).read_to_end(&mut bytes).map_err(DataError::io(origin, "reading"))?;
    if bytes.len() as u64 > MAX_JPEG {
        return Err(DataError::OverLimit { origin: origin.to_owned(), format: name, max_bytes: MAX_JPEG });
    }
    if let Some(coding) = jpeg::other_coding(&bytes) {
        let (origin, reason) = (origin.to_owned(), coding.to_owned());
        return Err(DataError::Unsupported { origin, format: name, reason });
    }
    decode_as(origin, (format, name), Cursor::new(&bytes), limits, to, || jpeg::check(&bytes).map(|whole| whole.kept))
}

/// `check` finds out, after the size was found good, whether the data are whole, and how much is kept beside the pixels.
fn decode_as(
    origin: &str,
    (format, name): PictureFormat,
    source: impl BufRead + Seek,
    limits: &Limits,
    to: To,
    check: impl FnOnce() -> Result<u64, String>,
) -> Result<Decoded, DataError> {
    let failed = |error: ImageError| failed(origin, name, limits, &error);
    let corrupt =
        |reason: String| DataError::Corrupt { origin: origin.to_owned(), format: name, reason: one_line(&reason) };
    let mut reader = ImageReader::with_format(source, format);
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(limits.max_bytes);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(failed)?;
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
    let pixels = u64::from(width) * u64::from(height);
    let decoded = decoder.total_bytes();
    if width.max(height) > limits.max_side || pixels * 4 > limits.max_bytes || decoded > limits.max_bytes {
        return Err(too_large());
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let kept = check().map_err(corrupt)?;
    let turned = !matches!(
        orientation,
        Orientation::NoTransforms | Orientation::FlipHorizontal | Orientation::FlipVertical | Orientation::Rotate180
    );
    let held = hold(peak(format, pixels, decoded, decoder.color_type(), kept, turned, to));
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| match error {
        ImageError::Limits(_) => too_large(),
        other => failed(other),
    })?;
    image.apply_orientation(orientation);
    Ok(Decoded { image, held })
}

/// What a decoder says, in this crate's words.
pub(crate) fn failed(origin: &str, format: &'static str, limits: &Limits, error: &ImageError) -> DataError {
    let origin = origin.to_owned();
    match error {
        ImageError::Limits(_) => DataError::OverLimit { origin, format, max_bytes: limits.max_bytes },
        ImageError::Unsupported(error) => {
            DataError::Unsupported { origin, format, reason: one_line(&error.to_string()) }
        }
        other => DataError::Corrupt { origin, format, reason: one_line(&other.to_string()) },
    }
}

/// A decoder's message, which may span lines, on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
