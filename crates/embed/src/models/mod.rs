//! Models loaded onto a device: VL-JEPA, V-JEPA 2, text encoders.

mod embedder;
mod foresight;
mod text;
mod tokens;
mod vision;
mod vljepa;

pub use embedder::Embedder;
pub use foresight::{Foresight, Surprise};
pub use text::{TextModel, TextPool};
pub use tokens::VisionTokens;
pub use vision::{ClassScore, Classified, PooledVision, VisionModel, VisionPool};
pub use vljepa::{Model, WithQuery, Written};
