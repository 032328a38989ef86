//! Training and evaluation of VL-JEPA: objectives, schedules, optimisers, checkpoints.

mod card;
mod checkpoint;
mod config;
mod corpus;
mod ema;
mod embed;
mod error;
mod eval;
mod feed;
mod linalg;
pub mod metrics;
mod objective;
pub mod optim;
mod random;
mod rules;
mod run;
mod schedule;
mod start;
mod trainer;

pub use checkpoint::{Checkpoints, Loaded, RunState};
pub use config::{
    CheckpointConfig, DataConfig, EmaConfig, EvaluateConfig, GroupConfig, HeadFit, ModelSource, MuonConfig,
    ObjectiveConfig, ObjectiveKind, OptimizerConfig, OptimizerKind, Phase, TextKind, TrainConfig, YHeadConfig,
};
pub use corpus::{Corpus, Draw};
pub use ema::Ema;
pub use embed::{Embedder, at_size, preprocess};
pub use error::{Result, TrainError};
pub use eval::{Cell, Cells, EmojiVendorsOptions, EmojiVendorsReport, Validation, Vendors, emoji_vendors};
pub use feed::{Batch, Feed, Maker};
pub use objective::{Objective, Part, TextBank};
pub use run::{Event, RunOptions, Summary, prepare, run};
pub use schedule::{Schedule, Shape};
pub use start::check;
pub use trainer::{StepReport, Trained, Trainer};
