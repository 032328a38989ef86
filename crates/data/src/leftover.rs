//! Temporary files and folders of processes that were killed: whoever next writes into the same folder removes them.
//!
//! A process holds the system's lock on each of its temporary files (where the system has such locks, on its temporary folders
//! too), and the lock ends with the process. So what can be locked belongs to nobody, with one exception: the locks of another machine
//! may be invisible on a shared disk. That is why a name says in which run of the system it was made. Names of other
//! runs, and names that say nothing, are left alone for a day after the last change.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

const START: &str = ".vljepa-";
const END: &str = ".tmp";
/// For how long what may belong to another machine is left alone after its last change.
const QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands before the random part of a name: it differs between machines, and between runs of one system.
fn tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut id = String::new();
        // Linux alone has this file. Without it a name says nothing.
        let read = File::open("/proc/sys/kernel/random/boot_id").and_then(|file| file.take(64).read_to_string(&mut id));
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        if read.is_ok() && digits.len() == 12 { digits + "-" } else { String::new() }
    })
}

/// Unique names for temporary files and folders.
pub fn temporary_names() -> tempfile::Builder<'static, 'static> {
    static NAME: OnceLock<String> = OnceLock::new();
    let mut builder = tempfile::Builder::new();
    builder.prefix(NAME.get_or_init(|| format!("{START}{}", tag()))).suffix(END);
    builder
}

/// Locks a temporary file or folder for as long as this process has it open. `false`: somebody who took it for a leftover holds it. A
/// file system without locks is no obstacle: there nobody removes it either.
pub(crate) fn hold(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Opens a temporary folder and [locks](hold) it. `None` where the system opens no folders, or its locks are for files alone.
pub(crate) fn hold_folder(path: &Path) -> Option<File> {
    let folder = File::open(path).ok()?;
    folder.try_lock().is_ok().then_some(folder)
}

/// Removes from `dir` what killed processes left there, once in the life of this process.
pub fn remove_leftovers(dir: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let key = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
        remove_from(dir, tag());
    }
}

/// Removes leftovers of the run of the system that `tag` names, and those of others that are old.
fn remove_from(dir: &Path, tag: &str) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(START)?.strip_suffix(END)) else { continue };
        // Not through links: what a link leads to is not ours.
        let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { continue };
        let ours = !tag.is_empty() && rest.starts_with(tag);
        if (ours && !meta.is_symlink()) || is_quiet(&meta) {
            remove(&entry.path(), &meta);
        }
    }
}

fn is_quiet(meta: &Metadata) -> bool {
    meta.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|since| since > QUIET)
}

/// Removes a leftover that nobody has locked. Nothing can be done about one that cannot be removed.
fn remove(path: &Path, meta: &Metadata) {
    if meta.is_symlink() {
        let _ = std::fs::remove_file(path);
        return;
    }
    if !meta.is_file() && !meta.is_dir() {
        return;
    }
    // Held until it is gone, so that no two processes remove the same one.
    // Network disks lock only what is open for writing.
    let held = std::fs::OpenOptions::new().read(true).write(meta.is_file()).open(path);
    let Some(held) = held.ok().filter(|file| file.try_lock().is_ok()) else { return };
    if meta.is_file() {
        let _ = std::fs::remove_file(path);
    } else {
        // Moved first: whoever else still has it then finds nothing, and not a part.
        let aside = path.with_file_name(format!("{START}{}swept-{}{END}", tag(), std::process::id()));
        if std::fs::rename(path, &aside).is_ok() {
            let _ = std::fs::remove_dir_all(&aside);
        }
    }
    drop(held);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn age(path: &Path) {
        let file = File::open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - QUIET - Duration::from_secs(60)).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at(".vljepa-1234-dead.tmp"), "x").unwrap();
        std::fs::create_dir(at(".vljepa-1234-folder.tmp")).unwrap();
        std::fs::write(at(".vljepa-1234-folder.tmp/a"), "x").unwrap();
        // Of another machine, fresh and old.
        std::fs::write(at(".vljepa-5678-fresh.tmp"), "x").unwrap();
        std::fs::write(at(".vljepa-old.tmp"), "x").unwrap();
        age(&at(".vljepa-old.tmp"));
        // Somebody's.
        for name in [".vljepa-1234-held.tmp", ".vljepa-heldold.tmp"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::fs::create_dir(at(".vljepa-1234-heldfolder.tmp")).unwrap();
        age(&at(".vljepa-heldold.tmp"));
        let held = [".vljepa-1234-held.tmp", ".vljepa-heldold.tmp", ".vljepa-1234-heldfolder.tmp"];
        let locks: Vec<_> = held.iter().map(|name| hold_folder(&at(name)).unwrap()).collect();
        // A link, and names that are not ours.
        std::fs::write(at("mine"), "x").unwrap();
        std::os::unix::fs::symlink(at("mine"), at(".vljepa-1234-link.tmp")).unwrap();
        for name in [".vljepa-1234-x", "vljepa-1234-x.tmp", ".other-1234-x.tmp"] {
            std::fs::write(at(name), "x").unwrap();
        }
        remove_from(dir.path(), "1234-");
        let mut want = vec![
            ".other-1234-x.tmp",
            ".vljepa-1234-held.tmp",
            ".vljepa-1234-heldfolder.tmp",
            ".vljepa-1234-link.tmp",
            ".vljepa-1234-x",
            ".vljepa-5678-fresh.tmp",
            ".vljepa-heldold.tmp",
            "mine",
            "vljepa-1234-x.tmp",
        ];
        want.sort_unstable();
        assert_eq!(names(dir.path()), want);
        drop(locks);
        remove_from(dir.path(), "1234-");
        assert!(!names(dir.path()).iter().any(|name| name.contains("held")));
        assert_eq!(std::fs::read(at("mine")).unwrap(), b"x");
    }
}
