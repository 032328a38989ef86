//! What can go wrong with a call, and with the server.

use std::path::{Path, PathBuf};

use vljepa_embed::Error as Embed;
use vljepa_model::ModelError;
use vljepa_tensor::Error as Tensor;

use crate::allowed::NotAllowed;
use crate::error::Error;

/// A failure of a tool or of the server. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// A failure of a task: with a file, the model or the device.
    #[error(transparent)]
    Task(#[from] Error),
    /// A path that may not be read, or leads to nothing.
    #[error("{why}; {}", these(.allowed))]
    NotAllowed {
        /// What is wrong with it.
        why: NotAllowed,
        /// The folders that may be read.
        allowed: Vec<PathBuf>,
    },
    /// The server was started without a model that foretells.
    #[error("surprise needs a V-JEPA 2 with its masked predictor, and the server was started without one")]
    NoForesight,
    /// The client does not want the answer any more.
    #[error("the call was cancelled")]
    Cancelled,
    /// As many calls wait as may.
    #[error("{0} calls wait already; ask again later")]
    Busy(usize),
    /// The server is about to end.
    #[error("the server is ending")]
    Ending,
    /// A bug in this program, which has ended a call.
    #[error("internal error: {0}; please report it with the call that shows it")]
    Internal(String),
    /// A port that cannot be listened on.
    #[error("port {port} of 127.0.0.1: {source}; choose another one")]
    Port {
        /// The port.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection, or what runs it, has failed.
    #[error("the connection failed: {0}")]
    Connection(String),
}

/// Result with [`McpError`].
pub type Result<T, E = McpError> = std::result::Result<T, E>;

impl From<vljepa_embed::Error> for McpError {
    fn from(error: vljepa_embed::Error) -> Self {
        Self::Task(error.into())
    }
}

impl From<vljepa_data::DataError> for McpError {
    fn from(error: vljepa_data::DataError) -> Self {
        Self::Task(error.into())
    }
}

impl McpError {
    /// Makes the error of a file with content that cannot be used.
    pub(super) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Error::content(path, reason).into()
    }

    /// Whether what is on the device may be lost, so that opening it anew may help.
    pub(super) fn is_of_device(&self) -> bool {
        let error = match self {
            // What a panic has left is not known.
            Self::Internal(_) => return true,
            Self::Task(Error::Embed(Embed::Tensor(error) | Embed::Model { source: ModelError::Tensor(error), .. })) => {
                error
            }
            _ => return false,
        };
        matches!(error, Tensor::DeviceLost(_) | Tensor::OutOfMemory { .. } | Tensor::Gpu { .. })
    }
}

/// Which folders may be read.
pub(super) fn these(allowed: &[PathBuf]) -> String {
    let names: Vec<String> = allowed.iter().map(|folder| folder.display().to_string()).collect();
    if names.is_empty() { "none is allowed".into() } else { format!("allowed: {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_lost_device_is_opened_anew() {
        let lost = || Tensor::DeviceLost("gone".into());
        let model = |source| McpError::from(Embed::Model { origin: "model".into(), source });
        assert!(
            McpError::from(Embed::Tensor(lost())).is_of_device() && model(ModelError::Tensor(lost())).is_of_device()
        );
        assert!(McpError::Internal("a bug".into()).is_of_device());
        let shape = Tensor::Shape { op: "matmul", what: "2 by 3".into() };
        assert!(!model(ModelError::Tensor(shape)).is_of_device() && !McpError::Cancelled.is_of_device());
        assert!(!model(ModelError::Write { what: "full".into() }).is_of_device());
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        let refused =
            |allowed: Vec<PathBuf>| McpError::NotAllowed { why: NotAllowed::Missing("a.mp4".into()), allowed };
        assert_eq!(
            refused(vec!["/x".into(), "/y".into()]).to_string(),
            "a.mp4: no such file or folder; allowed: /x, /y"
        );
        assert!(refused(Vec::new()).to_string().ends_with("; none is allowed"));
    }
}
