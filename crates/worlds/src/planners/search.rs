//! One search, iteration by iteration.

use super::noise::Noise;
use super::options::Planner;
use super::space::Space;
use super::update::{Distribution, best};
use crate::error::{Result, WorldError};
use crate::random::Random;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The plan: (horizon, width).
    pub actions: Vec<f32>,
    /// What it costs: the mean over the elites of the last iteration, or that of the best one where that is the plan. Infinite where
    /// no cost was finite.
    pub cost: f32,
    /// The mean over the elites of each iteration; infinite where none was finite.
    pub cost_by_iteration: Vec<f32>,
    /// The lowest cost of each iteration; infinite where none was finite.
    pub lowest_by_iteration: Vec<f32>,
    /// The candidate of the lowest cost of all iterations: (horizon, width).
    pub best: Vec<f32>,
    /// Its cost.
    pub best_cost: f32,
    /// Standard deviation of each number in the end: (horizon, width).
    pub std: Vec<f32>,
    /// The elites that a planner keeps, the best first: (kept, horizon, width). Those of iCEM; empty for others.
    pub elites: Vec<f32>,
    /// Numbers of a block.
    pub width: usize,
}

/// What a search begins with: the rest of an earlier plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// The first blocks of the mean, (blocks, width) with at most as many blocks as the horizon; the rest is 0.
    pub mean: Vec<f32>,
    /// Candidates of the first iteration: (kept, blocks, width) with as many blocks as `mean`; the rest of each is drawn.
    pub elites: Vec<f32>,
}

impl Plan {
    /// What is left of the plan, and of its elites, when its first `blocks` blocks are done; nothing when all are.
    pub fn after(&self, blocks: usize) -> Start {
        let gone = (blocks * self.width).min(self.actions.len());
        let elites = self.elites.chunks_exact(self.actions.len()).flat_map(|elite| &elite[gone..]).copied().collect();
        Start { mean: self.actions[gone..].to_vec(), elites }
    }
}

/// A search that asks for costs and is told them: [`Search::ask`], [`Search::tell`] and again, until there is nothing to ask.
#[derive(Clone, Debug)]
pub struct Search {
    planner: Planner,
    space: Space,
    random: Random,
    distribution: Distribution,
    noise: Noise,
    candidates: Vec<f32>,
    /// Elites that are candidates of the next iteration.
    kept: Vec<f32>,
    asked: bool,
    lowest: Vec<f32>,
    means: Vec<f32>,
    best: (f32, Vec<f32>),
    /// The best candidate of the last iteration with a finite cost.
    last_best: (f32, Vec<f32>),
}

impl Search {
    /// A search that has asked nothing yet.
    ///
    /// # Errors
    /// Options that do not fit together, a start that is not of this space.
    pub fn new(planner: &Planner, space: &Space, start: Option<&Start>, random: Random) -> Result<Self> {
        planner.check()?;
        space.check(planner.samples())?;
        let numbers = space.numbers();
        let mut mean = vec![0.0; numbers];
        let exponent = if let Planner::Icem(options) = planner { options.exponent } else { 0.0 };
        let mut search = Self {
            noise: Noise::new(space.horizon, exponent),
            distribution: Distribution { mean: Vec::new(), std: vec![planner.std(); numbers] },
            candidates: vec![0.0; planner.samples() * numbers],
            kept: Vec::new(),
            asked: false,
            lowest: Vec::new(),
            means: Vec::new(),
            best: (f32::INFINITY, Vec::new()),
            last_best: (f32::INFINITY, Vec::new()),
            planner: planner.clone(),
            space: space.clone(),
            random,
        };
        if let Some(start) = start {
            check_start(start, space)?;
            mean[..start.mean.len()].copy_from_slice(&start.mean);
            search.kept = search.lengthened(start);
        }
        space.clamp(&mut mean);
        search.distribution.mean = mean;
        Ok(search)
    }

    /// The elites of a start with the blocks that they lack, drawn.
    fn lengthened(&mut self, start: &Start) -> Vec<f32> {
        let Planner::Icem(options) = &self.planner else { return Vec::new() };
        let (length, numbers) = (start.mean.len(), self.space.numbers());
        let mut kept = Vec::new();
        if length > 0 {
            for elite in start.elites.chunks_exact(length).take(options.keep) {
                kept.extend_from_slice(elite);
                kept.extend((length..numbers).map(|_| options.std * self.random.normal() as f32));
            }
        }
        kept
    }

    /// The candidates of the next iteration, (samples, horizon, width): the mean, the kept elites, and drawn ones. The same again until
    /// [`Search::tell`]; `None` after the last iteration.
    pub fn ask(&mut self) -> Option<&[f32]> {
        if self.means.len() == self.planner.iterations() {
            return None;
        }
        if !self.asked {
            self.draw();
            self.asked = true;
        }
        Some(&self.candidates)
    }

    fn draw(&mut self) {
        let (horizon, width) = (self.space.horizon, self.space.width);
        let numbers = horizon * width;
        let Distribution { mean, std } = &self.distribution;
        let mut sequence = Vec::with_capacity(horizon);
        for candidate in self.candidates.chunks_exact_mut(numbers) {
            for at in 0..width {
                self.noise.draw(&mut self.random, &mut sequence);
                for (t, noise) in sequence.iter().enumerate() {
                    let i = t * width + at;
                    candidate[i] = mean[i] + std[i] * *noise as f32;
                }
            }
        }
        self.candidates[..numbers].copy_from_slice(mean);
        let count = self.kept.len().min(self.candidates.len() - numbers);
        self.candidates[numbers..numbers + count].copy_from_slice(&self.kept[..count]);
        self.space.clamp(&mut self.candidates);
    }

    /// Takes the cost of each candidate of [`Search::ask`]. Where none is finite the distribution stays.
    ///
    /// # Errors
    /// Another number of costs; costs of candidates that were not asked for.
    pub fn tell(&mut self, costs: &[f32]) -> Result<()> {
        let samples = self.planner.samples();
        if costs.len() != samples {
            let (expected, found) = (samples, costs.len());
            return Err(WorldError::Length {
                origin: "planner",
                what: "the costs of an iteration".to_owned(),
                expected,
                found,
            });
        }
        if !std::mem::take(&mut self.asked) {
            let what = "costs were told for candidates that were not asked for; call `ask` first".to_owned();
            return Err(WorldError::Options { origin: "planner", what });
        }
        let elites = best(costs, self.planner.elites());
        let numbers = self.space.numbers();
        let Some(first) = elites.first().copied() else {
            self.means.push(f32::INFINITY);
            self.lowest.push(f32::INFINITY);
            return Ok(());
        };
        let of = |i: usize| &self.candidates[i * numbers..(i + 1) * numbers];
        self.means.push((elites.iter().map(|i| f64::from(costs[*i])).sum::<f64>() / elites.len() as f64) as f32);
        self.lowest.push(costs[first]);
        self.last_best = (costs[first], of(first).to_vec());
        if costs[first] < self.best.0 {
            self.best = self.last_best.clone();
        }
        match &self.planner {
            Planner::Cem(_) => self.distribution.fit(&self.candidates, &elites, 0.0),
            Planner::Icem(options) => {
                self.kept = elites.iter().take(options.keep).flat_map(|i| of(*i)).copied().collect();
                self.distribution.fit(&self.candidates, &elites, options.momentum);
            }
            Planner::Mppi(options) => {
                self.distribution.weigh(&self.candidates, costs, &elites, options.temperature);
            }
        }
        Ok(())
    }

    /// What was found up to now.
    pub fn into_plan(self) -> Plan {
        let take_best = matches!(&self.planner, Planner::Icem(options) if options.take_best);
        let last = self.means.last().copied().unwrap_or(f32::INFINITY);
        let (cost, actions) = match take_best && !self.last_best.1.is_empty() {
            true => self.last_best,
            false => (last, self.distribution.mean),
        };
        let (best_cost, best) = match self.best.1.is_empty() {
            true => (f32::INFINITY, actions.clone()),
            false => self.best,
        };
        Plan {
            cost,
            cost_by_iteration: self.means,
            lowest_by_iteration: self.lowest,
            best,
            best_cost,
            std: self.distribution.std,
            elites: self.kept,
            width: self.space.width,
            actions,
        }
    }
}

pub(super) fn check_start(start: &Start, space: &Space) -> Result<()> {
    let fail = |what: String| Err(WorldError::Options { origin: "planner", what });
    let (length, numbers) = (start.mean.len(), space.numbers());
    if length > numbers || !length.is_multiple_of(space.width) {
        return fail(format!(
            "the start has {length} numbers; whole blocks of {} and at most {numbers} are possible",
            space.width
        ));
    }
    let whole = if length == 0 { start.elites.is_empty() } else { start.elites.len().is_multiple_of(length) };
    if !whole {
        return fail(format!("the start's elites have {} numbers, no multiple of {length}", start.elites.len()));
    }
    match start.mean.iter().chain(&start.elites).find(|value| !value.is_finite()) {
        Some(value) => fail(format!("the start holds {value}; its numbers must be finite")),
        None => Ok(()),
    }
}
