//! How actions are normalised.

use serde::{Deserialize, Serialize};

use super::set::Trajectories;
use crate::error::{Result, WorldError};

/// Mean and standard deviation of each number of an action, over all rows: models are trained, and plans made, in the space of
/// (action − mean) / std.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionStats {
    /// (action_size).
    pub mean: Vec<f32>,
    /// (action_size), unbiased; 1 for a number that never changes.
    pub std: Vec<f32>,
}

impl Trajectories {
    /// The statistics of all actions.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn action_stats(&self) -> Result<ActionStats> {
        let (size, rows) = (self.action_size, self.total_steps());
        if rows < 2 {
            let what = format!("{rows} actions have no standard deviation; at least two are needed");
            return Err(WorldError::Trajectories(what));
        }
        let column = |at: usize| {
            let actions = self.episodes.iter().flat_map(|episode| episode.actions.chunks_exact(size));
            actions.map(move |action| f64::from(action[at]))
        };
        let of = |at: usize| {
            let mean = column(at).sum::<f64>() / rows as f64;
            let variance = column(at).map(|v| (v - mean).powi(2)).sum::<f64>() / (rows - 1) as f64;
            let std = variance.sqrt() as f32;
            (mean as f32, if std > 0.0 { std } else { 1.0 })
        };
        let (mean, std) = (0..size).map(of).unzip();
        Ok(ActionStats { mean, std })
    }
}

impl ActionStats {
    /// Statistics that change nothing.
    pub fn identity(action_size: usize) -> Self {
        Self { mean: vec![0.0; action_size], std: vec![1.0; action_size] }
    }

    fn apply(&self, actions: &mut [f32], of: impl Fn(f32, f32, f32) -> f32) {
        for action in actions.chunks_mut(self.mean.len().max(1)) {
            for ((value, mean), std) in action.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = of(*value, *mean, *std);
            }
        }
    }

    /// Actions (…, action_size) from the environment's units to mean 0 and standard deviation 1.
    pub fn normalize(&self, actions: &mut [f32]) {
        self.apply(actions, |value, mean, std| (value - mean) / std);
    }

    /// Normalised actions (…, action_size) to the environment's units.
    pub fn restore(&self, actions: &mut [f32]) {
        self.apply(actions, |value, mean, std| value * std + mean);
    }

    /// The environment's range of each number in the normalised space: the bounds of a plan ([`crate::planners::Space::of_actions`]).
    pub fn bounds(&self, range: &[(f32, f32)]) -> Vec<(f32, f32)> {
        let scaled =
            |((low, high), (mean, std)): (&(f32, f32), (&f32, &f32))| ((low - mean) / std, (high - mean) / std);
        range.iter().zip(self.mean.iter().zip(&self.std)).map(scaled).collect()
    }
}
