//! The content of a checkpoint, a model folder or an index: tensors, metadata, configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use vljepa_embed::checkpoint::{Checkpoint, Source};
use vljepa_embed::names;
use vljepa_model::weights::{Dtype, PtValue, SCALE_SUFFIX, WeightSource};

use crate::error::{Error, Result};
use crate::index::FORMAT_KEY;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Element type, in the notation of safetensors.
    pub dtype: &'static str,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Size of the elements in bytes.
    pub bytes: u64,
}

/// The content of a file or folder.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file or folder.
    pub path: String,
    /// `safetensors`, `safetensors shards`, `PyTorch checkpoint`, `model folder`, `index of pictures`.
    pub kind: &'static str,
    /// Size of the weight files in bytes.
    pub bytes: u64,
    /// Number of elements of floating-point tensors and of int8 matrices with scales, not counting the scales; 0 for an
    /// index.
    pub parameters: u64,
    /// Every tensor, by name.
    pub tensors: Vec<TensorInfo>,
    /// Metadata: the strings of a safetensors header, or the numbers and texts in a PyTorch checkpoint.
    pub metadata: BTreeMap<String, Value>,
    /// The `config.json` of a folder.
    pub config: Option<Value>,
    /// Entries of a PyTorch checkpoint that cannot be read: name, and the Python class or function that would make the
    /// value. No code of a checkpoint is executed.
    pub unreadable: BTreeMap<String, String>,
}

impl Inspection {
    /// Reads the headers of a file with weights, an index of shards, a folder with one of them, or an index of
    /// pictures.
    ///
    /// # Errors
    /// Missing, empty, truncated or damaged files, and files of another kind.
    pub fn of(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open_headers(path)?;
        let source = checkpoint.source()?;
        let text = |v: &str| Value::String(v.to_owned());
        let (mut kind, metadata, unreadable) = match &source {
            Source::SafeTensors(s) => {
                let kind = if s.metadata().contains_key(FORMAT_KEY) { "index of pictures" } else { "safetensors" };
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
            let Some((dtype, shape)) = source.form(name) else { continue };
            let elements = shape.iter().product::<usize>();
            let counted = match dtype {
                Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 | Dtype::F8E4M3 | Dtype::F8E5M2 => {
                    let scaled = name.strip_suffix(SCALE_SUFFIX).and_then(|base| source.form(base));
                    scaled.is_none_or(|(base, _)| base != Dtype::I8)
                }
                Dtype::I8 => source.form(&format!("{name}{SCALE_SUFFIX}")).is_some(),
                _ => false,
            };
            if counted && kind != "index of pictures" {
                parameters += elements as u64;
            }
            tensors.push(TensorInfo {
                name: name.to_string(),
                dtype: dtype.name(),
                shape: shape.to_vec(),
                bytes: (elements * dtype.size()) as u64,
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
