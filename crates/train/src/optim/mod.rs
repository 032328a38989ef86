//! Optimisers: which one takes which parameter, their state, and one step of all of them.

mod adamw;
mod groups;
mod muon;

use std::collections::BTreeMap;

use vljepa_model::Param;
use vljepa_tensor::{Device, Dtype, Tensor};

pub use groups::{Method, Plan, Planned, Y_ENCODER_LR_SCALE, matches, plan};
pub use muon::NewtonSchulz;

use vljepa_model::Part;

use crate::config::OptimizerConfig;
use crate::error::{Result, TrainError};

/// What an optimiser remembers of one parameter.
#[derive(Clone, Debug)]
enum State {
    /// First and second moment, and the number of steps taken.
    Adamw { mean: Tensor, square: Tensor, steps: u64 },
    /// Momentum.
    Muon { momentum: Tensor },
}

/// Optimiser of a run.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    plans: BTreeMap<String, Plan>,
    states: BTreeMap<String, State>,
    newton_schulz: NewtonSchulz,
}

impl Optimizer {
    /// Plans every parameter; those of parts that `frozen` names are not trained.
    pub fn new(config: &OptimizerConfig, params: &[(Part, &Param)], frozen: &dyn Fn(Part) -> bool) -> Self {
        let plan = |&(part, param): &(Part, &Param)| {
            let (name, shape) = (param.name(), param.tensor().shape());
            let plan = plan(config, Planned { part, name, shape, table: param.is_table() })?;
            Some((name.to_owned(), plan))
        };
        let plans = params.iter().filter(|(part, _)| !frozen(*part)).filter_map(plan).collect();
        Self { config: config.clone(), plans, states: BTreeMap::new(), newton_schulz: NewtonSchulz::default() }
    }

    /// Whether a parameter is trained.
    pub fn trains(&self, name: &str) -> bool {
        self.plans.contains_key(name)
    }

    /// The plan of a parameter, `None` where it is frozen.
    pub fn plan(&self, name: &str) -> Option<&Plan> {
        self.plans.get(name)
    }

    /// Names of all trained parameters, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plans.keys().map(String::as_str)
    }

    /// Updates every parameter that has a gradient, in place. `factor` is the schedule's; AdamW's gradients are multiplied
    /// by the first element of `clip`.
    ///
    /// # Errors
    /// What the operators report.
    pub fn step(
        &mut self,
        params: &[&Param],
        grads: &BTreeMap<String, Tensor>,
        factor: f64,
        clip: Option<&Tensor>,
    ) -> Result<()> {
        for param in params {
            let (Some(plan), Some(grad)) = (self.plans.get(param.name()), grads.get(param.name())) else { continue };
            let state = match self.states.remove(param.name()) {
                Some(state) => state,
                None => State::new(plan, param.tensor())?,
            };
            let rate = (plan, factor * plan.lr);
            let next = match state {
                State::Adamw { mean, square, steps } => {
                    let steps = steps + 1;
                    adamw::step(&self.config, rate, param.tensor(), grad, (&mean, &square), steps, clip)?;
                    State::Adamw { mean, square, steps }
                }
                State::Muon { momentum } => {
                    let ns = &mut self.newton_schulz;
                    muon::step(&self.config.muon, rate, param.tensor(), grad, &momentum, ns)?;
                    State::Muon { momentum }
                }
            };
            self.states.insert(param.name().to_owned(), next);
        }
        Ok(())
    }

    /// The state as named tensors and counters, for a checkpoint.
    pub fn save(&self) -> (Vec<(String, Tensor)>, BTreeMap<String, u64>) {
        let (mut tensors, mut steps) = (Vec::new(), BTreeMap::new());
        for (name, state) in &self.states {
            match state {
                State::Adamw { mean, square, steps: n } => {
                    tensors.push((format!("adamw.mean.{name}"), mean.clone()));
                    tensors.push((format!("adamw.square.{name}"), square.clone()));
                    steps.insert(name.clone(), *n);
                }
                State::Muon { momentum } => tensors.push((format!("muon.momentum.{name}"), momentum.clone())),
            }
        }
        (tensors, steps)
    }

    /// The reverse of [`Optimizer::save`]. `read` gives a tensor's values, or `None` where there is no such tensor. On an
    /// error the state stays as it was.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when a parameter has a part of its state but not all, and what `read` reports.
    pub fn load(
        &mut self,
        device: &Device,
        params: &[&Param],
        steps: &BTreeMap<String, u64>,
        mut read: impl FnMut(&str, &[usize]) -> Result<Option<Vec<f32>>>,
    ) -> Result<()> {
        let mut states = BTreeMap::new();
        for param in params {
            let Some(plan) = self.plans.get(param.name()) else { continue };
            let shape = param.tensor().shape();
            let mut tensor = |kind: &str| -> Result<Option<Tensor>> {
                match read(&format!("{kind}.{}", param.name()), shape)? {
                    Some(values) => Ok(Some(Tensor::from_f32(device, shape, &values)?)),
                    None => Ok(None),
                }
            };
            let state = match plan.method {
                Method::Adamw => match (tensor("adamw.mean")?, tensor("adamw.square")?, steps.get(param.name())) {
                    (Some(mean), Some(square), Some(&steps)) => Some(State::Adamw { mean, square, steps }),
                    (None, None, None) => None,
                    _ => {
                        let name = param.name();
                        return Err(TrainError::Invalid(format!("optimiser state of `{name}` is incomplete")));
                    }
                },
                Method::Muon => tensor("muon.momentum")?.map(|momentum| State::Muon { momentum }),
            };
            if let Some(state) = state {
                states.insert(param.name().to_owned(), state);
            }
        }
        self.states = states;
        Ok(())
    }
}

impl State {
    fn new(plan: &Plan, tensor: &Tensor) -> Result<Self> {
        let zeros = || Tensor::zeros(tensor.device(), tensor.shape(), Dtype::F32);
        Ok(match plan.method {
            Method::Adamw => State::Adamw { mean: zeros()?, square: zeros()?, steps: 0 },
            Method::Muon => State::Muon { momentum: zeros()? },
        })
    }
}
