//! What stops a bench.

/// Whatever stops a bench.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operator or the adapter failed.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// A model could not be built or run.
    #[error(transparent)]
    Model(#[from] vljepa_model::ModelError),
    /// The numbers could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Result of benches.
pub type Result<T> = std::result::Result<T, Error>;
