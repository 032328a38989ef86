//! From a decoded picture to the numbers a vision encoder takes.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::resample::Window;
use crate::{DataError, Filter, Rgb8Image, Rgba8Image};

/// Per-channel mean and standard deviation of ImageNet, which most published encoders were trained with.
pub const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// How a picture of any shape becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ResizeRule {
    /// Both sides to the target, whatever the aspect ratio.
    Squash,
    /// The longest side to the target, the rest filled with the background.
    Fit,
    /// The shortest side to this many pixels, then the centre crop.
    /// V-JEPA 2 takes `int(crop * 256 / 224)`: 292 for 256, 438 for 384.
    ShortestSide(u32),
    /// No scaling: the centre crop, with black around smaller pictures.
    Crop,
}

/// Where the crop begins when the margin is an odd number of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropStart {
    /// At the pixel before the half (transformers).
    #[default]
    Down,
    /// At the even one of the two (torchvision: `int(round(margin / 2))`).
    Even,
}

impl CropStart {
    fn of(self, margin: u32) -> u32 {
        match self {
            Self::Even if margin % 4 == 3 => margin / 2 + 1,
            _ => margin / 2,
        }
    }
}

/// Which squares of a picture are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crops {
    /// The one that [`Preprocess::resize`] names.
    #[default]
    Center,
    /// Three of the shorter side's length, at the start, the middle and the end of the longer side, as V-JEPA 2 is evaluated on
    /// (`EvalVideoTransform` with three views). Rows are the mean of the three.
    Three,
}

impl Crops {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Center => 1,
            Self::Three => 3,
        }
    }
}

/// Order of the values of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Planes: `[3, size, size]`.
    #[default]
    Chw,
    /// Interleaved: `[size, size, 3]`.
    Hwc,
}

/// Deterministic preprocessing for inference and evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square in pixels.
    pub size: u32,
    /// How the square is reached.
    pub resize: ResizeRule,
    /// Interpolation.
    pub filter: Filter,
    /// Subtracted from values scaled to 0..1.
    pub mean: [f32; 3],
    /// By which they are divided then.
    pub std: [f32; 3],
    /// Where the crop of [`ResizeRule::ShortestSide`] begins.
    #[serde(default)]
    pub crop_start: CropStart,
    /// Whether the frames of a clip ([`Self::clip`]) are scaled by [`ResizeRule::ShortestSide`] without rounding to bytes, as
    /// torchvision scales tensors.
    #[serde(default)]
    pub fractions: bool,
    /// Order of the result.
    #[serde(default)]
    pub layout: Layout,
    /// What lies behind transparent pixels and in the margins of [`ResizeRule::Fit`].
    #[serde(default = "white")]
    pub background: [u8; 3],
}

fn white() -> [u8; 3] {
    [255; 3]
}

impl Preprocess {
    /// Pictures squashed to `size`, values in -1..1, on white: what the compact models take.
    pub fn square(size: u32) -> Self {
        Self {
            size,
            resize: ResizeRule::Squash,
            filter: Filter::Bicubic,
            mean: [0.5; 3],
            std: [0.5; 3],
            crop_start: CropStart::Down,
            fractions: false,
            layout: Layout::Chw,
            background: white(),
        }
    }

    /// V-JEPA 2's evaluation preprocessing at a crop of `size` pixels (transformers `VJEPA2VideoProcessor`, whose crop begins
    /// half a pixel earlier where the margin is odd; V-JEPA 2's own loaders round to even). Pixels are Pillow's: torchvision's
    /// differ from them by one level in about one of a hundred.
    pub fn vjepa2(size: u32) -> Self {
        Self {
            resize: ResizeRule::ShortestSide((u64::from(size) * 256 / 224) as u32),
            filter: Filter::Bilinear,
            mean: IMAGENET.0,
            std: IMAGENET.1,
            ..Self::square(size)
        }
    }

    /// Values of one picture: `3 * size * size`.
    pub fn values(&self) -> usize {
        3 * self.size as usize * self.size as usize
    }

    /// The square crop, still in bytes.
    pub fn square_crop(&self, picture: &Rgba8Image) -> Result<Rgb8Image, DataError> {
        self.square_crop_rgb(&picture.over(self.background))
    }

    /// As [`Self::square_crop`], of a picture without transparency.
    pub fn square_crop_rgb(&self, picture: &Rgb8Image) -> Result<Rgb8Image, DataError> {
        let (width, height, size) = (picture.width, picture.height, self.size);
        match self.resize {
            ResizeRule::Squash => picture.resize(size, size, self.filter),
            ResizeRule::Fit => {
                let longest = u64::from(width.max(height));
                let fit = |side: u32| ((u64::from(side) * u64::from(size) + longest / 2) / longest).max(1) as u32;
                let small = picture.resize(fit(width), fit(height), self.filter)?;
                let offset = |side: u32| (self.size - side) / 2;
                Ok(self.framed(&small, (offset(small.width), offset(small.height)), self.background))
            }
            ResizeRule::ShortestSide(side) => {
                let scaled = self.scaled(picture, side)?;
                picture.resize_part(scaled, self.centre(scaled), self.filter)
            }
            ResizeRule::Crop => {
                // As transformers': where there is too little, the smaller half of the margin is before it.
                let (wide, high) = (width.min(size), height.min(size));
                let offset = |long: u32| long.saturating_sub(size) / 2;
                let inner = picture.crop(offset(width), offset(height), wide, high)?;
                Ok(self.framed(&inner, ((size - wide) / 2, (size - high) / 2), [0; 3]))
            }
        }
    }

    /// Width and height that a picture has when its shortest side is `side`.
    fn scaled(&self, picture: &Rgb8Image, side: u32) -> Result<(u32, u32), DataError> {
        if side < self.size {
            return Err(DataError::Shape {
                what: "preprocess",
                reason: format!("a shortest side of {side} pixels holds no crop of {}", self.size),
            });
        }
        let (width, height) = (picture.width, picture.height);
        let shortest = u64::from(width.min(height));
        let scaled = |long: u32| u32::try_from(u64::from(side) * u64::from(long) / shortest).unwrap_or(u32::MAX);
        Ok(if width <= height { (side, scaled(height)) } else { (scaled(width), side) })
    }

    /// The crop of a scaled picture.
    fn centre(&self, (width, height): (u32, u32)) -> Window {
        let start = |long: u32| self.crop_start.of(long.saturating_sub(self.size));
        Window { left: start(width), top: start(height), width: self.size, height: self.size }
    }

    /// As [`Self::square_crop_rgb`] and [`Self::normalize_into`] without rounding to bytes between them.
    fn fractions_into(&self, picture: &Rgb8Image, side: u32, out: &mut [f32]) -> Result<(), DataError> {
        let scaled = self.scaled(picture, side)?;
        let values = picture.resize_part_f32(scaled, self.centre(scaled), self.filter)?;
        let size = self.size as usize;
        for (at, value) in values.into_iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let slot = match self.layout {
                Layout::Chw => channel * size * size + pixel,
                Layout::Hwc => at,
            };
            out[slot] = (value / 255.0 - self.mean[channel]) / self.std[channel];
        }
        Ok(())
    }

    /// A picture no larger than the square at a place in it.
    fn framed(&self, small: &Rgb8Image, (left, top): (u32, u32), around: [u8; 3]) -> Rgb8Image {
        let size = self.size as usize;
        let mut data = around.repeat(size * size);
        for (y, row) in small.data.chunks_exact(small.width as usize * 3).enumerate() {
            let start = ((top as usize + y) * size + left as usize) * 3;
            data[start..start + row.len()].copy_from_slice(row);
        }
        Rgb8Image { width: self.size, height: self.size, data }
    }

    /// Normalises a square of the right size into `out`, which must hold [`Self::values`] numbers.
    pub fn normalize_into(&self, square: &Rgb8Image, out: &mut [f32]) -> Result<(), DataError> {
        if (square.width, square.height) != (self.size, self.size) || out.len() != self.values() {
            return Err(DataError::Shape {
                what: "normalize",
                reason: format!(
                    "{}x{} pixels into {} values, expected {size}x{size} into {}",
                    square.width,
                    square.height,
                    out.len(),
                    self.values(),
                    size = self.size
                ),
            });
        }
        let area = out.len() / 3;
        for channel in 0..3 {
            let table: Vec<f32> =
                (0..256u16).map(|v| (f32::from(v) / 255.0 - self.mean[channel]) / self.std[channel]).collect();
            let values = square.data[channel..].iter().step_by(3).map(|v| table[usize::from(*v)]);
            match self.layout {
                Layout::Chw => {
                    let plane = &mut out[channel * area..(channel + 1) * area];
                    plane.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
                }
                Layout::Hwc => out[channel..].iter_mut().step_by(3).zip(values).for_each(|(slot, value)| *slot = value),
            }
        }
        Ok(())
    }

    /// One picture to [`Self::values`] numbers.
    pub fn run(&self, picture: &Rgba8Image) -> Result<Vec<f32>, DataError> {
        self.run_rgb(&picture.over(self.background))
    }

    /// As [`Self::run`], of a picture without transparency.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_rgb(&self, picture: &Rgb8Image) -> Result<Vec<f32>, DataError> {
        let square = self.square_crop_rgb(picture)?;
        let mut out = vec![0.0; self.values()];
        self.normalize_into(&square, &mut out)?;
        Ok(out)
    }

    /// The squares of a picture as numbers, `[crops, 3, size, size]`. `in_clip` says whether it is a frame of a clip, as
    /// [`Self::clip`] takes them, or a picture of its own.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn views(&self, picture: &Rgb8Image, crops: Crops, in_clip: bool) -> Result<Vec<f32>, DataError> {
        let mut out = vec![0.0; self.values() * crops.count()];
        match (crops, self.resize) {
            (Crops::Center, ResizeRule::ShortestSide(side)) if in_clip && self.fractions => {
                self.fractions_into(picture, side, &mut out)?;
            }
            (Crops::Center, _) => self.normalize_into(&self.square_crop_rgb(picture)?, &mut out)?,
            (Crops::Three, _) => {
                let scaled = self.scaled(picture, self.size)?;
                let margin = scaled.0.max(scaled.1) - self.size;
                for (slot, start) in out.chunks_exact_mut(self.values()).zip([0, margin / 2, margin]) {
                    let (left, top) = if scaled.0 >= scaled.1 { (start, 0) } else { (0, start) };
                    let part = Window { left, top, width: self.size, height: self.size };
                    self.normalize_into(&picture.resize_part(scaled, part, self.filter)?, slot)?;
                }
            }
        }
        Ok(out)
    }

    /// The frames of a clip, `[frames, 3, size, size]`, on all cores.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn clip(&self, frames: &[Rgb8Image]) -> Result<Vec<f32>, DataError> {
        let mut out = vec![0.0; self.values() * frames.len()];
        out.par_chunks_exact_mut(self.values().max(1)).zip(frames).try_for_each(|(slot, frame)| match self.resize {
            ResizeRule::ShortestSide(side) if self.fractions => self.fractions_into(frame, side, slot),
            _ => self.normalize_into(&self.square_crop_rgb(frame)?, slot),
        })?;
        Ok(out)
    }

    /// Many pictures, one after the other in the result, on all cores.
    pub fn batch(&self, pictures: &[&Rgba8Image]) -> Result<Vec<f32>, DataError> {
        let mut out = vec![0.0; self.values() * pictures.len()];
        out.par_chunks_exact_mut(self.values().max(1))
            .zip(pictures)
            .try_for_each(|(slot, picture)| self.normalize_into(&self.square_crop(picture)?, slot))?;
        Ok(out)
    }
}
