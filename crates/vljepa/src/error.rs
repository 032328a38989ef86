//! The crate's one error type, and what a caller may change after one.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::hub::HubError;
use crate::kind::Kind;

/// What went wrong with a task, and where. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Model folders, files, pictures, texts and rows; the device.
    #[error(transparent)]
    Embed(#[from] vljepa_embed::Error),
    /// Training and evaluation.
    #[error(transparent)]
    Train(#[from] vljepa_train::TrainError),
    /// Fetching from a hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Standard output could not be written.
    #[error("standard output: {0}")]
    Stdout(#[from] std::io::Error),
    /// An error with what a caller may change to get further.
    #[error("{error}; {hint}")]
    Hinted {
        /// The error.
        error: Box<Error>,
        /// What may help.
        hint: Hint,
    },
}

/// What a caller may change to get further. `Display` says it in words of this library; a program can say it in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// The program carries no model.
    NameModel,
    /// An index must be built again.
    RebuildIndex,
    /// The file is no index.
    NameIndex,
    /// An index goes with the model that built it.
    ModelOfIndex,
    /// The checkpoint is read by another kind of conversion.
    ConvertAs(Kind),
    /// What is to be converted is a model folder already.
    UseAsModel,
    /// The checkpoint's configuration is not beside it.
    GiveConfig {
        /// Whether it may be one of the authors of V-JEPA 2, which needs none.
        or_authors: bool,
    },
    /// Which entry of the checkpoint has an encoder.
    Entry(&'static str),
    /// The folder of a Llama is needed.
    NameLlama,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameModel => f.write_str("name a model's folder"),
            Self::RebuildIndex => f.write_str("build it again"),
            Self::NameIndex => f.write_str("name a file that was built as one"),
            Self::ModelOfIndex => f.write_str("open it with that model, or build it again"),
            Self::ConvertAs(kind) => write!(f, "convert it as {kind}"),
            Self::UseAsModel => f.write_str("open the folder as it is"),
            Self::GiveConfig { or_authors: false } => f.write_str("name its configuration file"),
            Self::GiveConfig { or_authors: true } => {
                write!(
                    f,
                    "name its configuration file, or convert it as {} if its authors published it",
                    Kind::Vjepa2Pt
                )
            }
            Self::Entry(name) => {
                write!(f, "take the entry {name}, or convert a file of the model hub as {}", Kind::Vjepa2)
            }
            Self::NameLlama => f.write_str("name the Llama's folder"),
        }
    }
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<vljepa_data::DataError> for Error {
    fn from(error: vljepa_data::DataError) -> Self {
        Self::Embed(error.into())
    }
}

impl From<vljepa_tensor::Error> for Error {
    fn from(error: vljepa_tensor::Error) -> Self {
        Self::Embed(error.into())
    }
}

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let failed = vljepa_embed::Error::io(path, action);
        move |source| failed(source).into()
    }

    pub(crate) fn content(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        vljepa_embed::Error::content(path, reason).into()
    }

    pub(crate) fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        vljepa_embed::Error::argument(name, reason).into()
    }

    pub(crate) fn model(origin: impl fmt::Display) -> impl FnOnce(vljepa_model::ModelError) -> Self {
        let failed = vljepa_embed::Error::model(origin);
        move |source| failed(source).into()
    }

    /// This error with what may help.
    #[must_use]
    pub fn hint(self, hint: Hint) -> Self {
        Self::Hinted { error: Box::new(self), hint }
    }

    /// Whether the reader of our output went away, which is no failure of ours.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
