//! Writes the folder of a V-JEPA 2 classifier: an encoder that is there already, with a probe that was trained on it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use vljepa_data::atomic::{stream_atomically, write_atomically};
use vljepa_model::ModelError;
use vljepa_model::weights::{Dtype, Remapped, WeightSource, write_safetensors};

use super::vision::VisionFolder;
use super::write::{remove, write_folder};
use crate::error::{Error, Result};
use crate::names;

/// A named tensor of a probe: shape and values, row-major.
pub type ProbeTensor = (String, Vec<usize>, Vec<f32>);

/// The content of a classifier's folder that is to be written. It has the layout of the published classifiers
/// (`VJEPA2ForVideoClassification`), so that all that reads those reads it.
#[derive(Clone, Copy, Debug)]
pub struct ClassifierFiles<'a> {
    /// The folder of the encoder, of which weights, configuration and preprocessing are copied. A probe of its own is not.
    pub encoder: &'a VisionFolder,
    /// The tensors `pooler.…` and `classifier.…`.
    pub probe: &'a [ProbeTensor],
    /// Self-attention layers of the pooler.
    pub num_pooler_layers: usize,
    /// Names of the classes, in the order of the classifier's rows.
    pub labels: &'a [String],
    /// Frames of the clips that the probe was trained on, which a clip then has unless something else is said.
    pub frames: usize,
}

impl ClassifierFiles<'_> {
    /// Writes the files into the folder `dir`, replacing existing ones; each file is written atomically. `config.json` is
    /// removed first and written last, because a folder without it is not a model folder. Before that, `write_more` writes
    /// additional files such as the model card.
    ///
    /// # Errors
    /// A `dir` that is the encoder's own folder, tensors that are not those of such a probe, errors of removing and writing,
    /// and those of `write_more`. The folder then has no `config.json`.
    pub fn write_into<T, E: From<Error>>(
        &self,
        dir: &Path,
        write_more: impl FnOnce(&Path) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.check_place(dir)?;
        self.check()?;
        write_folder(dir, &self.config(), || self.write_files(dir), write_more)
    }

    /// Refuses the encoder's own folder.
    fn check_place(&self, dir: &Path) -> Result<()> {
        let own = self.encoder.file("");
        if matches!((own.canonicalize(), dir.canonicalize()), (Ok(own), Ok(dir)) if own == dir) {
            return Err(Error::content(
                dir,
                "the encoder is read from this folder; name another one for the classifier",
            ));
        }
        Ok(())
    }

    /// All but the configuration.
    fn write_files(&self, dir: &Path) -> Result<()> {
        // Weights that a reader would prefer to those that are written.
        for other in [names::WEIGHTS_INDEX, names::PYTORCH_WEIGHTS] {
            remove(&dir.join(other))?;
        }
        self.write_weights(&dir.join(names::WEIGHTS))?;
        let (processor, text) = self.encoder.processor();
        for name in names::PROCESSORS.into_iter().filter(|name| *name != processor) {
            remove(&dir.join(name))?;
        }
        Ok(write_atomically(&dir.join(processor), text.as_bytes())?)
    }

    /// Holds the tensors against those of such a probe.
    fn check(&self) -> Result<()> {
        let mut config = self.encoder.config().clone();
        config.num_pooler_layers = self.num_pooler_layers;
        let mut want: Vec<(String, Vec<usize>)> =
            config.probe_tensors(self.labels.len()).into_iter().map(|spec| (spec.name, spec.shape)).collect();
        let mut have: Vec<(String, Vec<usize>)> =
            self.probe.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
        want.sort();
        have.sort();
        match want == have {
            true => Ok(()),
            false => Err(Error::Invalid(format!(
                "{} tensors are not those of a probe of {} classes and {} pooler layers on {}",
                have.len(),
                self.labels.len(),
                self.num_pooler_layers,
                self.encoder.origin()
            ))),
        }
    }

    fn write_weights(&self, path: &Path) -> Result<()> {
        let checkpoint = self.encoder.checkpoint();
        let source = checkpoint.source()?;
        let fault = || Error::model(checkpoint.path().display());
        let mut all = Remapped::new();
        for name in source.names() {
            let bare = name.strip_prefix("vjepa2.").unwrap_or(&name);
            let Some(tensor) = source.tensor(&name) else { continue };
            if !bare.starts_with("pooler.") && !bare.starts_with("classifier.") {
                all.add(format!("vjepa2.{bare}"), tensor).map_err(fault())?;
            }
        }
        for (name, shape, values) in self.probe {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            all.insert(name.clone(), Dtype::F32, shape.clone(), Cow::Owned(bytes)).map_err(fault())?;
        }
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        stream_atomically(path, |out| {
            write_safetensors(&all, &metadata, out, |_, _| ()).map_err(|error| match error {
                // A full disk is no fault of the encoder.
                ModelError::Write { what } => Error::content(path, format!("writing failed: {what}")),
                error => fault()(error),
            })
        })
    }

    /// The encoder's configuration as it is, with the classes.
    fn config(&self) -> String {
        let mut config: Map<String, Value> = self.encoder.config_value().as_object().cloned().unwrap_or_default();
        let numbered = || self.labels.iter().enumerate();
        let id2label: Map<String, Value> = numbered().map(|(i, label)| (i.to_string(), json!(label))).collect();
        let label2id: Map<String, Value> = numbered().map(|(i, label)| (label.clone(), json!(i))).collect();
        for (key, value) in [
            ("architectures", json!(["VJEPA2ForVideoClassification"])),
            ("model_type", json!("vjepa2")),
            ("num_pooler_layers", json!(self.num_pooler_layers)),
            ("frames_per_clip", json!(self.frames)),
            ("id2label", Value::Object(id2label)),
            ("label2id", Value::Object(label2id)),
        ] {
            config.insert(key.into(), value);
        }
        format!("{:#}\n", Value::Object(config))
    }
}
