//! Pixels to picture files.

use image::ExtendedColorType;
use image::ImageEncoder;
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};

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

/// An animated WebP file without loss that repeats for ever (RFC 9649, section 2.7), each frame shown for `millis` milliseconds.
///
/// # Errors
/// No frames, frames of different sizes, a side above 16,384 pixels, and a time above 24 bits.
pub fn encode_webp_animation(frames: &[Rgb8Image], millis: u32) -> Result<Vec<u8>, DataError> {
    let fault = |reason: &str| DataError::Shape { what: "WebP animation", reason: reason.to_owned() };
    let first = frames.first().ok_or_else(|| fault("there are no frames"))?;
    let (width, height) = (first.width, first.height);
    if frames.iter().any(|frame| (frame.width, frame.height) != (width, height)) {
        return Err(fault("the frames differ in size"));
    }
    if millis >= 1 << 24 {
        return Err(fault("a frame is shown for at most 16,777,215 milliseconds"));
    }
    let three = |value: u32| [value as u8, (value >> 8) as u8, (value >> 16) as u8];
    let size = [three(width - 1), three(height - 1)].concat();
    // Flag 2: animated.
    let mut body = [b"WEBP", &chunk(b"VP8X", &[&[2, 0, 0, 0], &size[..]].concat())[..]].concat();
    // A background of transparent black, no limit to the repetitions.
    body.extend(chunk(b"ANIM", &[0; 6]));
    for frame in frames {
        let mut file = Vec::new();
        WebPEncoder::new_lossless(&mut file)
            .write_image(&frame.data, width, height, ExtendedColorType::Rgb8)
            .map_err(failed("WebP"))?;
        // What follows the file's header of 12 bytes is the picture's chunk. Flag 2: not blended with what was there.
        let picture = file.get(12..).unwrap_or_default();
        body.extend(chunk(b"ANMF", &[&[0; 6], &size[..], &three(millis), &[2], picture].concat()));
    }
    Ok(chunk(b"RIFF", &body))
}

/// A chunk of RIFF: its name, the length of its content, the content, padded to an even length.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let pad = &[0u8][..content.len() % 2];
    [name, &(content.len() as u32).to_le_bytes()[..], content, pad].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::{VideoOptions, VideoReader};
    use crate::{Limits, Media, decode_bytes};

    #[test]
    fn an_animation_is_read_again_frame_by_frame() {
        let frame =
            |k: u8| Rgb8Image::new(9, 7, (0..9 * 7 * 3).map(|i: u32| (i as u8).wrapping_mul(k)).collect()).unwrap();
        let frames: Vec<Rgb8Image> = [3, 5, 7].map(frame).to_vec();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.webp");
        std::fs::write(&path, encode_webp_animation(&frames, 125).unwrap()).unwrap();
        assert!(Media::open(&path).unwrap().is_video());
        let mut video = VideoReader::open_with(&path, &VideoOptions::default()).unwrap();
        let mut read = Vec::new();
        while let Some(frame) = video.next_frame().unwrap() {
            read.push((frame.pts, frame.rgb));
        }
        let times: Vec<f64> = read.iter().map(|(pts, _)| *pts).collect();
        assert_eq!(times, [0.0, 0.125, 0.25]);
        assert!(read.iter().map(|(_, rgb)| rgb).eq(&frames));
        assert!(encode_webp_animation(&[], 1).is_err());
        let other = Rgb8Image::new(2, 2, vec![0; 12]).unwrap();
        assert!(encode_webp_animation(&[frames[0].clone(), other], 1).is_err());
    }

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
