//! What a pull tells while it runs.

use std::time::Duration;

/// One step of a pull.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// This much is to come: files, and bytes as far as the hub knows them.
    Planned {
        /// Files that the cache lacks.
        files: usize,
        /// Their bytes together.
        bytes: u64,
    },
    /// A file begins to come, or goes on.
    Fetching {
        /// The file.
        name: &'a str,
        /// Bytes that an earlier run left.
        from: u64,
        /// Bytes of the whole file, where the hub says.
        size: Option<u64>,
    },
    /// More of a file came.
    Progress {
        /// The file.
        name: &'a str,
        /// Bytes of it that are there.
        bytes: u64,
    },
    /// A failure that may pass.
    Retrying {
        /// Repository or file.
        what: &'a str,
        /// What failed.
        reason: &'a str,
        /// When it is tried again.
        wait: Duration,
    },
    /// Another process fetches the same file.
    Waiting {
        /// The file.
        name: &'a str,
    },
    /// What an earlier run left did not fit; the file is fetched from its start.
    Restarting {
        /// The file.
        name: &'a str,
    },
}
