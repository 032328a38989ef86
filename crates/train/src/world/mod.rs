//! World models: a LeWM that learns from episodes in an environment what actions lead to.

mod config;
mod data;
mod report;
mod trainer;

pub use config::{WorldEpisodes, WorldEvaluate, WorldModel, WorldObjective, WorldRun};
pub use data::{WorldBatch, WorldData, normalise_picture, picture};
pub use report::{WorldFigures, WorldMeasured};
pub use trainer::{WorldLoss, WorldStep, WorldTrainer};
