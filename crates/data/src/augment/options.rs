//! How strongly pictures are augmented.

use serde::{Deserialize, Serialize};

/// Strengths (largest change) and probabilities (0..1). The default is strong; [`Self::none`] changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentOptions {
    /// Smallest and largest size of the drawing, as a fraction of the frame; drawn evenly in the logarithm.
    pub scale: [f32; 2],
    /// Natural logarithm of the largest stretch of one side against the other.
    pub stretch: f32,
    /// Usual largest rotation in degrees; small ones are more likely.
    pub rotation: f32,
    /// Rare largest rotation in degrees.
    pub far_rotation: f32,
    /// Probability of the rare rotation.
    pub far: f32,
    /// Largest shear along each axis.
    pub shear: f32,
    /// Largest shift, as a fraction of the frame.
    pub shift: f32,
    /// Largest displacement of a low wave through the drawing, as a fraction of the frame.
    pub wave: f32,
    /// Probability of mirroring, where the sample allows it.
    pub mirror: f32,
    /// Usual largest turn of the hue, in whole turns.
    pub hue: f32,
    /// Probability of any hue at all.
    pub any_hue: f32,
    /// Largest change of the saturation.
    pub saturation: f32,
    /// Probability of grey.
    pub grey: f32,
    /// Probability of the channels in another order.
    pub swap_channels: f32,
    /// Largest change of each channel's gain.
    pub gain: f32,
    /// Largest change of the contrast.
    pub contrast: f32,
    /// Largest shift of the brightness.
    pub brightness: f32,
    /// Probability of the negative.
    pub invert: f32,
    /// Natural logarithm of the strongest tone curve.
    pub gamma: f32,
    /// Probability of shading.
    pub shade: f32,
    /// Its strength.
    pub shade_depth: f32,
    /// Probability of an outline.
    pub outline: f32,
    /// Probability of inner lines.
    pub ink: f32,
    /// Probability of a shadow on the background.
    pub shadow: f32,
    /// Probability of a missing rectangle.
    pub hole: f32,
    /// Its longest side, as a fraction of the frame.
    pub hole_side: f32,
    /// Probabilities of a background of one colour, a gradient, noise, a piece of another picture; the rest is white.
    pub backdrops: [f32; 4],
    /// Probability of blur.
    pub blur: f32,
    /// Its largest standard deviation, as a fraction of the frame.
    pub blur_sigma: f32,
    /// Probability of noise on every pixel.
    pub grain: f32,
    /// Its largest amplitude.
    pub grain_depth: f32,
}

impl Default for AugmentOptions {
    fn default() -> Self {
        Self {
            scale: [0.65, 1.2],
            stretch: 0.15,
            rotation: 18.0,
            far_rotation: 45.0,
            far: 0.1,
            shear: 0.12,
            shift: 0.1,
            wave: 0.035,
            mirror: 0.3,
            hue: 0.06,
            any_hue: 0.12,
            saturation: 0.6,
            grey: 0.12,
            swap_channels: 0.06,
            gain: 0.2,
            contrast: 0.35,
            brightness: 0.15,
            invert: 0.02,
            gamma: 0.4,
            shade: 0.5,
            shade_depth: 0.5,
            outline: 0.15,
            ink: 0.12,
            shadow: 0.15,
            hole: 0.15,
            hole_side: 0.4,
            backdrops: [0.2, 0.12, 0.1, 0.1],
            blur: 0.2,
            blur_sigma: 0.015,
            grain: 0.1,
            grain_depth: 0.08,
        }
    }
}

impl AugmentOptions {
    /// No change: the drawing fills the frame on white.
    pub fn none() -> Self {
        Self {
            scale: [1.0, 1.0],
            stretch: 0.0,
            rotation: 0.0,
            far_rotation: 0.0,
            far: 0.0,
            shear: 0.0,
            shift: 0.0,
            wave: 0.0,
            mirror: 0.0,
            hue: 0.0,
            any_hue: 0.0,
            saturation: 0.0,
            grey: 0.0,
            swap_channels: 0.0,
            gain: 0.0,
            contrast: 0.0,
            brightness: 0.0,
            invert: 0.0,
            gamma: 0.0,
            shade: 0.0,
            shade_depth: 0.0,
            outline: 0.0,
            ink: 0.0,
            shadow: 0.0,
            hole: 0.0,
            hole_side: 0.0,
            backdrops: [0.0; 4],
            blur: 0.0,
            blur_sigma: 0.0,
            grain: 0.0,
            grain_depth: 0.0,
        }
    }

    /// The first value out of its range: the field and a sentence.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let [low, high] = self.scale;
        if !(0.05..=20.0).contains(&low) || !(low..=20.0).contains(&high) {
            return Some(("scale", format!("scale {low} to {high}: expected 0.05 <= low <= high <= 20")));
        }
        let probabilities = [
            ("far", self.far),
            ("mirror", self.mirror),
            ("any_hue", self.any_hue),
            ("grey", self.grey),
            ("swap_channels", self.swap_channels),
            ("invert", self.invert),
            ("shade", self.shade),
            ("outline", self.outline),
            ("ink", self.ink),
            ("shadow", self.shadow),
            ("hole", self.hole),
            ("hole_side", self.hole_side),
            // Their sum, and the smallest.
            ("backdrops", self.backdrops.iter().sum()),
            ("backdrops", self.backdrops.iter().copied().fold(0.0, f32::min)),
            ("blur", self.blur),
            ("grain", self.grain),
        ];
        let strengths = [
            ("stretch", self.stretch, 1.0),
            ("rotation", self.rotation, 180.0),
            ("far_rotation", self.far_rotation, 180.0),
            ("shear", self.shear, 1.0),
            ("shift", self.shift, 1.0),
            ("wave", self.wave, 0.5),
            ("hue", self.hue, 1.0),
            ("saturation", self.saturation, 4.0),
            ("gain", self.gain, 4.0),
            ("contrast", self.contrast, 4.0),
            ("brightness", self.brightness, 1.0),
            ("gamma", self.gamma, 3.0),
            ("shade_depth", self.shade_depth, 4.0),
            ("blur_sigma", self.blur_sigma, 0.25),
            ("grain_depth", self.grain_depth, 1.0),
        ];
        let bounded = probabilities.into_iter().map(|(name, value)| (name, value, 1.0)).chain(strengths);
        // Written so that NaN fails too.
        let mut broken = bounded.filter(|&(_, value, most)| !(0.0..=most * 1.000_001).contains(&value));
        broken.next().map(|(name, value, most)| (name, format!("{name} is {value}: expected 0 to {most}")))
    }
}
