//! Trajectories made by a policy.

use rayon::prelude::*;

use super::set::{Episode, Trajectories};
use crate::error::{Result, WorldError};
use crate::policy::Policy;
use crate::random::Random;
use crate::world::World;

/// How trajectories are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collect {
    /// Who acts.
    pub policy: Policy,
    /// Episodes.
    pub episodes: usize,
    /// The most steps of an episode.
    pub max_steps: usize,
    /// Whether an episode ends where its goal is reached.
    pub stop_at_goal: bool,
    /// The seed. An episode is a function of it and of the episode's number.
    pub seed: u64,
}

impl Collect {
    /// Episodes of the data policy, of at most 100 steps, that end at their goals: as the published set of TwoRoom was made.
    pub fn new(episodes: usize, seed: u64) -> Self {
        Self { policy: Policy::Data, episodes, max_steps: 100, stop_at_goal: true, seed }
    }
}

/// Makes trajectories, on all cores; the result does not depend on how many there are.
///
/// # Errors
/// A policy that acts outside of what the world takes; `max_steps` of 0.
pub fn collect(world: &dyn World, options: &Collect) -> Result<Trajectories> {
    if options.max_steps == 0 {
        return Err(WorldError::Trajectories("max_steps is 0; an episode has at least one step".to_owned()));
    }
    let mut all = Trajectories::new(world, options.policy.name(), options.seed);
    all.episodes = (0..options.episodes as u64)
        .into_par_iter()
        .map(|number| episode(world, options, number))
        .collect::<Result<_>>()?;
    Ok(all)
}

fn episode(world: &dyn World, options: &Collect, number: u64) -> Result<Episode> {
    let mut world = world.fork();
    let mut random = Random::new(options.seed, number);
    world.reset(&mut random);
    let mut episode = Episode { states: world.state(), goal: world.goal(), actions: Vec::new() };
    for _ in 0..options.max_steps {
        let action = options.policy.act(&mut *world, &mut random);
        let reached = world.step(&action)?;
        episode.actions.extend(action);
        episode.states.extend(world.state());
        if reached && options.stop_at_goal {
            break;
        }
    }
    Ok(episode)
}
