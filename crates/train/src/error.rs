//! The crate's one error type.

use std::path::PathBuf;

/// Everything that can stop a training run or an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The training configuration is not readable or its values do not fit together.
    #[error("{path}: {what}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The line or the key, the value and the rule it breaks.
        what: String,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {action} failed: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, a noun: "reading", "writing".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A checkpoint is truncated, corrupt, or of another run.
    #[error("checkpoint {path}: {what}", path = path.display())]
    Checkpoint {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The loss, a weight or a gradient is NaN or infinite. The weights are those of before the step.
    #[error("step {step}: {tensor} is not finite (loss {loss}); checkpoints so far are good: lower the rate or clip")]
    NonFinite {
        /// Step at which it appeared, from 0.
        step: u64,
        /// Which tensor: `weight NAME`, `gradient of NAME`, or `the loss`.
        tensor: String,
        /// The loss of the step.
        loss: f32,
    },
    /// A setting that does not fit the data, the model or the disk; of a run from a file it is a [`TrainError::Config`].
    #[error("{what}")]
    Setting {
        /// Where the configuration has it, such as `data.phases.2.from`.
        key: String,
        /// The value, the rule it breaks and what to do.
        what: String,
    },
    /// A request that cannot be met, such as samples that do not go into one batch.
    #[error("{0}")]
    Invalid(String),
    /// Pictures and texts.
    #[error(transparent)]
    Data(#[from] vljepa_data::DataError),
    /// Model and weights.
    #[error(transparent)]
    Model(#[from] vljepa_model::ModelError),
    /// Operators and the device.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// Environments.
    #[error(transparent)]
    World(#[from] vljepa_worlds::WorldError),
    /// Embedding, and model folders.
    #[error(transparent)]
    Embed(#[from] vljepa_embed::Error),
}

/// Result with [`TrainError`].
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

impl TrainError {
    /// A fault of the setting `key`.
    pub(crate) fn setting(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), what: what.into() }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}
