//! Episodes in which a world model plans, acts, looks and plans again.

use std::time::Instant;

use vljepa_worlds::planners::{Cem, Planner, Start};
use vljepa_worlds::protocol::Draw;
use vljepa_worlds::{Random, World};

use super::agent::{Agent, Toward, distance};
use super::guide::Guide;
use crate::error::{Error, Result};

/// How episodes are planned.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanOptions {
    /// The planner.
    pub planner: Planner,
    /// Blocks of a plan.
    pub horizon: usize,
    /// Blocks of a plan that are carried out before the next plan (receding horizon).
    pub execute: usize,
    /// Whether a plan begins with what is left of the one before.
    pub warm_start: bool,
    /// What of a plan is compared with the goal.
    pub toward: Toward,
    /// Most steps of an episode.
    pub budget: usize,
    /// Seed of all that is drawn.
    pub seed: u64,
}

impl Default for PlanOptions {
    /// The published protocol: 5 blocks ahead, all carried out, 50 steps; 10 iterations, as the paper has where nothing is pushed.
    fn default() -> Self {
        let planner = Planner::Cem(Cem { iterations: 10, ..Cem::default() });
        Self { planner, horizon: 5, execute: 5, warm_start: false, toward: Toward::Last, budget: 50, seed: 42 }
    }
}

impl PlanOptions {
    /// A plan for small machines: 64 candidates, 4 iterations; 3 of 5 blocks are carried out, and the goal may lie anywhere on the
    /// plan. 200 steps.
    pub fn small() -> Self {
        let planner = Planner::Cem(Cem { samples: 64, elites: 7, iterations: 4, ..Cem::default() });
        Self { planner, execute: 3, toward: Toward::Nearest, budget: 200, ..Self::default() }
    }

    /// Checks that they fit together.
    ///
    /// # Errors
    /// More blocks to be carried out than a plan has, or none; no steps.
    pub fn check(&self) -> Result<()> {
        if self.execute == 0 || self.execute > self.horizon || self.budget == 0 {
            return Err(Error::invalid(format!(
                "{} of {} blocks are to be carried out within {} steps; 1 to all of the blocks, and a step or more, are possible",
                self.execute, self.horizon, self.budget
            )));
        }
        Ok(())
    }
}

/// A plan that was made in an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Steps that were taken before it.
    pub step: usize,
    /// The plan, (blocks, width) of normalised actions.
    pub plan: Vec<f32>,
    /// What it costs.
    pub cost: f32,
    /// The lowest cost of each of the planner's iterations.
    pub by_iteration: Vec<f32>,
    /// Squared distance of the latent of what was seen from the goal's.
    pub distance: f32,
    /// The place that was planned toward, where that was not the goal itself: a state of an earlier episode.
    pub subgoal: Option<Vec<f64>>,
}

/// How an episode went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the start was inside of the goal.
    pub start_inside: bool,
    /// Steps until the goal was reached; `None` where it was not.
    pub reached_after: Option<usize>,
    /// The states, one more than steps.
    pub states: Vec<Vec<f64>>,
    /// The plans, in order.
    pub rounds: Vec<Round>,
}

/// How several episodes went.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// One of each draw.
    pub episodes: Vec<Outcome>,
    /// Seconds that all plans took.
    pub seconds: f64,
    /// Number of plans.
    pub plans: usize,
}

impl Outcomes {
    /// Episodes that reached their goal.
    pub fn reached(&self) -> usize {
        self.episodes.iter().filter(|episode| episode.reached_after.is_some()).count()
    }
}

/// An episode under way.
struct Going {
    world: Box<dyn World>,
    goal: Vec<f32>,
    start: Option<Start>,
    outcome: Outcome,
}

impl Going {
    fn steps(&self) -> usize {
        self.outcome.states.len() - 1
    }
}

/// Plans and acts from each of `draws` in a copy of `world`; all episodes go on together, so that a pass of the model sees the plans of
/// all. With a `guide` plans go to places on the way. `observer` gets the number of episodes that are over after each round.
///
/// # Errors
/// Options that do not fit, states that the world refuses, what the device reports.
pub fn run(
    agent: &Agent,
    world: &dyn World,
    draws: &[Draw],
    options: &PlanOptions,
    guide: Option<&Guide>,
    observer: &mut dyn FnMut(usize),
) -> Result<Outcomes> {
    options.check()?;
    let goals: Vec<Vec<f32>> = draws.iter().map(|draw| agent.goal_picture(world, &draw.goal)).collect::<Result<_>>()?;
    let goals = agent.latents(&goals)?;
    let mut all = Vec::with_capacity(draws.len());
    for (draw, goal) in draws.iter().zip(goals) {
        let mut world = world.fork();
        world.set_goal(&draw.goal)?;
        world.set_state(&draw.start)?;
        let start_inside = world.reached();
        let outcome = Outcome { start_inside, reached_after: None, states: vec![world.state()], rounds: Vec::new() };
        all.push(Going { world, goal, start: None, outcome });
    }
    let (mut seconds, mut plans, mut round) = (0.0, 0, 0u64);
    loop {
        let mut going: Vec<(usize, &mut Going)> = all
            .iter_mut()
            .enumerate()
            .filter(|(_, going)| going.outcome.reached_after.is_none() && going.steps() < options.budget)
            .collect();
        observer(draws.len() - going.len());
        if going.is_empty() {
            break;
        }
        let began = Instant::now();
        plan_all(agent, &mut going, options, guide, round)?;
        seconds += began.elapsed().as_secs_f64();
        plans += going.len();
        going.iter_mut().try_for_each(|(_, going)| carry_out(agent, going, options))?;
        round += 1;
    }
    Ok(Outcomes { episodes: all.into_iter().map(|going| going.outcome).collect(), seconds, plans })
}

/// A plan for each episode that goes on.
fn plan_all(
    agent: &Agent,
    going: &mut [(usize, &mut Going)],
    options: &PlanOptions,
    guide: Option<&Guide>,
    round: u64,
) -> Result<()> {
    let pictures: Vec<Vec<f32>> = going
        .iter()
        .map(|(_, going)| agent.picture(going.world.as_ref(), &going.world.state()))
        .collect::<Result<_>>()?;
    let seen = agent.latents(&pictures)?;
    let (mut targets, mut subgoals) = (Vec::with_capacity(seen.len()), Vec::with_capacity(seen.len()));
    for ((_, going), seen) in going.iter().zip(&seen) {
        match guide.and_then(|guide| guide.next(seen, &going.goal)) {
            Some(place) => {
                targets.push(place.latent.to_vec());
                subgoals.push(Some(place.state.to_vec()));
            }
            None => {
                targets.push(going.goal.clone());
                subgoals.push(None);
            }
        }
    }
    let space = agent.space(options.horizon);
    let streams = going.iter().map(|(number, _)| Random::new(options.seed, (round << 32) | *number as u64)).collect();
    let starts: Vec<Option<Start>> = going.iter_mut().map(|(_, going)| going.start.take()).collect();
    let mut cost = |plans: &[f32], count: usize, horizon: usize, _: usize| {
        agent.costs(&seen, &targets, plans, [count, horizon], options.toward)
    };
    let found = options.planner.plan_together(&space, &starts, &mut cost, streams)?;
    for ((((_, going), plan), seen), subgoal) in going.iter_mut().zip(found).zip(&seen).zip(subgoals) {
        if options.warm_start {
            going.start = Some(plan.after(options.execute));
        }
        let step = going.steps();
        let distance = distance(seen, &going.goal);
        let (cost, by_iteration) = (plan.cost, plan.lowest_by_iteration);
        going.outcome.rounds.push(Round { step, plan: plan.actions, cost, by_iteration, distance, subgoal });
    }
    Ok(())
}

/// Carries out the first blocks of the newest plan, as far as the budget goes.
fn carry_out(agent: &Agent, going: &mut Going, options: &PlanOptions) -> Result<()> {
    let actions = going.outcome.rounds.last().map(|round| agent.actions(&round.plan, options.execute));
    for action in actions.unwrap_or_default() {
        if going.steps() == options.budget {
            break;
        }
        let reached = going.world.step(&action)?;
        going.outcome.states.push(going.world.state());
        if reached {
            going.outcome.reached_after = Some(going.steps());
            break;
        }
    }
    Ok(())
}
