//! Planners that look for the actions of least cost by drawing many: [`Cem`], [`Icem`], [`Mppi`]; and [`Descent`], which follows the
//! cost's gradient.
//!
//! What a plan costs is the business of whoever plans ([`Cost`]): a model that imagines, or the world itself. All candidates of an
//! iteration are one call. A plan is a row of blocks, each of the actions of some steps, in whatever space the cost wants them
//! (mostly actions with mean 0 and standard deviation 1); see [`Space`].

mod descent;
mod error;
mod icem;
mod noise;
mod options;
mod search;
mod space;
mod update;

pub use descent::{Descent, GradientCost};
pub use error::PlanError;
pub use icem::Icem;
pub use options::{Cem, Mppi, Planner};
pub use search::{Plan, Search, Start};
pub use space::{MAX_NUMBERS, Space};

use crate::error::WorldError;
use crate::random::Random;

/// What plans cost.
pub trait Cost {
    /// What goes wrong where plans are priced.
    type Error;

    /// The cost of each of `samples` plans. `plans` is (samples, horizon, width). NaN and infinities count as worse than every number.
    ///
    /// # Errors
    /// Those of whoever prices.
    fn costs(&mut self, plans: &[f32], samples: usize, horizon: usize, width: usize) -> Result<Vec<f32>, Self::Error>;
}

impl<F, E> Cost for F
where
    F: FnMut(&[f32], usize, usize, usize) -> Result<Vec<f32>, E>,
{
    type Error = E;

    fn costs(&mut self, plans: &[f32], samples: usize, horizon: usize, width: usize) -> Result<Vec<f32>, E> {
        self(plans, samples, horizon, width)
    }
}

impl Planner {
    /// Looks for the plan of least cost. `start` is what is kept of an earlier plan ([`Plan::after`]).
    ///
    /// # Errors
    /// Options that do not fit together, another number of costs than of plans, and those of the cost.
    pub fn plan<C: Cost>(
        &self,
        space: &Space,
        start: Option<&Start>,
        cost: &mut C,
        random: Random,
    ) -> Result<Plan, PlanError<C::Error>> {
        let mut search = Search::new(self, space, start, random)?;
        while let Some(plans) = search.ask() {
            let costs = cost.costs(plans, self.samples(), space.horizon, space.width).map_err(PlanError::Cost)?;
            search.tell(&costs)?;
        }
        Ok(search.into_plan())
    }

    /// As [`Planner::plan`] for many problems at once: a call of the cost sees the candidates of all of them, problem after problem
    /// ((problems · samples, horizon, width)), so that a device has enough to do.
    ///
    /// # Errors
    /// As [`Planner::plan`]; another number of starts than of streams of random numbers.
    pub fn plan_together<C: Cost>(
        &self,
        space: &Space,
        starts: &[Option<Start>],
        cost: &mut C,
        streams: Vec<Random>,
    ) -> Result<Vec<Plan>, PlanError<C::Error>> {
        if starts.len() != streams.len() {
            let what = "starts of problems".to_owned();
            let (expected, found) = (streams.len(), starts.len());
            return Err(WorldError::Length { origin: "planner", what, expected, found }.into());
        }
        let mut searches = Vec::with_capacity(streams.len());
        for (start, random) in starts.iter().zip(streams) {
            searches.push(Search::new(self, space, start.as_ref(), random)?);
        }
        let mut plans = Vec::new();
        while !searches.is_empty() {
            plans.clear();
            for search in &mut searches {
                plans.extend_from_slice(search.ask().unwrap_or_default());
            }
            // All searches have as many iterations.
            if plans.is_empty() {
                break;
            }
            let count = searches.len() * self.samples();
            let costs = cost.costs(&plans, count, space.horizon, space.width).map_err(PlanError::Cost)?;
            if costs.len() != count {
                let what = "the costs of an iteration".to_owned();
                return Err(WorldError::Length { origin: "planner", what, expected: count, found: costs.len() }.into());
            }
            for (search, costs) in searches.iter_mut().zip(costs.chunks_exact(self.samples())) {
                search.tell(costs)?;
            }
        }
        Ok(searches.into_iter().map(Search::into_plan).collect())
    }
}
