//! The crate's one error type.

use std::fmt;

/// Everything that can go wrong between a model folder and a model.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A configuration is not JSON of the expected form, or its values do not fit together.
    #[error("{config} config: {what}")]
    Config {
        /// Which configuration, e.g. `vjepa2`.
        config: &'static str,
        /// The key, its value and the rule it breaks.
        what: String,
    },
    /// The tensors of a file are not those of the configuration.
    #[error("weights do not fit the configuration: {0}")]
    WeightMismatch(Box<WeightMismatch>),
    /// A text holds a token that the model has no embedding for.
    #[error(
        "the text holds the token `{token}` (id {id}), the model has a vocabulary of {rows}: leave it out of the text, or give the model its own tokenizer"
    )]
    Token {
        /// The token as text.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding table.
        rows: usize,
    },
    /// A tensor's elements are of a type that cannot be read here.
    #[error("tensor `{name}` holds {found}, expected {expected}")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Element type in the file.
        found: String,
        /// Element types that are accepted.
        expected: &'static str,
    },
    /// A tensor holds NaN or an infinity, or a value that its element type cannot hold.
    #[error("tensor `{name}` holds {value} at element {index}; weights must be finite in the type they are stored in")]
    NonFinite {
        /// Name of the tensor.
        name: String,
        /// Flat index of the first such element.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A file is truncated, corrupt or not safetensors.
    #[error("safetensors {file}: {what}")]
    File {
        /// File name or role, as far as known.
        file: String,
        /// What is wrong, with the tensor or offset concerned.
        what: String,
    },
    /// A PyTorch checkpoint is truncated, corrupt, or holds something that cannot be read.
    #[error("PyTorch checkpoint {file}: {what}")]
    Checkpoint {
        /// File name or role, as far as known.
        file: String,
        /// What is wrong, with the tensor or offset concerned.
        what: String,
    },
    /// Weights could not be written.
    #[error("writing weights failed: {what}")]
    Write {
        /// What the operating system reports.
        what: String,
    },
    /// An operator failed: shapes, limits, memory, the device.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
}

/// Result with [`ModelError`].
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// How the tensors found differ from the tensors expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightMismatch {
    /// Expected, not in the file.
    pub missing: Vec<String>,
    /// In the file, not expected.
    pub unexpected: Vec<String>,
    /// In both, with different shapes.
    pub wrong_shape: Vec<WrongShape>,
}

/// A tensor of another shape than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// Name of the tensor.
    pub name: String,
    /// Shape that the configuration asks for.
    pub expected: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
}

impl WeightMismatch {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for WeightMismatch {
    /// One line; at most six names of a kind, then a count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        let mut first = true;
        let mut part = |f: &mut fmt::Formatter<'_>, kind: &str, items: &[String]| -> fmt::Result {
            if items.is_empty() {
                return Ok(());
            }
            let lead = if std::mem::take(&mut first) { "" } else { "; " };
            write!(f, "{lead}{} {kind}: {}", items.len(), items[..items.len().min(SHOWN)].join(", "))?;
            if items.len() > SHOWN {
                write!(f, ", and {} more", items.len() - SHOWN)?;
            }
            Ok(())
        };
        let shapes: Vec<String> = self
            .wrong_shape
            .iter()
            .map(|w| format!("{} (expected {:?}, found {:?})", w.name, w.expected, w.found))
            .collect();
        part(f, "missing", &self.missing)?;
        part(f, "of the wrong shape", &shapes)?;
        part(f, "unexpected", &self.unexpected)
    }
}
