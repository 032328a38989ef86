//! Folders in which clients of a server may name files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Most entries of a folder of frames that are looked at for links.
const MAX_ENTRIES: usize = 1 << 20;

/// Why a path is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAllowed {
    /// It is none.
    #[error("{0:?} is no path")]
    NoPath(String),
    /// It leads to none of the folders, by itself or by a link. Whether anything is there is not told.
    #[error("{0}: is in no folder that this server may read; the one who runs it allows folders")]
    Outside(String),
    /// It would be in one of the folders, and is not there.
    #[error("{0}: no such file or folder")]
    Missing(String),
    /// It cannot be looked at.
    #[error("{0}: cannot be read: {1}")]
    Unreadable(String, std::io::Error),
}

/// Folders that may be read, with all that is below them. A link that leads out of them is refused.
#[derive(Clone, Debug, Default)]
pub struct AllowedFolders {
    /// Without links.
    folders: Vec<PathBuf>,
}

impl AllowedFolders {
    /// Allows `folders`; none of them allows nothing.
    ///
    /// # Errors
    /// A folder that is not there or is none.
    pub fn new<P: AsRef<Path>>(folders: &[P]) -> Result<Self> {
        let real = |folder: &P| {
            let folder = folder.as_ref();
            let real = folder.canonicalize().map_err(Error::io(folder, "reading"))?;
            match real.is_dir() {
                true => Ok(real),
                false => Err(Error::content(folder, "is no folder; name one that may be read")),
            }
        };
        Ok(Self { folders: folders.iter().map(real).collect::<Result<_>>()? })
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// The folders, without links.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(PathBuf::as_path)
    }

    /// The place that `path` leads to, without links: a file, a pipe or a folder. A relative path is looked for in each folder.
    ///
    /// # Errors
    /// A path that leads out of the folders or to nothing, and a folder with links in it that lead out.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, NotAllowed> {
        let real = self.place(path)?;
        self.check_links(&real, path)?;
        Ok(real)
    }

    /// As [`Self::resolve`], of a folder whose links are looked at one by one: [`Self::holds`].
    ///
    /// # Errors
    /// A path that leads out of the folders or to nothing.
    pub fn place(&self, path: &str) -> Result<PathBuf, NotAllowed> {
        if path.trim().is_empty() || path.contains('\0') {
            return Err(NotAllowed::NoPath(path.to_owned()));
        }
        let given = Path::new(path);
        let places: Vec<PathBuf> = match given.is_absolute() {
            true => vec![given.to_path_buf()],
            false => self.folders().map(|folder| folder.join(given)).collect(),
        };
        let mut refused = NotAllowed::Outside(path.to_owned());
        for place in places {
            match place.canonicalize() {
                Ok(real) if self.holds(&real) => return Ok(real),
                // Of what is outside nothing is told.
                Err(error) if self.would_hold(&place) => {
                    refused = match error.kind() {
                        std::io::ErrorKind::NotFound => NotAllowed::Missing(path.to_owned()),
                        _ => NotAllowed::Unreadable(path.to_owned(), error),
                    };
                }
                _ => {}
            }
        }
        Err(refused)
    }

    /// Whether a path without links is in one of the folders.
    pub fn holds(&self, real: &Path) -> bool {
        self.folders().any(|folder| real.starts_with(folder))
    }

    /// Whether a path that leads nowhere leads into a folder as far as it goes, and is not stopped by a link there.
    fn would_hold(&self, path: &Path) -> bool {
        let mut next = path;
        for part in path.ancestors().skip(1) {
            if let Ok(real) = part.canonicalize() {
                return self.holds(&real) && !next.is_symlink();
            }
            next = part;
        }
        false
    }

    /// The frames of a folder are read as its entries name them.
    fn check_links(&self, real: &Path, path: &str) -> Result<(), NotAllowed> {
        if !real.is_dir() {
            return Ok(());
        }
        let unreadable = |error| NotAllowed::Unreadable(path.to_owned(), error);
        for entry in std::fs::read_dir(real).map_err(unreadable)?.take(MAX_ENTRIES) {
            let entry = entry.map_err(unreadable)?.path();
            let leads_out = || entry.canonicalize().is_ok_and(|to| !self.holds(&to));
            if entry.is_symlink() && leads_out() {
                let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(NotAllowed::Outside(Path::new(path).join(name).display().to_string()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folders_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        for folder in [&inside, &outside, &inside.join("deep")] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("film.mp4"), "x").unwrap();
        }
        // Its name begins as that of the allowed one.
        std::fs::create_dir(dir.path().join("inside2")).unwrap();
        std::fs::write(dir.path().join("inside2/film.mp4"), "x").unwrap();
        let allowed = AllowedFolders::new(&[&inside]).unwrap();
        let text = |path: PathBuf| path.display().to_string();
        for path in
            ["film.mp4", "deep/film.mp4", "./deep/../film.mp4", "deep", &text(inside.join("deep/film.mp4")), "."]
        {
            let real = allowed.resolve(path).unwrap();
            assert!(real.starts_with(inside.canonicalize().unwrap()), "{path}");
        }
        let climbing = [
            "..".into(),
            "../outside/film.mp4".into(),
            "deep/../../outside/film.mp4".into(),
            "../none".into(),
            "/etc/passwd".into(),
            "/none".into(),
            text(outside.join("film.mp4")),
            text(inside.join("../outside/film.mp4")),
            text(dir.path().join("inside2/film.mp4")),
            "../inside2/film.mp4".into(),
        ];
        for path in climbing {
            let error = allowed.resolve(&path).unwrap_err();
            assert!(matches!(error, NotAllowed::Outside(_)), "{path}: {error}");
        }
        assert!(matches!(allowed.resolve("none.mp4").unwrap_err(), NotAllowed::Missing(_)));
        for path in ["", " ", "film\0.mp4"] {
            assert!(matches!(allowed.resolve(path).unwrap_err(), NotAllowed::NoPath(_)));
        }
        let none = AllowedFolders::default();
        assert!(none.is_empty() && none.resolve("film.mp4").is_err() && none.resolve("/").is_err());
        assert!(AllowedFolders::new(&[dir.path().join("none")]).is_err());
        assert!(AllowedFolders::new(&[inside.join("film.mp4")]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_climb_out() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        for folder in [&inside.join("frames"), &outside] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("0.png"), "x").unwrap();
        }
        let link = |to: &Path, at: &str| std::os::unix::fs::symlink(to, inside.join(at)).unwrap();
        link(&outside.join("0.png"), "out.png");
        link(&outside, "away");
        link(&inside.join("frames/0.png"), "in.png");
        link(&inside.join("frames"), "also");
        link(&outside.join("none.png"), "nowhere.png");
        let allowed = AllowedFolders::new(&[&inside]).unwrap();
        // Nor is it told whether there is anything.
        for path in ["out.png", "away", "away/0.png", "away/none.png", "nowhere.png"] {
            assert!(matches!(allowed.resolve(path).unwrap_err(), NotAllowed::Outside(_)), "{path}");
        }
        let real = inside.canonicalize().unwrap();
        assert_eq!(allowed.resolve("in.png").unwrap(), real.join("frames/0.png"));
        assert_eq!(allowed.resolve("also").unwrap(), real.join("frames"));
        // A folder of frames, one of which is a link.
        link(&outside.join("0.png"), "frames/1.png");
        let error = allowed.resolve("frames").unwrap_err().to_string();
        assert!(error.contains("frames/1.png"), "{error}");
        // The folder itself may be given by a link.
        let by_link = dir.path().join("link");
        std::os::unix::fs::symlink(&inside, &by_link).unwrap();
        let allowed = AllowedFolders::new(&[&by_link]).unwrap();
        assert!(allowed.resolve("in.png").is_ok());
        assert!(allowed.resolve(&by_link.join("in.png").display().to_string()).is_ok());
        assert!(matches!(
            allowed.resolve(&by_link.join("no").display().to_string()).unwrap_err(),
            NotAllowed::Missing(_)
        ));
    }
}
