//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// What went wrong with a world, a trajectory or a plan, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// There is no world of this name.
    #[error("there is no world `{name}`; the worlds are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names, with commas.
        known: String,
    },
    /// A list of numbers has another length than expected.
    #[error("{origin}: {what} has {found} numbers, expected {expected}")]
    Length {
        /// The world or planner.
        origin: &'static str,
        /// "an action", "a state", "a goal", "a picture of 64 x 64".
        what: String,
        /// How many were expected.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// NaN or an infinity.
    #[error("{origin}: number {index} of {what} is {value}; it must be finite")]
    NotFinite {
        /// The world or planner.
        origin: &'static str,
        /// "an action", "a state", "a goal".
        what: String,
        /// Where in the list.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A state or a goal in which the world cannot be.
    #[error("{origin}: {what}")]
    State {
        /// The world.
        origin: &'static str,
        /// Which part of the state, its value, and the rule it breaks.
        what: String,
    },
    /// Options that do not fit together.
    #[error("{origin} options: {what}")]
    Options {
        /// The world or planner.
        origin: &'static str,
        /// The option, its value and the rule it breaks.
        what: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {action} failed: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "reading", "writing".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file of trajectories that is damaged, or not one.
    #[error("{path}: {what}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor or episode concerned.
        what: String,
    },
    /// Trajectories that hold too little for what is asked of them.
    #[error("trajectories: {0}")]
    Trajectories(String),
}

impl WorldError {
    /// For `map_err` of a call of the operating system.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), action, source }
    }
}

/// Result with [`WorldError`].
pub type Result<T, E = WorldError> = std::result::Result<T, E>;
