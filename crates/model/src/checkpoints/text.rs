//! Text models of the hub under the names of their bare classes.

use serde_json::Value;

use crate::architectures::{TextKind, YEncoderKind};
use crate::error::{ModelError, Result};
use crate::formats::{Remapped, WeightSource, check};
use crate::llama::LlamaConfig;
use crate::spec::TensorSpec;

fn fail<T>(what: String) -> Result<T> {
    Err(ModelError::Config { config: "text model", what })
}

/// `model_type` of the Llamas that are read.
const LLAMA: &str = "llama";

impl TextKind {
    /// The architecture that a `config.json` names.
    ///
    /// # Errors
    /// [`ModelError::Config`] when it names none of these.
    pub fn of_config(json: &Value) -> Result<Self> {
        match json["model_type"].as_str() {
            Some(LLAMA) => Ok(Self::Llama),
            Some(found) => match YEncoderKind::of_model_type(found) {
                Some(kind) => Ok(kind.into()),
                None => {
                    let known = Self::model_types().collect::<Vec<_>>().join(", ");
                    fail(format!("`model_type` is \"{found}\", text models that are read: {known}"))
                }
            },
            None => fail("there is no `model_type`".into()),
        }
    }

    /// Every `model_type` of the text models that are read.
    pub fn model_types() -> impl Iterator<Item = &'static str> {
        std::iter::once(LLAMA).chain(YEncoderKind::model_types())
    }

    /// The name that people know the architecture by.
    pub fn title(self) -> &'static str {
        self.y_encoder().map_or("Llama", YEncoderKind::title)
    }

    /// The bare class's name of a tensor; `None` for heads and buffers that it does not have.
    pub(super) fn bare_name(self, name: &str) -> Option<String> {
        let kind = self.y_encoder();
        let bare = name.strip_prefix(kind.map_or("model.", YEncoderKind::prefix)).unwrap_or(name);
        let ignored = kind.map_or(&["lm_head."] as &[_], YEncoderKind::ignored);
        if ignored.iter().any(|start| bare.starts_with(start)) || bare.ends_with("rotary_emb.inv_freq") {
            return None;
        }
        if kind == Some(YEncoderKind::Bert)
            && let Some(current) = current_norm(bare)
        {
            return Some(current);
        }
        Some(if kind.is_none() { format!("model.{bare}") } else { bare.to_string() })
    }

    /// The tensors that a `config.json` of this architecture asks for, by their bare names.
    ///
    /// # Errors
    /// [`ModelError::Config`] when it is not valid.
    pub fn tensors(self, json: &Value) -> Result<Vec<TensorSpec>> {
        match self.y_encoder() {
            None => Ok(LlamaConfig::from_value(json)?.tensors()),
            Some(kind) => Ok(kind.read(json)?.tensors()),
        }
    }
}

/// The name that the weights of a norm have today; older files of BERT have TensorFlow's `gamma` and `beta`.
pub(super) fn current_norm(name: &str) -> Option<String> {
    let norm = |suffix: &str| name.strip_suffix(suffix).filter(|norm| norm.ends_with("LayerNorm"));
    match (norm(".gamma"), norm(".beta")) {
        (Some(norm), _) => Some(format!("{norm}.weight")),
        (_, Some(norm)) => Some(format!("{norm}.bias")),
        _ => None,
    }
}

/// The name that the weights of a norm have in older files of BERT.
pub(super) fn older_norm(name: &str) -> Option<String> {
    let norm = |suffix: &str| name.strip_suffix(suffix).filter(|norm| norm.ends_with("LayerNorm"));
    match (norm(".weight"), norm(".bias")) {
        (Some(norm), _) => Some(format!("{norm}.gamma")),
        (_, Some(norm)) => Some(format!("{norm}.beta")),
        _ => None,
    }
}

/// A text model of the hub under the names of its bare class (`BertModel`, `Gemma3TextModel`, `Qwen3Model` without any
/// prefix; Llama with `model.`), without heads. Checked against `tensors`, those of its configuration.
///
/// # Errors
/// [`ModelError::WeightMismatch`] when tensors are missing, unexpected or of another shape.
pub fn bare_text<'a>(
    source: &'a (impl WeightSource + ?Sized),
    kind: TextKind,
    tensors: &[TensorSpec],
) -> Result<Remapped<'a>> {
    let mut out = Remapped::new();
    for name in source.names() {
        if let (Some(bare), Some(tensor)) = (kind.bare_name(&name), source.tensor(&name)) {
            out.add(bare, tensor)?;
        }
    }
    check(&out, tensors, &[])?;
    Ok(out)
}
