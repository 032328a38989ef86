//! One drawing, from vectors or pixels, to a square of [`PICTURE`] pixels.

use resvg::{tiny_skia, usvg};

use crate::{DataError, Filter, Rgba8Image};

/// Side of every picture in pixels: above the 64 px that models see, so that zooming in loses little.
pub const PICTURE: u32 = 72;

/// Renders an SVG document to fit the square, centred.
pub(super) fn svg(origin: &str, document: &str) -> Result<Rgba8Image, DataError> {
    let tree = usvg::Tree::from_str(document, &usvg::Options::default())
        .map_err(|e| DataError::content(origin, format!("unreadable SVG: {e}")))?;
    let too_big = || DataError::content(origin, "no memory for the rendering");
    let mut pixmap = tiny_skia::Pixmap::new(PICTURE, PICTURE).ok_or_else(too_big)?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = PICTURE as f32 / width.max(height);
    let left = (PICTURE as f32 - width * scale) / 2.0;
    let top = (PICTURE as f32 - height * scale) / 2.0;
    let place = tiny_skia::Transform::from_row(scale, 0.0, 0.0, scale, left, top);
    resvg::render(&tree, place, &mut pixmap.as_mut());
    let data = pixmap
        .pixels()
        .iter()
        .flat_map(|pixel| {
            let color = pixel.demultiply();
            [color.red(), color.green(), color.blue(), color.alpha()]
        })
        .collect();
    Rgba8Image::new(PICTURE, PICTURE, data)
}

/// Decodes a picture file and resizes it to fit the square, centred.
pub(super) fn pixels(origin: &str, bytes: &[u8]) -> Result<Rgba8Image, DataError> {
    let decoded = image::load_from_memory(bytes)
        .map_err(|e| DataError::content(origin, format!("unreadable picture: {e}")))?
        .into_rgba8();
    let (width, height) = decoded.dimensions();
    let picture = Rgba8Image::new(width, height, decoded.into_raw())?;
    let longest = width.max(height);
    let fit = |side: u32| ((side * PICTURE + longest / 2) / longest).max(1);
    let small = picture.resize(fit(width), fit(height), Filter::Bicubic)?;
    if small.width == small.height {
        return Ok(small);
    }
    let side = PICTURE as usize;
    let (left, top) = ((PICTURE - small.width) as usize / 2, (PICTURE - small.height) as usize / 2);
    let mut data = vec![0; side * side * 4];
    for (y, row) in small.data.chunks_exact(small.width as usize * 4).enumerate() {
        let start = ((top + y) * side + left) * 4;
        data[start..start + row.len()].copy_from_slice(row);
    }
    Rgba8Image::new(PICTURE, PICTURE, data)
}
