//! What can go wrong between this program and a hub.

use std::path::PathBuf;

/// Result with [`HubError`].
pub type Result<T, E = HubError> = std::result::Result<T, E>;

/// A failure of a pull. Every message is one line and says what to do; none holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A repository id, a revision or a file name that is none; nothing was asked or written.
    #[error("{text:?} is no {kind}: {reason}")]
    Name {
        /// What was expected: "repository id", "revision", "safe file name".
        kind: &'static str,
        /// What was given.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// An environment variable with an impossible value.
    #[error("{variable}: {reason}")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// What is wrong and what is expected; never the value of a token.
        reason: String,
    },
    /// Patterns or a repository from which nothing, or nothing unambiguous, can be chosen.
    #[error("{repo}: {reason}")]
    Selection {
        /// The repository.
        repo: String,
        /// What is missing or ambiguous and what to pass.
        reason: String,
    },
    /// The hub has no such repository, or hides it.
    #[error("{repo}: no such repository at {endpoint}, or a private one; check the name, or {advice}")]
    NoRepository {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
        /// What would show a private one.
        advice: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo}: no revision {revision:?} at {endpoint}; pass a branch, a tag or a commit as `revision`")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The hub.
        endpoint: String,
    },
    /// The hub lists a file and does not have it.
    #[error("{repo}: {file} is not there, though the hub lists it; pull again, or leave it out by `exclude`")]
    NoFile {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// A repository whose licence must be accepted first.
    #[error("{repo}: access is restricted; accept its licence at {endpoint}/{repo}, then {advice}")]
    Gated {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
        /// What to do about the token.
        advice: String,
    },
    /// The hub does not take the token.
    #[error("{endpoint} refuses the token of {origin}: replace it ({endpoint}/settings/tokens) or remove it")]
    Token {
        /// The hub.
        endpoint: String,
        /// Where the token came from.
        origin: String,
    },
    /// Another refusal.
    #[error("{what}: {host} answers {status}{message}")]
    Status {
        /// Repository or file.
        what: String,
        /// Who refused.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The server's words, if any, with what to do.
        message: String,
    },
    /// No connection.
    #[error("{host} cannot be reached: {reason}; check the network, HF_ENDPOINT and HTTPS_PROXY{cached}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system says.
        reason: String,
        /// A word about the cache, where that holds the repository.
        cached: &'static str,
    },
    /// Failures that mostly pass, too many of them.
    #[error("{what}: {reason}, after {tries} tries; pull again later, what was fetched is kept")]
    Exhausted {
        /// Repository or file.
        what: String,
        /// The last failure.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// An answer that is none of a hub.
    #[error("{what}: {host} does not answer as a hub: {reason}; is HF_ENDPOINT right, or a proxy between?")]
    Answer {
        /// Repository or file.
        what: String,
        /// Who answered.
        host: String,
        /// What is odd about the answer.
        reason: String,
    },
    /// The bytes are not those that the hub names.
    #[error(
        "{file}: {found}, the hub names {expected}; it was removed, pull again; if this repeats, a proxy or a mirror alters it"
    )]
    Mismatch {
        /// The file.
        file: String,
        /// What the hub says: size or checksum.
        expected: String,
        /// What came.
        found: String,
    },
    /// Nothing may be asked and the cache does not suffice.
    #[error("{repo}: {reason}; {variable} forbids asking the hub, unset it and pull again")]
    Offline {
        /// The repository.
        repo: String,
        /// What the cache lacks.
        reason: String,
        /// The variable that forbids it.
        variable: &'static str,
    },
    /// A file of the cache could not be read or written.
    #[error(transparent)]
    File(#[from] vljepa_embed::Error),
    /// The disk is full.
    #[error("{path}: the disk is full; free some space or set HF_HUB_CACHE to a folder elsewhere, what was fetched is kept", path = .path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The cache cannot be written.
    #[error("{path}: {action} failed: {source}; make the folder writable or set HF_HUB_CACHE to another", path = .path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// What was tried, a noun.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl HubError {
    /// A failure of the file system below the cache.
    pub(super) fn cache(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        move |source| match source.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull { path: path.to_path_buf() },
            _ => Self::Cache { path: path.to_path_buf(), action, source },
        }
    }
}
