//! Episodes of one world.

use serde_json::Value;

use crate::error::{Result, WorldError};
use crate::world::World;

/// One episode. The action of row t leads from state t to state t + 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// (steps + 1, state_size).
    pub states: Vec<f64>,
    /// (steps, action_size).
    pub actions: Vec<f32>,
    /// The goal that the policy had: (goal_size).
    pub goal: Vec<f64>,
}

/// Episodes of one world and policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectories {
    /// The world's name.
    pub world: String,
    /// The world's options.
    pub options: Value,
    /// Numbers of a state.
    pub state_size: usize,
    /// Numbers of an action.
    pub action_size: usize,
    /// Numbers of a goal.
    pub goal_size: usize,
    /// Who acted: a name of [`crate::Policy`], or one of one's own.
    pub policy: String,
    /// The seed that they were made with.
    pub seed: u64,
    /// The episodes, each of at least one step.
    pub episodes: Vec<Episode>,
}

impl Trajectories {
    /// No episodes yet of a world.
    pub fn new(world: &dyn World, policy: &str, seed: u64) -> Self {
        Self {
            world: world.name().to_owned(),
            options: world.options(),
            state_size: world.state_size(),
            action_size: world.action_size(),
            goal_size: world.goal_size(),
            policy: policy.to_owned(),
            seed,
            episodes: Vec::new(),
        }
    }

    /// Steps of an episode.
    pub fn steps(&self, episode: usize) -> usize {
        self.episodes.get(episode).map_or(0, |e| e.actions.len() / self.action_size.max(1))
    }

    /// Steps of all episodes.
    pub fn total_steps(&self) -> usize {
        (0..self.episodes.len()).map(|i| self.steps(i)).sum()
    }

    /// State `step` of an episode, of 0 to steps; `None` where there is none.
    pub fn state(&self, episode: usize, step: usize) -> Option<&[f64]> {
        let states = &self.episodes.get(episode)?.states;
        states.get(step * self.state_size..(step + 1) * self.state_size)
    }

    /// The `count` actions from `step` on, (count, action_size); `None` where the episode ends before.
    pub fn actions(&self, episode: usize, step: usize, count: usize) -> Option<&[f32]> {
        let actions = &self.episodes.get(episode)?.actions;
        actions.get(step * self.action_size..(step + count) * self.action_size)
    }

    /// Takes the last `count` episodes off, for validation.
    pub fn split_off(&mut self, count: usize) -> Self {
        let at = self.episodes.len().saturating_sub(count);
        let episodes = self.episodes.split_off(at);
        Self {
            episodes,
            options: self.options.clone(),
            world: self.world.clone(),
            policy: self.policy.clone(),
            ..*self
        }
    }

    /// Checks that these are trajectories of this world, and that it can be in each state and take each goal.
    ///
    /// # Errors
    /// Another name, other options or sizes, and states and goals that the world refuses, with their episode.
    pub fn check_world(&self, world: &dyn World) -> Result<()> {
        let fail = |what: String| Err(WorldError::Trajectories(what));
        if self.world != world.name() {
            return fail(format!("they are of the world `{}`, not of `{}`", self.world, world.name()));
        }
        if self.options != world.options() {
            return fail(format!(
                "they are of a {} with the options {}, this one has {}; open the world with theirs",
                self.world,
                self.options,
                world.options()
            ));
        }
        let sizes = [self.state_size, self.action_size, self.goal_size];
        let ours = [world.state_size(), world.action_size(), world.goal_size()];
        if sizes != ours {
            return fail(format!("states, actions and goals have {sizes:?} numbers, those of the world have {ours:?}"));
        }
        let mut world = world.fork();
        for (number, episode) in self.episodes.iter().enumerate() {
            if let Err(error) = world.set_goal(&episode.goal) {
                return fail(format!("episode {number}: {error}"));
            }
            for (row, state) in episode.states.chunks_exact(self.state_size).enumerate() {
                if let Err(error) = world.set_state(state) {
                    return fail(format!("episode {number}, row {row}: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Checks lengths and numbers; what is read from files has passed.
    ///
    /// # Errors
    /// Sizes of 0, an episode without a step, states and actions that do not fit, NaN and infinities.
    pub fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Trajectories(what));
        let (states, actions) = (self.state_size, self.action_size);
        if states == 0 || actions == 0 {
            return fail(format!("states of {states} numbers and actions of {actions}; both have at least one"));
        }
        for (number, episode) in self.episodes.iter().enumerate() {
            let steps = episode.actions.len() / actions;
            if steps == 0 || episode.actions.len() != steps * actions || episode.states.len() != (steps + 1) * states {
                return fail(format!(
                    "episode {number} has {} numbers of states and {} of actions; (T + 1) · {states} and T · {actions} with \
                     T of at least 1 are expected",
                    episode.states.len(),
                    episode.actions.len()
                ));
            }
            if episode.goal.len() != self.goal_size {
                let (found, expected) = (episode.goal.len(), self.goal_size);
                return fail(format!("the goal of episode {number} has {found} numbers, not {expected}"));
            }
            let values = episode.states.iter().chain(&episode.goal).copied();
            if let Some(value) = values.chain(episode.actions.iter().map(|a| f64::from(*a))).find(|v| !v.is_finite()) {
                return fail(format!("episode {number} holds {value}; states, goals and actions must be finite"));
            }
        }
        Ok(())
    }
}
