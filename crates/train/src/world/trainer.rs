//! A world model in training.

use std::collections::BTreeMap;
use std::sync::Arc;

use vljepa_model::config::{ActionStatistics, LewmConfig};
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_model::{Drops, Forward, Lewm, LewmBatch, LewmPass, Param, Part, Storage};
use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::{Device, Tensor, ops};
use vljepa_worlds::trajectories::Window;

use super::config::WorldRun;
use super::data::{WorldBatch, WorldData};
use super::report::WorldMeasured;
use crate::checkpoint::{Loaded, RunState};
use crate::error::{Result, TrainError};
use crate::optim::Optimizer;
use crate::regularize;
use crate::trainer::NamedFile;

const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Windows of one pass of an evaluation.
const MEASURED_AT_ONCE: usize = 32;

/// What a step of a world model gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldStep {
    /// The step, from 0.
    pub step: u64,
    /// The whole loss.
    pub loss: f32,
    /// The mean squared difference of predicted latents and those that came.
    pub prediction: f32,
    /// The same of predictions from predictions; absent where the run asks for none.
    pub rolled: Option<f32>,
    /// SIGReg of the latents, before its weight.
    pub sigreg: f32,
    /// Norm of all gradients, before clipping.
    pub grad_norm: f32,
    /// Factor of the learning rate.
    pub factor: f64,
}

/// The parts of a loss, on the device.
pub struct WorldLoss {
    /// The whole, `[1]`.
    pub loss: Var,
    /// Prediction, SIGReg, and predictions from predictions where there are some, `[1]` each.
    pub parts: Vec<Tensor>,
    /// The pass.
    pub pass: LewmPass,
}

/// A LeWM in training on the episodes of an environment.
#[derive(Debug)]
pub struct WorldTrainer {
    device: Device,
    run: WorldRun,
    model: Lewm,
    data: Arc<WorldData>,
    optimizer: Optimizer,
    step: u64,
}

fn optimizer(run: &WorldRun, model: &Lewm) -> Optimizer {
    // The part decides nothing here: rates and decay are those of the configuration.
    let params = model.params().into_iter().filter(|p| Lewm::is_trained(p.name()));
    let params: Vec<(Part, &Param)> = params.map(|p| (Part::Predictor, p)).collect();
    Optimizer::new(&run.optimizer, &params, &|_| false)
}

/// The mean squared difference.
fn distance(a: &Var, b: &Var) -> Result<Var> {
    let off = autograd::sub(a, b)?;
    Ok(autograd::mean(&autograd::mul(&off, &off)?)?)
}

impl WorldTrainer {
    /// A run at step 0.
    ///
    /// # Errors
    /// What the device reports.
    pub fn new(device: &Device, run: WorldRun, model: Lewm, data: Arc<WorldData>) -> Result<Self> {
        let optimizer = optimizer(&run, &model);
        Ok(Self { device: device.clone(), run, model, data, optimizer, step: 0 })
    }

    /// Steps taken so far.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The model.
    pub fn model(&self) -> &Lewm {
        &self.model
    }

    /// The data.
    pub fn data(&self) -> &Arc<WorldData> {
        &self.data
    }

    /// The model's configuration with the statistics of the actions and the name of the world, for its folder.
    pub fn described(&self) -> LewmConfig {
        let statistics = self.data.statistics();
        LewmConfig {
            actions: Some(ActionStatistics { mean: statistics.mean.clone(), std: statistics.std.clone() }),
            world: Some(self.data.world().name().to_owned()),
            ..self.model.config().clone()
        }
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        let trained = self.model.params().into_iter().filter(|p| Lewm::is_trained(p.name()));
        trained.map(|p| p.tensor().len()).sum()
    }

    fn upload(&self, batch: &WorldBatch) -> Result<(Tensor, Tensor)> {
        let (config, count) = (self.model.config(), batch.windows);
        let shape = [count, batch.frames, 3, config.image_size, config.image_size];
        let actions = [count, batch.frames - 1, config.block_size()];
        Ok((
            Tensor::from_f32(&self.device, &shape, &batch.pictures)?,
            Tensor::from_f32(&self.device, &actions, &batch.actions)?,
        ))
    }

    /// The loss of a batch. What is dropped and which directions SIGReg looks along follow from the step.
    ///
    /// # Errors
    /// What the operators report.
    pub fn loss(&self, f: &Forward, batch: &WorldBatch) -> Result<WorldLoss> {
        let (pictures, actions) = self.upload(batch)?;
        let o = &self.run.objective;
        let drops = Drops { seed: self.run.seed, step: self.step as u32 };
        let roll_out = o.roll_out > 0.0;
        let pass = self.model.train(f, &LewmBatch { pictures: &pictures, actions: &actions, drops, roll_out })?;
        let prediction = distance(&pass.predicted, &pass.targets)?;
        let dim = self.model.config().hidden_size;
        let directions = regularize::directions(&self.device, &o.sigreg, dim, (self.run.seed, self.step))?;
        let by_frame = autograd::permute(&pass.latents, &[1, 0, 2])?;
        let sigreg = regularize::sigreg(&by_frame, &directions)?;
        let mut loss = autograd::add(&prediction, &autograd::scale(&sigreg, o.sigreg.weight)?)?;
        let mut parts = vec![prediction.value().clone(), sigreg.value().clone()];
        if let Some((made, came)) = &pass.rolled {
            let rolled = distance(made, came)?;
            loss = autograd::add(&loss, &autograd::scale(&rolled, o.roll_out)?)?;
            parts.push(rolled.value().clone());
        }
        Ok(WorldLoss { loss, parts, pass })
    }

    /// A pass with gradients, and its tape.
    fn pass(&self) -> (Tape, Forward) {
        let tape = Tape::new();
        (tape.clone(), Forward::training(tape, Lewm::is_trained))
    }

    /// Loss and gradients of a batch, by parameter.
    ///
    /// # Errors
    /// What the operators report.
    pub fn gradients(&self, batch: &WorldBatch) -> Result<(f32, BTreeMap<String, Tensor>)> {
        let (tape, f) = self.pass();
        let found = self.loss(&f, batch)?;
        let grads = f.gradients(tape.backward(&found.loss, None)?).into_iter().collect();
        Ok((found.loss.value().to_f32()?.iter().sum(), grads))
    }

    /// One step. Weights and running statistics change only when loss and gradients are finite. The host waits for the device once,
    /// before the update.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`], and what the operators report.
    pub fn step(&mut self, batch: &WorldBatch) -> Result<WorldStep> {
        let (tape, f) = self.pass();
        let WorldLoss { loss, parts, pass } = self.loss(&f, batch)?;
        let statistics = pass.statistics.clone();
        drop(pass);
        let value = loss.value().clone();
        let grads: BTreeMap<String, Tensor> = f.gradients(tape.backward(&loss, None)?).into_iter().collect();
        drop((loss, f));
        let squares = ops::square_sums(&grads.values().collect::<Vec<_>>())?;
        let limit = self.run.optimizer.clip;
        let clip = if limit > 0.0 { Some(ops::clip_scale(&squares, limit as f32)?) } else { None };
        let read: Vec<&Tensor> = std::iter::once(&value).chain(&parts).chain([&squares]).collect();
        let values = ops::concat(&read, 0)?.to_f32()?;
        let (figures, squares) = values.split_at(1 + parts.len());
        if values.iter().any(|v| !v.is_finite()) {
            let broken = grads.keys().zip(squares).find(|(_, s)| !s.is_finite());
            let tensor = broken.map_or_else(|| "the loss".into(), |(name, _)| format!("gradient of {name}"));
            return Err(TrainError::NonFinite { step: self.step, tensor, loss: figures[0] });
        }
        let factor = self.run.schedule.factor(self.step, self.run.steps);
        self.optimizer.step(&self.model.params(), &grads, factor, clip.as_ref())?;
        self.model.remember(&statistics)?;
        let report = WorldStep {
            step: self.step,
            loss: figures[0],
            prediction: figures[1],
            sigreg: figures[2],
            rolled: figures.get(3).copied(),
            grad_norm: squares.iter().map(|s| f64::from(*s)).sum::<f64>().sqrt() as f32,
            factor,
        };
        self.step += 1;
        Ok(report)
    }

    /// How well the model foretells windows of the validation episodes (of those to train on, where there are none), by the running
    /// statistics.
    ///
    /// # Errors
    /// What the device reports.
    pub fn evaluate(&self) -> Result<WorldMeasured> {
        let from = if self.data.validation.is_empty() { &self.data.train } else { &self.data.validation };
        let count = self.run.evaluate.windows.min(from.len());
        // Evenly over all of them.
        let windows: Vec<Window> = (0..count).map(|i| from[i * from.len() / count.max(1)]).collect();
        let (f, config) = (Forward::inference(), self.model.config());
        let (d, side) = (config.hidden_size, config.image_size);
        let mut measured = WorldMeasured::new(d);
        for part in windows.chunks(MEASURED_AT_ONCE) {
            let batch = self.data.windows(part)?;
            let (pictures, actions) = self.upload(&batch)?;
            let frames = pictures.reshape(&[batch.windows * batch.frames, 3, side, side])?;
            let latents = self.model.encode(&f, &frames)?.reshape(&[batch.windows, batch.frames, d])?;
            let history = config.history;
            let context = autograd::slice(&latents, 1, batch.frames - 1 - history, history)?;
            let steer = ops::slice(&actions, 1, batch.frames - 1 - history, history)?;
            let predicted = self.model.predict(&f, &context, &Var::constant(steer))?;
            let last = autograd::slice(&predicted, 1, history - 1, 1)?;
            measured.add(&latents.value().to_f32()?, &last.value().to_f32()?, batch.frames);
        }
        Ok(measured)
    }

    /// What a checkpoint must agree on, by section.
    ///
    /// # Errors
    /// A configuration that cannot be written as JSON.
    pub fn identity(&self) -> Result<BTreeMap<String, String>> {
        let mut identity = self.run.identity()?;
        let config = serde_json::to_string(self.model.config())
            .map_err(|e| TrainError::Invalid(format!("the model's configuration cannot be written: {e}")))?;
        identity.insert("model".into(), config);
        Ok(identity)
    }

    /// Everything that a checkpoint holds: state and files.
    ///
    /// # Errors
    /// What reading tensors back reports; a tensor that is not finite.
    pub fn state(&self) -> Result<(RunState, Vec<NamedFile>)> {
        let mut state = RunState::new(self.step, self.identity()?);
        let (tensors, steps) = self.optimizer.save();
        let mut moments = Writer::new();
        for (name, tensor) in tensors {
            moments.f32(&name, tensor.shape(), &tensor.to_f32()?)?;
        }
        state.optimizer_steps = steps;
        Ok((state, vec![(WEIGHTS, self.model.save(Storage::F32)?), (OPTIMIZER, moments.finish()?)]))
    }

    /// Puts a checkpoint's state into the trainer. All of it is read and checked before the first change.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] naming the file, [`TrainError::Invalid`] when the checkpoint is of another run, and what the
    /// device reports.
    pub fn restore(&mut self, loaded: &Loaded) -> Result<()> {
        loaded.check_identity(&self.identity()?, "its configuration and data")?;
        let fault = |file: &str, what: String| TrainError::Checkpoint { path: loaded.path.join(file), what };
        let open = |file: &'static str| -> Result<SafeTensors<'_>> {
            SafeTensors::parse(file, loaded.file(file)?).map_err(|e| fault(file, e.to_string()))
        };
        let (weights, moments) = (open(WEIGHTS)?, open(OPTIMIZER)?);
        let params = self.model.params();
        let values = params.iter().map(|param| {
            let shape = param.tensor().shape();
            read_f32(&weights, param.name(), shape).map_err(|e| fault(WEIGHTS, e.to_string()))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let mut fresh = optimizer(&self.run, &self.model);
        let moment = |name: &str, shape: &[usize]| match moments.tensor(name) {
            Some(_) => read_f32(&moments, name, shape).map(Some).map_err(|e| fault(OPTIMIZER, e.to_string())),
            None => Ok(None),
        };
        fresh.load(&self.device, &params, &loaded.state.optimizer_steps, moment).map_err(|error| match error {
            TrainError::Invalid(what) => fault(OPTIMIZER, what),
            error => error,
        })?;
        for (param, values) in params.iter().zip(&values) {
            param.tensor().write_f32(values)?;
        }
        (self.optimizer, self.step) = (fresh, loaded.state.step);
        Ok(())
    }
}
