//! Pixels to picture files.

use image::ExtendedColorType;
use image::ImageEncoder;
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};

use crate::{DataError, Rgb8Image, Rgba8Image};

fn failed(what: &'static str) -> impl FnOnce(image::ImageError) -> DataError {
    move |e| DataError::Shape { what, reason: e.to_string() }
}

/// A JPEG file of `quality` 1..=100.
///
/// # Errors
/// A side above 65,535 pixels.
pub fn encode_jpeg(picture: &Rgb8Image, quality: u8) -> Result<Vec<u8>, DataError> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100))
        .write_image(&picture.data, picture.width, picture.height, ExtendedColorType::Rgb8)
        .map_err(failed("JPEG"))?;
    Ok(out)
}

/// A PNG file, lossless and with alpha.
///
/// # Errors
/// What the encoder reports.
pub fn encode_png(picture: &Rgba8Image) -> Result<Vec<u8>, DataError> {
    let mut out = Vec::new();
    PngEncoder::new(&mut out)
        .write_image(&picture.data, picture.width, picture.height, ExtendedColorType::Rgba8)
        .map_err(failed("PNG"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, decode_bytes};

    #[test]
    fn what_is_encoded_decodes_again() {
        let data: Vec<u8> = (0..16 * 16 * 4).map(|i| (i * 7 % 256) as u8).collect();
        let picture = Rgba8Image::new(16, 16, data).unwrap();
        assert_eq!(decode_bytes("png", &encode_png(&picture).unwrap(), &Limits::default()).unwrap(), picture);
        let flat = Rgb8Image::new(16, 16, [200, 100, 50].repeat(256)).unwrap();
        let back = decode_bytes("jpeg", &encode_jpeg(&flat, 90).unwrap(), &Limits::default()).unwrap();
        assert_eq!((back.width, back.height), (16, 16));
        assert!(back.over([0; 3]).data.iter().zip(&flat.data).all(|(a, b)| a.abs_diff(*b) <= 4));
    }
}
