//! Gradient descent through the cost.

use serde::{Deserialize, Serialize};

use super::error::PlanError;
use super::search::{Plan, Start, check_start};
use super::space::Space;
use super::update::best;
use crate::error::{Result, WorldError};
use crate::random::Random;

/// What plans cost, and how the cost changes with each of their numbers.
pub trait GradientCost {
    /// What goes wrong where plans are priced.
    type Error;

    /// The cost of each of `samples` plans, (samples), and its derivatives, (samples, horizon, width). `plans` is
    /// (samples, horizon, width).
    ///
    /// # Errors
    /// Those of whoever prices.
    fn gradients(
        &mut self,
        plans: &[f32],
        samples: usize,
        horizon: usize,
        width: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), Self::Error>;
}

/// Adam from several starts at once: the mean, and others drawn around it; the plan is the one of the lowest cost that was seen. The
/// defaults are those of stable-worldmodel's gradient solver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Descent {
    /// Starts.
    pub samples: usize,
    /// How often costs are asked for.
    pub iterations: usize,
    /// Standard deviation of the starts.
    pub std: f32,
    /// Adam's learning rate.
    pub rate: f32,
}

impl Default for Descent {
    fn default() -> Self {
        Self { samples: 100, iterations: 30, std: 1.0, rate: 0.1 }
    }
}

/// Adam's decay of the two moments, and what keeps its quotient finite.
const DECAY: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

impl Descent {
    fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: "planner", what });
        if self.samples == 0 || self.iterations == 0 {
            return fail(format!("samples is {} and iterations {}; at least 1 each", self.samples, self.iterations));
        }
        for (key, value) in [("std", self.std), ("rate", self.rate)] {
            if !(value.is_finite() && value > 0.0) {
                return fail(format!("{key} is {value}; it must be finite and above 0"));
            }
        }
        Ok(())
    }

    /// Looks for the plan of least cost. Derivatives that are not finite count as 0; bounds hold after each step. `std` of the plan is
    /// that of the samples in the end.
    ///
    /// # Errors
    /// Options that do not fit together, another number of costs or derivatives than of plans, and those of the cost.
    pub fn plan<C: GradientCost>(
        &self,
        space: &Space,
        start: Option<&Start>,
        cost: &mut C,
        mut random: Random,
    ) -> Result<Plan, PlanError<C::Error>> {
        self.check()?;
        space.check(self.samples)?;
        let numbers = space.numbers();
        let mut mean = vec![0.0; numbers];
        if let Some(start) = start {
            check_start(start, space)?;
            mean[..start.mean.len()].copy_from_slice(&start.mean);
        }
        let mut plans = mean.repeat(self.samples);
        plans[numbers..].iter_mut().for_each(|value| *value += self.std * random.normal() as f32);
        space.clamp(&mut plans);
        let mut moments = [vec![0.0; plans.len()], vec![0.0; plans.len()]];
        let (mut means, mut lowest) = (Vec::new(), Vec::new());
        let mut found = (f32::INFINITY, plans[..numbers].to_vec());
        for iteration in 1..=self.iterations {
            let (costs, gradients) =
                cost.gradients(&plans, self.samples, space.horizon, space.width).map_err(PlanError::Cost)?;
            for (what, expected, found) in
                [("the costs", self.samples, costs.len()), ("the derivatives", plans.len(), gradients.len())]
            {
                if expected != found {
                    let what = format!("{what} of an iteration");
                    return Err(WorldError::Length { origin: "planner", what, expected, found }.into());
                }
            }
            let order = best(&costs, self.samples);
            let sum: f64 = order.iter().map(|i| f64::from(costs[*i])).sum();
            means.push(if order.is_empty() { f32::INFINITY } else { (sum / order.len() as f64) as f32 });
            lowest.push(order.first().map_or(f32::INFINITY, |i| costs[*i]));
            if let Some(first) = order.first().copied().filter(|i| costs[*i] < found.0) {
                found = (costs[first], plans[first * numbers..(first + 1) * numbers].to_vec());
            }
            if iteration < self.iterations {
                self.step(iteration, &mut plans, &gradients, &mut moments);
                space.clamp(&mut plans);
            }
        }
        let (best_cost, actions) = found;
        Ok(Plan {
            cost: best_cost,
            cost_by_iteration: means,
            lowest_by_iteration: lowest,
            best: actions.clone(),
            best_cost,
            std: deviations(&plans, numbers),
            elites: Vec::new(),
            width: space.width,
            actions,
        })
    }

    fn step(&self, iteration: usize, plans: &mut [f32], gradients: &[f32], moments: &mut [Vec<f64>; 2]) {
        let corrections = DECAY.map(|decay| 1.0 - decay.powi(iteration as i32));
        let [first, second] = moments;
        for (((value, gradient), m), v) in plans.iter_mut().zip(gradients).zip(first).zip(second) {
            let gradient = if gradient.is_finite() { f64::from(*gradient) } else { 0.0 };
            *m = DECAY[0] * *m + (1.0 - DECAY[0]) * gradient;
            *v = DECAY[1] * *v + (1.0 - DECAY[1]) * gradient * gradient;
            let step = *m / corrections[0] / ((*v / corrections[1]).sqrt() + EPSILON);
            *value -= (f64::from(self.rate) * step) as f32;
        }
    }
}

/// The unbiased standard deviation of each number over the samples; 0 for one sample.
fn deviations(plans: &[f32], numbers: usize) -> Vec<f32> {
    let count = (plans.len() / numbers) as f64;
    let column = |at: usize| plans.iter().skip(at).step_by(numbers).map(|v| f64::from(*v));
    let of = |at: usize| {
        let mean = column(at).sum::<f64>() / count;
        let squares: f64 = column(at).map(|v| (v - mean).powi(2)).sum();
        if count > 1.0 { (squares / (count - 1.0)).sqrt() as f32 } else { 0.0 }
    };
    (0..numbers).map(of).collect()
}
