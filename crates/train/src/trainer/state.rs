//! The state of a run: out into a checkpoint, back in, and what a checkpoint must agree on.

use std::collections::BTreeMap;

use vljepa_model::Part;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_tensor::Tensor;

use super::Trainer;
use super::report::NamedFile;
use crate::checkpoint::{Loaded, RunState};
use crate::error::{Result, TrainError};

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const EMA: &str = "ema.safetensors";

impl Trainer {
    /// The configuration and the model's, by section, as text.
    ///
    /// # Errors
    /// When they cannot be written as JSON, which does not happen.
    pub fn identity(&self) -> Result<BTreeMap<String, String>> {
        let source = self.source.identity()?;
        let mut sections = self.config.identity()?;
        if let Some(serde_json::Value::Object(data)) = sections.get_mut("data") {
            data.extend(source.settings);
        }
        let mut identity: BTreeMap<String, String> = sections.into_iter().map(|(k, v)| (k, v.to_string())).collect();
        // The memory takes no part in training and follows from the labels.
        identity.insert("model".into(), VlJepaConfig { memory: None, ..self.model.config.clone() }.to_json()?);
        identity.extend(source.parts);
        if let (Some(stored), Some(rows)) = (&self.stored, self.source.rows()) {
            identity.insert("x_encoder".into(), stored.identity(rows.train)?);
        }
        Ok(identity)
    }

    /// Everything that a checkpoint holds: state and files.
    ///
    /// # Errors
    /// What reading tensors back reports; a tensor that is not finite.
    pub fn state(&self) -> Result<(RunState, Vec<NamedFile>)> {
        let mut state = RunState::new(self.step, self.identity()?);
        let bytes = |tensors: &[(String, Tensor)]| -> Result<Vec<u8>> {
            let mut writer = Writer::new();
            for (name, tensor) in tensors {
                writer.f32(name, tensor.shape(), &tensor.to_f32()?)?;
            }
            Ok(writer.finish()?)
        };
        let params = self.model.params_by_part();
        let saved = params.iter().filter(|(part, param)| self.is_saved(*part, param.name()));
        let weights: Vec<_> = saved.map(|(_, p)| (p.name().to_owned(), p.tensor().clone())).collect();
        let (moments, steps) = self.optimizer.save();
        state.optimizer_steps = steps;
        let mut files = vec![(MODEL, bytes(&weights)?), (OPTIMIZER, bytes(&moments)?)];
        if let Some(ema) = &self.ema {
            let averages: Vec<_> = ema.tensors().map(|(n, t)| (n.to_owned(), t.clone())).collect();
            files.push((EMA, bytes(&averages)?));
        }
        Ok((state, files))
    }

    /// Whether a checkpoint holds a parameter: all but those of a frozen Y-Encoder or X-Encoder, which stay with their source,
    /// and the memory, which is made anew.
    fn is_saved(&self, part: Part, name: &str) -> bool {
        let frozen = self.config.model.x_encoder.is_some() && part == Part::XEncoder;
        self.trained.contains(name) || !(frozen || matches!(part, Part::YEncoder | Part::Memory))
    }

    /// Puts a checkpoint's state into the trainer. All of it is read and checked before the first change, so that a faulty
    /// checkpoint leaves the trainer as it was.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] naming the file, for tensors that are missing, of another shape or not finite,
    /// [`TrainError::Invalid`] when the checkpoint is of another run, and what the device reports.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        loaded.check_identity(&self.identity()?, "its configuration")?;
        let fault = |file: &str, what: String| TrainError::Checkpoint { path: loaded.path.join(file), what };
        let open = |file: &'static str| -> Result<SafeTensors<'_>> {
            SafeTensors::parse(file, loaded.file(file)?).map_err(|e| fault(file, e.to_string()))
        };
        let read = |file: &'static str, source: &SafeTensors<'_>, name: &str, shape: &[usize]| {
            read_f32(source, name, shape).map_err(|e| fault(file, e.to_string()))
        };
        let (model, moments) = (open(MODEL)?, open(OPTIMIZER)?);
        let params = self.model.params_by_part();
        let mut values = Vec::new();
        for (_, param) in params.iter().filter(|(part, p)| self.is_saved(*part, p.name())) {
            values.push((*param, read(MODEL, &model, param.name(), param.tensor().shape())?));
        }
        let mut averages = Vec::new();
        if let Some(ema) = &self.ema {
            let source = open(EMA)?;
            for (name, tensor) in ema.tensors() {
                averages.push((tensor.clone(), read(EMA, &source, name, tensor.shape())?));
            }
        }
        let moment = |name: &str, shape: &[usize]| match moments.tensor(name) {
            Some(_) => read(OPTIMIZER, &moments, name, shape).map(Some),
            None => Ok(None),
        };
        let restored = self.optimizer.load(&self.device, &self.model.params(), &loaded.state.optimizer_steps, moment);
        restored.map_err(|error| match error {
            TrainError::Invalid(what) => fault(OPTIMIZER, what),
            error => error,
        })?;
        for (param, values) in values {
            param.tensor().write_f32(&values)?;
        }
        for (tensor, values) in averages {
            tensor.write_f32(&values)?;
        }
        self.step = loaded.state.step;
        Ok(())
    }
}
