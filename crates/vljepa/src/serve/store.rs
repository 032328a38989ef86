//! The folder in which streams are kept: a file for each, a line for each event, on the disk before anybody is told of it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use vljepa_embed::files::{FolderLock, sync_folder_of};

use super::event::{About, Event, Line};
use crate::error::{Error, Result};

/// The lock of a folder: one server at a time writes into it.
const LOCK: &str = "serve.lock";
/// How the name of a stream's file ends.
const EXTENSION: &str = "jsonl";
/// Longest line that is read: a row, a picture, scores of many texts.
const MAX_LINE: u64 = 4 << 20;

/// The folder, held by this server.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    _lock: FolderLock,
}

/// The file of a stream, to which lines are added.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

/// A stream that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub about: About,
    /// All its lines, the first of which says what it is.
    pub lines: Vec<Line>,
    pub log: Log,
}

/// Whether a text is the name of a stream: what this server makes up, and nothing that could lead elsewhere.
pub(super) fn is_id(text: &str) -> bool {
    (8..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}

impl Store {
    /// Takes the folder, which is made where it is missing.
    ///
    /// # Errors
    /// A folder that cannot be made or written into, or that another server holds.
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self { _lock: FolderLock::take(dir, LOCK)?, dir: dir.to_path_buf() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(id).with_extension(EXTENSION)
    }

    /// Begins the file of a stream.
    ///
    /// # Errors
    /// A file that is there already, and errors of the operating system.
    pub fn create(&self, id: &str) -> Result<Log> {
        let path = self.path(id);
        let file = File::create_new(&path).map_err(Error::io(&path, "creating"))?;
        sync_folder_of(&path);
        Ok(Log { path, file })
    }

    /// Removes the file of a stream.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn remove(&self, id: &str) -> Result<()> {
        let path = self.path(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, "removing")(error)),
            _ => {
                sync_folder_of(&path);
                Ok(())
            }
        }
    }

    /// The names of the streams that are kept, the newest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.dir).map_err(Error::io(&self.dir, "reading"))?;
        let id = |path: PathBuf| {
            let stem = path.file_stem()?.to_str()?.to_owned();
            (path.extension()? == EXTENSION && is_id(&stem)).then_some(stem)
        };
        let mut found: Vec<(std::time::SystemTime, String)> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io(&self.dir, "reading"))?;
            let changed = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(std::time::UNIX_EPOCH);
            found.extend(id(entry.path()).map(|id| (changed, id)));
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// Reads a stream. What a killed server left half-written at the end is cut off, so that the next line stands by itself.
    ///
    /// # Errors
    /// A file that cannot be read, and one that does not begin as the file of this stream.
    pub fn read(&self, id: &str) -> Result<Kept> {
        let path = self.path(id);
        let mut file = File::options().read(true).append(true).open(&path).map_err(Error::io(&path, "reading"))?;
        let (lines, good) = whole_lines(BufReader::new(&file)).map_err(Error::io(&path, "reading"))?;
        let about = match lines.first() {
            Some(Line { id: 1, event: Event::Started(about), .. }) if about.stream == id => about.clone(),
            _ => return Err(Error::content(&path, "does not begin as the file of a stream; move it elsewhere")),
        };
        file.set_len(good).and_then(|()| file.seek(SeekFrom::End(0))).map_err(Error::io(&path, "writing"))?;
        Ok(Kept { about, lines, log: Log { path, file } })
    }
}

/// The lines that are whole, and where the last of them ends. What cannot be read between others is passed over and left as it is.
fn whole_lines(mut reader: impl BufRead) -> std::io::Result<(Vec<Line>, u64)> {
    let (mut lines, mut good, mut bytes): (Vec<Line>, u64, Vec<u8>) = (Vec::new(), 0, Vec::new());
    loop {
        bytes.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)?;
        if !bytes.ends_with(b"\n") {
            return Ok((lines, good));
        }
        good += read as u64;
        let last = lines.last().map_or(0, |line| line.id);
        lines.extend(serde_json::from_slice(&bytes).ok().filter(|line: &Line| line.id > last));
    }
}

impl Log {
    /// Adds a line, and returns when it is on the disk.
    ///
    /// # Errors
    /// A line that cannot be written; then nothing of it is left.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)
            .map_err(|error| Error::content(&self.path, format!("an event is no JSON: {error}")))?;
        text.push('\n');
        let length = self.file.metadata().map_err(Error::io(&self.path, "writing"))?.len();
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            // Half a line would be taken for the end of the file.
            let _ = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::End(0)));
            Error::io(&self.path, "writing")(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(id: &str) -> About {
        About {
            stream: id.into(),
            name: "film".into(),
            created: 1,
            model: "m".into(),
            model_hash: "h".into(),
            dim: 2,
            window_s: 2.0,
            hz: 2.0,
            duration_s: None,
            live: false,
            query: None,
        }
    }

    fn line(id: u64, event: Event) -> Line {
        Line { id, event, row: None, picture: None }
    }

    #[test]
    fn what_was_added_is_there_after_any_cut() {
        let dir = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef";
        {
            let store = Store::open(dir.path()).unwrap();
            assert!(Store::open(dir.path()).unwrap_err().to_string().contains("another run"));
            let mut log = store.create(id).unwrap();
            assert!(store.create(id).is_err());
            log.add(&line(1, Event::Started(about(id)))).unwrap();
            for n in 2..6 {
                log.add(&line(n, Event::Note { text: format!("note {n}") })).unwrap();
            }
        }
        let path = dir.path().join(format!("{id}.jsonl"));
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for cut in [whole.len(), whole.len() - 1, ends[3] + 5, ends[3], ends[0] + 1, ends[0]] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(store.ids().unwrap(), [id]);
            let mut kept = store.read(id).unwrap();
            let there = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!((kept.lines.len(), kept.about), (there, about(id)), "{cut}");
            // The next line stands by itself.
            kept.log.add(&line(there as u64 + 1, Event::Note { text: "after".into() })).unwrap();
            assert_eq!(store.read(id).unwrap().lines.len(), there + 1);
        }
        let store = Store::open(dir.path()).unwrap();
        // A line that was damaged costs itself alone.
        let mut damaged = whole.clone();
        damaged[ends[1] + 3] = 0xff;
        std::fs::write(&path, &damaged).unwrap();
        let ids: Vec<u64> = store.read(id).unwrap().lines.iter().map(|line| line.id).collect();
        assert_eq!((ids, std::fs::read(&path).unwrap()), (vec![1, 2, 4, 5], damaged));
        for garbage in [&b""[..], b"garbage", b"{}\n", &whole[ends[0]..], &[0xff; 100]] {
            std::fs::write(&path, garbage).unwrap();
            assert!(store.read(id).unwrap_err().to_string().contains("does not begin"), "{garbage:?}");
            assert_eq!(std::fs::read(&path).unwrap(), garbage, "what is not ours stays as it is");
        }
        store.remove(id).unwrap();
        store.remove(id).unwrap();
        assert!(store.ids().unwrap().is_empty() && store.read(id).is_err());
    }

    #[test]
    fn names_lead_nowhere_else() {
        assert!(is_id("0123456789abcdef"));
        for bad in ["", "0123456", "../../etc/passwd", "0123456789ABCDEF", "0123456789abcde/", &"0".repeat(33)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
