//! Why the program fails before it finds anything.

/// A failure in words.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Usage(#[from] lexopt::Error),
    #[error("{0}")]
    Other(String),
}

pub type Result<T = ()> = std::result::Result<T, Failure>;

/// For errors of the libraries while a target is prepared.
pub fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}
