//! The crate's error type, and hints that tell a caller what to change.

use std::fmt;
use std::path::{Path, PathBuf};

use vljepa_worlds::planners::PlanError;

use crate::hub::HubError;
use crate::kind::Kind;

/// A failure of a task. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A failure with a model folder, a file, a picture, a text, rows, or the device.
    #[error(transparent)]
    Embed(#[from] vljepa_embed::Error),
    /// A failure of training or evaluation.
    #[error(transparent)]
    Train(#[from] vljepa_train::TrainError),
    /// A failure of an environment or a planner.
    #[error(transparent)]
    World(#[from] vljepa_worlds::WorldError),
    /// A failure to fetch from a hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// An error together with a hint.
    #[error("{error}; {hint}")]
    Hinted {
        /// The error.
        error: Box<Error>,
        /// What the caller can change.
        hint: Hint,
    },
}

/// What a caller can change after an error. `Display` gives the advice in terms of this library; a program can word it
/// for its own users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Name a model folder: this build has no built-in model.
    NameModel,
    /// Build the index again.
    RebuildIndex,
    /// Name an index: the file is something else.
    NameIndex,
    /// Use the model that the index was built with.
    ModelOfIndex,
    /// Use another kind of conversion.
    ConvertAs(Kind),
    /// Use the folder as a model: it needs no conversion.
    UseAsModel,
    /// Name the configuration of the checkpoint: its folder has none.
    GiveConfig {
        /// Whether the checkpoint may be one published by the authors of V-JEPA 2, which needs no configuration.
        or_authors: bool,
    },
    /// Name this entry of the checkpoint, which has an encoder.
    Entry(&'static str),
    /// Name the folder of a Llama.
    NameLlama,
    /// Make the guide of the world model anew.
    MakeGuide,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameModel => f.write_str("name a model's folder"),
            Self::RebuildIndex => f.write_str("build it again"),
            Self::NameIndex => f.write_str("name a file that was built as an index"),
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
            Self::MakeGuide => f.write_str("make it anew from episodes"),
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

impl From<PlanError<Error>> for Error {
    fn from(error: PlanError<Error>) -> Self {
        match error {
            PlanError::Problem(error) => error.into(),
            PlanError::Cost(error) => error,
        }
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

    /// A request that cannot be met.
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        vljepa_embed::Error::Invalid(what.into()).into()
    }

    pub(crate) fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        vljepa_embed::Error::argument(name, reason).into()
    }

    pub(crate) fn model(origin: impl fmt::Display) -> impl FnOnce(vljepa_model::ModelError) -> Self {
        let failed = vljepa_embed::Error::model(origin);
        move |source| failed(source).into()
    }

    /// Adds a hint to this error.
    #[must_use]
    pub fn hint(self, hint: Hint) -> Self {
        Self::Hinted { error: Box::new(self), hint }
    }
}
