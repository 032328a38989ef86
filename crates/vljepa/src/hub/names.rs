//! Repository ids, revisions, file names and checksums, validated before they become addresses or paths.

use std::path::PathBuf;

use super::error::HubError;

/// Longest name of an organisation or a repository, in bytes.
const MAX_NAME: usize = 96;
/// Longest path of a file or a revision, in bytes; file systems may have lower limits.
const MAX_PATH: usize = 1024;
/// Characters besides letters and digits that need no encoding in an address (RFC 3986, section 2.3).
const UNRESERVED: &[u8] = b"-._~";

/// The id of a repository: `org/name`, or `name` for an old repository without an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoId(String);

impl RepoId {
    /// Validates an id by the rules of the hub.
    ///
    /// # Errors
    /// [`HubError::Name`].
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let fail = |reason| HubError::Name { kind: "repository id", text: text.to_owned(), reason };
        if text.contains("://") {
            return Err(fail("pass org/name instead of an address; HF_ENDPOINT names the hub"));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 2 {
            return Err(fail("org/name has one slash"));
        }
        for part in &parts {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let outer = |b: Option<&u8>| b.is_some_and(|&b| b.is_ascii_alphanumeric() || b == b'_');
            let bytes = part.as_bytes();
            if bytes.len() > MAX_NAME {
                return Err(fail("a name has at most 96 characters"));
            }
            if !bytes.iter().all(|&b| inner(b)) || !outer(bytes.first()) || !outer(bytes.last()) {
                return Err(fail(
                    "expected is org/name of letters, digits, '-', '_' and '.'; names neither start nor end with '-' or '.'",
                ));
            }
        }
        if text.contains("--") || text.contains("..") || text.ends_with(".git") {
            return Err(fail("'--', '..' and a final '.git' are not allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder of the repository in the cache: `models--org--name`.
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }
}

/// A branch, a tag, a reference such as `refs/pr/1`, or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// Validates a revision: it must be usable as a path in the folder `refs`.
    ///
    /// # Errors
    /// [`HubError::Name`].
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let fail = |reason| HubError::Name { kind: "revision", text: text.to_owned(), reason };
        check_relative(text).map_err(fail)?;
        Ok(Self(text.to_owned()))
    }

    /// The revision as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Path in the folder `refs`.
    pub(super) fn path(&self) -> PathBuf {
        self.0.split('/').collect()
    }

    /// The revision encoded as one segment of an address.
    pub(super) fn encoded(&self) -> String {
        encode(&self.0, b"")
    }
}

/// The name of a file of a repository: a relative path that stays inside its folder on every system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName(String);

impl FileName {
    pub(super) fn parse(text: &str) -> Result<Self, HubError> {
        let fail = |reason| HubError::Name { kind: "safe file name", text: text.to_owned(), reason };
        check_relative(text).map_err(fail)?;
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.split('/').collect()
    }

    /// Number of folders between the snapshot and the file.
    pub(super) fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// The path encoded as the end of an address.
    pub(super) fn encoded(&self) -> String {
        encode(&self.0, b"/")
    }
}

/// Checks that a path stays inside its folder, by the rules of POSIX and of Windows.
fn check_relative(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_PATH {
        return Err("longer than 1,024 bytes");
    }
    if text.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
        return Err("backslashes, colons and control characters are not allowed");
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a relative path without '.', '..' and empty parts is expected");
    }
    Ok(())
}

/// Percent-encodes all bytes except letters, digits, [`UNRESERVED`] and `kept`.
fn encode(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// Whether a text is the full hash of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The checksum of a file, which is also the name of its blob: SHA-256 for large files (LFS), else the SHA-1 of the git
/// blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Etag {
    Sha256(String),
    GitSha1(String),
}

impl Etag {
    /// Parses an `ETag` or `X-Linked-Etag` header, weak or strong. `None` for any other kind of tag.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let text = header.trim();
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        if is_hex(text, 64) {
            Some(Self::Sha256(text.to_owned()))
        } else if is_hex(text, 40) {
            Some(Self::GitSha1(text.to_owned()))
        } else {
            None
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::GitSha1(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_ids_follow_the_rules_of_the_hub() {
        for good in
            ["gpt2", "a/b", "Foo-BAR_foo.bar123", "cun-bjy/open-vljepa", "_a/b_", "facebook/vjepa2-vitl-fpc64-256"]
        {
            assert_eq!(RepoId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(RepoId::parse("a/b-c").unwrap().folder(), "models--a--b-c");
        assert_eq!(RepoId::parse("gpt2").unwrap().folder(), "models--gpt2");
        let long = format!("a/{}", "b".repeat(97));
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "../a",
            "a/..",
            ".a/b",
            "a/-b",
            "a/b-",
            "a--b/c",
            "a/b..c",
            "a/b.git",
            "a b/c",
            "a/b\n",
            "café/x",
            "a\\b",
            "https://hub.example/a/b",
            "a/b?x=1",
            "a/b#c",
            &long,
        ] {
            let error = RepoId::parse(bad).unwrap_err().to_string();
            assert!(error.contains("is no repository id"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn paths_stay_below_their_folder() {
        for good in ["a", "a/b.json", "1_Pooling/config.json", ".gitattributes", "a b/ü.json", "refs/pr/1"] {
            assert!(FileName::parse(good).is_ok() && Revision::parse(good).is_ok(), "{good:?}");
        }
        let long = "a".repeat(1025);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "..",
            "a\\..\\b",
            "C:/x",
            "C:x",
            "a\0b",
            "a\nb",
            "\\\\host\\share",
            &long,
        ] {
            assert!(FileName::parse(bad).is_err() && Revision::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(FileName::parse("a b/ü#?%.json").unwrap().encoded(), "a%20b/%C3%BC%23%3F%25.json");
        assert_eq!(Revision::parse("refs/pr/1").unwrap().encoded(), "refs%2Fpr%2F1");
    }

    #[test]
    fn tags_are_checksums_or_nothing() {
        let (sha1, sha256) = ("0a".repeat(20), "0b".repeat(32));
        assert_eq!(Etag::parse(&format!("\"{sha1}\"")), Some(Etag::GitSha1(sha1.clone())));
        assert_eq!(Etag::parse(&format!("W/\"{sha256}\"")), Some(Etag::Sha256(sha256.clone())));
        assert_eq!(Etag::parse(&sha256), Some(Etag::Sha256(sha256)));
        for bad in ["", "\"\"", "../../x", "\"5d41402abc4b2a76b9719d911017c592\"", &sha1.to_uppercase(), &sha1[1..]] {
            assert_eq!(Etag::parse(bad), None, "{bad}");
        }
    }
}
