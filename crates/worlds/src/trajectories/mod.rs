//! What happened in episodes: states, actions, goals. Pictures are not kept, since they are a function of states.

mod collect;
mod file;
mod set;
mod stats;
mod windows;

pub use collect::{Collect, collect};
pub use file::{read_shards, shard_names};
pub use set::{Episode, Trajectories};
pub use stats::ActionStats;
pub use windows::Window;
