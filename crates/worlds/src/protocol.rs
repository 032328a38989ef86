//! The shared protocol by which plans are judged (stable-worldmodel, `scripts/plan/eval_wm.py`), and the floors beside it.
//!
//! A start is a row of an episode, the goal the row some steps later; the world is put there and has a budget of steps; success is
//! the goal reached after any of them. What stands beside a success rate: random actions, none, starts that are inside of the goal
//! already, and the scripted policy.

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Result, WorldError};
use crate::policy::Policy;
use crate::random::Random;
use crate::trajectories::Trajectories;
use crate::world::World;

/// A start and a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// The state at the start: (state_size).
    pub start: Vec<f64>,
    /// The goal: (goal_size), or a state.
    pub goal: Vec<f64>,
    /// The episode and the row of the start, where it is one of trajectories.
    pub from: Option<(usize, usize)>,
}

/// How an episode went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Steps until the goal was reached, at least 1; `None` where it was not.
    pub reached_after: Option<usize>,
    /// Whether the start was inside of the goal.
    pub start_inside: bool,
}

/// How many of `n` starts succeed without a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Floors {
    /// Starts.
    pub n: usize,
    /// Successes of random actions.
    pub random: usize,
    /// Successes of no action.
    pub noop: usize,
    /// Starts inside of the goal.
    pub start_inside: usize,
    /// Successes of the scripted policy without noise.
    pub oracle: usize,
}

/// `count` different starts, drawn from all rows of which the episode has one `offset` steps later, in the order of the rows.
///
/// # Errors
/// Fewer such rows than `count`; an offset of 0.
pub fn draws(trajectories: &Trajectories, offset: usize, count: usize, seed: u64) -> Result<Vec<Draw>> {
    let fail = |what: String| Err(WorldError::Trajectories(what));
    if offset == 0 {
        return fail("the goal is 0 steps after the start; at least 1 is needed".to_owned());
    }
    let rows = |episode: usize| (trajectories.steps(episode) + 1).saturating_sub(offset);
    let total: usize = (0..trajectories.episodes.len()).map(rows).sum();
    if total < count {
        return fail(format!(
            "{total} rows have one {offset} steps later, {count} are asked for; collect more episodes"
        ));
    }
    let mut chosen = Random::new(seed, 0).choose(count, total).into_iter().peekable();
    let mut all = Vec::with_capacity(count);
    let mut before = 0;
    for episode in 0..trajectories.episodes.len() {
        let rows = rows(episode);
        while let Some(row) = chosen.next_if(|number| *number < before + rows) {
            let step = row - before;
            if let (Some(start), Some(goal)) =
                (trajectories.state(episode, step), trajectories.state(episode, step + offset))
            {
                all.push(Draw { start: start.to_vec(), goal: goal.to_vec(), from: Some((episode, step)) });
            }
        }
        before += rows;
    }
    Ok(all)
}

/// `count` starts and goals as the world's episodes begin. With [`crate::TwoRoomOptions::cross_room`] that is the hard test: start and
/// goal anywhere in different rooms.
pub fn fresh_draws(world: &dyn World, count: usize, seed: u64) -> Vec<Draw> {
    let mut world = world.fork();
    let mut draw = |number: usize| {
        world.reset(&mut Random::new(seed, number as u64));
        Draw { start: world.state(), goal: world.goal(), from: None }
    };
    (0..count).map(&mut draw).collect()
}

/// Puts the world to a start, lets `act` act for at most `budget` steps, and ends where the goal is reached.
///
/// # Errors
/// A start or a goal that the world refuses, actions that it refuses, and the errors of `act`.
pub fn run<E: From<WorldError>>(
    world: &mut dyn World,
    draw: &Draw,
    budget: usize,
    mut act: impl FnMut(&mut dyn World) -> Result<Vec<f32>, E>,
) -> Result<Ran, E> {
    world.set_goal(&draw.goal)?;
    world.set_state(&draw.start)?;
    let start_inside = world.reached();
    for step in 1..=budget {
        let action = act(world)?;
        if world.step(&action)? {
            return Ok(Ran { reached_after: Some(step), start_inside });
        }
    }
    Ok(Ran { reached_after: None, start_inside })
}

/// How a policy does from each start, on all cores.
///
/// # Errors
/// As [`run`].
pub fn run_policy(world: &dyn World, draws: &[Draw], budget: usize, policy: Policy, seed: u64) -> Result<Vec<Ran>> {
    let one = |(number, draw): (usize, &Draw)| {
        let (mut world, mut random) = (world.fork(), Random::new(seed, number as u64));
        run(&mut *world, draw, budget, |world| Ok::<_, WorldError>(policy.act(world, &mut random)))
    };
    draws.par_iter().enumerate().map(one).collect()
}

/// The floors of some starts.
///
/// # Errors
/// As [`run`].
pub fn floors(world: &dyn World, draws: &[Draw], budget: usize, seed: u64) -> Result<Floors> {
    let successes = |ran: &[Ran]| ran.iter().filter(|ran| ran.reached_after.is_some()).count();
    let of = |policy: Policy| run_policy(world, draws, budget, policy, seed);
    let noop = of(Policy::Noop)?;
    Ok(Floors {
        n: draws.len(),
        random: successes(&of(Policy::Random)?),
        noop: successes(&noop),
        start_inside: noop.iter().filter(|ran| ran.start_inside).count(),
        oracle: successes(&of(Policy::Oracle)?),
    })
}
