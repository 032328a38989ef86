//! The cache on disk, in the layout of Python's `huggingface_hub`, so that both programs share it.
//!
//! ```text
//! CACHE/.locks/models--org--name/ETAG.lock
//! CACHE/models--org--name/blobs/ETAG                    content; ETAG.incomplete during the download
//!                         refs/main                     the commit
//!                         snapshots/COMMIT/config.json  -> ../../blobs/ETAG
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use vljepa_embed::files::{
    self, Locked, MAX_JSON, UnderWay, remove_leftovers, same_file, temporary_in, temporary_names, write_atomically,
};

use super::error::{HubError, Result};
use super::event::PullEvent;
use super::names::{Etag, FileName, RepoId, Revision, is_commit};
use super::whole::{State, linked, state, write_record};

/// Content of `CACHEDIR.TAG`, which tells backup programs that the folder is a cache (bford.info/cachedir).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory holds models that can be downloaded again.\n";

/// Mode of lock files: members of the group may share the cache.
#[cfg(unix)]
const LOCK_MODE: u32 = 0o664;

/// The cache of one repository.
pub(super) struct Cache {
    root: PathBuf,
    repo: PathBuf,
    locks: PathBuf,
    symlinks: bool,
}

/// The right to write a blob. It ends when this value is dropped or the process ends.
pub(super) struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Records that the blob at `path` is whole.
    pub(super) fn record(&mut self, path: &Path) {
        if let (Some(file), Ok(meta)) = (&mut self.file, std::fs::metadata(path)) {
            write_record(file, &meta);
        }
    }
}

impl Cache {
    pub(super) fn new(root: &Path, repo: &RepoId, symlinks: bool) -> Self {
        let folder = repo.folder();
        let locks = root.join(".locks").join(&folder);
        Self { root: root.to_path_buf(), repo: root.join(folder), locks, symlinks }
    }

    /// Path of a complete blob.
    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.repo.join("blobs").join(etag.as_str())
    }

    /// Path of a blob during its download. It is kept when the process ends, so that the next one can resume.
    pub(super) fn incomplete(&self, etag: &Etag) -> PathBuf {
        self.repo.join("blobs").join(format!("{}.incomplete", etag.as_str()))
    }

    /// Folder of the snapshot of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// Path of the file of a blob's lock.
    pub(super) fn lock_path(&self, etag: &Etag) -> PathBuf {
        self.locks.join(format!("{}.lock", etag.as_str()))
    }

    /// Path of the checksums of the files of a snapshot that are no links to their blobs: a line each.
    fn checksums(&self, commit: &str) -> PathBuf {
        self.locks.join(format!("{commit}.files"))
    }

    /// The checksum of a file of a snapshot, by its link, or as it was recorded for a file that is no link.
    fn checksum_of(&self, commit: &str, name: &FileName) -> Option<Etag> {
        let place = self.snapshot(commit).join(name.path());
        if place.is_symlink() {
            return linked(&place);
        }
        let text = files::read_text(&self.checksums(commit), MAX_JSON).ok()?;
        let of =
            |line: &str| line.split_once("  ").filter(|(_, n)| *n == name.as_str()).and_then(|(e, _)| Etag::parse(e));
        text.lines().rev().find_map(of)
    }

    /// Whether a file of a snapshot is there and whole. One whose checksum is not known, as in a snapshot that another program
    /// made without links, counts as whole.
    pub(super) fn state(&self, commit: &str, name: &FileName) -> State {
        let place = self.snapshot(commit).join(name.path());
        match (self.checksum_of(commit, name), std::fs::metadata(&place)) {
            (_, Err(_)) => State::Missing,
            (Some(etag), Ok(_)) => state(&place, &etag, &self.lock_path(&etag)),
            (None, Ok(meta)) if meta.is_file() => State::Whole(meta.len()),
            (None, Ok(_)) => State::Missing,
        }
    }

    /// Length in bytes of a file of a snapshot; `None` if the file or its blob is missing.
    pub(super) fn cached_len(&self, commit: &str, name: &FileName) -> Option<u64> {
        let meta = std::fs::metadata(self.snapshot(commit).join(name.path())).ok()?;
        meta.is_file().then_some(meta.len())
    }

    /// The commit that the revision named at the last pull.
    pub(super) fn commit(&self, revision: &Revision) -> Option<String> {
        if is_commit(revision.as_str()) {
            return Some(revision.as_str().to_owned());
        }
        let mut text = String::new();
        let file = vljepa_data::open_regular(self.repo.join("refs").join(revision.path())).ok()?;
        file.take(256).read_to_string(&mut text).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Names of all files of a snapshot, including files whose blob is missing; empty if there is no snapshot.
    pub(super) fn names(&self, commit: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![(self.snapshot(commit), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{prefix}{name}");
                // `file_type` does not follow links, so a link to a folder counts as a file.
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    folders.push((entry.path(), name + "/"));
                } else {
                    names.push(name);
                }
            }
        }
        names.sort();
        names
    }

    /// Names of all files of a commit as newer Python clients record them; `None` without such a record.
    pub(super) fn recorded_names(&self, commit: &str) -> Option<Vec<String>> {
        let path = self.repo.join("trees").join(format!("{commit}.json"));
        let text = files::read_text(&path, MAX_JSON).ok()?;
        let tree: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(tree.get("files")?.as_object()?.keys().cloned().collect())
    }

    /// Makes the folders of the repository, so that a cache that cannot be written is known before anything is fetched.
    pub(super) fn prepare(&self) -> Result<()> {
        for folder in ["blobs", "snapshots"] {
            create(&self.repo.join(folder))?;
        }
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            // Only of use to other programs, so a failure does not matter.
            let _ = write_atomically(&tag, TAG.as_bytes());
        }
        Ok(())
    }

    /// Waits until no other process, of this program or of Python, is fetching the blob.
    pub(super) fn lock(&self, etag: &Etag, name: &FileName, on_event: &mut dyn FnMut(PullEvent<'_>)) -> Result<Lock> {
        create(&self.locks)?;
        let path = self.lock_path(etag);
        let failed = || HubError::cache(&path, "locking");
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt;
                options.mode(LOCK_MODE);
            }
            let file = options.open(&path).map_err(failed())?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                // The process's umask may have reduced the mode. Only the owner can change it; a failure does not
                // matter.
                let _ = file.set_permissions(std::fs::Permissions::from_mode(LOCK_MODE));
            }
            let locked = wait_for_lock(file.try_lock(), || {
                on_event(PullEvent::Waiting { name: name.as_str() });
                file.lock()
            });
            match locked {
                // Python's client may remove the file when it is done; then this lock is on a deleted file.
                Locked::Ours if same_file(&file, &path) => return Ok(Lock { file: Some(file) }),
                Locked::Ours | Locked::Theirs => {}
                // Without locks, two processes may write the same blob; both write the same bytes and verify them.
                Locked::Unsupported => return Ok(Lock { file: None }),
            }
        }
    }

    /// Adds a blob to a snapshot as a relative link. Without symbolic links, the blob is copied, or moved if `movable`:
    /// then no other file needs it.
    pub(super) fn link(&self, etag: &Etag, commit: &str, name: &FileName, movable: bool) -> Result<()> {
        let place = self.snapshot(commit).join(name.path());
        let folder = place.parent().unwrap_or(&self.repo);
        create(folder)?;
        remove_leftovers(folder);
        let target = format!("{}blobs/{}", "../".repeat(name.depth() + 2), etag.as_str());
        let make = || temporary_names().make_in(folder, |at| symlink(&target, at));
        let link = self.symlinks.then(|| UnderWay::make(make).ok()).flatten();
        let blob = self.blob(etag);
        let done = match link {
            Some((link, under_way)) => under_way.settle(|| persist(link, &place)),
            // Renamed in one step: the blob may be the only copy, and a signal removes files with temporary names.
            None if movable && !blob.is_symlink() => std::fs::rename(&blob, &place),
            None => copy(&blob, folder, &place),
        };
        if done.is_ok() && !place.is_symlink() {
            self.record_checksum(etag, commit, name);
        }
        match done {
            // Another process has moved the blob to the same place.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && place.is_file() => Ok(()),
            other => other.map_err(HubError::cache(&place, "writing")),
        }
    }

    /// Records the checksum of a file that is no link to its blob, and that it is whole. Without a record it is not checked later.
    fn record_checksum(&self, etag: &Etag, commit: &str, name: &FileName) {
        let path = self.checksums(commit);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let _ = file.and_then(|mut file| writeln!(file, "{}  {}", etag.as_str(), name.as_str()));
        let _ = state(&self.snapshot(commit).join(name.path()), etag, &self.lock_path(etag));
    }

    /// Takes a link of a snapshot away again, with the folders that then are empty.
    pub(super) fn unlink(&self, commit: &str, name: &FileName) {
        let snapshot = self.snapshot(commit);
        let place = snapshot.join(name.path());
        if place.is_symlink() && std::fs::remove_file(&place).is_ok() {
            for folder in place.ancestors().skip(1).take_while(|folder| folder.starts_with(&snapshot)) {
                if std::fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
    }

    /// The folder of the whole cache, where there is room for `needed` bytes.
    pub(super) fn check_room(&self, needed: u64) -> Result<()> {
        match free_bytes(&self.root) {
            Some(free) if free < needed => Err(HubError::NoRoom { path: self.root.clone(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Records which commit a revision names.
    pub(super) fn record_commit(&self, revision: &Revision, commit: &str) -> Result<()> {
        if self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.repo.join("refs").join(revision.path());
        create(path.parent().unwrap_or(&self.repo))?;
        Ok(write_atomically(&path, commit.as_bytes())?)
    }
}

/// Waits with `wait` if the first attempt `tried` found the lock taken.
fn wait_for_lock(
    tried: std::result::Result<(), TryLockError>,
    mut wait: impl FnMut() -> std::io::Result<()>,
) -> Locked {
    match Locked::from(tried) {
        Locked::Theirs => loop {
            match wait() {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                waited => break waited.map_err(TryLockError::Error).into(),
            }
        },
        other => other,
    }
}

fn persist<F>(temporary: NamedTempFile<F>, place: &Path) -> std::io::Result<()> {
    temporary.persist(place).map(drop).map_err(|e| e.error)
}

fn copy(blob: &Path, folder: &Path, place: &Path) -> std::io::Result<()> {
    let mut from = File::open(blob)?;
    let (mut to, under_way) = UnderWay::make(|| temporary_in(folder))?;
    std::io::copy(&mut from, to.as_file_mut())?;
    to.as_file().sync_all()?;
    under_way.settle(|| persist(to, place))
}

/// Bytes of the disk that are free for this user; `None` where that is not known.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(HubError::cache(folder, "creating"))
}

#[cfg(unix)]
fn symlink(target: &str, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn symlink(target: &str, at: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), at)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &str, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    struct Fixture {
        dir: tempfile::TempDir,
        cache: Cache,
        etag: Etag,
        name: FileName,
    }

    /// A cache with the blob "all" of one file.
    fn fixture(symlinks: bool) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), &RepoId::parse("org/tiny").unwrap(), symlinks);
        let etag = Etag::parse(&format!("\"{}\"", "a".repeat(64))).unwrap();
        cache.prepare().unwrap();
        std::fs::write(cache.blob(&etag), "all").unwrap();
        Fixture { dir, cache, etag, name: FileName::parse("1_Pooling/config.json").unwrap() }
    }

    #[test]
    fn the_only_copy_is_at_its_place_or_among_the_blobs() {
        let Fixture { dir: _dir, cache, etag, name } = fixture(false);
        // No file can replace a folder with content.
        let place = cache.snapshot(COMMIT).join(name.path());
        std::fs::create_dir_all(place.join("in the way")).unwrap();
        let error = cache.link(&etag, COMMIT, &name, true).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("HF_HUB_CACHE"), "{error}");
        assert_eq!(std::fs::read(cache.blob(&etag)).unwrap(), b"all");
        assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
        std::fs::remove_dir_all(&place).unwrap();
        cache.link(&etag, COMMIT, &name, true).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"all");
        assert!(!place.is_symlink() && !cache.blob(&etag).exists());
        // The same call in another process.
        cache.link(&etag, COMMIT, &name, true).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"all");
    }

    #[test]
    fn temporary_names_do_not_clash() {
        for (symlinks, movable) in [(true, true), (true, false), (false, false), (false, true)] {
            let Fixture { dir: _dir, cache, etag, name } = fixture(symlinks);
            let folder = cache.snapshot(COMMIT).join("1_Pooling");
            std::fs::create_dir_all(&folder).unwrap();
            // The file of a process with the same id on another machine.
            let theirs = folder.join(format!(".vljepa-{}.tmp", std::process::id()));
            std::fs::write(&theirs, "theirs").unwrap();
            cache.link(&etag, COMMIT, &name, movable).unwrap();
            assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs", "{symlinks} {movable}");
            assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), b"all");
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "{symlinks} {movable}");
            assert_eq!(cache.blob(&etag).exists(), symlinks || !movable);
        }
    }

    #[test]
    fn a_file_system_without_locks_is_no_failure() {
        use std::io::{Error, ErrorKind};
        // ENOLCK of Linux: a network file system whose server has no lock daemon.
        let none = || Error::from_raw_os_error(37);
        let never = || -> std::io::Result<()> { unreachable!("nobody holds it") };
        assert_eq!(wait_for_lock(Err(TryLockError::Error(none())), never), Locked::Unsupported);
        assert_eq!(wait_for_lock(Err(TryLockError::Error(ErrorKind::Unsupported.into())), never), Locked::Unsupported);
        assert_eq!(wait_for_lock(Ok(()), never), Locked::Ours);
        assert_eq!(wait_for_lock(Err(TryLockError::WouldBlock), || Err(none())), Locked::Unsupported);
        let mut answers = [Err(ErrorKind::Interrupted.into()), Ok(())].into_iter();
        assert_eq!(wait_for_lock(Err(TryLockError::WouldBlock), || answers.next().unwrap()), Locked::Ours);
    }
}
