//! A V-JEPA 2 that foretells: from the first half of a window its masked predictor says what the encoder would see in the second.

use vljepa_data::Preprocess;
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::bare_vjepa2;
use vljepa_model::{Forward, PatchIds, Prediction, Vjepa2Encoder, Vjepa2Predictor};
use vljepa_tensor::autograd;
use vljepa_tensor::{Device, Tensor};

use crate::error::{Error, Result};
use crate::folder::VisionFolder;

/// Added to variances, as in the training of V-JEPA 2.
const EPS: f32 = 1e-5;

/// How far what came is from what was foretold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surprise {
    /// 1 − cosine of the means over the tokens of the second half, foretold and seen: 0 to 2.
    pub score: f64,
    /// Mean absolute difference of all numbers of these tokens: what V-JEPA 2 is trained to make small.
    pub l1: f64,
}

/// Encoder and masked predictor of a V-JEPA 2 on a device.
#[derive(Debug)]
pub struct Foresight {
    origin: String,
    config: Vjepa2Config,
    device: Device,
    encoder: Vjepa2Encoder,
    predictor: Vjepa2Predictor,
    preprocess: Preprocess,
}

impl Foresight {
    /// Loads encoder and predictor onto `device`.
    ///
    /// # Errors
    /// A checkpoint without a predictor, a V-JEPA 2.1, whose predictor foretells several levels at once, corrupt weights, NaN, too little
    /// memory.
    pub fn load(device: &Device, folder: &VisionFolder) -> Result<Self> {
        let checkpoint = folder.checkpoint().path();
        let source = folder.checkpoint().source()?;
        let fault = || Error::model(checkpoint.display());
        let config = folder.config().clone();
        let (weights, parts) = bare_vjepa2(&source, &config).map_err(fault())?;
        if !parts.predictor {
            let reason = "has no masked predictor, which foretells; take a base model of V-JEPA 2 and no classifier";
            return Err(Error::content(checkpoint, reason));
        }
        if config.n_output_distillation != 1 {
            let reason = "is a V-JEPA 2.1, whose predictor foretells several levels at once; take a V-JEPA 2";
            return Err(Error::content(checkpoint, reason));
        }
        Ok(Self {
            origin: folder.origin().to_owned(),
            encoder: Vjepa2Encoder::load(device, &config, &mut &weights, "encoder").map_err(fault())?,
            predictor: Vjepa2Predictor::load(device, &config, &mut &weights, "predictor").map_err(fault())?,
            preprocess: folder.preprocess().clone(),
            device: device.clone(),
            config,
        })
    }

    /// The path of the folder, as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The device of the model.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How frames are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Fewest frames of a window, of which windows have a multiple: a tubelet to foretell from, and one to foretell.
    pub fn least_frames(&self) -> usize {
        2 * self.config.tubelet_size.max(1)
    }

    /// For each of `count` windows of `frames` frames, `[count, frames, 3, size, size]` as the model takes them, how far its second half is from
    /// what the first half lets expect.
    ///
    /// # Errors
    /// Windows whose frames are no multiple of [`Self::least_frames`], and errors of the device.
    pub fn surprise(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<Surprise>> {
        let halves = self.halves(pixels, count, frames)?;
        let (foretold, width) = (self.foretold(&halves)?, self.config.hidden_size);
        let seen = self.encoder.forward(&Forward::inference(), &halves.clips).map_err(Error::model(&self.origin))?;
        let seen = halves.second.select(&seen).map_err(Error::model(&self.origin))?;
        // V-JEPA 2 is trained to foretell tokens that are normalised once more, without scale and shift.
        let seen = autograd::layer_norm(&seen, None, None, EPS)?.value().to_f32()?;
        let size = halves.second.shape().1 * width;
        Ok(foretold.chunks_exact(size).zip(seen.chunks_exact(size)).map(|(a, b)| apart(a, b, width)).collect())
    }

    /// The tokens of the second half of windows, foretold from the first: `[count, tokens, width]`. The encoder sees the first half alone:
    /// nothing of what is to come is in it.
    ///
    /// # Errors
    /// As [`Self::surprise`].
    pub fn foretell(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        self.foretold(&self.halves(pixels, count, frames)?)
    }

    fn halves(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Halves> {
        let (size, least) = (self.preprocess.size as usize, self.least_frames());
        if frames == 0 || !frames.is_multiple_of(least) || pixels.len() != count * frames * 3 * size * size {
            let reason = format!("windows of {frames} frames; a multiple of {least} is needed");
            return Err(Error::Invalid(format!("{}: {reason}", self.origin)));
        }
        let (tubelets, rows, columns) = self.config.grid(frames, size, size);
        let (half, tokens) = ((tubelets / 2 * rows * columns) as u32, (tubelets * rows * columns) as u32);
        let ids = |range: std::ops::Range<u32>| {
            let lists = vec![range.collect::<Vec<u32>>(); count];
            PatchIds::new(&self.device, &lists, tokens as usize).map_err(Error::model(&self.origin))
        };
        Ok(Halves {
            clips: Tensor::from_f32(&self.device, &[count, frames, 3, size, size], pixels)?,
            first: ids(0..half)?,
            second: ids(half..tokens)?,
            grid: (rows, columns),
        })
    }

    fn foretold(&self, halves: &Halves) -> Result<Vec<f32>> {
        let (f, fault) = (Forward::inference(), || Error::model(&self.origin));
        let context = self.encoder.forward_context(&f, &halves.clips, Some(&halves.first)).map_err(fault())?;
        let what = Prediction::new(&halves.first, &halves.second, halves.grid);
        Ok(self.predictor.forward(&f, &context, &what).map_err(fault())?.value().to_f32()?)
    }
}

/// Windows on the device, and the places of the tokens of their halves.
struct Halves {
    clips: Tensor,
    first: PatchIds,
    second: PatchIds,
    grid: (usize, usize),
}

/// Tokens `[N, width]`, foretold and seen.
fn apart(foretold: &[f32], seen: &[f32], width: usize) -> Surprise {
    let mean = |tokens: &[f32]| -> Vec<f64> {
        (0..width).map(|i| tokens.iter().skip(i).step_by(width).map(|value| f64::from(*value)).sum()).collect()
    };
    let (a, b) = (mean(foretold), mean(seen));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (dot(&a, &a) * dot(&b, &b)).sqrt();
    let l1 =
        foretold.iter().zip(seen).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / foretold.len().max(1) as f64;
    Surprise { score: if norms > 0.0 { 1.0 - dot(&a, &b) / norms } else { 1.0 }, l1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_as_foretold_is_no_surprise() {
        let tokens = [1.0, 2.0, -1.0, 0.5];
        assert_eq!(apart(&tokens, &tokens, 2).l1, 0.0);
        assert!(apart(&tokens, &tokens, 2).score.abs() < 1e-12);
        let turned: Vec<f32> = tokens.iter().map(|v| -v).collect();
        assert!((apart(&tokens, &turned, 2).score - 2.0).abs() < 1e-12);
        assert_eq!(apart(&[0.0; 4], &tokens, 2).score, 1.0);
    }
}
