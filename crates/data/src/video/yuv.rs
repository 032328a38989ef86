//! Planes of luma and chroma, and their conversion to RGB.
//!
//! The conversion is ours and exact: each pixel takes the chroma sample that covers it (no interpolation), the matrix of
//! ITU-R BT.601, BT.709, BT.2020 or SMPTE 240M is applied in integers with coefficients of 20 fractional bits, and the sum
//! is rounded to the nearest byte, halves up, and clamped. Samples of more than 8 bits keep their precision until then.

use rayon::prelude::*;

use crate::{DataError, Rgb8Image};

/// How luma and chroma stand for colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// `matrix_coefficients` of ITU-T H.273. 1 is BT.709, 9 BT.2020, 7 SMPTE 240M; 5, 6, 2 (unspecified) and all others are
    /// treated as BT.601 at every size of the picture, as FFmpeg's converter treats them.
    pub matrix: u8,
    /// Samples use all values, not 16..=235 and 16..=240 of 8 bits.
    pub full_range: bool,
}

impl Default for Colour {
    /// Unspecified, limited range.
    fn default() -> Self {
        Self { matrix: 2, full_range: false }
    }
}

/// A decoded frame before its conversion to RGB, cropped as the stream says and not yet turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YuvFrame {
    /// Columns of luma.
    pub width: u32,
    /// Rows of luma.
    pub height: u32,
    /// How many columns share a chroma sample: 1 or 2; 0 without chroma.
    pub chroma_step_x: u32,
    /// How many rows share a chroma sample: 1 or 2; 0 without chroma.
    pub chroma_step_y: u32,
    /// Bits of a sample, 8 to 16; above 8 a sample has two bytes, the low one first.
    pub depth: u8,
    /// Colours that the samples stand for.
    pub colour: Colour,
    /// The planes Y, U, V, one after the other without gaps: the bytes of FFmpeg's `-f rawvideo -pix_fmt yuv420p`, or of the
    /// like-named format of the sampling and depth.
    pub data: Vec<u8>,
}

fn chroma_len(len: u32, step: u32) -> usize {
    if step == 0 { 0 } else { len.div_ceil(step) as usize }
}

impl YuvFrame {
    /// Bytes of the planes Y and U (V is as U) at that size, or `None` when they do not fit into memory.
    pub(super) fn plane_bytes(size: (u32, u32), step: (u32, u32), depth: u8) -> Option<(usize, usize)> {
        let bytes = if depth > 8 { 2 } else { 1 };
        let luma = (size.0 as usize).checked_mul(size.1 as usize)?.checked_mul(bytes)?;
        let chroma = chroma_len(size.0, step.0).checked_mul(chroma_len(size.1, step.1))?.checked_mul(bytes)?;
        luma.checked_add(chroma.checked_mul(2)?)?;
        Some((luma, chroma))
    }

    /// The picture in RGB, by the conversion that the module describes.
    ///
    /// # Errors
    /// When `data` has not the length that the other fields ask for.
    pub fn to_rgb(&self) -> Result<Rgb8Image, DataError> {
        let step = (self.chroma_step_x, self.chroma_step_y);
        let planes = Self::plane_bytes((self.width, self.height), step, self.depth);
        let Some((luma, chroma)) = planes.filter(|(y, c)| y + 2 * c == self.data.len() && *y > 0) else {
            return Err(DataError::Shape {
                what: "YUV to RGB",
                reason: format!("{} bytes do not make {}x{} pixels", self.data.len(), self.width, self.height),
            });
        };
        if !(8..=16).contains(&self.depth) {
            return Err(DataError::Shape { what: "YUV to RGB", reason: format!("samples of {} bits", self.depth) });
        }
        let (y, rest) = self.data.split_at(luma);
        let (u, v) = rest.split_at(chroma);
        let coder = Coder::new(self.colour, self.depth);
        let across = chroma_len(self.width, step.0);
        let wide = self.depth > 8;
        let width = self.width as usize;
        let at = |plane: &[u8], index: usize| {
            if wide {
                i64::from(u16::from_le_bytes([plane[2 * index], plane[2 * index + 1]]))
            } else {
                i64::from(plane[index])
            }
        };
        let mut data = vec![0; width * self.height as usize * 3];
        data.par_chunks_exact_mut(width * 3).enumerate().for_each(|(row, line)| {
            for (column, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let luma = at(y, row * width + column);
                *pixel = if across == 0 {
                    coder.rgb(luma, coder.middle, coder.middle)
                } else {
                    let chroma = row / step.1 as usize * across + column / step.0 as usize;
                    coder.rgb(luma, at(u, chroma), at(v, chroma))
                };
            }
        });
        Rgb8Image::new(self.width, self.height, data)
    }
}

const FRACTION: u32 = 20;

/// Integer coefficients for one matrix, range and depth.
struct Coder {
    black: i64,
    middle: i64,
    luma: i64,
    red_v: i64,
    green_u: i64,
    green_v: i64,
    blue_u: i64,
}

impl Coder {
    fn new(colour: Colour, depth: u8) -> Self {
        let (kr, kb) = match colour.matrix {
            1 => (0.2126, 0.0722),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let kg = 1.0 - kr - kb;
        let unit = f64::from(1_u32 << (depth - 8));
        let top = f64::from((1_u32 << depth) - 1);
        // Levels from black to white, and from the least to the largest chroma.
        let (levels, chroma_levels) = if colour.full_range { (top, top) } else { (219.0 * unit, 224.0 * unit) };
        let fixed = |x: f64| (x * f64::from(1_u32 << FRACTION)).round() as i64;
        let chroma = |x: f64| fixed(x * 2.0 * 255.0 / chroma_levels);
        Self {
            black: if colour.full_range { 0 } else { 16 << (depth - 8) },
            middle: 128 << (depth - 8),
            luma: fixed(255.0 / levels),
            red_v: chroma(1.0 - kr),
            green_u: -chroma((1.0 - kb) * kb / kg),
            green_v: -chroma((1.0 - kr) * kr / kg),
            blue_u: chroma(1.0 - kb),
        }
    }

    fn rgb(&self, y: i64, u: i64, v: i64) -> [u8; 3] {
        let base = (y - self.black) * self.luma + (1 << (FRACTION - 1));
        let (u, v) = (u - self.middle, v - self.middle);
        let sums = [base + self.red_v * v, base + self.green_u * u + self.green_v * v, base + self.blue_u * u];
        sums.map(|sum| (sum >> FRACTION).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(colour: Colour, depth: u8, yuv: [u16; 3]) -> [u8; 3] {
        Coder::new(colour, depth).rgb(i64::from(yuv[0]), i64::from(yuv[1]), i64::from(yuv[2]))
    }

    /// The matrices as their standards state them, in floating point.
    fn standard(colour: Colour, depth: u8, yuv: [u16; 3]) -> [f64; 3] {
        // ITU-R BT.709, SMPTE ST 240, ITU-R BT.2020; else ITU-R BT.601.
        let (kr, kb) = match colour.matrix {
            1 => (0.2126, 0.0722),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let scale = f64::from(1_u32 << (depth - 8));
        let [y, u, v] = yuv.map(f64::from);
        let (y, u, v) = if colour.full_range {
            let top = f64::from((1_u32 << depth) - 1);
            (y / top, (u - 128.0 * scale) / top, (v - 128.0 * scale) / top)
        } else {
            ((y / scale - 16.0) / 219.0, (u / scale - 128.0) / 224.0, (v / scale - 128.0) / 224.0)
        };
        let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|value| (value * 255.0).clamp(0.0, 255.0))
    }

    #[test]
    fn integers_round_as_the_standards_say() {
        for matrix in [1, 2, 5, 6, 7, 9, 10] {
            for full_range in [false, true] {
                for depth in [8_u8, 10] {
                    let colour = Colour { matrix, full_range };
                    for i in 0..4096_u32 {
                        let mask = (1_u32 << depth) - 1;
                        let yuv = [2_654_435_761_u32, 40_503, 69_069].map(|m| ((i.wrapping_mul(m) >> 3) & mask) as u16);
                        let (got, want) = (pixel(colour, depth, yuv), standard(colour, depth, yuv));
                        for (got, want) in got.iter().zip(want) {
                            // A coefficient is off by 2^-21 at most; times three samples of 10 bits, 0.0015.
                            assert!((f64::from(*got) - want).abs() <= 0.5 + 0.0015, "{colour:?} {depth} {yuv:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn black_white_and_primaries() {
        let limited = Colour { matrix: 1, full_range: false };
        assert_eq!(pixel(limited, 8, [16, 128, 128]), [0; 3]);
        assert_eq!(pixel(limited, 8, [235, 128, 128]), [255; 3]);
        let red = pixel(limited, 8, [63, 102, 240]);
        assert!(red[0] == 255 && red[1] <= 1 && red[2] <= 1, "{red:?}");
        let full = Colour { matrix: 6, full_range: true };
        assert_eq!(pixel(full, 8, [255, 128, 128]), [255; 3]);
        assert_eq!(pixel(full, 10, [1023, 512, 512]), [255; 3]);
    }

    #[test]
    fn odd_sizes_share_the_last_chroma_sample() {
        let frame = YuvFrame {
            width: 3,
            height: 3,
            chroma_step_x: 2,
            chroma_step_y: 2,
            depth: 8,
            colour: Colour::default(),
            data: [vec![126; 9], vec![128, 128, 128, 240], vec![128; 4]].concat(),
        };
        let rgb = frame.to_rgb().unwrap();
        assert_eq!(&rgb.data[..3], [128; 3]);
        assert!(rgb.data[26] > 250 && rgb.data[23] < 130, "{:?}", rgb.data);
        let grey = YuvFrame { chroma_step_x: 0, chroma_step_y: 0, data: vec![235; 9], ..frame.clone() };
        assert_eq!(grey.to_rgb().unwrap().data, [255; 27]);
        assert!(YuvFrame { width: 4, ..frame }.to_rgb().is_err());
    }
}
