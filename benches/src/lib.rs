//! What the benches share: named shapes, the measured roofline of the adapter, and a harness that turns times into rates.
//!
//! A bench file is a list of cases; see `benches/matmul.rs`. Under `cargo test` every case runs once at a small size.

pub mod harness;
pub mod models;
pub mod report;
pub mod roofline;
pub mod shapes;
pub mod timing;

pub use harness::{Case, Harness};
pub use report::Work;

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
