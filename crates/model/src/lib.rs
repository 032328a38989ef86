//! V-JEPA 2, BERT and Llama blocks, and VL-JEPA assembled from them, on vljepa-tensor.

mod bert;
pub mod config;
mod error;
mod layers;
mod llama;
mod param;
mod prune;
mod text;
mod vjepa2;
mod vljepa;
pub mod weights;

pub use bert::Bert;
pub use error::{ModelError, Result, WeightMismatch, WrongShape};
pub use layers::{LayerNorm, Linear, RmsNorm};
pub use llama::LlamaLayers;
pub use param::{Forward, Param, ParamSource, RandomInit};
pub use prune::prune_wordpiece;
pub use text::{TextTokenizer, Tokens};
pub use vjepa2::{AttentiveProbe, PatchIds, Prediction, Vjepa2Encoder, Vjepa2Predictor};
pub use vljepa::{Storage, VlJepa};
