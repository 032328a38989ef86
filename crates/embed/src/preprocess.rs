//! The preprocessing of pictures and frames for a VL-JEPA.

use vljepa_data::{Filter, Preprocess, ResizeRule};
use vljepa_model::config::{CropStart, VlJepaConfig};

/// The preprocessing that a model's configuration asks for.
pub fn preprocess(config: &VlJepaConfig) -> Preprocess {
    let p = &config.preprocessing;
    Preprocess {
        resize: ResizeRule::ShortestSide(config.short_side() as u32),
        filter: Filter::Bilinear,
        mean: p.mean,
        std: p.std,
        crop_start: match p.crop_start {
            CropStart::Down => vljepa_data::CropStart::Down,
            CropStart::Even => vljepa_data::CropStart::Even,
        },
        fractions: p.clip_fractions,
        ..Preprocess::square(config.image_size() as u32)
    }
}

/// The same preprocessing for inputs of `size` pixels a side: the short side before cropping keeps its ratio to the
/// crop.
pub fn at_size(preprocess: &Preprocess, size: u32) -> Preprocess {
    let resize = match preprocess.resize {
        ResizeRule::ShortestSide(side) => {
            let scaled = u64::from(side) * u64::from(size) / u64::from(preprocess.size.max(1));
            ResizeRule::ShortestSide((scaled as u32).max(size))
        }
        other => other,
    };
    Preprocess { size, resize, ..preprocess.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_keeps_the_proportion_of_the_crop() {
        let at = at_size(&Preprocess::vjepa2(256), 128);
        assert_eq!((at.size, at.resize), (128, ResizeRule::ShortestSide(146)));
        let tiny = Preprocess { resize: ResizeRule::ShortestSide(256), ..Preprocess::vjepa2(256) };
        assert_eq!(at_size(&tiny, 64).resize, ResizeRule::ShortestSide(64));
        let squash = Preprocess { resize: ResizeRule::Squash, ..Preprocess::square(64) };
        assert_eq!(at_size(&squash, 32).resize, ResizeRule::Squash);
    }
}
