//! Augmentation that makes drawings of one thing by two designers look less alike to pixels, and keeps what they share:
//! shape and parts. Every sample depends only on its [`SampleKey`], so any batch can be made again.

pub(crate) mod backdrop;
mod color;
mod options;
mod style;
mod warp;

use rayon::prelude::*;

pub use options::AugmentOptions;

use crate::dice::{Dice, SampleKey};
use crate::{DataError, Preprocess, Rgb8Image, Rgba8Image};
use color::ColorMatrix;
use warp::{Source, Warp};

/// One picture to augment.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The drawing, alpha kept.
    pub picture: &'a Rgba8Image,
    /// A picture of something else, for the background; without one such backgrounds are white.
    pub other: Option<&'a Rgba8Image>,
    /// Whether mirroring keeps the meaning (see [`crate::emoji::Concept::mirror_safe`]).
    pub mirror_allowed: bool,
    /// Whether the meaning depends on a colour (see [`crate::emoji::Concept::color_bound`]): then hues stay near.
    pub color_bound: bool,
    /// The source of its randomness.
    pub key: SampleKey,
}

/// Makes training pictures of one size.
#[derive(Clone, Debug)]
pub struct Augmenter {
    options: AugmentOptions,
    size: u32,
}

impl Augmenter {
    /// Checks the options; `size` is the side of the results in pixels, 8 to 4096.
    pub fn new(size: u32, options: AugmentOptions) -> Result<Self, DataError> {
        if let Some((_, reason)) = options.problem() {
            return Err(DataError::Shape { what: "augment options", reason });
        }
        if !(8..=4096).contains(&size) {
            return Err(DataError::Shape { what: "augment", reason: format!("size {size}: expected 8 to 4096") });
        }
        Ok(Self { options, size })
    }

    /// Side of the results in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// One augmented picture, `size x size`.
    pub fn run(&self, sample: &Sample<'_>) -> Rgb8Image {
        let (options, size) = (&self.options, self.size as usize);
        let mut dice = Dice::new(sample.key);
        let gamma = dice.spread(options.gamma).exp();
        let source = Source::new(sample.picture, gamma);
        let mut plane = Warp::draw(options, sample.mirror_allowed, &mut dice).run(&source, size);
        let color = ColorMatrix::draw(options, sample.color_bound, &mut dice);
        for pixel in &mut plane {
            *pixel = color.apply(*pixel);
        }
        if dice.chance(options.ink) {
            style::ink(&mut plane, size, &mut dice);
        }
        if dice.chance(options.shade) {
            style::shade(&mut plane, size, options, &mut dice);
        }
        if dice.chance(options.outline) {
            style::outline(&mut plane, size, &mut dice);
        }
        if dice.chance(options.hole) {
            style::hole(&mut plane, size, options, &mut dice);
        }
        let mut picture = backdrop::draw(size, sample.other, options, &mut dice);
        if dice.chance(options.shadow) {
            let shadow = style::shadow(&plane, size, &mut dice);
            for (pixel, light) in picture.iter_mut().zip(shadow) {
                *pixel = pixel.map(|value| value * light);
            }
        }
        for (behind, front) in picture.iter_mut().zip(&plane) {
            let through = 1.0 - front[3];
            *behind = std::array::from_fn(|k| front[k] + behind[k] * through);
        }
        if dice.chance(options.blur) {
            let sigma = dice.between(0.3, 1.0) * options.blur_sigma * size as f32;
            style::blur(&mut picture, size, sigma.max(0.2));
        }
        let depth = dice.unit() * options.grain_depth;
        let grain = dice.chance(options.grain);
        let mut data = Vec::with_capacity(size * size * 3);
        for pixel in picture {
            let [a, b, c, _] = if grain { dice.bits().to_le_bytes() } else { [0; 4] };
            for (value, noise) in pixel.into_iter().zip([a, b, c]) {
                let value = if grain { value + depth * (f32::from(noise) / 127.5 - 1.0) } else { value };
                data.push((value * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
            }
        }
        Rgb8Image { width: self.size, height: self.size, data }
    }

    /// Augments and normalises a batch on all cores: `[samples, 3, size, size]`, or with the channels last as `to` says.
    /// `to.size` must be this augmenter's; its resize rule is not used.
    pub fn batch(&self, samples: &[Sample<'_>], to: &Preprocess) -> Result<Vec<f32>, DataError> {
        let mut out = vec![0.0; to.values() * samples.len()];
        out.par_chunks_exact_mut(to.values().max(1))
            .zip(samples)
            .try_for_each(|(slot, sample)| to.normalize_into(&self.run(sample), slot))?;
        Ok(out)
    }
}
