//! The folder of features.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vljepa_data::DataError;
use vljepa_data::atomic::write_atomically;

use super::key::FeatureKey;
use super::stored::{Features, Head, MAX_FILE, OTHER_HASH, size};
use crate::error::{Error, Result};
use crate::files::{self, Stamp};
use crate::hash::Hash;

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
    /// The files whose hash was compared, with their sizes and times then.
    verified: Arc<Mutex<HashMap<u128, Stamp>>>,
}

/// A file of features.
struct OpenFeatures {
    file: File,
    stamp: Stamp,
    head: Head,
}

/// Enough of a key to tell it from every other.
fn short(key: &FeatureKey) -> u128 {
    let digits = key.as_str().get(..32).unwrap_or_default();
    u128::from_str_radix(digits, 16).unwrap_or_default()
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
        Ok(Self { dir: dir.to_path_buf(), verified: Arc::default() })
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

    /// Whether the features of a clip are there, and whole: all of the file is read, little of it at a time.
    ///
    /// # Errors
    /// A file that the system does not let this process read.
    pub fn look(&self, key: &FeatureKey) -> Result<Look> {
        Ok(match self.open_file(key)? {
            None => Look::Absent,
            Some(Err(what)) => Look::Damaged(what),
            Some(Ok(mut file)) => match self.verify(key, &mut file)? {
                Ok(()) => Look::Whole,
                Err(what) => Look::Damaged(what),
            },
        })
    }

    /// The features of a clip, all its views.
    ///
    /// # Errors
    /// Features that are not there or damaged: [`fill`](super::fill()) makes them again. Their hash is compared where this process has not
    /// done it yet, or where the file has another size or time since.
    pub fn read(&self, key: &FeatureKey) -> Result<Features> {
        self.part(key, &mut |_| None)
    }

    /// One view of a clip's features; `pick` is given the number of views and tells which.
    ///
    /// # Errors
    /// As [`FeatureCache::read`], and a view that is not there.
    pub fn read_view(&self, key: &FeatureKey, pick: &mut dyn FnMut(usize) -> usize) -> Result<Features> {
        self.part(key, &mut |views| Some(pick(views)))
    }

    fn part(&self, key: &FeatureKey, pick: &mut dyn FnMut(usize) -> Option<usize>) -> Result<Features> {
        let again = "start again: they are then made again";
        let damaged = |what: String| Error::content(self.path(key), format!("damaged features: {what}; {again}"));
        let mut file = match self.open_file(key)? {
            Some(file) => file.map_err(damaged)?,
            None => return Err(Error::content(self.path(key), format!("these features are gone; {again}"))),
        };
        if !self.is_verified(key, file.stamp) {
            self.verify(key, &mut file)?.map_err(damaged)?;
        }
        let OpenFeatures { file, head, .. } = &mut file;
        let (from, bytes, views) = match pick(head.views) {
            None => (0, head.bytes, head.views),
            Some(view) if view < head.views => (view as u64 * head.view(), head.view(), 1),
            Some(view) => return Err(Error::Invalid(format!("there is no view {view} among {}", head.views))),
        };
        let mut numbers = vec![0; bytes as usize];
        let read = file.seek(SeekFrom::Start(head.at + from)).and_then(|_| file.read_exact(&mut numbers));
        read.map_err(Error::io(&self.path(key), "reading"))?;
        head.features(views, &numbers).map_err(damaged)
    }

    /// `None` where there is no file, else the file and what stands at its start, or what is wrong with it.
    fn open_file(&self, key: &FeatureKey) -> Result<Option<Result<OpenFeatures, String>>> {
        let path = self.path(key);
        let (mut file, stamp) = match files::open_at_most(&path, MAX_FILE) {
            Ok(opened) => opened,
            Err(Error::Missing(_)) if !path.is_symlink() => return Ok(None),
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(Error::Content { reason, .. }) => return Ok(Some(Err(reason))),
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        Ok(Some(Head::read(&mut file, stamp.0, key).map(|head| OpenFeatures { file, stamp, head })))
    }

    /// Compares the hash of a file's numbers with the one at its start; what is wrong, if so.
    fn verify(
        &self,
        key: &FeatureKey,
        OpenFeatures { file, stamp, head }: &mut OpenFeatures,
    ) -> Result<Result<(), String>> {
        let mut hash = Hash::default();
        let read = file.seek(SeekFrom::Start(head.at)).and_then(|_| hash.part_from(head.bytes, file));
        match read {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Err("is cut off".into())),
            other => other.map_err(Error::io(&self.path(key), "reading"))?,
        }
        if hash.finish() != head.hash {
            return Ok(Err(OTHER_HASH.into()));
        }
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(short(key), *stamp);
        Ok(Ok(()))
    }

    fn is_verified(&self, key: &FeatureKey, stamp: Stamp) -> bool {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&short(key)) == Some(&stamp)
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
        File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(cache.look(&key).unwrap(), Look::Damaged(what) if what.contains("at most")));
    }

    #[test]
    fn one_view_is_read_alone_and_numbers_are_compared_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(dir.path()).unwrap();
        let key = key("one");
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let whole = Features { views: 3, tokens: 2, width: 2, values };
        cache.write(&key, &whole).unwrap();
        for view in 0..3 {
            let read = cache.read_view(&key, &mut |views| view + views - 3).unwrap();
            assert_eq!((read.views, &read.values[..]), (1, whole.view(view)));
        }
        assert!(cache.read_view(&key, &mut |views| views).unwrap_err().to_string().contains("no view 3 among 3"));
        // Another number in a file of the same time: it was compared, and is compared again by a look and in another process.
        let path = cache.path(&key);
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let set = |time| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        set(time);
        assert_eq!(cache.read_view(&key, &mut |_| 0).unwrap().values, whole.view(0));
        let other = FeatureCache::open(dir.path()).unwrap();
        for error in [other.read_view(&key, &mut |_| 0).unwrap_err(), other.read(&key).unwrap_err()] {
            assert!(error.to_string().contains("do not match their hash"), "{error}");
        }
        assert!(matches!(cache.look(&key).unwrap(), Look::Damaged(_)));
        // Of another time it is compared again.
        set(time + std::time::Duration::from_secs(2));
        assert!(cache.read_view(&key, &mut |_| 0).is_err());
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
