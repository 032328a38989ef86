//! Whether files of the cache are whole. The name of a blob is its checksum, so no hub need be asked.
//!
//! Computing the checksum of gigabytes takes seconds, so the file of a blob's lock holds size and time of the blob as it was
//! last checked. A blob with the same size and time is not read again. Python's client uses the same files as locks, and empties
//! them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use vljepa_embed::hash::hex;

use super::names::Etag;

/// Size of a buffer for reading, in bytes.
const BUFFER: usize = 256 << 10;
/// Longest record in bytes.
const MAX_RECORD: u64 = 100;

/// What is known of a file of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its bytes are those of its checksum, or it has no checksum to compare; its length.
    Whole(u64),
    /// It has other bytes: it was cut short or altered.
    Damaged,
    /// There is no such file.
    Missing,
}

/// The state of the file at `path`, whose bytes have the checksum `etag`. `lock` is the file of its lock.
pub(super) fn state(path: &Path, etag: &Etag, lock: &Path) -> State {
    let Some(meta) = std::fs::metadata(path).ok().filter(Metadata::is_file) else { return State::Missing };
    let mut record = String::new();
    let read = File::open(lock).and_then(|file| file.take(MAX_RECORD).read_to_string(&mut record));
    if read.is_ok() && record == record_of(&meta) {
        return State::Whole(meta.len());
    }
    let found = File::open(path).and_then(|mut file| checksum(&mut file, etag));
    match found {
        Ok(found) if found == etag.as_str() => {
            // A cache that cannot be written is checked each time.
            if let Ok(mut file) = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock)
                && file.try_lock().is_ok()
            {
                write_record(&mut file, &meta);
            }
            State::Whole(meta.len())
        }
        _ => State::Damaged,
    }
}

/// Size and time of a file as a record has them.
fn record_of(meta: &Metadata) -> String {
    let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}\n", meta.len(), since.map_or(0, |since| since.as_nanos()))
}

/// Records that a file is whole, in the open file of its lock. Without a record it is only read once more.
pub(super) fn write_record(lock: &mut File, meta: &Metadata) {
    let _ = lock
        .set_len(0)
        .and_then(|()| lock.seek(SeekFrom::Start(0)))
        .and_then(|_| lock.write_all(record_of(meta).as_bytes()));
}

/// The checksum of a whole file, of the kind of `etag`.
pub(super) fn checksum(file: &mut File, etag: &Etag) -> std::io::Result<String> {
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    match etag {
        Etag::Sha256(_) => digest(Sha256::new(), file),
        // The hash of a git blob starts with this header.
        Etag::GitSha1(_) => digest(Sha1::new_with_prefix(format!("blob {len}\0")), file),
    }
}

fn digest(mut hash: impl Digest, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The checksum that the link at `path` names: links of a snapshot lead to blobs.
pub(super) fn linked(path: &Path) -> Option<Etag> {
    let target: PathBuf = std::fs::read_link(path).ok()?;
    Etag::parse(target.file_name()?.to_str()?)
}
