//! Folders of world models: opens and writes them.

use std::path::Path;

use vljepa_data::atomic::write_atomically;
use vljepa_model::config::LewmConfig;
use vljepa_model::weights::{SafeTensors, published_lewm};
use vljepa_model::{Lewm, ModelError};
use vljepa_tensor::Device;

use super::config::ConfigFile;
use super::write::{remove, write_folder};
use crate::checkpoint::{Checkpoint, Source};
use crate::error::{Error, Result};
use crate::names;

/// The folder of a LeWM: `config.json` with `model_type` `lewm`, and its weights.
#[derive(Debug)]
pub struct LewmFolder {
    origin: String,
    config: LewmConfig,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    Files(Checkpoint),
    Carried(&'static [u8]),
}

impl LewmFolder {
    /// Opens the folder `dir` and checks that its weights are those of its configuration.
    ///
    /// # Errors
    /// A path that is no model folder, missing or damaged files, an invalid configuration, another kind of model.
    pub fn open(dir: &Path) -> Result<Self> {
        super::vljepa::check_folder(dir)?;
        let file = ConfigFile::read(dir)?;
        let kind = file.model_type();
        if kind != Some(LewmConfig::MODEL_TYPE) {
            let reason = match kind {
                Some(kind) => format!("`model_type` is {kind:?}; a world model's is {:?}", LewmConfig::MODEL_TYPE),
                None => format!("there is no `model_type`; a world model's is {:?}", LewmConfig::MODEL_TYPE),
            };
            return Err(Error::content(file.path, reason));
        }
        let config = LewmConfig::from_json(&file.text).map_err(Error::model(file.path.display()))?;
        let weights = Weights::Files(Checkpoint::open(dir)?);
        let folder = Self { origin: dir.display().to_string(), config, weights };
        // Opened once to be checked; the model is loaded where a device is there.
        folder.with_weights(|_| Ok(()))?;
        Ok(folder)
    }

    /// A model that is built into a program: its name in messages, the text of its `config.json` and the bytes of its
    /// `model.safetensors`.
    ///
    /// # Errors
    /// An invalid configuration.
    pub fn carried(origin: &str, config: &str, weights: &'static [u8]) -> Result<Self> {
        let config = LewmConfig::from_json(config).map_err(Error::model(origin))?;
        Ok(Self { origin: origin.to_owned(), config, weights: Weights::Carried(weights) })
    }

    /// The path of the folder, as given, or the name of the built-in model.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The configuration.
    pub fn config(&self) -> &LewmConfig {
        &self.config
    }

    /// The model on a device.
    ///
    /// # Errors
    /// Weights that cannot be read, what the device reports.
    pub fn load(&self, device: &Device) -> Result<Lewm> {
        self.with_weights(|mut weights| Lewm::load(device, &self.config, &mut weights))
    }

    /// Checks that the weights are those of the configuration and gives them to `body`.
    fn with_weights<T>(
        &self,
        body: impl FnOnce(&vljepa_model::weights::Remapped<'_>) -> Result<T, ModelError>,
    ) -> Result<T> {
        let (place, source) = match &self.weights {
            Weights::Files(checkpoint) => (checkpoint.path().display().to_string(), checkpoint.source()?),
            Weights::Carried(bytes) => {
                let parsed = SafeTensors::parse(names::WEIGHTS, bytes).map_err(Error::model(&self.origin))?;
                (self.origin.clone(), Source::SafeTensors(parsed))
            }
        };
        let fault = || Error::model(&place);
        let own = published_lewm(&source, &self.config).map_err(fault())?;
        body(&own).map_err(fault())
    }
}

/// The content of a world model's folder that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct LewmFiles<'a> {
    /// The configuration.
    pub config: &'a LewmConfig,
    /// The bytes of `model.safetensors`.
    pub weights: &'a [u8],
}

impl LewmFiles<'_> {
    /// Writes the files into the folder `dir`, replacing existing ones; each file is written atomically. `config.json` is removed
    /// first and written last, because a folder without it is not a model folder. Before that, `write_more` writes additional
    /// files such as the model card.
    ///
    /// # Errors
    /// Errors of removing and writing, and errors of `write_more`. The folder then has no `config.json`.
    pub fn write_into<T, E: From<Error>>(
        &self,
        dir: &Path,
        write_more: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let json = serde_json::to_string_pretty(self.config)
            .map_err(|e| Error::content(dir.join(names::CONFIG), format!("cannot be written as JSON: {e}")))?;
        let files = || {
            // Weights that a reader would prefer to those that are written.
            for other in [names::WEIGHTS_INDEX, names::PYTORCH_WEIGHTS] {
                remove(&dir.join(other))?;
            }
            Ok(write_atomically(&dir.join(names::WEIGHTS), self.weights)?)
        };
        write_folder(dir, &format!("{json}\n"), files, write_more)
    }
}
