//! Manifests as a source: pictures and clips of one's own with their texts, read from disk step by step.

mod augment;
mod corpus;
mod evaluate;
mod kept;
mod reader;
mod settings;

use std::sync::Arc;

use vljepa_data::manifest::Manifest;
use vljepa_model::config::VlJepaConfig;

use crate::config::TrainConfig;
use crate::data::{Kind, Own, Source};
use crate::error::{Result, TrainError};

pub use crate::interval::Measured;
pub use augment::Augment;
pub use corpus::{Corpus, MAX_CLASSES};
pub use evaluate::{
    Classification, Confusion, ManifestOptions, ManifestReport, OfText, Questions, Retrieval, evaluate,
};
pub use settings::Settings;

pub(super) const KIND: Kind = Kind {
    name: "manifest",
    paths: &["manifest"],
    check: |own: Own<'_>| Ok(Settings::read(own)?.problem()),
    open: |config, model| Ok(Arc::new(open(config, model)?) as Arc<dyn Source>),
};

/// Opens the manifest that a configuration names, for clips of `model`.
///
/// # Errors
/// [`TrainError::Setting`] when it cannot be read, and as [`Corpus::new`].
pub fn open(config: &TrainConfig, model: &VlJepaConfig) -> Result<Corpus> {
    let mut settings = Settings::of(config)?;
    let manifest = Manifest::open(config.data.base.join(&settings.manifest));
    let manifest =
        manifest.map_err(|error| TrainError::setting("data.manifest", format!("`data.manifest`: {error}")))?;
    let (own, tubelet) = (model.frames(), model.x_encoder.tubelet_size.max(1));
    let frames = *settings.frames.get_or_insert(own);
    if frames > 1 && !frames.is_multiple_of(tubelet) {
        let near = frames.div_ceil(tubelet) * tubelet;
        let what =
            format!("`data.frames` ({frames}) is not a multiple of the model's tubelet ({tubelet}); take {near}");
        return Err(TrainError::setting("data.frames", what));
    }
    Corpus::new(&manifest, settings, config)
}
