//! Progress events of a pull.

use std::time::Duration;

/// A progress event of a pull.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// The files to fetch are known.
    Planned {
        /// Number of files to fetch.
        files: usize,
        /// Total size in bytes of the files whose size the hub tells.
        bytes: u64,
    },
    /// The download of a file begins or resumes.
    Fetching {
        /// The file.
        name: &'a str,
        /// Bytes that an earlier run has fetched.
        from: u64,
        /// Size of the file in bytes, if the hub tells it.
        size: Option<u64>,
    },
    /// More bytes of a file have arrived.
    Progress {
        /// The file.
        name: &'a str,
        /// Bytes of the file so far.
        bytes: u64,
    },
    /// A temporary failure; the request will be repeated.
    Retrying {
        /// The repository or file.
        what: &'a str,
        /// What failed.
        reason: &'a str,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// Another process is fetching the same file; this one waits for it.
    Waiting {
        /// The file.
        name: &'a str,
    },
    /// A file of the cache has other bytes than its checksum says: it was cut short or altered, and is fetched again.
    Damaged {
        /// The file.
        name: &'a str,
    },
    /// The bytes of an earlier run are wrong; the file is fetched from the beginning.
    Restarting {
        /// The file.
        name: &'a str,
    },
}
