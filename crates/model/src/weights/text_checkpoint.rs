//! Text models of the model hub under the names of their bare classes.

use super::{Remapped, WeightSource, check};
use crate::config::{BertConfig, Gemma3Config, LlamaConfig, Qwen3Config, TensorSpec};
use crate::error::{ModelError, Result};
use serde::Deserialize;

/// Architectures of text models, by `model_type` of their `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextKind {
    /// `bert`: all-MiniLM-L6-v2 and its relatives.
    Bert,
    /// `llama`: the Predictor's layers and the query embedding come from one.
    Llama,
    /// `gemma3_text`: EmbeddingGemma.
    Gemma3,
    /// `qwen3`: Qwen3-Embedding.
    Qwen3,
}

#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
}

fn fail<T>(what: String) -> Result<T> {
    Err(ModelError::Config { config: "text model", what })
}

impl TextKind {
    /// The architecture that a `config.json` names.
    ///
    /// # Errors
    /// [`ModelError::Config`] when it is not JSON or names none of these.
    pub fn of_config(json: &str) -> Result<Self> {
        let kind: Kind = match serde_json::from_str(json) {
            Ok(kind) => kind,
            Err(e) => return fail(format!("not readable: {e}")),
        };
        match kind.model_type.as_deref() {
            Some("bert") => Ok(Self::Bert),
            Some("llama") => Ok(Self::Llama),
            Some("gemma3_text") => Ok(Self::Gemma3),
            Some("qwen3") => Ok(Self::Qwen3),
            Some(other) => {
                fail(format!("`model_type` is \"{other}\", text models that are read: bert, llama, gemma3_text, qwen3"))
            }
            None => fail("there is no `model_type`".into()),
        }
    }

    /// The name of this architecture as a Y-Encoder in our `config.json`; a Llama is none.
    pub fn y_encoder_kind(self) -> Option<&'static str> {
        match self {
            Self::Bert => Some("bert"),
            Self::Gemma3 => Some("gemma3"),
            Self::Qwen3 => Some("qwen3"),
            Self::Llama => None,
        }
    }

    /// The bare class's name of a tensor; `None` for heads and buffers that it does not have.
    pub(super) fn bare_name(self, name: &str) -> Option<String> {
        let unused = ["lm_head.", "pooler.", "cls.", "embeddings.position_ids"];
        let bare = name.strip_prefix(if self == Self::Bert { "bert." } else { "model." }).unwrap_or(name);
        if unused.iter().any(|u| bare.starts_with(u)) || bare.ends_with("rotary_emb.inv_freq") {
            return None;
        }
        Some(if self == Self::Llama { format!("model.{bare}") } else { bare.to_string() })
    }

    /// The tensors that a `config.json` of this architecture asks for, by their bare names.
    ///
    /// # Errors
    /// [`ModelError::Config`] when it is not valid.
    pub fn tensors(self, json: &str) -> Result<Vec<TensorSpec>> {
        match self {
            Self::Bert => Ok(BertConfig::from_json(json)?.tensors()),
            Self::Llama => Ok(LlamaConfig::from_json(json)?.tensors()),
            Self::Gemma3 => Ok(Gemma3Config::from_json(json)?.tensors()),
            Self::Qwen3 => Ok(Qwen3Config::from_json(json)?.tensors()),
        }
    }
}

/// A text model of the hub under the names of its bare class (`BertModel`, `Gemma3TextModel`, `Qwen3Model` without any
/// prefix; Llama with `model.`), without heads. Held against its `config.json`.
///
/// # Errors
/// [`ModelError::Config`]; [`ModelError::WeightMismatch`] when tensors are missing, unexpected or of another shape.
pub fn bare_text<'a>(source: &'a (impl WeightSource + ?Sized), json: &str) -> Result<(Remapped<'a>, TextKind)> {
    let kind = TextKind::of_config(json)?;
    let mut out = Remapped::new();
    for name in source.names() {
        if let (Some(bare), Some(tensor)) = (kind.bare_name(&name), source.tensor(&name)) {
            out.add(bare, tensor)?;
        }
    }
    check(&out, &kind.tensors(json)?, &[])?;
    Ok((out, kind))
}
