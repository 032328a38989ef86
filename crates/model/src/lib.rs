//! V-JEPA 2, Llama, Gemma 3, Qwen 3 and BERT, and VL-JEPA assembled from them, on vljepa-tensor.

mod bert;
pub mod config;
mod decoder;
mod error;
mod layers;
mod llama;
mod param;
mod prune;
mod sentence;
mod text;
mod text_encoder;
mod tokenizer;
mod vjepa2;
mod vljepa;
pub mod weights;
mod y_encoder;

pub use bert::Bert;
pub use error::{ModelError, Result, WeightMismatch, WrongShape};
pub use layers::{EmbeddingTable, LayerNorm, Linear, RmsNorm};
pub use llama::LlamaLayers;
pub use param::{Forward, Param, ParamSource, Precision, RandomInit};
pub use prune::prune_wordpiece;
pub use sentence::{SentenceFolder, SentenceWeights};
pub use text::Tokens;
pub use text_encoder::{DecoderEncoder, TextEncoder, checkpoint_prefix};
pub use tokenizer::{CutTexts, Encoded, SpecialTokens, TextTokenizer};
pub use vjepa2::{AttentiveProbe, PatchIds, Prediction, Vjepa2Encoder, Vjepa2Predictor};
pub use vljepa::{Storage, VlJepa};
pub use y_encoder::YEncoder;
