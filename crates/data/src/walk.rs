//! Finding picture files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::{DataError, PICTURE_EXTENSIONS};

/// All picture files under `root`, told by their extension, sorted by path; or `root` itself when it is a file.
///
/// Folders are searched recursively and symbolic links followed, each folder once, so that loops end. Names that begin
/// with a dot are skipped. A link to nothing that is named as a picture is among them, and a folder below `root` that cannot be
/// listed: whoever reads it hears what it is. A folder without pictures gives an empty list.
pub fn find_pictures(root: impl AsRef<Path>) -> Result<Vec<PathBuf>, DataError> {
    find(root.as_ref(), is_picture_name)
}

/// As [`find_pictures`], videos ([`crate::video::VIDEO_EXTENSIONS`]) too.
pub fn find_media(root: impl AsRef<Path>) -> Result<Vec<PathBuf>, DataError> {
    find(root.as_ref(), |path| is_picture_name(path) || has_extension(path, &crate::video::VIDEO_EXTENSIONS))
}

fn find(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let meta = std::fs::metadata(root).map_err(DataError::io(root, "reading"))?;
    if !meta.is_dir() {
        return Ok(vec![root.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut visited = HashSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        let real = dir.canonicalize().map_err(DataError::io(&dir, "reading"))?;
        if !visited.insert(real) {
            continue;
        }
        let listed = std::fs::read_dir(&dir).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()
        });
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(e) if dir == root => return Err(DataError::io(&dir, "listing")(e)),
            // As for a link to nothing.
            Err(_) => {
                found.push(dir);
                continue;
            }
        };
        // The order in which links to one folder are met decides its path, so it must not be the file system's.
        entries.sort_unstable_by(|a, b| b.cmp(a));
        for path in entries {
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => open.push(path),
                Ok(meta) if !meta.is_file() => {}
                // Also what cannot be looked at, such as a link to nothing: left out here, nobody would hear of it.
                _ if wanted(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn is_picture_name(path: &Path) -> bool {
    has_extension(path, &PICTURE_EXTENSIONS)
}

pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension.to_ascii_lowercase().as_str()))
}
