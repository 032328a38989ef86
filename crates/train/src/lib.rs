//! Training and evaluation of VL-JEPA: objectives, schedules, optimisers, checkpoints.
//!
//! A run is one configuration file and one call, [`run()`]. For a loop of one's own, or data of one's own: a
//! [`data::Source`] (such as [`sources::Samples`]), a [`Trainer`], a [`feed::Maker`].

mod card;
pub mod checkpoint;
pub mod cider;
pub mod config;
pub mod data;
mod ema;
mod error;
pub mod feed;
mod interval;
mod linalg;
pub mod metrics;
pub mod objective;
pub mod optim;
mod places;
pub mod probe;
pub mod random;
pub mod regularize;
pub mod run;
mod schedule;
pub mod sources;
pub mod spread;
mod start;
mod text_bank;
pub mod trainer;
pub mod world;

pub use config::TrainConfig;
pub use error::{Result, TrainError};
pub use run::{Estimate, Event, RunOptions, Summary, prepare, run};
pub use start::check;
pub use trainer::{StepReport, Trainer};
