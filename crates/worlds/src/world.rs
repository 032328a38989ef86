//! The seam between worlds and what is done in them.

use crate::error::{Result, WorldError};
use crate::random::Random;

/// The largest side of a picture, in pixels.
pub const MAX_SIDE: usize = 4096;

/// An environment: a state, a goal, and what an action does. Deterministic: all chance comes from the [`Random`] that a call is
/// given. A picture is a function of a state (and of the world's options), so that states alone are worth keeping.
///
/// A goal is a state to be in; which of its numbers count is the world's rule ([`World::reached`]). Worlds with several rules append
/// numbers that say which one, and take a bare state as well.
pub trait World: Send + Sync {
    /// The name by which [`crate::world_by_name`] finds it: "two-room".
    fn name(&self) -> &'static str;

    /// The options, as the world's options struct is read from JSON. Worlds with the same name and options draw the same pictures
    /// and move alike.
    fn options(&self) -> serde_json::Value;

    /// Least and greatest value of each number of an action, in the environment's units. [`World::step`] clamps to them.
    fn action_range(&self) -> &[(f32, f32)];

    /// Numbers of an action.
    fn action_size(&self) -> usize {
        self.action_range().len()
    }

    /// What each number of a state is, with its unit where it has one: "agent x (px)".
    fn state_names(&self) -> &[&'static str];

    /// Numbers of a state.
    fn state_size(&self) -> usize {
        self.state_names().len()
    }

    /// Numbers of a goal: those of a state, and where the world has several rules, some more.
    fn goal_size(&self) -> usize {
        self.state_size()
    }

    /// The state: (state_size).
    fn state(&self) -> Vec<f64>;

    /// Puts the world into a state.
    ///
    /// # Errors
    /// A wrong length, NaN or an infinity, and a state in which the world cannot be, such as inside of a wall. The state is then
    /// as before.
    fn set_state(&mut self, state: &[f64]) -> Result<()>;

    /// The goal: (goal_size), of which the first (state_size) are a state.
    fn goal(&self) -> Vec<f64>;

    /// Sets the goal: (goal_size), or a state alone.
    ///
    /// # Errors
    /// As [`World::set_state`].
    fn set_goal(&mut self, goal: &[f64]) -> Result<()>;

    /// Draws a start and a goal as the world's episodes begin.
    fn reset(&mut self, random: &mut Random);

    /// One step with an action of (action_size) numbers in the environment's units; whether the goal is reached after it. What is
    /// outside of [`World::action_range`] is clamped.
    ///
    /// # Errors
    /// A wrong length, NaN or an infinity. The state is then as before.
    fn step(&mut self, action: &[f32]) -> Result<bool>;

    /// Whether the state meets the goal.
    fn reached(&self) -> bool;

    /// The next action of the scripted policy toward the goal, without noise: (action_size), inside of the range.
    fn expert(&mut self, random: &mut Random) -> Vec<f32>;

    /// Standard deviation of the normal noise that the data policy adds to each number of the expert's action.
    fn data_noise(&self) -> f32;

    /// The next action of the policy that trajectories for training are made with: the expert's with noise, clamped.
    fn data_action(&mut self, random: &mut Random) -> Vec<f32> {
        let (action, noise) = (self.expert(random), self.data_noise());
        let mut noisy = |value: f32, (low, high): (f32, f32)| (value + noise * random.normal() as f32).clamp(low, high);
        let range = self.action_range().to_vec();
        action.into_iter().zip(range).map(|(value, range)| noisy(value, range)).collect()
    }

    /// The goal in words, where the world has words for it.
    fn instruction(&self) -> Option<String> {
        None
    }

    /// Draws the picture of a state into `rgb`: (side, side, 3), row by row, 8 bits.
    ///
    /// # Errors
    /// As [`World::set_state`]; a buffer that has not 3 · side² bytes; a side of 0 or above [`MAX_SIDE`].
    fn draw(&self, state: &[f64], side: usize, rgb: &mut [u8]) -> Result<()>;

    /// The picture of the state as it is. See [`World::draw`].
    ///
    /// # Errors
    /// As [`World::draw`].
    fn render(&self, side: usize, rgb: &mut [u8]) -> Result<()> {
        self.draw(&self.state(), side, rgb)
    }

    /// The picture of the goal: the world as it looks where the goal is reached. See [`World::draw`].
    ///
    /// # Errors
    /// As [`World::draw`].
    fn render_goal(&self, side: usize, rgb: &mut [u8]) -> Result<()> {
        let goal = self.goal();
        self.draw(goal.get(..self.state_size()).unwrap_or(&goal), side, rgb)
    }

    /// A copy with the same options, state and goal.
    fn fork(&self) -> Box<dyn World>;
}

/// The clamped action, checked.
///
/// # Errors
/// A wrong length, NaN or an infinity.
pub fn check_action(origin: &'static str, range: &[(f32, f32)], action: &[f32]) -> Result<Vec<f32>> {
    if action.len() != range.len() {
        let (expected, found) = (range.len(), action.len());
        return Err(WorldError::Length { origin, what: "an action".to_owned(), expected, found });
    }
    if let Some((index, value)) = action.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(WorldError::NotFinite { origin, what: "an action".to_owned(), index, value: f64::from(*value) });
    }
    Ok(action.iter().zip(range).map(|(value, (low, high))| value.clamp(*low, *high)).collect())
}

/// Checks the length of a state or a goal and that its numbers are finite. `what` is "a state" or "a goal".
///
/// # Errors
/// A wrong length, NaN or an infinity.
pub fn check_finite(origin: &'static str, what: &str, expected: usize, values: &[f64]) -> Result<()> {
    if values.len() != expected {
        return Err(WorldError::Length { origin, what: what.to_owned(), expected, found: values.len() });
    }
    match values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        Some((index, value)) => Err(WorldError::NotFinite { origin, what: what.to_owned(), index, value: *value }),
        None => Ok(()),
    }
}

/// Checks the side of a picture and the length of its buffer.
///
/// # Errors
/// A side of 0 or above [`MAX_SIDE`], another length than 3 · side².
pub fn check_picture(origin: &'static str, side: usize, rgb: &[u8]) -> Result<()> {
    if !(1..=MAX_SIDE).contains(&side) {
        let what = format!("a picture has a side of {side} pixels; 1 to {MAX_SIDE} are possible");
        return Err(WorldError::Options { origin, what });
    }
    if rgb.len() != 3 * side * side {
        let what = format!("the buffer of a picture of {side} x {side}");
        return Err(WorldError::Length { origin, what, expected: 3 * side * side, found: rgb.len() });
    }
    Ok(())
}
