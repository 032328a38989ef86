//! The crate's one error type, and what a caller may change after one.

use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong between a model folder, files and rows. Every message is one line.
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
    /// A value that a caller gave cannot be used.
    #[error("{name}: {reason}")]
    Argument {
        /// What the value is called.
        name: &'static str,
        /// The value, the rule that it breaks, and what to do.
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
    /// Pictures, videos, and files that are written.
    #[error(transparent)]
    Data(#[from] vljepa_data::DataError),
    /// The device: none found, a limit, out of memory, lost.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// An unfinished file that another run has begun is in the way.
    #[error(
        "{journal}: an unfinished run of {run} has begun this file; run that one again to finish it, write to another \
         file, or remove this file and {data} to begin anew",
        journal = .journal.display()
    )]
    Begun {
        /// What is done of the file.
        journal: PathBuf,
        /// The name of the file of rows beside it.
        data: String,
        /// Whose it is.
        run: OtherRun,
    },
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
    /// Files that cannot be read can be left out ([`crate::visuals::Broken::Skip`]).
    SkipBroken,
    /// A model folder is needed, fetched or converted.
    GetModel,
    /// The model was trained without queries.
    NoQuery,
    /// Results that make no sense may come from the driver.
    OtherAdapter,
    /// Only classifier checkpoints have an attentive pooler.
    OtherPool,
    /// Files of rows are told by their extension.
    RowExtension,
    /// A V-JEPA 2 gives vectors of pictures, in no space of texts.
    PicturesAlone,
    /// A text encoder gives vectors of texts, in no space of pictures.
    TextsAlone,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SkipBroken => "files that cannot be read can be left out",
            Self::GetModel => "fetch a model from a hub or convert a checkpoint",
            Self::NoQuery => "leave the query out",
            Self::OtherAdapter => "try another adapter, such as a software one",
            Self::OtherPool => "only classifier checkpoints have one: take all tokens, their mean, or the last",
            Self::RowExtension => "give a name that ends in .npy or .safetensors",
            Self::PicturesAlone => "use a VL-JEPA, or take vectors of pictures alone",
            Self::TextsAlone => "use a VL-JEPA, or take vectors of texts alone",
        })
    }
}

/// The run that has begun a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherRun {
    /// Another task than this one, such as `index build`.
    Task(String),
    /// The same task, whose rows depend on other values of these names.
    Differs(Vec<String>),
    /// A run of another version of this program.
    Version,
    /// Which one was not looked at.
    Unknown,
}

impl fmt::Display for OtherRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "`{task}`"),
            Self::Differs(names) => write!(f, "another {}", names.join(", ")),
            Self::Version => f.write_str("another version of this program"),
            Self::Unknown => f.write_str("another task"),
        }
    }
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` on file operations. `action` is a noun: "reading", "mapping", "writing".
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
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

    /// [`Error::Content`].
    pub fn content(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Content { path: path.into(), reason: reason.into() }
    }

    /// [`Error::Argument`].
    pub fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Argument { name, reason: reason.into() }
    }

    /// For `map_err` on what a model reports. `origin` is the model's folder, or one of its files.
    pub fn model(origin: impl fmt::Display) -> impl FnOnce(vljepa_model::ModelError) -> Self {
        let origin = origin.to_string();
        move |source| Self::Model { origin, source }
    }

    /// This error with what may help.
    #[must_use]
    pub fn hint(self, hint: Hint) -> Self {
        Self::Hinted { error: Box::new(self), hint }
    }
}
