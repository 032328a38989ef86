//! Errors of a pull.

use std::path::PathBuf;

/// Result with [`HubError`].
pub type Result<T, E = HubError> = std::result::Result<T, E>;

/// A failure of a pull. Every message is one line and says what to do; none holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// An invalid repository id, revision or file name; nothing was requested or written.
    #[error("{text:?} is no {kind}: {reason}")]
    Name {
        /// What was expected: "repository id", "revision", "safe file name".
        kind: &'static str,
        /// The text that was given.
        text: String,
        /// The rule that the text breaks.
        reason: &'static str,
    },
    /// An environment variable with an invalid value.
    #[error("{variable}: {reason}")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// What is wrong and what is expected; never the value of a token.
        reason: String,
    },
    /// The patterns select no file, or it is unclear which checkpoint is meant.
    #[error("{repo}: {reason}")]
    Selection {
        /// The repository.
        repo: String,
        /// What is missing or ambiguous and what to pass.
        reason: String,
    },
    /// The repository does not exist or is private.
    #[error("{repo}: no such repository at {endpoint}, or a private one; check the name, or {advice}")]
    NoRepository {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
        /// How to get access to a private repository.
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
    /// The hub lists a file that it does not have.
    #[error("{repo}: {file} is missing, although the hub lists it; pull again, or leave it out by `exclude`")]
    NoFile {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// The licence of the repository must be accepted first.
    #[error("{repo}: access is restricted; accept its licence at {endpoint}/{repo}, then {advice}")]
    Gated {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
        /// What to do about the token.
        advice: String,
    },
    /// The hub refuses the token.
    #[error("{endpoint} refuses the token of {origin}: replace it ({endpoint}/settings/tokens) or remove it")]
    Token {
        /// The hub.
        endpoint: String,
        /// The variable or file of the token.
        origin: String,
    },
    /// An HTTP status that no other error covers.
    #[error("{what}: {host} answers {status}{message}")]
    Status {
        /// The repository or file.
        what: String,
        /// The host that refused.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The server's message, if any, and what to do.
        message: String,
    },
    /// A host that cannot be reached.
    #[error("{host} cannot be reached: {reason}; check the network, HF_ENDPOINT and HTTPS_PROXY{cached}")]
    Unreachable {
        /// The host.
        host: String,
        /// The error of the system.
        reason: String,
        /// A hint about the cache if it holds the repository, else empty.
        cached: &'static str,
    },
    /// Too many temporary failures.
    #[error("{what}: {reason}, after {tries} tries; pull again later, what was fetched is kept")]
    Exhausted {
        /// The repository or file.
        what: String,
        /// The last failure.
        reason: String,
        /// Number of attempts.
        tries: u32,
    },
    /// An answer that a hub would not give.
    #[error("{what}: {host} does not answer as a hub: {reason}; check HF_ENDPOINT, and whether a proxy has answered")]
    Answer {
        /// The repository or file.
        what: String,
        /// The host that answered.
        host: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A fetched file has another size or checksum than the hub says.
    #[error(
        "{file}: {found}, the hub says {expected}; the file was removed, pull again; if this repeats, a proxy or a mirror alters it"
    )]
    Mismatch {
        /// The file.
        file: String,
        /// Size or checksum according to the hub.
        expected: String,
        /// Size or checksum of the fetched file.
        found: String,
    },
    /// Requests are forbidden, and the cache lacks files.
    #[error("{repo}: {reason}; {variable} forbids asking the hub, unset it and pull again")]
    Offline {
        /// The repository.
        repo: String,
        /// What the cache lacks.
        reason: String,
        /// The variable that forbids requests.
        variable: &'static str,
    },
    /// A file of the cache could not be read or written.
    #[error(transparent)]
    File(#[from] vljepa_embed::Error),
    /// The disk is full.
    #[error("{path}: the disk is full; free some space or set HF_HUB_CACHE to a folder on another disk; what was fetched is kept", path = .path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// What is to be fetched does not fit onto the disk.
    #[error(
        "{path}: {needed} bytes are to be fetched, the disk has room for {free}; free some space or set HF_HUB_CACHE to a folder \
         on another disk",
        path = .path.display()
    )]
    NoRoom {
        /// The folder of the cache.
        path: PathBuf,
        /// Bytes to fetch.
        needed: u64,
        /// Free bytes of the disk.
        free: u64,
    },
    /// The cache cannot be written.
    #[error("{path}: {action} failed: {source}; make the folder writable or set HF_HUB_CACHE to another", path = .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed, a noun.
        action: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl HubError {
    /// Makes the error of a file operation in the cache, for `map_err`.
    pub(super) fn cache(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        move |source| match source.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull { path: path.to_path_buf() },
            _ => Self::Cache { path: path.to_path_buf(), action, source },
        }
    }
}
