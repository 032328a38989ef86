//! The crate's error type, and hints that tell a caller what to change.

use std::fmt;
use std::path::{Path, PathBuf};

/// A failure to read a model folder or a file, to compute rows, or to write them. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {action} failed: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed, a noun: "reading", "writing".
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file or folder that does not exist.
    #[error("{path}: no such file or folder", path = .0.display())]
    Missing(PathBuf),
    /// A file has the wrong content.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, where in the file, and what is expected.
        reason: String,
    },
    /// A value that a caller gave cannot be used.
    #[error("{name}: {reason}")]
    Argument {
        /// The name of the value.
        name: &'static str,
        /// The value, the rule that it breaks, and what to do.
        reason: String,
    },
    /// A request that cannot be fulfilled: what was asked for, and why it fails.
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
    /// A picture or video that cannot be read, or a file that cannot be written.
    #[error(transparent)]
    Data(#[from] vljepa_data::DataError),
    /// A failure of the device: no adapter, a limit exceeded, out of memory, device lost.
    #[error(transparent)]
    Tensor(#[from] vljepa_tensor::Error),
    /// The output file was begun by another run, which has not finished it.
    #[error(
        "{journal}: an unfinished run of {run} has begun this file; run that one again to finish it, write to another \
         file, or remove this file and {data} to begin anew",
        journal = .journal.display()
    )]
    Begun {
        /// The journal of the unfinished run: the list of the batches that are done.
        journal: PathBuf,
        /// The name of the unfinished file of rows, in the same folder.
        data: String,
        /// The run that began the file.
        run: OtherRun,
    },
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
    /// Leave out the files that cannot be read ([`crate::visuals::Broken::Skip`]).
    SkipBroken,
    /// As [`Self::SkipBroken`], or read a damaged video with other frames in the place of those that are damaged
    /// ([`vljepa_data::video::Damaged::Conceal`]).
    SkipOrConceal,
    /// Get a model folder: fetch one or convert a checkpoint.
    GetModel,
    /// Get the file again: the link in its place leads to nothing.
    GetAgain,
    /// Leave the query out: the model was trained without queries.
    NoQuery,
    /// Try another adapter: the driver may compute wrong results.
    OtherAdapter,
    /// Choose another pooling: only classifier checkpoints have an attentive pooler.
    OtherPool,
    /// Give the file of rows an extension that names its format.
    RowExtension,
    /// The model is a V-JEPA 2: it embeds pictures, but not in a space shared with texts.
    PicturesAlone,
    /// The model is a text encoder: it embeds texts, but not in a space shared with pictures.
    TextsAlone,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SkipBroken => "leave out the files that cannot be read",
            Self::SkipOrConceal => {
                "leave out the files that cannot be read, or let other frames stand in for damaged ones"
            }
            Self::GetModel => "fetch a model from a hub or convert a checkpoint",
            Self::GetAgain => "fetch or copy it again",
            Self::NoQuery => "leave the query out",
            Self::OtherAdapter => "try another adapter, such as a software one",
            Self::OtherPool => "only classifier checkpoints have one: use all tokens, their mean, or the last token",
            Self::RowExtension => "give a name that ends in .npy or .safetensors",
            Self::PicturesAlone => "use a VL-JEPA, or take vectors of pictures alone",
            Self::TextsAlone => "use a VL-JEPA, or take vectors of texts alone",
        })
    }
}

/// The run that began an unfinished file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherRun {
    /// A run of another task, known by what it makes, such as "index".
    Task(String),
    /// A run of the same task in which the settings of these names have other values.
    Differs(Vec<String>),
    /// A run of another version of this program.
    Version,
    /// An unknown run: the journal was not read.
    Unknown,
}

impl fmt::Display for OtherRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "the task {task:?}"),
            Self::Differs(names) if names.is_empty() => f.write_str("other settings"),
            Self::Differs(names) => write!(f, "another {}", names.join(", ")),
            Self::Version => f.write_str("another version of this program"),
            Self::Unknown => f.write_str("another task"),
        }
    }
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes the error of a file operation, for `map_err`. `action` is a noun: "reading", "mapping", "writing".
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| {
            let reads = matches!(action, "reading" | "mapping");
            match source.kind() {
                std::io::ErrorKind::NotFound if reads => Self::Missing(path.to_path_buf()),
                // A file that is being written does not exist yet, so "no such file" would mislead here.
                std::io::ErrorKind::NotFound => {
                    Self::content(path, format!("{action} failed: its folder does not exist or takes no new files"))
                }
                _ => Self::Io { path: path.to_path_buf(), action, source },
            }
        }
    }

    /// Makes [`Error::Content`].
    pub fn content(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Content { path: path.into(), reason: reason.into() }
    }

    /// Makes [`Error::Argument`].
    pub fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Argument { name, reason: reason.into() }
    }

    /// Makes [`Error::Model`], for `map_err`. `origin` is the model's folder, or one of its files.
    pub fn model(origin: impl fmt::Display) -> impl FnOnce(vljepa_model::ModelError) -> Self {
        let origin = origin.to_string();
        move |source| Self::Model { origin, source }
    }

    /// Adds a hint to this error.
    #[must_use]
    pub fn hint(self, hint: Hint) -> Self {
        Self::Hinted { error: Box::new(self), hint }
    }
}
