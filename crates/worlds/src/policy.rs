//! Policies that need no model.

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::world::World;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// The scripted policy with the world's noise, which trajectories for training are made with.
    Data,
    /// The scripted policy without noise.
    Oracle,
    /// Each number of an action uniform in its range.
    Random,
    /// Actions of zeros, or of what is nearest to 0 in the range.
    Noop,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 4] = [Self::Data, Self::Oracle, Self::Random, Self::Noop];

    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Oracle => "oracle",
            Self::Random => "random",
            Self::Noop => "noop",
        }
    }

    /// The next action in a world: (action_size), inside of the range.
    pub fn act(self, world: &mut dyn World, random: &mut Random) -> Vec<f32> {
        match self {
            Self::Data => world.data_action(random),
            Self::Oracle => world.expert(random),
            Self::Random => {
                let draw = |(low, high): &(f32, f32)| random.between(f64::from(*low), f64::from(*high)) as f32;
                world.action_range().iter().map(draw).collect()
            }
            Self::Noop => world.action_range().iter().map(|(low, high)| 0.0f32.clamp(*low, *high)).collect(),
        }
    }
}
