//! What is written, kept apart from what is read.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::listing::list_of;
use crate::partial::unfinished;

/// What tells a file from every other one, whatever it is called.
#[cfg(unix)]
fn identity(_: &Path, meta: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((meta.dev(), meta.ino()))
}

/// What tells a file from every other one, but for hard links.
#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// Checks that no file in `read` is one of those that writing `out` replaces: `out` itself, or an unfinished file or a list of rows
/// beside it. Costs nothing where none of these is there yet.
///
/// # Errors
/// A file that is read and would be replaced.
pub fn check_apart<P: AsRef<Path>>(out: &Path, read: impl IntoIterator<Item = P>) -> Result<()> {
    check_all_apart(std::iter::once(out.to_path_buf()).chain(unfinished(out)?).chain([list_of(out)?]), read)
}

/// As [`check_apart`], of several files that are written, each of them alone.
///
/// # Errors
/// As [`check_apart`].
pub fn check_all_apart<P: AsRef<Path>>(
    written: impl IntoIterator<Item = PathBuf>,
    read: impl IntoIterator<Item = P>,
) -> Result<()> {
    let there = |path: PathBuf| {
        let meta = std::fs::metadata(&path).ok()?;
        Some((identity(&path, &meta)?, path))
    };
    let written: HashMap<_, _> = written.into_iter().filter_map(there).collect();
    if written.is_empty() {
        return Ok(());
    }
    for path in read {
        let path = path.as_ref();
        let Some(own) = std::fs::metadata(path).ok().and_then(|meta| identity(path, &meta)) else { continue };
        if let Some(place) = written.get(&own) {
            let reason = if place == path {
                "it is read and would be replaced; name another file to write".to_owned()
            } else {
                format!("it would replace {}, which is read; name another file to write", path.display())
            };
            return Err(Error::content(place, reason));
        }
    }
    Ok(())
}

/// The files of a model folder and of the folders in it, for [`check_apart`]; none where it cannot be listed.
pub fn model_files(dir: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = list(dir).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| list(folder)));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a.npy", "b.png", "new.npy.partial.jsonl"] {
            std::fs::write(at(name), name).unwrap();
        }
        check_apart(&at("c.npy"), [at("a.npy"), at("b.png"), at("gone")]).unwrap();
        check_apart(&at("a.npy"), [at("b.png")]).unwrap();
        for (out, read) in [("a.npy", "a.npy"), ("new.npy", "new.npy.partial.jsonl")] {
            let error = check_apart(&at(out), [at("b.png"), at(read)]).unwrap_err().to_string();
            assert!(error.contains(read) && error.contains("would be replaced"), "{error}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("b.png"), at("link.npy")).unwrap();
            let error = check_apart(&at("link.npy"), [at("b.png")]).unwrap_err().to_string();
            assert!(error.contains("link.npy: it would replace") && error.contains("b.png"), "{error}");
        }
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/weights"), "x").unwrap();
        assert!(model_files(dir.path()).contains(&at("sub/weights")));
    }
}
