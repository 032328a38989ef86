//! The crate's one error type.

use std::path::{Path, PathBuf};

/// What went wrong with a task, and where. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {action} failed: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, a noun: "reading", "writing".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file among many could not be read, and the verb can leave such files out.
    #[error("{0}; --skip-broken leaves out what cannot be read")]
    Broken(Box<Error>),
    /// No such file.
    #[error("{path}: no such file or folder", path = .0.display())]
    Missing(PathBuf),
    /// A file has the wrong content.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what is expected.
        reason: String,
    },
    /// A request that cannot be met: what and why.
    #[error("{0}")]
    Invalid(String),
    /// A model could not be read, or its forward pass failed.
    #[error("{origin}: {source}")]
    Model {
        /// The model's folder, or one of its files.
        origin: String,
        /// What is wrong with it.
        source: vljepa_model::ModelError,
    },
    /// Pictures, label lists and data sets.
    #[error(transparent)]
    Data(#[from] vljepa_data::DataError),
    /// The device: none found, a limit, out of memory, lost.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// Training and evaluation.
    #[error(transparent)]
    Train(#[from] vljepa_train::TrainError),
    /// Fetching from a hub.
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// Standard output could not be written.
    #[error("standard output: {0}")]
    Stdout(#[from] std::io::Error),
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| {
            let reads = matches!(action, "reading" | "mapping");
            match source.kind() {
                std::io::ErrorKind::NotFound if reads => Self::Missing(path.to_path_buf()),
                // The system's words are of a missing file, which one being written is before it is there.
                std::io::ErrorKind::NotFound => {
                    Self::content(path, format!("{action} failed: its folder is not there or takes no new files"))
                }
                _ => Self::Io { path: path.to_path_buf(), action, source },
            }
        }
    }

    pub(crate) fn content(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Content { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn model(origin: impl std::fmt::Display) -> impl FnOnce(vljepa_model::ModelError) -> Self {
        let origin = origin.to_string();
        move |source| Self::Model { origin, source }
    }

    /// Whether the reader of our output went away, which is no failure of ours.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
