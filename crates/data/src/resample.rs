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
/// Pillow's own bound on a side would be 2^31; ours keeps intermediate buffers sane.
const MAX_SIDE: u32 = 1 << 16;

struct Taps<W> {
    /// First source index and the range of `weights`, for each output index.
    spans: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<W>,
}

/// `rounded` converts each weight; before that, the weights of one output index add up to 1.
fn taps<W>(source: u32, target: u32, filter: Filter, rounded: impl Fn(f64) -> W) -> Taps<W> {
    let scale = f64::from(source) / f64::from(target);
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let mut spans = Vec::with_capacity(target as usize);
    let mut weights = Vec::new();
    let mut exact = Vec::new();
    for index in 0..target {
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

fn check_target(to: (u32, u32)) -> Result<(), DataError> {
    if to.0 == 0 || to.1 == 0 || to.0 > MAX_SIDE || to.1 > MAX_SIDE {
        return Err(DataError::Shape {
            what: "resize",
            reason: format!("target {}x{}: each side must be 1 to {MAX_SIDE}", to.0, to.1),
        });
    }
    Ok(())
}

fn resize<const C: usize>(data: &[u8], from: (u32, u32), to: (u32, u32), filter: Filter) -> Result<Vec<u8>, DataError> {
    check_target(to)?;
    let mut current = None;
    if to.0 != from.0 {
        current = Some(horizontal::<C>(data, from.0 as usize, &taps(from.0, to.0, filter, fixed)));
    }
    if to.1 != from.1 {
        let lines = current.as_deref().unwrap_or(data);
        current = Some(vertical(lines, to.0 as usize * C, &taps(from.1, to.1, filter, fixed)));
    }
    Ok(current.unwrap_or_else(|| data.to_vec()))
}

impl Rgb8Image {
    /// Resizes to `width x height`, with the bytes of Pillow's `Image.resize`.
    pub fn resize(&self, width: u32, height: u32, filter: Filter) -> Result<Self, DataError> {
        let data = resize::<3>(&self.data, (self.width, self.height), (width, height), filter)?;
        Ok(Self { width, height, data })
    }

    /// Resizes to `width x height` without rounding to bytes, as torchvision resizes tensors with `antialias=True`:
    /// interleaved values of 0..255, `[height, width, 3]`.
    pub fn resize_f32(&self, width: u32, height: u32, filter: Filter) -> Result<Vec<f32>, DataError> {
        check_target((width, height))?;
        let mut data: Vec<f32> = self.data.iter().map(|v| f32::from(*v)).collect();
        let as_f32 = |weight: f64| weight as f32;
        if width != self.width {
            let taps = taps(self.width, width, filter, as_f32);
            let mut out = Vec::with_capacity(width as usize * self.height as usize * 3);
            for row in data.chunks_exact(self.width as usize * 3) {
                for (first, range) in &taps.spans {
                    let mut sums = [0.0; 3];
                    for (pixel, weight) in row[first * 3..].chunks_exact(3).zip(&taps.weights[range.clone()]) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value * weight);
                    }
                    out.extend(sums);
                }
            }
            data = out;
        }
        if height != self.height {
            let taps = taps(self.height, height, filter, as_f32);
            let row = width as usize * 3;
            let mut out = vec![0.0; row * height as usize];
            for (sums, (first, range)) in out.chunks_exact_mut(row).zip(&taps.spans) {
                for (line, weight) in data[first * row..].chunks_exact(row).zip(&taps.weights[range.clone()]) {
                    sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value * weight);
                }
            }
            data = out;
        }
        Ok(data)
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
        let mut data = resize::<4>(&data, (self.width, self.height), (width, height), filter)?;
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
