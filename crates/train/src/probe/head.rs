//! One head of the grid: a probe with its optimiser.

use std::collections::BTreeMap;

use vljepa_embed::folder::ProbeTensor;
use vljepa_model::config::Vjepa2Config;
use vljepa_model::{AttentiveProbe, Forward, LinearProbe, Param, Part, RandomInit};
use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::ops::{self, CrossEntropy};
use vljepa_tensor::{Device, Tensor};

use super::config::ProbeKind;
use crate::config::OptimizerConfig;
use crate::error::Result;
use crate::optim::Optimizer;

/// A probe of either kind.
#[derive(Debug)]
pub(super) enum Probe {
    Attentive(Box<AttentiveProbe>),
    Linear(LinearProbe),
}

impl Probe {
    /// Random weights; equal seeds give equal ones.
    pub fn new(device: &Device, kind: ProbeKind, config: &Vjepa2Config, labels: usize, seed: u64) -> Result<Self> {
        let source = &mut RandomInit { seed, range: config.initializer_range, logit_scale: 0.0 };
        Ok(match kind {
            ProbeKind::Attentive => Self::Attentive(Box::new(AttentiveProbe::load(device, config, labels, source)?)),
            ProbeKind::Linear => Self::Linear(LinearProbe::load(device, config, labels, source)?),
        })
    }

    pub fn params(&self) -> Vec<&Param> {
        match self {
            Self::Attentive(probe) => probe.params(),
            Self::Linear(probe) => probe.params(),
        }
    }

    /// `[B, N, D]` → `[B, labels]`; a linear probe takes pooled features, N = 1.
    pub fn logits(&self, f: &Forward, features: &Tensor) -> Result<Var> {
        let features = Var::constant(features.clone());
        Ok(match self {
            Self::Attentive(probe) => probe.forward(f, &features)?,
            Self::Linear(probe) => {
                let &[batch, tokens, width] = features.shape() else { return Ok(probe.forward(f, &features)?) };
                probe.forward(f, &features.reshape(&[batch * tokens, width])?)?
            }
        })
    }

    /// The weights.
    pub fn save(&self) -> Result<Vec<ProbeTensor>> {
        let tensor = |param: &Param| -> Result<ProbeTensor> {
            Ok((param.name().to_owned(), param.tensor().shape().to_vec(), param.tensor().to_f32()?))
        };
        self.params().into_iter().map(tensor).collect()
    }
}

/// A group of clips on the device.
pub(super) struct Uploaded {
    pub features: Tensor,
    pub classes: Tensor,
    pub share: f32,
}

/// Losses and gradients of a head at one step, still on the device.
pub(super) struct Pass {
    grads: BTreeMap<String, Tensor>,
    /// The loss of each group, then the sum of squares of each gradient.
    pub figures: Tensor,
}

/// AdamW with the moments' usual decay.
fn optimizer(probe: &Probe, lr: f64, weight_decay: f64) -> Optimizer {
    let config = OptimizerConfig { lr, weight_decay, clip: 0.0, ..OptimizerConfig::default() };
    // The part decides nothing here: rates and decay are those of the head.
    let params: Vec<(Part, &Param)> = probe.params().into_iter().map(|p| (Part::PredictorHead, p)).collect();
    Optimizer::new(&config, &params, &|_| false)
}

/// A probe that is being trained.
#[derive(Debug)]
pub(super) struct Head {
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub probe: Probe,
    pub optimizer: Optimizer,
    /// The step at which a loss or a gradient was not finite; from then on the head rests.
    pub diverged: Option<u64>,
}

impl Head {
    pub fn new(probe: Probe, learning_rate: f64, weight_decay: f64) -> Self {
        let optimizer = optimizer(&probe, learning_rate, weight_decay);
        Self { learning_rate, weight_decay, probe, optimizer, diverged: None }
    }

    /// The head's optimiser before its first step.
    pub fn fresh_optimizer(&self) -> Optimizer {
        optimizer(&self.probe, self.learning_rate, self.weight_decay)
    }

    /// Losses of the groups, each of one element, and the gradients of their weighted sum by parameter.
    pub fn gradients(&self, groups: &[Uploaded]) -> Result<(Vec<Tensor>, BTreeMap<String, Tensor>)> {
        let (mut losses, mut grads) = (Vec::new(), BTreeMap::new());
        for group in groups {
            let tape = Tape::new();
            let f = Forward::training(tape.clone(), |_| true);
            let logits = self.probe.logits(&f, &group.features)?;
            let loss = autograd::cross_entropy(&logits, &group.classes, CrossEntropy::default())?;
            let seed = ops::full(loss.value().device(), loss.shape(), group.share)?;
            for (name, grad) in f.gradients(tape.backward(&loss, Some(seed))?) {
                let sum = match grads.remove(&name) {
                    Some(earlier) => ops::add(&earlier, &grad)?,
                    None => grad,
                };
                grads.insert(name, sum);
            }
            losses.push(loss.value().clone());
        }
        Ok((losses, grads))
    }

    /// Losses and gradients of a step.
    pub fn pass(&self, groups: &[Uploaded]) -> Result<Pass> {
        let (losses, grads) = self.gradients(groups)?;
        let squares = ops::square_sums(&grads.values().collect::<Vec<_>>())?;
        let figures = ops::concat(&losses.iter().chain([&squares]).collect::<Vec<_>>(), 0)?;
        Ok(Pass { grads, figures })
    }

    /// The update of a step. `factor` is the schedule's.
    pub fn update(&mut self, pass: &Pass, factor: f64) -> Result<()> {
        self.optimizer.step(&self.probe.params(), &pass.grads, factor, None)
    }
}
