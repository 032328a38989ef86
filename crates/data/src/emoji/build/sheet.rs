//! Sheets: all pictures of one vendor as tiles of one file.

use std::io::Cursor;

use super::render::PICTURE;
use super::vendors::Drawings;
use crate::DataError;

/// Side of a tile in pixels: a multiple of the blocks of 16 pixels of WebP, so that no block holds two pictures.
pub const TILE: u32 = 80;

/// Tiles in a row: the sheet is as square as can be.
pub(super) fn columns(count: usize) -> u32 {
    (count as f64).sqrt().ceil().max(1.0) as u32
}

fn lay_out(drawings: &Drawings) -> (u32, u32, Vec<u8>) {
    let columns = columns(drawings.len());
    let rows = (drawings.len() as u32).div_ceil(columns).max(1);
    let (width, height) = (columns * TILE, rows * TILE);
    let border = (TILE - PICTURE) / 2;
    let mut data = vec![0; (width * height * 4) as usize];
    for (tile, picture) in (0u32..).zip(drawings.values()) {
        let (left, top) = (tile % columns * TILE + border, tile / columns * TILE + border);
        for (y, row) in (0u32..).zip(picture.data.chunks_exact(PICTURE as usize * 4)) {
            let start = (((top + y) * width + left) * 4) as usize;
            data[start..start + row.len()].copy_from_slice(row);
        }
    }
    (width, height, data)
}

/// A WebP sheet with lossy colour and lossless alpha.
pub(super) fn lossy(drawings: &Drawings, quality: f32) -> Result<Vec<u8>, DataError> {
    let fail = |reason: String| DataError::Tool { program: "libwebp", reason };
    let (width, height, data) = lay_out(drawings);
    let mut config = webp::WebPConfig::new().map_err(|()| fail("no default configuration".to_owned()))?;
    config.quality = quality;
    config.method = 6;
    // Small drawings need sharp colour edges, which plain chroma subsampling smears.
    config.use_sharp_yuv = 1;
    config.alpha_compression = 1;
    config.alpha_quality = 60;
    let encoder = webp::Encoder::from_rgba(&data, width, height);
    let bytes = encoder.encode_advanced(&config).map_err(|e| fail(format!("{e:?}")))?;
    Ok(bytes.to_vec())
}

/// A PNG sheet.
pub(super) fn lossless(drawings: &Drawings) -> Result<Vec<u8>, DataError> {
    let (width, height, data) = lay_out(drawings);
    let fail = |reason: String| DataError::Tool { program: "the PNG encoder", reason };
    let image = image::RgbaImage::from_raw(width, height, data).ok_or_else(|| fail("sheet size".to_owned()))?;
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).map_err(|e| fail(e.to_string()))?;
    Ok(bytes.into_inner())
}
