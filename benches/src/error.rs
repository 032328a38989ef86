//! What stops a bench.

/// Why a bench failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operator or the adapter failed.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// A model could not be built or run.
    #[error(transparent)]
    Model(#[from] vljepa_model::ModelError),
    /// A trainer could not be prepared or stepped.
    #[error(transparent)]
    Train(#[from] vljepa_train::TrainError),
    /// Files could not be embedded.
    #[error(transparent)]
    Embed(#[from] vljepa::Error),
    /// Pictures could not be made.
    #[error(transparent)]
    Data(#[from] vljepa_data::DataError),
    /// A world or a planner refused what it was given.
    #[error(transparent)]
    World(#[from] vljepa_worlds::WorldError),
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
