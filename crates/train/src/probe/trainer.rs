//! A grid of heads in training.

use std::collections::BTreeMap;

use vljepa_embed::folder::ProbeTensor;
use vljepa_model::config::Vjepa2Config;
use vljepa_tensor::{Device, Tensor, ops};

use super::batch::ProbeBatch;
use super::config::ProbeRun;
use super::data::{ProbeData, ProbePart};
use super::head::{Head, Probe, Uploaded};
use super::measure::measure;
use super::report::{Figures, HeadReport, Measured, ProbeReport};
use crate::error::{Result, TrainError};
use crate::random::steps_per_epoch;

/// Bytes of gradients that are held at once, beside those of one head.
const GRADIENTS: usize = 256 << 20;

/// What a step of the grid gave.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeStep {
    /// The step, from 0.
    pub step: u64,
    /// Mean loss of each head before its update; absent for heads that rest.
    pub losses: Vec<Option<f32>>,
    /// Factor of the learning rates.
    pub factor: f64,
}

/// The best head so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Its place in the grid.
    pub head: usize,
    /// Steps taken then.
    pub step: u64,
    /// Its weights then.
    pub weights: Vec<ProbeTensor>,
    /// Its figures on the validation clips, where there are any.
    pub measured: Option<Measured>,
}

/// A grid of heads in training on one set of features.
#[derive(Debug)]
pub struct ProbeTrainer {
    pub(super) device: Device,
    pub(super) run: ProbeRun,
    /// The encoder's configuration, with the pooler of the probe.
    pub(super) config: Vjepa2Config,
    pub(super) data: ProbeData,
    pub(super) heads: Vec<Head>,
    /// What each head reached.
    pub(super) reached: Vec<HeadReport>,
    pub(super) picked: Option<Picked>,
    pub(super) step: u64,
}

impl ProbeTrainer {
    /// A grid at step 0, for the features of an encoder of `config`. All heads begin with the same weights, so that they
    /// differ by their settings alone.
    ///
    /// # Errors
    /// Data that do not fit together, several heads without validation clips to choose by, too little memory.
    pub fn new(device: &Device, run: ProbeRun, config: &Vjepa2Config, data: ProbeData) -> Result<Self> {
        data.check()?;
        let grid = run.probe.grid();
        if data.validation.is_empty() && grid.len() > 1 {
            return Err(TrainError::Invalid(format!(
                "{} heads, and no clips of the split \"validation\" to choose the best one by: mark some as validation, or \
                 give one learning rate and one weight decay",
                grid.len()
            )));
        }
        let config = run.probe.on(config);
        config.validate()?;
        let head = |&(rate, decay): &(f64, f64)| {
            let probe = Probe::new(device, run.probe.kind, &config, data.labels.len(), run.seed)?;
            Ok(Head::new(probe, rate, decay))
        };
        let heads = grid.iter().map(head).collect::<Result<Vec<_>>>()?;
        let new = |&(learning_rate, weight_decay): &(f64, f64)| HeadReport {
            learning_rate,
            weight_decay,
            top1: None,
            loss: None,
            step: None,
            diverged: None,
        };
        let reached = grid.iter().map(new).collect();
        Ok(Self { device: device.clone(), run, config, data, heads, reached, picked: None, step: 0 })
    }

    /// Steps taken so far.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        steps_per_epoch(self.run.batch, self.data.train.len())
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch().saturating_mul(self.run.probe.epochs)
    }

    /// Parameters of each head.
    pub fn parameters(&self) -> usize {
        self.heads.first().map_or(0, |head| head.probe.params().iter().map(|p| p.tensor().len()).sum())
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// The data.
    pub fn data(&self) -> &ProbeData {
        &self.data
    }

    /// The configuration that the probe is of: the encoder's, with the layers of this probe.
    pub fn config(&self) -> &Vjepa2Config {
        &self.config
    }

    /// The best head so far, with its weights of then.
    pub fn picked(&self) -> Option<&Picked> {
        self.picked.as_ref()
    }

    fn upload(&self, batch: &ProbeBatch) -> Result<Vec<Uploaded>> {
        let group = |group: &super::batch::Group| -> Result<Uploaded> {
            let shape = [group.classes.len(), group.tokens, batch.width];
            Ok(Uploaded {
                features: Tensor::from_f32(&self.device, &shape, &group.features)?,
                classes: Tensor::from_u32(&self.device, &shape[..1], &group.classes)?,
                share: group.share,
            })
        };
        batch.groups.iter().map(group).collect()
    }

    /// The batch of a step, a function of the configuration and the step alone.
    ///
    /// # Errors
    /// Features that cannot be read.
    pub fn batch(&self, step: u64) -> Result<ProbeBatch> {
        ProbeBatch::new(&self.data.train, self.config.hidden_size, self.run.seed, step, self.run.batch)
    }

    /// Loss and gradients of a batch for one head, by parameter.
    ///
    /// # Errors
    /// What the operators report.
    pub fn gradients(&self, head: usize, batch: &ProbeBatch) -> Result<(f32, BTreeMap<String, Tensor>)> {
        let Some(head) = self.heads.get(head) else {
            return Err(TrainError::Invalid(format!("there is no head {head} among {}", self.heads.len())));
        };
        let (losses, grads) = head.gradients(&self.upload(batch)?)?;
        let mut loss = 0.0;
        for (value, group) in losses.iter().zip(&batch.groups) {
            loss += value.to_f32()?.iter().sum::<f32>() * group.share;
        }
        Ok((loss, grads))
    }

    /// The parameters of one head.
    pub fn params(&self, head: usize) -> Vec<&vljepa_model::Param> {
        self.heads.get(head).map_or_else(Vec::new, |head| head.probe.params())
    }

    /// One step of every head that does not rest. A head whose loss or gradients are not finite rests from then on: grids hold
    /// rates that are too high.
    ///
    /// # Errors
    /// A batch that is not the next one, every head at rest, and what the operators report.
    pub fn step(&mut self, batch: &ProbeBatch) -> Result<ProbeStep> {
        if batch.step != self.step {
            let what = format!("the batch of step {} is not that of step {}", batch.step, self.step);
            return Err(TrainError::Invalid(what));
        }
        let groups = self.upload(batch)?;
        let factor = self.run.schedule.factor(self.step, self.steps());
        let mut losses = vec![None; self.heads.len()];
        let mut last = f32::NAN;
        let active: Vec<usize> = (0..self.heads.len()).filter(|&i| self.heads[i].diverged.is_none()).collect();
        // Some heads are read back at once: the gradients of all of them may be large.
        let together = (GRADIENTS / (4 * self.parameters()).max(1)).max(1);
        for part in active.chunks(together) {
            let passes = part.iter().map(|&i| self.heads[i].pass(&groups)).collect::<Result<Vec<_>>>()?;
            let figures = ops::concat(&passes.iter().map(|pass| &pass.figures).collect::<Vec<_>>(), 0)?.to_f32()?;
            let each = figures.len() / part.len().max(1);
            for ((&i, pass), figures) in part.iter().zip(&passes).zip(figures.chunks(each.max(1))) {
                let loss = figures.iter().zip(&groups).map(|(loss, group)| loss * group.share).sum();
                if figures.iter().all(|value| value.is_finite()) {
                    self.heads[i].update(pass, factor)?;
                    losses[i] = Some(loss);
                } else {
                    (self.heads[i].diverged, self.reached[i].diverged) = (Some(self.step), Some(self.step));
                    last = loss;
                }
            }
        }
        if self.heads.iter().all(|head| head.diverged.is_some()) {
            let tensor = "the loss of every head".into();
            return Err(TrainError::NonFinite { step: self.step, tensor, loss: last });
        }
        let report = ProbeStep { step: self.step, losses, factor };
        self.step += 1;
        Ok(report)
    }

    /// Measures all heads that do not rest on the validation clips and keeps the weights of the best one, where it is better
    /// than all before. Without validation clips the one head is kept as it is.
    ///
    /// # Errors
    /// Features that cannot be read, and what the operators report.
    pub fn evaluate(&mut self) -> Result<Vec<Option<Measured>>> {
        if self.data.validation.is_empty() {
            let [head] = &self.heads[..] else { return Ok(vec![None; self.heads.len()]) };
            let weights = head.probe.save()?;
            self.picked = Some(Picked { head: 0, step: self.step, weights, measured: None });
            return Ok(vec![None]);
        }
        let probes: Vec<Option<&Probe>> =
            self.heads.iter().map(|head| head.diverged.is_none().then_some(&head.probe)).collect();
        let found = measure(&self.device, &probes, &self.data.validation, self.run.batch, self.config.hidden_size)?;
        let n = self.data.validation.len() as f64;
        let mut best: Option<(usize, &Measured)> = None;
        for (i, measured) in found.iter().enumerate() {
            let Some(measured) = measured else { continue };
            let reached = &mut self.reached[i];
            let top1 = measured.correct as f64 / n;
            let before = (reached.top1.unwrap_or(-1.0), -reached.loss.unwrap_or(f64::INFINITY));
            if (top1, -measured.loss) > before {
                (reached.top1, reached.loss, reached.step) = (Some(top1), Some(measured.loss), Some(self.step));
            }
            if best.is_none_or(|(_, best)| measured.is_better_than(best)) {
                best = Some((i, measured));
            }
        }
        if let Some((head, measured)) = best {
            let before = self.picked.as_ref().and_then(|picked| picked.measured.as_ref());
            if before.is_none_or(|before| measured.is_better_than(before)) {
                let weights = self.heads[head].probe.save()?;
                self.picked = Some(Picked { head, step: self.step, weights, measured: Some(measured.clone()) });
            }
        }
        Ok(found)
    }

    /// What the run has made: the figures of the best head.
    ///
    /// # Errors
    /// No evaluation yet, features that cannot be read, and what the operators report.
    pub fn report(&self) -> Result<ProbeReport> {
        let none = || TrainError::Invalid("no head was evaluated yet".into());
        let picked = self.picked.as_ref().ok_or_else(none)?;
        let (data, labels) = (&self.data, &self.data.labels);
        let figures = |measured: &Measured, part: &ProbePart| Figures::new(measured, part, &data.train, labels);
        let test = match data.test.is_empty() {
            true => None,
            false => {
                let probe = self.probe_of(picked)?;
                let found =
                    measure(&self.device, &[Some(&probe)], &data.test, self.run.batch, self.config.hidden_size)?;
                found.into_iter().next().flatten().map(|measured| figures(&measured, &data.test))
            }
        };
        Ok(ProbeReport {
            kind: self.run.probe.kind,
            labels: labels.clone(),
            trained_on: data.train.len(),
            head: HeadReport { step: Some(picked.step), ..self.reached.get(picked.head).ok_or_else(none)?.clone() },
            validation: picked.measured.as_ref().map(|measured| figures(measured, &data.validation)),
            test,
            heads: self.reached.clone(),
        })
    }

    /// The probe with the weights that were kept.
    fn probe_of(&self, picked: &Picked) -> Result<Probe> {
        let probe = Probe::new(&self.device, self.run.probe.kind, &self.config, self.data.labels.len(), self.run.seed)?;
        for param in probe.params() {
            if let Some((.., values)) = picked.weights.iter().find(|(name, ..)| name == param.name()) {
                param.tensor().write_f32(values)?;
            }
        }
        Ok(probe)
    }
}
