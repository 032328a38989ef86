//! Finding picture and video files.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::names::{is_hidden, is_picture_name, is_video_name, other_media};

/// Pictures and videos of folders that are not looked for, such as HEIC: how many, by their extension in lower case.
pub type PassedOver = BTreeMap<&'static str, u64>;

/// All picture files under `root`, found by their extension, sorted by path; or `root` itself when it is a file.
///
/// Folders are searched recursively and symbolic links followed, each folder once, so that loops end. Names that begin
/// with a dot are skipped. A link to nothing that is named as a picture is in the list, and so is a folder below `root` that
/// cannot be listed, so that reading them reports what is wrong. A folder without pictures gives an empty list.
///
/// # Errors
/// A `root` that does not exist or cannot be listed.
pub fn find_pictures(root: impl AsRef<Path>) -> Result<Vec<PathBuf>, DataError> {
    find(root.as_ref(), is_picture_name, &mut PassedOver::new())
}

/// As [`find_pictures`], with videos ([`crate::video::VIDEO_EXTENSIONS`]).
///
/// # Errors
/// As [`find_pictures`].
pub fn find_media(root: impl AsRef<Path>) -> Result<Vec<PathBuf>, DataError> {
    find_media_counting(root, &mut PassedOver::new())
}

/// As [`find_media`]; files that look like media and are not in the list are added to `passed`.
///
/// # Errors
/// As [`find_pictures`].
pub fn find_media_counting(root: impl AsRef<Path>, passed: &mut PassedOver) -> Result<Vec<PathBuf>, DataError> {
    find(root.as_ref(), |path| is_picture_name(path) || is_video_name(path), passed)
}

fn find(root: &Path, wanted: impl Fn(&Path) -> bool, passed: &mut PassedOver) -> Result<Vec<PathBuf>, DataError> {
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
            // Reading it reports why, as for a link to nothing.
            Err(_) => {
                found.push(dir);
                continue;
            }
        };
        // The first link to a folder decides its path, so the order must not depend on the file system.
        entries.sort_unstable_by(|a, b| b.cmp(a));
        for path in entries {
            if is_hidden(&path) {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => open.push(path),
                Ok(meta) if !meta.is_file() => {}
                // Also what has no metadata, such as a link to nothing: left out here, it would go unreported.
                _ if wanted(&path) => found.push(path),
                _ => {
                    if let Some(extension) = other_media(&path) {
                        *passed.entry(extension).or_default() += 1;
                    }
                }
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
