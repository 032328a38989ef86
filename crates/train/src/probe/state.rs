//! The state of a grid: out into a checkpoint, and back in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vljepa_embed::folder::ProbeTensor;
use vljepa_model::Param;
use vljepa_model::json_fault;
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_tensor::Tensor;

use super::report::{HeadReport, Measured};
use super::trainer::{Picked, ProbeTrainer};
use crate::checkpoint::{Loaded, RunState};
use crate::error::{Result, TrainError};

/// A file of a checkpoint: its name and its bytes.
type NamedFile = (&'static str, Vec<u8>);

const HEADS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const BEST: &str = "best.safetensors";
const REACHED: &str = "heads.json";

/// What each head reached, and which is the best one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    heads: Vec<HeadReport>,
    best: Option<Best>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    head: usize,
    step: u64,
    predicted: Option<Vec<u32>>,
    correct: usize,
    loss: f64,
}

fn of_head(i: usize, name: &str) -> String {
    format!("head.{i}.{name}")
}

impl ProbeTrainer {
    /// What a checkpoint must agree on, by section.
    ///
    /// # Errors
    /// A configuration that cannot be written as JSON.
    pub fn identity(&self) -> Result<BTreeMap<String, String>> {
        let mut identity = self.run.identity()?;
        let data = &self.data;
        let config = serde_json::to_string(&self.config)
            .map_err(|e| TrainError::Invalid(format!("the encoder's configuration cannot be written: {e}")))?;
        identity.insert("encoder".into(), config);
        identity.insert("labels".into(), format!("{:?}", data.labels));
        identity.insert("clips".into(), data.train.identity());
        identity.insert("validation clips".into(), data.validation.identity());
        Ok(identity)
    }

    /// Everything that a checkpoint holds: state and files.
    ///
    /// # Errors
    /// What reading tensors back reports; a tensor that is not finite.
    pub fn state(&self) -> Result<(RunState, Vec<NamedFile>)> {
        let mut state = RunState::new(self.step, self.identity()?);
        let (mut weights, mut moments) = (Writer::new(), Writer::new());
        for (i, head) in self.heads.iter().enumerate() {
            // A head that rests is never used again, and may hold what no file takes.
            if head.diverged.is_some() {
                continue;
            }
            for (name, shape, values) in head.probe.save()? {
                weights.f32(&of_head(i, &name), &shape, &values)?;
            }
            let (tensors, steps) = head.optimizer.save();
            for (name, tensor) in tensors {
                moments.f32(&of_head(i, &name), tensor.shape(), &tensor.to_f32()?)?;
            }
            state.optimizer_steps.extend(steps.into_iter().map(|(name, steps)| (of_head(i, &name), steps)));
        }
        let mut best = Writer::new();
        for (name, shape, values) in self.picked.iter().flat_map(|picked| &picked.weights) {
            best.f32(name, shape, values)?;
        }
        let reached = Reached {
            heads: self.reached.clone(),
            best: self.picked.as_ref().map(|Picked { head, step, measured, .. }| Best {
                head: *head,
                step: *step,
                predicted: measured.as_ref().map(|m| m.predicted.clone()),
                correct: measured.as_ref().map_or(0, |m| m.correct),
                loss: measured.as_ref().map_or(0.0, |m| m.loss),
            }),
        };
        let reached = serde_json::to_vec(&reached)
            .map_err(|e| TrainError::Invalid(format!("what the heads reached cannot be written: {e}")))?;
        let files = vec![
            (HEADS, weights.finish()?),
            (OPTIMIZER, moments.finish()?),
            (BEST, best.finish()?),
            (REACHED, reached),
        ];
        Ok((state, files))
    }

    /// Puts a checkpoint's state into the trainer. All of it is read and checked before the first change, so that a faulty
    /// checkpoint leaves the trainer as it was.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] naming the file, [`TrainError::Invalid`] when the checkpoint is of another run, and what the
    /// device reports.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        loaded.check_identity(&self.identity()?, "its configuration and data")?;
        let fault = |file: &str, what: String| TrainError::Checkpoint { path: loaded.path.join(file), what };
        let reached: Reached =
            serde_json::from_slice(loaded.file(REACHED)?).map_err(|e| fault(REACHED, json_fault(&e.to_string())))?;
        if reached.heads.len() != self.heads.len() {
            return Err(fault(REACHED, format!("{} heads, {} are needed", reached.heads.len(), self.heads.len())));
        }
        let open = |file: &'static str| -> Result<SafeTensors<'_>> {
            SafeTensors::parse(file, loaded.file(file)?).map_err(|e| fault(file, e.to_string()))
        };
        let (weights, moments, best) = (open(HEADS)?, open(OPTIMIZER)?, open(BEST)?);
        let read = |file: &'static str, source: &SafeTensors<'_>, name: &str, shape: &[usize]| {
            read_f32(source, name, shape).map_err(|e| fault(file, e.to_string()))
        };
        let picked = match reached.best {
            None => None,
            Some(Best { head, step, predicted, correct, loss }) => {
                let Some(params) = self.heads.get(head).map(|head| head.probe.params()) else {
                    return Err(fault(REACHED, format!("the best head is {head} of {}", self.heads.len())));
                };
                let tensor = |param: &&Param| -> Result<ProbeTensor> {
                    let shape = param.tensor().shape();
                    Ok((param.name().to_owned(), shape.to_vec(), read(BEST, &best, param.name(), shape)?))
                };
                let weights = params.iter().map(tensor).collect::<Result<_>>()?;
                let measured = predicted.map(|predicted| Measured { predicted, correct, loss });
                Some(Picked { head, step, weights, measured })
            }
        };
        let mut values: Vec<(Tensor, Vec<f32>)> = Vec::new();
        for (i, (head, reached)) in self.heads.iter().zip(&reached.heads).enumerate() {
            for param in head.probe.params().into_iter().filter(|_| reached.diverged.is_none()) {
                let (name, tensor) = (of_head(i, param.name()), param.tensor());
                values.push((tensor.clone(), read(HEADS, &weights, &name, tensor.shape())?));
            }
        }
        let mut optimizers = Vec::with_capacity(self.heads.len());
        for (i, (head, reached)) in self.heads.iter().zip(&reached.heads).enumerate() {
            let mut optimizer = head.fresh_optimizer();
            if reached.diverged.is_none() {
                let steps: BTreeMap<String, u64> = loaded
                    .state
                    .optimizer_steps
                    .iter()
                    .filter_map(|(name, steps)| Some((name.strip_prefix(&of_head(i, ""))?.to_owned(), *steps)))
                    .collect();
                let moment = |name: &str, shape: &[usize]| match moments.tensor(&of_head(i, name)) {
                    Some(_) => read(OPTIMIZER, &moments, &of_head(i, name), shape).map(Some),
                    None => Ok(None),
                };
                optimizer.load(&self.device, &head.probe.params(), &steps, moment).map_err(|error| match error {
                    TrainError::Invalid(what) => fault(OPTIMIZER, what),
                    error => error,
                })?;
            }
            optimizers.push(optimizer);
        }
        for (tensor, values) in values {
            tensor.write_f32(&values)?;
        }
        for ((head, optimizer), reached) in self.heads.iter_mut().zip(optimizers).zip(&reached.heads) {
            (head.optimizer, head.diverged) = (optimizer, reached.diverged);
        }
        (self.picked, self.reached, self.step) = (picked, reached.heads, loaded.state.step);
        Ok(())
    }
}
