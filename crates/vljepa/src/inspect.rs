//! What a checkpoint, a model folder or an index holds.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use vljepa_model::weights::{Dtype, PtValue, SCALE_SUFFIX, WeightSource};

use crate::error::{Error, Result};
use vljepa_embed::checkpoint::{Checkpoint, Source};
use vljepa_embed::names;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Element type, as safetensors calls it.
    pub dtype: &'static str,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Bytes of its elements.
    pub bytes: u64,
}

/// What a file or folder holds.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file or folder.
    pub path: String,
    /// `safetensors`, `safetensors shards`, `PyTorch checkpoint`, `model folder`, `index of pictures`.
    pub kind: &'static str,
    /// Bytes on disk of the weights.
    pub bytes: u64,
    /// Elements of floating-point tensors and of int8 matrices with scales, without the scales; an index has none.
    pub parameters: u64,
    /// Every tensor, by name.
    pub tensors: Vec<TensorInfo>,
    /// What the file says beside tensors: the header's strings, a checkpoint's numbers and texts.
    pub metadata: BTreeMap<String, Value>,
    /// The folder's `config.json`.
    pub config: Option<Value>,
    /// What cannot be read, by name, and what Python would make of it. Nothing of a checkpoint is ever executed.
    pub unreadable: BTreeMap<String, String>,
}

impl Inspection {
    /// Reads the headers of a file with weights, an index of shards, a folder with either, or an index of pictures.
    ///
    /// # Errors
    /// Missing, empty, truncated or damaged files, and files of another kind.
    pub fn of(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let source = checkpoint.source()?;
        let text = |v: &str| Value::String(v.to_owned());
        let (mut kind, metadata, unreadable) = match &source {
            Source::SafeTensors(s) => {
                let kind = if s.metadata().contains_key("vljepa_index") { "index of pictures" } else { "safetensors" };
                (kind, s.metadata().iter().map(|(k, v)| (k.clone(), text(v))).collect(), BTreeMap::new())
            }
            Source::Shards(_) => ("safetensors shards", BTreeMap::new(), BTreeMap::new()),
            Source::Pt(s) => {
                let values = s.values().iter().map(|(k, v)| (k.clone(), value(v))).collect();
                ("PyTorch checkpoint", values, s.opaque().clone())
            }
        };
        let mut config = None;
        if path.is_dir() {
            let file = checkpoint.beside(names::CONFIG);
            let parse = |text: String| {
                serde_json::from_str(&text)
                    .map_err(|e| Error::content(&file, format!("is not JSON: {e}; get the file again")))
            };
            config = checkpoint.config()?.map(parse).transpose()?;
            kind = "model folder";
        }
        let names = source.names();
        let mut tensors = Vec::with_capacity(names.len());
        let mut parameters = 0;
        for name in &names {
            let Some(t) = source.tensor(name) else { continue };
            let counted = match t.dtype {
                Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 | Dtype::F8E4M3 | Dtype::F8E5M2 => {
                    let scaled = name.strip_suffix(SCALE_SUFFIX).and_then(|base| source.tensor(base));
                    scaled.is_none_or(|base| base.dtype != Dtype::I8)
                }
                Dtype::I8 => source.tensor(&format!("{name}{SCALE_SUFFIX}")).is_some(),
                _ => false,
            };
            if counted && kind != "index of pictures" {
                parameters += (t.bytes.len() / t.dtype.size()) as u64;
            }
            tensors.push(TensorInfo {
                name: name.to_string(),
                dtype: t.dtype.name(),
                shape: t.shape.to_vec(),
                bytes: t.bytes.len() as u64,
            });
        }
        let path = path.display().to_string();
        Ok(Self { path, kind, bytes: checkpoint.bytes(), parameters, tensors, metadata, config, unreadable })
    }
}

fn value(value: &PtValue) -> Value {
    match value {
        PtValue::Bool(b) => (*b).into(),
        PtValue::Int(n) => (*n).into(),
        // JSON has no NaN and no infinities.
        PtValue::Float(x) if x.is_finite() => (*x).into(),
        PtValue::Float(x) => x.to_string().into(),
        PtValue::Text(text) => text.as_str().into(),
        _ => Value::Null,
    }
}
