//! What an earlier run has left, and what of it counts in this one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::places::begun;
use crate::error::{Error, Hint, OtherRun, Result};
use crate::files::Stamp;
use crate::hash::hash_of;
use crate::visuals::{Broken, Files, Opened, Spans, VisualEncoder, check_readable};

pub(super) const VERSION: u64 = 2;
/// A batch has at most 64 files, whose names are short.
const MAX_LINE: u64 = 4 << 20;

/// What of an earlier, unfinished run counts in this one, in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Taken over.
    pub taken: usize,
    /// Done anew, because they have changed since.
    pub changed: usize,
    /// Done anew, because they go through the model with other files than then.
    pub regrouped: usize,
    /// Done anew, because what was kept of them does not match its checksum.
    pub damaged: usize,
    /// Done then, and no longer there.
    pub gone: usize,
    /// Lines of the list of what was done that cannot be read; their files count as not done.
    pub unreadable: usize,
}

impl Resumed {
    /// Files that were done and are done anew.
    pub fn anew(&self) -> usize {
        self.changed + self.regrouped + self.damaged
    }

    /// Whether anything that was done does not count.
    pub fn lost(&self) -> bool {
        self.anew() + self.gone + self.unreadable > 0
    }
}

impl fmt::Display for Resumed {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files taken over from an earlier run: {}", self.taken)?;
        let why = [
            (self.changed, "changed since"),
            (self.regrouped, "in a batch with other files than then"),
            (self.damaged, "with damaged rows"),
        ];
        let why: Vec<_> = why.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !why.is_empty() {
            write!(f, "; done anew, though it had done them: {} ({})", self.anew(), why.join(", "))?;
        }
        if self.gone > 0 {
            write!(f, "; gone since: {}", self.gone)?;
        }
        if self.unreadable > 0 {
            write!(f, "; batches whose line cannot be read, so that they are done anew: {}", self.unreadable)?;
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) vljepa_rows: u64,
    pub(super) of: Value,
}

/// Name, size and time of a file; no size and time where they could not be asked for.
pub(super) type DoneFile = (String, Option<Stamp>);

/// One batch.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) batch: Stored,
    /// SHA-256 of the batch as it stands here and of its rows.
    pub(super) sum: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    /// Byte of the other file at which its rows begin.
    pub(super) at: u64,
    /// Shape of a row.
    pub(super) shape: Vec<usize>,
    pub(super) files: Vec<DoneFile>,
    /// Number among `files` of each that was left out, and why.
    pub(super) skipped: Vec<(usize, String)>,
}

impl Stored {
    /// Bytes of all its rows; nothing for numbers that cannot be.
    fn bytes(&self) -> Option<u64> {
        let rows = self.files.len().checked_sub(self.skipped.len())? as u64;
        if rows == 0 {
            return Some(0);
        }
        self.shape.iter().try_fold(4 * rows, |n, &d| n.checked_mul(d as u64))
    }

    pub(super) fn sum(&self, rows: &[u8]) -> serde_json::Result<String> {
        Ok(hash_of([&serde_json::to_vec(self)?[..], rows]))
    }
}

/// A file's name as one text for each name: those that are not UTF-8 are escaped.
pub(super) fn key(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains('\\') => text.to_owned(),
        _ => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

/// A batch that is done.
pub(super) struct Piece {
    /// Where its rows are in the file with rows.
    pub(super) at: u64,
    /// Of each of its files; `None` where they could not be asked for.
    pub(super) stamps: Vec<Option<Stamp>>,
    /// Numbers among all files of those left out, and why.
    pub(super) skipped: Vec<(usize, String)>,
}

impl Piece {
    pub(super) fn files(&self) -> usize {
        self.stamps.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.files().saturating_sub(self.skipped.len())
    }
}

/// What is done of this run.
#[derive(Default)]
pub(super) struct Done {
    /// Batches by the number of their first file.
    pub(super) pieces: BTreeMap<usize, Piece>,
    /// Of one row, once there is one.
    pub(super) shape: Vec<usize>,
    pub(super) resumed: Resumed,
}

impl Done {
    pub(super) fn row_bytes(&self) -> u64 {
        4 * self.shape.iter().product::<usize>() as u64
    }
}

/// What an earlier run has left.
#[derive(Default)]
pub(super) struct Earlier {
    /// Batches, and whether they match their checksums.
    pub(super) batches: Vec<(Stored, bool)>,
    pub(super) unreadable: usize,
    /// Bytes of whole lines.
    pub(super) whole: u64,
    /// Bytes of rows up to the last batch that matches.
    pub(super) end: u64,
}

impl Earlier {
    /// Reads it and changes nothing. `head` is the first line as this run writes it.
    pub(super) fn read(data: &Path, journal: (&File, &Path), head: &[u8], identity: &Value) -> Result<Self> {
        let (journal, path) = journal;
        let mut reader = BufReader::new(journal);
        let mut line = || -> Result<Vec<u8>> {
            let mut line = Vec::new();
            reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(Error::io(path, "reading"))?;
            Ok(line)
        };
        let first = line()?;
        if first != head {
            // A run that was killed at its first line.
            if head.starts_with(&first) {
                return Ok(Self::default());
            }
            return Err(match serde_json::from_slice::<Head>(&first) {
                Ok(then) if then.vljepa_rows == VERSION => begun(path, data, other(&then.of, identity)),
                Ok(_) => begun(path, data, OtherRun::Version),
                Err(_) => {
                    Error::content(path, "is no list of the files that a run of this program has done; move it away")
                }
            });
        }
        let mut rows = match File::open(data) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(data, "reading")(e)),
        };
        let mut found = Self { whole: first.len() as u64, ..Self::default() };
        loop {
            let next = line()?;
            if next.is_empty() {
                break;
            }
            match next.strip_suffix(b"\n").map(serde_json::from_slice::<Line>) {
                Some(Ok(line)) => {
                    let good = match &mut rows {
                        Some(rows) => matches(&line, rows).map_err(Error::io(data, "reading"))?,
                        None => false,
                    };
                    if good {
                        found.end = found.end.max(line.batch.at + line.batch.bytes().unwrap_or_default());
                    }
                    found.batches.push((line.batch, good));
                }
                Some(Err(_)) => found.unreadable += 1,
                // The last line of a run that was killed may be part of one; a longer one than any of ours is none.
                None if next.len() as u64 == MAX_LINE => found.unreadable += 1,
                None => break,
            }
            found.whole += next.len() as u64;
        }
        Ok(found)
    }

    /// What of it counts for `files`.
    pub(super) fn plan(&self, encoder: &dyn VisualEncoder, files: &[PathBuf], broken: Broken) -> Result<Done> {
        let mut done =
            Done { resumed: Resumed { unreadable: self.unreadable, ..Resumed::default() }, ..Done::default() };
        if self.batches.is_empty() {
            return Ok(done);
        }
        let mut by_first: HashMap<&str, Vec<&Stored>> = HashMap::new();
        // The last line of a file counts: whether it matches its checksum, what the file was like, whether it is there.
        let mut known: HashMap<&str, (bool, Option<Stamp>, bool)> = HashMap::new();
        for (batch, good) in &self.batches {
            if let Some((first, _)) = batch.files.first().filter(|_| *good) {
                by_first.entry(first).or_default().push(batch);
            }
            for (name, stamp) in &batch.files {
                known.insert(name, (*good, *stamp, false));
            }
        }
        let mut at = 0;
        for span in Spans::new(encoder, &Files(files), 0..files.len()) {
            let names = files.iter().take(span.end).skip(at).map(|path| key(path));
            let now: Vec<DoneFile> = names.zip(span.opened.iter().map(Opened::stamp)).collect();
            let first = now.first().and_then(|(name, _)| by_first.get(name.as_str()));
            let same = |batch: &&&Stored| batch.files == now && done.fits(batch);
            let mut taken = first.and_then(|batches| batches.iter().rev().find(same));
            // A file may have failed for what is not in it: a missing program, a right, a disk.
            for (i, _) in taken.map_or(&[][..], |batch| &batch.skipped) {
                match check_readable(encoder, &files[at + i]) {
                    Ok(()) => taken = None,
                    // Without leave to skip it is the error; the rows stay for a run that may.
                    Err(e) if broken != Broken::Skip => return Err(e.hint(Hint::SkipBroken)),
                    Err(_) => {}
                }
            }
            for (name, stamp) in &now {
                let Some((good, then, here)) = known.get_mut(name.as_str()) else { continue };
                *here = true;
                let count = match taken {
                    Some(_) => &mut done.resumed.taken,
                    None if then != stamp => &mut done.resumed.changed,
                    None if *good => &mut done.resumed.regrouped,
                    None => &mut done.resumed.damaged,
                };
                *count += 1;
            }
            if let Some(batch) = taken {
                done.take(at, batch);
            }
            at = span.end;
        }
        done.resumed.gone = known.values().filter(|(.., here)| !here).count();
        Ok(done)
    }
}

/// Whether a batch is as it was stored.
fn matches(line: &Line, rows: &mut File) -> std::io::Result<bool> {
    let (batch, have) = (&line.batch, rows.metadata()?.len());
    let inside = |bytes: &u64| batch.at.checked_add(*bytes).is_some_and(|end| end <= have);
    let Some(bytes) = batch.bytes().filter(inside) else { return Ok(false) };
    let mut stored = vec![0; bytes as usize];
    rows.seek(SeekFrom::Start(batch.at))?;
    rows.read_exact(&mut stored)?;
    Ok(batch.sum(&stored).is_ok_and(|sum| sum == line.sum))
}

impl Done {
    /// Whether the rows of a batch are as long as those that there are.
    fn fits(&self, batch: &Stored) -> bool {
        self.shape.is_empty() || batch.skipped.len() == batch.files.len() || self.shape == batch.shape
    }

    /// Takes a batch over whose first file is number `at` now.
    fn take(&mut self, at: usize, batch: &Stored) {
        let skipped = batch.skipped.iter().map(|(i, why)| (at + i, why.clone())).collect();
        let stamps = batch.files.iter().map(|(_, stamp)| *stamp).collect();
        let piece = Piece { at: batch.at, stamps, skipped };
        if piece.rows() > 0 {
            self.shape.clone_from(&batch.shape);
        }
        self.pieces.insert(at, piece);
    }
}

/// What run another identity is of.
fn other(then: &Value, now: &Value) -> OtherRun {
    let differs = |key: &&str| then.get(key) != now.get(key);
    if let Some(verb) = then.get("verb").and_then(Value::as_str).filter(|_| differs(&"verb")) {
        return OtherRun::Task(verb.to_owned());
    }
    let keys = now.as_object().into_iter().flat_map(|o| o.keys().map(String::as_str)).filter(differs);
    OtherRun::Differs(keys.map(str::to_owned).collect())
}
