//! Configurations: the Hugging Face `config.json` of each part, and ours of a whole VL-JEPA.
//!
//! Every configuration lists the tensors that its weights consist of (`tensors`), which is what loading checks a file
//! against and what parameter counts are summed from.

mod bert;
mod decoder;
mod gemma3;
mod llama;
mod qwen3;
mod rope;
mod vjepa2;
mod vljepa;
mod y_encoder;

pub use bert::BertConfig;
pub(crate) use decoder::DecoderSpec;
pub use gemma3::{AttentionKind, Gemma3Config};
pub use llama::LlamaConfig;
pub use qwen3::Qwen3Config;
pub use rope::{Llama3Scaling, Rope};
pub use vjepa2::{ConvStemConfig, PositionGrid, StemNorm, Vjepa2Config};
pub use vljepa::{
    CropStart, LinearConfig, MemoryConfig, Positions, PredictorConfig, Preprocessing, Recall, TemperatureConfig,
    VlJepaConfig,
};
pub use y_encoder::{DenseConfig, EMBEDDING_GEMMA_PROMPTS, Pooling, TextEncoderConfig, YEncoderConfig, YEncoderKind};

use crate::error::{ModelError, Result};
use serde::de::DeserializeOwned;

/// Name and shape of one weight tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of elements. Saturates; validated configurations stay far below.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
    }
}

/// Number of parameters in a list of tensors.
pub fn parameter_count(tensors: &[TensorSpec]) -> u64 {
    tensors.iter().map(TensorSpec::elements).sum()
}

/// The same tensors with `from` at the start of each name replaced by `to`.
pub fn renamed(tensors: Vec<TensorSpec>, from: &str, to: &str) -> Vec<TensorSpec> {
    let rename = |t: TensorSpec| match t.name.strip_prefix(from) {
        Some(rest) => TensorSpec { name: format!("{to}{rest}"), shape: t.shape },
        None => t,
    };
    tensors.into_iter().map(rename).collect()
}

/// Builder for lists of tensors, so that the names read as in the checkpoint.
#[derive(Default)]
struct Specs(Vec<TensorSpec>);

impl Specs {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(TensorSpec { name: name.into(), shape: shape.to_vec() });
    }

    /// `{name}.weight` (output, input), and `{name}.bias` (output).
    fn linear(&mut self, name: &str, input: usize, output: usize, bias: bool) {
        self.add(format!("{name}.weight"), &[output, input]);
        if bias {
            self.add(format!("{name}.bias"), &[output]);
        }
    }

    /// `{name}.weight` and `{name}.bias`, both (width).
    fn layer_norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }
}

/// Parse JSON; the message carries serde's line and column.
fn parse<T: DeserializeOwned>(config: &'static str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| ModelError::Config { config, what: format!("not readable: {e}") })
}

/// Rules shared by the configurations; each names the key in its message.
struct Check(&'static str);

impl Check {
    fn fail<T>(&self, what: String) -> Result<T> {
        Err(ModelError::Config { config: self.0, what })
    }

    /// 1 ≤ value ≤ limit. The limits are far above every published model and keep products of sizes from overflowing.
    fn size(&self, key: &str, value: usize, limit: usize) -> Result<()> {
        if value == 0 || value > limit {
            return self.fail(format!("`{key}` is {value}, must be in 1..={limit}"));
        }
        Ok(())
    }

    fn divides(&self, key: &str, value: usize, whole_key: &str, whole: usize) -> Result<()> {
        if value == 0 || !whole.is_multiple_of(value) {
            return self.fail(format!("`{whole_key}` ({whole}) is not a multiple of `{key}` ({value})"));
        }
        Ok(())
    }

    /// low < value ≤ high, finite.
    fn number(&self, key: &str, value: f64, low: f64, high: f64) -> Result<()> {
        if !(value > low && value <= high) {
            return self.fail(format!("`{key}` is {value}, must be above {low} and at most {high}"));
        }
        Ok(())
    }

    /// The whole model must stay below 2^40 parameters.
    fn parameters(&self, tensors: &[TensorSpec]) -> Result<()> {
        const LIMIT: u64 = 1 << 40;
        let mut total = 0u64;
        for t in tensors {
            total = total.saturating_add(t.elements());
        }
        if total > LIMIT {
            return self.fail(format!("{total} parameters, the limit is {LIMIT}"));
        }
        Ok(())
    }

    /// `model_type`, where it is given, must be ours.
    fn model_type(&self, found: Option<&str>, expected: &str) -> Result<()> {
        match found {
            Some(t) if t != expected => self.fail(format!("`model_type` is \"{t}\", expected \"{expected}\"")),
            _ => Ok(()),
        }
    }

    fn one_of(&self, key: &str, value: &str, accepted: &[&str]) -> Result<()> {
        if !accepted.contains(&value) {
            return self.fail(format!("`{key}` is \"{value}\", supported: {}", accepted.join(", ")));
        }
        Ok(())
    }
}

/// Largest width of anything: hidden sizes, MLPs, embedding dimension.
const MAX_WIDTH: usize = 1 << 17;
/// Largest number of layers.
const MAX_LAYERS: usize = 1 << 10;
/// Largest vocabulary or number of positions.
const MAX_ROWS: usize = 1 << 24;
