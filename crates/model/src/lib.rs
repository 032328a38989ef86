//! V-JEPA 2, BERT and Llama blocks, and VL-JEPA assembled from them, on vljepa-tensor.

pub mod config;
mod error;
pub mod weights;

pub use error::{ModelError, Result, WeightMismatch, WrongShape};
