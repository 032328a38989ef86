//! The pictures and videos of a folder, as far as they may be read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use vljepa_data::is_picture_name;
use vljepa_data::video::VIDEO_EXTENSIONS;

use super::error::{McpError, Result};
use super::task::Task;
use crate::allowed::AllowedFolders;
use crate::error::Error;

/// Most pictures and videos of a folder.
const MOST_FILES: usize = 20_000;

/// The pictures and videos of a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order of their paths.
    pub files: Vec<PathBuf>,
    /// Links that lead out of the folders that may be read, or to nothing.
    pub outside: usize,
}

/// The pictures and videos below `dir`, whose path has no links. Links are followed within the folders that may be read, each folder is searched
/// once, and names that begin with a dot are left out.
///
/// # Errors
/// A folder that cannot be listed, more files than can be searched, and a call that is not wanted any more.
pub(super) fn media(allowed: &AllowedFolders, dir: &Path, task: &Task) -> Result<Listing> {
    let (mut listing, mut open, mut visited) = (Listing::default(), vec![dir.to_path_buf()], HashSet::new());
    while let Some(dir) = open.pop() {
        task.check()?;
        if !visited.insert(dir.clone()) {
            continue;
        }
        for entry in std::fs::read_dir(&dir).map_err(Error::io(&dir, "reading"))? {
            let entry = entry.map_err(Error::io(&dir, "reading"))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let mut path = entry.path();
            let mut kind = entry.file_type().map_err(Error::io(&path, "reading"))?;
            if kind.is_symlink() {
                let real = path.canonicalize().ok().filter(|real| allowed.holds(real));
                let Some((real, meta)) = real.and_then(|real| Some((real.clone(), real.metadata().ok()?))) else {
                    listing.outside += 1;
                    continue;
                };
                (path, kind) = (real, meta.file_type());
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && is_media(&path) {
                listing.files.push(path);
            }
        }
        if listing.files.len() > MOST_FILES {
            let reason = format!("more than {MOST_FILES} pictures and videos; name a folder in it");
            return Err(McpError::content(&dir, reason));
        }
    }
    listing.files.sort_unstable();
    // A link to a file is that file.
    listing.files.dedup();
    Ok(listing)
}

/// Whether a name is that of a picture or a video.
fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    is_picture_name(path) || VIDEO_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_not_followed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (inner, out) = (base.join("inner"), base.join("out"));
        std::fs::create_dir_all(inner.join("sub")).unwrap();
        std::fs::create_dir(&out).unwrap();
        let names =
            ["inner/a.png", "inner/sub/b.PNG", "inner/sub/c.txt", "inner/sub/d.MP4", "inner/.e.png", "out/f.png"];
        for name in names {
            std::fs::write(base.join(name), "x").unwrap();
        }
        let links = [("way", out.clone()), ("f.png", out.join("f.png")), ("gone.png", base.join("gone.png"))];
        let loops = [("again", inner.join("sub")), ("sub/loop", inner.clone()), ("b.png", inner.join("sub/b.PNG"))];
        for (at, to) in links.iter().chain(&loops) {
            symlink(to, inner.join(at)).unwrap();
        }
        let allowed = AllowedFolders::new(std::slice::from_ref(&inner)).unwrap();
        let listing = media(&allowed, &inner, &Task::quiet()).unwrap();
        let want = ["a.png", "sub/b.PNG", "sub/d.MP4"].map(|name| inner.join(name));
        assert_eq!((listing.files.as_slice(), listing.outside), (want.as_slice(), links.len()));
        let stopped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        assert!(matches!(media(&allowed, &inner, &Task::new(vec![stopped], |_| ())), Err(McpError::Cancelled)));
    }
}
