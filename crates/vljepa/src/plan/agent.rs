//! What plans with a world model: pictures to latents, plans to what they lead to, and what that costs.

use vljepa_model::config::LewmConfig;
use vljepa_model::{Forward, Lewm};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Tensor, ops};
use vljepa_train::world::normalise_picture;
use vljepa_worlds::World;
use vljepa_worlds::planners::Space;
use vljepa_worlds::trajectories::ActionStats;

use crate::error::{Error, Result};

/// Most plans that are rolled out in one pass.
const PLANS_AT_ONCE: usize = 4096;
/// Most pictures that are encoded in one pass.
const PICTURES_AT_ONCE: usize = 64;

/// What of a plan's imagined latents is compared with the goal's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toward {
    /// The last one, as published.
    #[default]
    Last,
    /// The mean over all.
    Mean,
    /// The nearest of all: a goal counts as reached wherever on the way it is.
    Nearest,
}

/// A world model that plans in a world.
#[derive(Debug)]
pub struct Agent {
    device: Device,
    model: Lewm,
    statistics: ActionStats,
    bounds: Vec<(f32, f32)>,
}

impl Agent {
    /// A model that plans in `world`.
    ///
    /// # Errors
    /// A model that was trained in another world, or does not say how actions were normalised.
    pub fn new(device: &Device, model: Lewm, world: &dyn World) -> Result<Self> {
        let config = model.config();
        if let Some(own) = config.world.as_deref().filter(|own| *own != world.name()) {
            return Err(Error::invalid(format!("the model was trained in {own}, not in {}; plan there", world.name())));
        }
        if config.action_size != world.action_size() {
            let (own, size) = (config.action_size, world.action_size());
            let name = world.name();
            return Err(Error::invalid(format!(
                "the model takes actions of {own} numbers, those of {name} have {size}"
            )));
        }
        let Some(statistics) = config.actions.clone() else {
            return Err(Error::invalid(
                "the model's config.json has no `actions`, by which actions are normalised; add their mean and std",
            ));
        };
        let statistics = ActionStats { mean: statistics.mean, std: statistics.std };
        let bounds = statistics.bounds(world.action_range());
        Ok(Self { device: device.clone(), model, statistics, bounds })
    }

    /// The model's configuration.
    pub fn config(&self) -> &LewmConfig {
        self.model.config()
    }

    /// The space of plans of so many blocks, bounded by the world's range of actions.
    pub fn space(&self, horizon: usize) -> Space {
        Space::of_actions(horizon, self.config().frameskip, &self.bounds)
    }

    /// The picture of a state as the model takes it.
    ///
    /// # Errors
    /// States that the world refuses.
    pub fn picture(&self, world: &dyn World, state: &[f64]) -> Result<Vec<f32>> {
        let side = self.config().image_size;
        let mut rgb = vec![0; 3 * side * side];
        world.draw(state, side, &mut rgb)?;
        Ok(self.picture_of(&rgb))
    }

    /// The picture of a goal as the model takes it: how the world looks where it is reached.
    ///
    /// # Errors
    /// Goals that the world refuses.
    pub fn goal_picture(&self, world: &dyn World, goal: &[f64]) -> Result<Vec<f32>> {
        self.picture(world, goal.get(..world.state_size()).unwrap_or(goal))
    }

    /// Pixels `[side, side, 3]` as the model takes them.
    pub fn picture_of(&self, rgb: &[u8]) -> Vec<f32> {
        normalise_picture(rgb, self.config())
    }

    /// The latents of pictures, a row each.
    ///
    /// # Errors
    /// What the device reports.
    pub fn latents(&self, pictures: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let (side, d) = (self.config().image_size, self.config().hidden_size);
        let mut rows = Vec::with_capacity(pictures.len());
        for part in pictures.chunks(PICTURES_AT_ONCE) {
            let pixels = Tensor::from_f32(&self.device, &[part.len(), 3, side, side], &part.concat())?;
            let latents = self.model.encode(&Forward::inference(), &pixels).map_err(fault())?;
            rows.extend(latents.value().to_f32()?.chunks_exact(d).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// What plans cost: `seen` and `goals` are latents of P problems, `plans` (P · S, horizon, width) of normalised actions, S for
    /// each problem. The cost is the sum of squared differences from the goal's latent.
    ///
    /// # Errors
    /// Sizes that do not fit, what the device reports.
    pub fn costs(
        &self,
        seen: &[Vec<f32>],
        goals: &[Vec<f32>],
        plans: &[f32],
        [count, horizon]: [usize; 2],
        toward: Toward,
    ) -> Result<Vec<f32>> {
        let (each, width, d) = (count / seen.len().max(1), self.config().block_size(), self.config().hidden_size);
        let fits = each * seen.len() == count && goals.len() == seen.len() && plans.len() == count * horizon * width;
        if !fits || plans.is_empty() {
            return Err(Error::invalid(format!(
                "{} numbers for {count} plans of {horizon} blocks of {width}, from {} latents to {}; they do not fit",
                plans.len(),
                seen.len(),
                goals.len()
            )));
        }
        let together = (PLANS_AT_ONCE / each.max(1)).max(1);
        let mut costs = Vec::with_capacity(count);
        let problems = seen.chunks(together).zip(goals.chunks(together));
        for ((seen, goals), plans) in problems.zip(plans.chunks(together * each * horizon * width)) {
            let (pasts, count) = (seen.len(), seen.len() * each);
            let seen = Tensor::from_f32(&self.device, &[pasts, 1, d], &seen.concat())?;
            let plans = Tensor::from_f32(&self.device, &[count, horizon, width], plans)?;
            let f = Forward::inference();
            let rolled = self.model.roll_out(&f, &Var::constant(seen), None, &Var::constant(plans)).map_err(fault())?;
            let compared = if toward == Toward::Last { 1 } else { horizon };
            let (rolled, rows) = (autograd::slice(&rolled, 1, horizon - compared, compared)?, count * compared);
            // A goal for each latent that is compared with it.
            let ids: Vec<u32> = (0..rows).map(|i| (i / (rows / pasts)) as u32).collect();
            let goals = Tensor::from_f32(&self.device, &[pasts, d], &goals.concat())?;
            let goals = ops::gather_rows(&goals, &ops::upload_ids(&self.device, &[rows], &ids, pasts)?)?;
            let off = ops::sub(&rolled.value().reshape(&[rows, d])?, &goals)?;
            let squares = ops::sum_cols(&ops::mul(&off, &off)?)?.to_f32()?;
            costs.extend(squares.chunks_exact(compared).map(|plan| match toward {
                Toward::Last | Toward::Mean => plan.iter().sum::<f32>() / compared as f32,
                // One step that is not a number spoils the plan.
                Toward::Nearest if plan.iter().any(|v| v.is_nan()) => f32::NAN,
                Toward::Nearest => plan.iter().copied().reduce(f32::min).unwrap_or(f32::INFINITY),
            }));
        }
        Ok(costs)
    }

    /// The latents that plans lead to, one from each of `seen`: for each a row for each block. `plans` is (seen, horizon, width).
    ///
    /// # Errors
    /// As [`Agent::costs`].
    pub fn imagine(&self, seen: &[Vec<f32>], plans: &[f32]) -> Result<Vec<Vec<Vec<f32>>>> {
        let (count, width, d) = (seen.len(), self.config().block_size(), self.config().hidden_size);
        let horizon = plans.len() / (width * count.max(1));
        if horizon == 0 || plans.len() != count * horizon * width {
            let what = format!("{} numbers are no plans of blocks of {width} for {count} latents", plans.len());
            return Err(Error::invalid(what));
        }
        let mut all = Vec::with_capacity(count);
        for (seen, plans) in seen.chunks(PLANS_AT_ONCE).zip(plans.chunks(PLANS_AT_ONCE * horizon * width)) {
            let plans = Tensor::from_f32(&self.device, &[seen.len(), horizon, width], plans)?;
            let seen = Tensor::from_f32(&self.device, &[seen.len(), 1, d], &seen.concat())?;
            let f = Forward::inference();
            let rolled = self.model.roll_out(&f, &Var::constant(seen), None, &Var::constant(plans)).map_err(fault())?;
            let rolled = rolled.value().to_f32()?;
            all.extend(rolled.chunks_exact(horizon * d).map(|one| one.chunks_exact(d).map(<[f32]>::to_vec).collect()));
        }
        Ok(all)
    }

    /// Actions in the environment's units, one after the other, as the model takes them.
    pub fn normalise(&self, actions: &mut [f32]) {
        self.statistics.normalize(actions);
    }

    /// The actions of a plan's first blocks in the environment's units, one after the other.
    pub fn actions(&self, plan: &[f32], blocks: usize) -> Vec<Vec<f32>> {
        let mut actions = plan[..(blocks * self.config().block_size()).min(plan.len())].to_vec();
        self.statistics.restore(&mut actions);
        actions.chunks_exact(self.config().action_size).map(<[f32]>::to_vec).collect()
    }
}

/// The sum of squared differences.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// For `map_err` on the model.
fn fault() -> impl FnOnce(vljepa_model::ModelError) -> Error {
    Error::model("the world model")
}
