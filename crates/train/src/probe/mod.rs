//! Probes: classes from the features of a frozen V-JEPA 2, several settings of the optimiser in one run.
//!
//! The features of each clip are read, never computed here. A [`ProbeTrainer`] trains a grid of heads, one for each learning
//! rate and weight decay, which all see the same features in every step (V-JEPA 2, arXiv 2506.09985, §4 and appendix);
//! the one that is best on the validation clips is kept.

mod batch;
mod config;
mod data;
mod head;
mod measure;
mod report;
mod state;
mod trainer;

pub use batch::{Group, ProbeBatch};
pub use config::{ProbeClips, ProbeConfig, ProbeKind, ProbeModel, ProbeRun, ProbeSource};
pub use data::{Example, FeatureSource, InMemory, OnDisk, ProbeData, ProbePart};
pub use report::{Figures, HeadReport, Majority, Measured, ProbeReport, wilson};
pub use trainer::{Picked, ProbeStep, ProbeTrainer};
