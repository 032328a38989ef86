//! The tokens of a V-JEPA 2, whose weights are loaded when they are first needed.

use std::sync::OnceLock;

use vljepa_data::Preprocess;
use vljepa_model::Precision;
use vljepa_model::config::Vjepa2Config;
use vljepa_tensor::Device;

use super::vision::{VisionModel, VisionPool};
use crate::error::{Error, Result};
use crate::folder::VisionFolder;
use crate::visuals::VisualEncoder;

/// A V-JEPA 2 as an encoder whose rows are `[tokens, width]`, as [`VisionPool::None`] gives them. Nothing is loaded onto the
/// device before the first clip: where all features are in a [cache](crate::features), nothing is.
#[derive(Debug)]
pub struct VisionTokens<'a> {
    folder: &'a VisionFolder,
    device: &'a Device,
    preprocess: Preprocess,
    model: OnceLock<VisionModel>,
}

impl<'a> VisionTokens<'a> {
    /// The encoder of `folder`, to be loaded onto `device` with matrices in f32.
    pub fn new(device: &'a Device, folder: &'a VisionFolder) -> Self {
        Self { folder, device, preprocess: folder.preprocess().clone(), model: OnceLock::new() }
    }

    /// With another preprocessing than the folder's.
    #[must_use]
    pub fn preprocessed(self, preprocess: Preprocess) -> Self {
        Self { preprocess, ..self }
    }

    /// Whether the weights were loaded.
    pub fn is_loaded(&self) -> bool {
        self.model.get().is_some()
    }

    fn config(&self) -> &Vjepa2Config {
        self.folder.config()
    }

    fn model(&self) -> Result<&VisionModel> {
        if self.model.get().is_none() {
            // Two threads may both load it; then the second one's is let go.
            let model = VisionModel::load_as(self.device, self.folder, Precision::F32)?;
            let _ = self.model.set(model.preprocessed(self.preprocess.clone()));
        }
        let none = || Error::Invalid(format!("{}: the encoder was not loaded", self.folder.origin()));
        self.model.get().ok_or_else(none)
    }
}

impl VisualEncoder for VisionTokens<'_> {
    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn frames(&self) -> usize {
        self.config().frames_per_clip
    }

    fn tubelet(&self) -> usize {
        self.config().tubelet_size
    }

    fn tokens(&self, frames: usize) -> usize {
        let size = self.preprocess().size as usize;
        let (t, rows, columns) = self.config().grid(frames, size, size);
        t * rows * columns
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        vec![self.tokens(frames), self.config().hidden_size]
    }

    fn unit(&self) -> bool {
        false
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        self.model()?.pooled(VisionPool::None)?.encode(pixels, count, frames)
    }
}
