//! The pictures of the report in one image.

use vljepa_data::{Rgb8Image, Rgba8Image};

use crate::error::Result;

/// Number of columns in the image of all pictures.
pub const COLUMNS: usize = 25;
/// Margin of a tile in pixels. It makes a tile of 72 pixels 80, a multiple of a JPEG block, so that neighbours do not
/// blend.
const MARGIN: usize = 4;

/// All pictures in one image, on white as the model sees them.
pub fn sheet(pictures: &[Rgba8Image]) -> Result<Rgb8Image> {
    let side = pictures.first().map_or(1, |p| p.width) as usize;
    let tile = side + 2 * MARGIN;
    let (width, height) = (COLUMNS * tile, pictures.len().div_ceil(COLUMNS).max(1) * tile);
    let mut data = vec![255; width * height * 3];
    for (i, picture) in pictures.iter().enumerate() {
        let flat = picture.over([255; 3]);
        let (left, top) = (i % COLUMNS * tile + MARGIN, i / COLUMNS * tile + MARGIN);
        for (y, row) in flat.data.chunks_exact(side * 3).take(side).enumerate() {
            let at = ((top + y) * width + left) * 3;
            data[at..at + row.len()].copy_from_slice(row);
        }
    }
    Ok(Rgb8Image::new(width as u32, height as u32, data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_in_rows() {
        let red = Rgba8Image::new(8, 8, [255, 0, 0, 255].repeat(64)).unwrap();
        let sheet = sheet(&vec![red; COLUMNS + 1]).unwrap();
        assert_eq!((sheet.width, sheet.height), (16 * COLUMNS as u32, 32));
        let pixel = |x: usize, y: usize| &sheet.data[(y * sheet.width as usize + x) * 3..][..3];
        assert_eq!(pixel(0, 0), [255; 3]);
        assert_eq!(pixel(MARGIN, MARGIN), [255, 0, 0]);
        assert_eq!(pixel(MARGIN, 16 + MARGIN), [255, 0, 0]);
        assert_eq!(pixel(16 + MARGIN, 16 + MARGIN), [255; 3]);
    }
}
