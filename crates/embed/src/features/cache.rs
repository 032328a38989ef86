//! The folder of features.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use vljepa_data::DataError;
use vljepa_data::atomic::write_atomically;

use super::key::FeatureKey;
use super::stored::{Features, MAX_FILE, size};
use crate::error::{Error, Result};
use crate::files;

/// How a clip's features stand on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are there, and whole.
    Whole,
    /// They are not there.
    Absent,
    /// They are there and cannot be used: why.
    Damaged(String),
}

/// A folder of features, a file for each clip: `ab/cdef….safetensors` for the key `abcdef…`. Each file is written beside its
/// place and moved there, so that a process that is killed leaves whole files alone, and several processes can share the
/// folder: what two of them make at once is the same, and the later one stays.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    dir: PathBuf,
}

impl FeatureCache {
    /// The folder `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// A folder that cannot be made, something else in its place.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() && (dir.exists() || dir.is_symlink()) {
            return Err(Error::content(dir, "is no folder; name one for the features, new or with features in it"));
        }
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Its path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the features of a clip are or would be.
    pub fn path(&self, key: &FeatureKey) -> PathBuf {
        let (folder, name) = key.as_str().split_at(2);
        self.dir.join(folder).join(format!("{name}.safetensors"))
    }

    /// Whether the features of a clip are there, and whole: all of the file is read.
    ///
    /// # Errors
    /// A file that the system does not let this process read.
    pub fn look(&self, key: &FeatureKey) -> Result<Look> {
        Ok(match self.load(key)? {
            None => Look::Absent,
            Some(Ok(_)) => Look::Whole,
            Some(Err(what)) => Look::Damaged(what),
        })
    }

    /// The features of a clip.
    ///
    /// # Errors
    /// Features that are not there or damaged: [`fill`](super::fill()) makes them again.
    pub fn read(&self, key: &FeatureKey) -> Result<Features> {
        let again = "start again: they are then made again";
        let reason = match self.load(key)? {
            Some(Ok(features)) => return Ok(features),
            Some(Err(what)) => format!("damaged features: {what}; {again}"),
            None => format!("these features are gone; {again}"),
        };
        Err(Error::content(self.path(key), reason))
    }

    /// `None` where there is no file, else its features or what is wrong with it.
    fn load(&self, key: &FeatureKey) -> Result<Option<Result<Features, String>>> {
        let path = self.path(key);
        let bytes = match files::read(&path, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(Error::Missing(_)) if !path.is_symlink() => return Ok(None),
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(Error::Content { reason, .. }) => return Ok(Some(Err(reason))),
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        Ok(Some(Features::parse(&bytes, key)))
    }

    /// Puts features in their place, over those that are there.
    ///
    /// # Errors
    /// Numbers that f16 does not hold, a full disk, something other than a file in their place.
    pub fn write(&self, key: &FeatureKey, features: &Features) -> Result<()> {
        let path = self.path(key);
        let bytes = features.to_bytes(key).map_err(Error::Invalid)?;
        let dir = path.parent().unwrap_or(&self.dir);
        let written = match std::fs::create_dir_all(dir) {
            Ok(()) => write_atomically(&path, &bytes),
            Err(source) => Err(DataError::Io { path: dir.into(), action: "creating", source }),
        };
        written.map_err(|error| self.not_written(error, bytes.len() as u64))
    }

    fn not_written(&self, error: DataError, bytes: u64) -> Error {
        match error {
            DataError::Io { source, .. } if is_full(source.kind()) => {
                let reason = format!(
                    "no room for the features of another clip ({}): the disk is full, or this user's part of it; free some or \
                     name a folder on another disk. The features so far are kept and used again",
                    size(bytes)
                );
                Error::content(&self.dir, reason)
            }
            other => other.into(),
        }
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use vljepa_data::Preprocess;

    use super::super::key::Seen;
    use super::*;

    fn key(content: &str) -> FeatureKey {
        let seen = Seen { content, times: (None, None), sampling: "" };
        FeatureKey::new(&seen, &Preprocess::vjepa2(16), "model").unwrap()
    }

    fn features(value: f32) -> Features {
        Features { views: 1, tokens: 2, width: 2, values: vec![value; 4] }
    }

    #[test]
    fn features_are_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(&dir.path().join("a/features")).unwrap();
        let key = key("one");
        assert_eq!(cache.look(&key).unwrap(), Look::Absent);
        assert!(cache.read(&key).unwrap_err().to_string().contains("are gone; start again"));
        cache.write(&key, &features(1.0)).unwrap();
        cache.write(&key, &features(2.0)).unwrap();
        assert_eq!(cache.read(&key).unwrap(), features(2.0));
        let path = cache.path(&key);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let whole = std::fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() - 1], &[][..], b"<!DOCTYPE html>"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(cache.look(&key).unwrap(), Look::Damaged(_)));
            let error = cache.read(&key).unwrap_err().to_string();
            assert!(error.contains("damaged features") && error.lines().count() == 1, "{error}");
        }
        cache.write(&key, &features(3.0)).unwrap();
        assert_eq!(cache.look(&key).unwrap(), Look::Whole);
        // Longer than any features, and made of nothing.
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(cache.look(&key).unwrap(), Look::Damaged(what) if what.contains("at most")));
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        let error = FeatureCache::open(&file).unwrap_err().to_string();
        assert!(error.contains("is no folder"), "{error}");
        let cache = FeatureCache::open(&dir.path().join("features")).unwrap();
        let key = key("one");
        std::fs::create_dir_all(cache.path(&key)).unwrap();
        assert!(matches!(cache.look(&key).unwrap(), Look::Damaged(_)));
        assert!(cache.write(&key, &features(1.0)).unwrap_err().to_string().contains("is a folder"));
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_full_disk_is_one_line() {
        let cache = FeatureCache::open(tempfile::tempdir().unwrap().path()).unwrap();
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            let error = DataError::Io { path: "x".into(), action: "writing", source: kind.into() };
            let error = cache.not_written(error, 16_777_216).to_string();
            assert!(error.contains("16.8 MB") && error.contains("kept") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn writers_at_once_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(dir.path()).unwrap();
        let key = key("one");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (cache, key) = (&cache, &key);
                scope.spawn(move || (0..20).for_each(|_| cache.write(key, &features(writer as f32)).unwrap()));
            }
            for _ in 0..50 {
                assert!(!matches!(cache.look(&key).unwrap(), Look::Damaged(_)));
            }
        });
        assert_eq!(cache.look(&key).unwrap(), Look::Whole);
        assert_eq!(std::fs::read_dir(cache.path(&key).parent().unwrap()).unwrap().count(), 1);
    }
}
