//! Changes to the pictures and clips of a manifest: all frames of a clip are changed alike.

use serde::{Deserialize, Serialize};
use vljepa_data::AugmentOptions;

/// `[data.augment]`: how strongly rows are changed before each step. The defaults are for photographs and films.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Smallest and largest size of the picture, as a fraction of the frame; above 1 its edges are cut off, below 1 white is
    /// around it.
    pub scale: [f32; 2],
    /// Natural logarithm of the largest stretch of one side against the other.
    pub stretch: f32,
    /// Largest rotation in degrees; small ones are more likely.
    pub rotation: f32,
    /// Largest shift, as a fraction of the frame.
    pub shift: f32,
    /// Probability of mirroring: only where left and right mean the same.
    pub mirror: f32,
    /// Largest turn of the hue, in whole turns.
    pub hue: f32,
    /// Largest change of the saturation.
    pub saturation: f32,
    /// Probability of grey.
    pub grey: f32,
    /// Largest change of the contrast.
    pub contrast: f32,
    /// Largest shift of the brightness, of 1.
    pub brightness: f32,
    /// Probability of a missing rectangle.
    pub hole: f32,
    /// Probability of blur.
    pub blur: f32,
    /// Probability of noise on every pixel.
    pub grain: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            scale: [1.0, 1.4],
            stretch: 0.1,
            rotation: 5.0,
            shift: 0.05,
            mirror: 0.0,
            hue: 0.03,
            saturation: 0.3,
            grey: 0.05,
            contrast: 0.25,
            brightness: 0.1,
            hole: 0.1,
            blur: 0.1,
            grain: 0.0,
        }
    }
}

impl Augment {
    /// As options of the augmenter.
    pub(super) fn options(&self) -> AugmentOptions {
        let strong = AugmentOptions::default();
        AugmentOptions {
            scale: self.scale,
            stretch: self.stretch,
            rotation: self.rotation,
            shift: self.shift,
            mirror: self.mirror,
            hue: self.hue,
            saturation: self.saturation,
            grey: self.grey,
            contrast: self.contrast,
            brightness: self.brightness,
            hole: self.hole,
            hole_side: strong.hole_side,
            blur: self.blur,
            blur_sigma: strong.blur_sigma,
            grain: self.grain,
            grain_depth: strong.grain_depth,
            ..AugmentOptions::none()
        }
    }
}
