//! Antialiased resizing, byte-equal to Pillow: two passes, horizontal first, fixed-point coefficients of 22 bits,
//! rounding to bytes after each pass (`libImaging/Resample.c`). The preprocessing of published encoders was defined by
//! Pillow's bytes, so ours must be the same bytes.
//!
//! Pillow 13 runs the vertical pass first where the height shrinks by more than twice as many pixels as the width, which
//! moves some bytes by one. We keep the order of the Pillows that published encoders were trained with.

use serde::{Deserialize, Serialize};

use crate::{DataError, Rgb8Image, Rgba8Image};

/// The interpolation kernel. Both are widened when shrinking, so that every source pixel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Keys' cubic with a = -0.5, support 2.
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic => {
                const A: f64 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
        }
    }
}

const PRECISION: u32 = 32 - 8 - 2;
/// Longest side that is made. Pillow's own bound would be 2^31; this one keeps intermediate buffers sane.
const MAX_SIDE: u32 = 1 << 16;

/// Columns and rows of a resized picture that are made: the others are not computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

struct Taps<W> {
    /// First source index and the range of `weights`, for each output index.
    spans: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<W>,
}

/// The taps of the output indices `wanted`. `rounded` converts each weight; before that, the weights of one output index
/// add up to 1.
fn taps<W>(
    source: u32,
    target: u32,
    wanted: std::ops::Range<u32>,
    filter: Filter,
    rounded: impl Fn(f64) -> W,
) -> Taps<W> {
    let scale = f64::from(source) / f64::from(target);
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let mut spans = Vec::with_capacity(wanted.len());
    let mut weights = Vec::new();
    let mut exact = Vec::new();
    for index in wanted {
        let center = (f64::from(index) + 0.5) * scale;
        // Casts truncate toward zero and saturate, as the C original does for these ranges.
        let first = (center - support + 0.5).max(0.0) as u32;
        let last = ((center + support + 0.5) as u32).min(source);
        exact.clear();
        let inverse = 1.0 / stretch;
        exact.extend((first..last).map(|x| filter.weight((f64::from(x) - center + 0.5) * inverse)));
        let total: f64 = exact.iter().sum();
        let start = weights.len();
        for weight in &exact {
            weights.push(rounded(if total == 0.0 { *weight } else { weight / total }));
        }
        spans.push((first as usize, start..weights.len()));
    }
    Taps { spans, weights }
}

fn fixed(weight: f64) -> i32 {
    let fixed = weight * f64::from(1u32 << PRECISION);
    (fixed + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

fn horizontal<const C: usize>(data: &[u8], width: usize, taps: &Taps<i32>) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / width * taps.spans.len());
    for row in data.chunks_exact(width * C) {
        for (first, range) in &taps.spans {
            let mut sums = [HALF; C];
            for (pixel, weight) in row[first * C..].chunks_exact(C).zip(&taps.weights[range.clone()]) {
                for channel in 0..C {
                    sums[channel] = sums[channel].wrapping_add(i32::from(pixel[channel]) * weight);
                }
            }
            out.extend(sums.map(to_byte));
        }
    }
    out
}

fn vertical(data: &[u8], row: usize, taps: &Taps<i32>) -> Vec<u8> {
    let mut out = Vec::with_capacity(row * taps.spans.len());
    let mut sums = vec![HALF; row];
    for (first, range) in &taps.spans {
        sums.fill(HALF);
        for (line, weight) in data[first * row..].chunks_exact(row).zip(&taps.weights[range.clone()]) {
            for (sum, value) in sums.iter_mut().zip(line) {
                *sum = sum.wrapping_add(i32::from(*value) * weight);
            }
        }
        out.extend(sums.iter().map(|sum| to_byte(*sum)));
    }
    out
}

fn check_target(to: (u32, u32), window: Window) -> Result<(), DataError> {
    let Window { left, top, width, height } = window;
    let inside = |start: u32, len: u32, end: u32| start.checked_add(len).is_some_and(|stop| stop <= end);
    let reason = if width.min(height) == 0 || width.max(height) > MAX_SIDE {
        format!("target {width}x{height}: each side must be 1 to {MAX_SIDE}")
    } else if !inside(left, width, to.0) || !inside(top, height, to.1) {
        format!("{width}x{height} at ({left}, {top}) is not inside {}x{}", to.0, to.1)
    } else {
        return Ok(());
    };
    Err(DataError::Shape { what: "resize", reason })
}

/// Part of a picture that is resized to `to`. Only what the part needs is computed, so that one much longer than wide costs
/// no more than another.
fn resize<const C: usize>(
    data: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    window: Window,
    filter: Filter,
) -> Result<Vec<u8>, DataError> {
    check_target(to, window)?;
    let Window { left, top, width, height } = window;
    let whole = |from: u32, to: u32, start: u32, len: u32| from == to && start == 0 && len == to;
    let mut current = None;
    if !whole(from.0, to.0, left, width) {
        let taps = taps(from.0, to.0, left..left + width, filter, fixed);
        current = Some(horizontal::<C>(data, from.0 as usize, &taps));
    }
    if !whole(from.1, to.1, top, height) {
        let lines = current.as_deref().unwrap_or(data);
        let taps = taps(from.1, to.1, top..top + height, filter, fixed);
        current = Some(vertical(lines, width as usize * C, &taps));
    }
    Ok(current.unwrap_or_else(|| data.to_vec()))
}

impl Rgb8Image {
    /// Resizes to `width x height`, with the bytes of Pillow's `Image.resize`.
    ///
    /// # Errors
    /// A side of no pixels, or of more than 65,536.
    pub fn resize(&self, width: u32, height: u32, filter: Filter) -> Result<Self, DataError> {
        self.resize_part((width, height), Window { left: 0, top: 0, width, height }, filter)
    }

    /// As [`Self::resize`] to a size, then [`Self::crop`] of a part of it, at the cost of the part.
    pub(crate) fn resize_part(&self, to: (u32, u32), part: Window, filter: Filter) -> Result<Self, DataError> {
        let data = resize::<3>(&self.data, (self.width, self.height), to, part, filter)?;
        Ok(Self { width: part.width, height: part.height, data })
    }

    /// Resizes to `width x height` without rounding to bytes, as torchvision resizes tensors with `antialias=True`:
    /// interleaved values of 0..255, `[height, width, 3]`.
    ///
    /// # Errors
    /// As [`Self::resize`].
    pub fn resize_f32(&self, width: u32, height: u32, filter: Filter) -> Result<Vec<f32>, DataError> {
        self.resize_part_f32((width, height), Window { left: 0, top: 0, width, height }, filter)
    }

    /// As [`Self::resize_part`], without rounding to bytes: `[part.height, part.width, 3]`.
    pub(crate) fn resize_part_f32(&self, to: (u32, u32), part: Window, filter: Filter) -> Result<Vec<f32>, DataError> {
        check_target(to, part)?;
        let as_f32 = |weight: f64| weight as f32;
        let wide = taps(self.width, to.0, part.left..part.left + part.width, filter, as_f32);
        let kept = to.0 == self.width;
        let mut data = Vec::with_capacity(part.width as usize * self.height as usize * 3);
        for row in self.data.chunks_exact(self.width as usize * 3) {
            if kept {
                let (from, to) = (part.left as usize * 3, (part.left + part.width) as usize * 3);
                data.extend(row[from..to].iter().map(|value| f32::from(*value)));
                continue;
            }
            for (first, range) in &wide.spans {
                let mut sums = [0.0; 3];
                for (pixel, weight) in row[first * 3..].chunks_exact(3).zip(&wide.weights[range.clone()]) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
                }
                data.extend(sums);
            }
        }
        let row = part.width as usize * 3;
        if to.1 == self.height {
            let (from, to) = (part.top as usize * row, (part.top + part.height) as usize * row);
            data.truncate(to);
            data.drain(..from);
            return Ok(data);
        }
        let taps = taps(self.height, to.1, part.top..part.top + part.height, filter, as_f32);
        let mut out = vec![0.0; row * part.height as usize];
        for (sums, (first, range)) in out.chunks_exact_mut(row).zip(&taps.spans) {
            for (line, weight) in data[first * row..].chunks_exact(row).zip(&taps.weights[range.clone()]) {
                sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value * weight);
            }
        }
        Ok(out)
    }
}

impl Rgba8Image {
    /// Resizes to `width x height` in premultiplied colour, with the bytes of Pillow's `Image.resize` of an RGBA picture.
    pub fn resize(&self, width: u32, height: u32, filter: Filter) -> Result<Self, DataError> {
        if (width, height) == (self.width, self.height) {
            return Ok(self.clone());
        }
        let mut data = self.data.clone();
        for pixel in data.chunks_exact_mut(4) {
            let alpha = u32::from(pixel[3]);
            for value in &mut pixel[..3] {
                let scaled = u32::from(*value) * alpha + 128;
                *value = (((scaled >> 8) + scaled) >> 8) as u8;
            }
        }
        let window = Window { left: 0, top: 0, width, height };
        let mut data = resize::<4>(&data, (self.width, self.height), (width, height), window, filter)?;
        for pixel in data.chunks_exact_mut(4) {
            let alpha = u32::from(pixel[3]);
            if alpha != 0 && alpha != 255 {
                for value in &mut pixel[..3] {
                    *value = (u32::from(*value) * 255 / alpha).min(255) as u8;
                }
            }
        }
        Ok(Self { width, height, data })
    }
}
