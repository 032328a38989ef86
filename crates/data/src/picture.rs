//! Plain picture types, so that other crates need not name an image library.

use crate::DataError;

/// 8-bit RGBA, straight (not premultiplied) alpha, row-major, interleaved: `data[(y * width + x) * 4 + channel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgba8Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 4` bytes.
    pub data: Vec<u8>,
}

/// 8-bit RGB, row-major, interleaved: `data[(y * width + x) * 3 + channel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub data: Vec<u8>,
}

fn checked_len(what: &'static str, width: u32, height: u32, channels: usize, len: usize) -> Result<(), DataError> {
    let want = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(channels));
    if want == Some(len) && len > 0 {
        return Ok(());
    }
    Err(DataError::Shape {
        what,
        reason: format!("{len} bytes do not make {width}x{height} pixels of {channels} channels"),
    })
}

impl Rgba8Image {
    /// Wraps pixels. Fails when the length is not `width * height * 4`, or zero.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, DataError> {
        checked_len("Rgba8Image", width, height, 4, data.len())?;
        Ok(Self { width, height, data })
    }

    /// Lays the picture over one colour.
    pub fn over(&self, background: [u8; 3]) -> Rgb8Image {
        let mut data = Vec::with_capacity(self.data.len() / 4 * 3);
        for pixel in self.data.chunks_exact(4) {
            let alpha = u32::from(pixel[3]);
            for channel in 0..3 {
                let mixed = u32::from(pixel[channel]) * alpha + u32::from(background[channel]) * (255 - alpha);
                data.push(((mixed + 127) / 255) as u8);
            }
        }
        Rgb8Image { width: self.width, height: self.height, data }
    }

    /// The rectangle `width x height` whose top left corner is `(x, y)`; it must lie inside.
    pub fn crop(&self, x: u32, y: u32, width: u32, height: u32) -> Result<Self, DataError> {
        let data = crop(&self.data, (self.width, self.height), 4, (x, y), (width, height))?;
        Ok(Self { width, height, data })
    }
}

impl Rgb8Image {
    /// Wraps pixels. Fails when the length is not `width * height * 3`, or zero.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, DataError> {
        checked_len("Rgb8Image", width, height, 3, data.len())?;
        Ok(Self { width, height, data })
    }

    /// The rectangle `width x height` whose top left corner is `(x, y)`; it must lie inside.
    pub fn crop(&self, x: u32, y: u32, width: u32, height: u32) -> Result<Self, DataError> {
        let data = crop(&self.data, (self.width, self.height), 3, (x, y), (width, height))?;
        Ok(Self { width, height, data })
    }

    /// The same colours with full alpha.
    pub fn opaque(&self) -> Rgba8Image {
        let data = self.data.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        Rgba8Image { width: self.width, height: self.height, data }
    }
}

fn crop(
    data: &[u8],
    from: (u32, u32),
    channels: usize,
    at: (u32, u32),
    size: (u32, u32),
) -> Result<Vec<u8>, DataError> {
    let inside = |start: u32, len: u32, end: u32| len > 0 && start.checked_add(len).is_some_and(|stop| stop <= end);
    if !inside(at.0, size.0, from.0) || !inside(at.1, size.1, from.1) {
        return Err(DataError::Shape {
            what: "crop",
            reason: format!("{}x{} at ({}, {}) is not inside {}x{}", size.0, size.1, at.0, at.1, from.0, from.1),
        });
    }
    let row = size.0 as usize * channels;
    let mut out = Vec::with_capacity(row * size.1 as usize);
    for y in at.1..at.1 + size.1 {
        let start = (y as usize * from.0 as usize + at.0 as usize) * channels;
        out.extend_from_slice(&data[start..start + row]);
    }
    Ok(out)
}
