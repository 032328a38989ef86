//! What is done of a file of rows that is being made, beside its place, so that a run that was stopped goes on.
//!
//! While `F` is being made there are `F.partial`, the rows (f32, little endian) of one batch behind those of the other, and
//! `F.partial.jsonl`: a line with what the rows depend on, then a line for each batch with the place of its rows, its files,
//! their sizes and times, and a checksum of all that and of the rows. Rows reach the disk before the line that tells of them.
//! A batch is taken over, wherever it is, when its files are as they were and go through the model together again: how many
//! do decides the bits of each. All else is done anew and put behind what is there; nothing of it is removed before the end.

mod earlier;
mod places;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Value;

pub use earlier::Resumed;
pub use places::{check_unbegun, is_begun};

use earlier::{Done, Earlier, Head, Line, Piece, Stored, VERSION, key};
use places::places;

use crate::error::{Error, Result};
use crate::files::{Locked, Stamp, same_file};
use crate::hash::hash_of;
use crate::visuals::{Batch, Broken, Files, Skipped, VisualEncoder, encode, nothing_left, same_shape};

/// What work that goes on where it was stopped tells meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum RowEvent {
    /// What of an earlier run counts; the first, where there was one.
    Resumed(Resumed),
    /// So many files are done.
    Done(usize),
}

/// Rows to be made, and what they depend on.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// What makes them; kept in the unfinished file, and what messages call the run.
    pub verb: &'static str,
    /// Where the files were found.
    pub inputs: &'a [PathBuf],
    /// What is embedded.
    pub files: &'a [PathBuf],
    /// The file to be.
    pub out: &'a Path,
    /// An object: all else.
    pub depends: &'a Value,
    /// What happens to files that cannot be read.
    pub broken: Broken,
}

impl Task<'_> {
    fn identity(&self) -> Value {
        let mut identity = match self.depends {
            Value::Object(depends) => depends.clone(),
            other => [("depends".to_owned(), other.clone())].into_iter().collect(),
        };
        // A list of any length takes the room of one hash.
        // `dir/` is `dir`.
        let inputs: Vec<PathBuf> = self.inputs.iter().map(|path| path.components().collect()).collect();
        let input = hash_of(inputs.iter().map(|path| path.as_os_str().as_encoded_bytes()));
        let program = env!("CARGO_PKG_VERSION");
        let own = [("verb", self.verb), ("input", &input), ("program", program)];
        identity.extend(own.map(|(key, value)| (key.to_owned(), value.into())));
        Value::Object(identity)
    }
}

/// An unfinished file.
pub struct Partial {
    data: File,
    data_path: PathBuf,
    /// Holds the lock on both.
    journal: File,
    journal_path: PathBuf,
    /// Whether there is a lock; some network file systems know none.
    locked: bool,
    /// Bytes of rows that are not to be written over.
    end: u64,
    done: Done,
}

impl Partial {
    /// The rows of all files of a task, done by an earlier run or now; one at least.
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file), but for writing what is made of them.
    pub fn complete(encoder: &dyn VisualEncoder, task: &Task<'_>, mut on_event: impl FnMut(RowEvent)) -> Result<Self> {
        let Task { files, broken, .. } = *task;
        let mut partial = Self::open(encoder, task)?;
        let resumed = partial.resumed();
        if resumed != Resumed::default() {
            on_event(RowEvent::Resumed(resumed));
        }
        let mut done = resumed.taken;
        on_event(RowEvent::Done(done));
        let worked = partial.missing(files.len()).into_iter().try_for_each(|run| {
            encode(encoder, &Files(files), run, broken, &mut |batch| {
                done += batch.range.len();
                partial.add(files, batch)?;
                on_event(RowEvent::Done(done));
                Ok(())
            })
        });
        let worked = worked.and_then(|()| match partial.rows() {
            0 => Err(nothing_left(&partial.left_out(files))),
            _ => Ok(()),
        });
        if let Err(error) = worked {
            // Without rows there is nothing to go on with.
            if partial.is_empty() {
                partial.remove();
            }
            return Err(error);
        }
        Ok(partial)
    }

    /// Begins the file, or finds what an earlier run of the same identity has done of it.
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file); what is there then stays as it is.
    fn open(encoder: &dyn VisualEncoder, task: &Task<'_>) -> Result<Self> {
        let (Task { out, files, broken, .. }, identity) = (*task, &task.identity());
        let (data_path, journal_path, _) = places(out)?;
        if data_path.exists() && !journal_path.exists() {
            let reason = "is in the way: the rows of an unfinished run would go there; move it away";
            return Err(Error::content(data_path, reason));
        }
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).map_err(Error::io(path, "writing"))
        };
        let (journal, locked) = loop {
            let journal = open(&journal_path)?;
            match Locked::from(journal.try_lock()) {
                Locked::Theirs => {
                    let reason = "another run is writing this file; wait for it, or stop it";
                    return Err(Error::content(journal_path, reason));
                }
                Locked::Nobodys => break (journal, false),
                // Whoever held it may have removed it; then the lock is on nothing.
                Locked::Ours if same_file(&journal, &journal_path) => break (journal, true),
                Locked::Ours => {}
            }
        };
        let fresh = journal.metadata().is_ok_and(|meta| meta.len() == 0);
        let mut head = serde_json::to_vec(&Head { vljepa_rows: VERSION, of: identity.clone() })
            .map_err(|e| Error::content(&journal_path, e.to_string()))?;
        head.push(b'\n');
        let opened = Earlier::read(&data_path, (&journal, &journal_path), &head, identity)
            .and_then(|earlier| Ok((earlier.plan(encoder, files, broken)?, earlier, open(&data_path)?)));
        let (done, earlier, data) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // What was made for this run alone goes.
                if fresh {
                    let _ = std::fs::remove_file(&journal_path);
                }
                return Err(error);
            }
        };
        let mut partial = Self { data, data_path, journal, journal_path, locked, end: earlier.end, done };
        partial.cut(earlier.whole, &head)?;
        Ok(partial)
    }

    /// Cuts off what is no whole line, and rows that no line tells of.
    fn cut(&mut self, whole: u64, head: &[u8]) -> Result<()> {
        self.data.set_len(self.end).map_err(Error::io(&self.data_path, "writing"))?;
        self.data.seek(SeekFrom::Start(self.end)).map_err(Error::io(&self.data_path, "writing"))?;
        self.journal.set_len(whole).map_err(Error::io(&self.journal_path, "writing"))?;
        self.journal.seek(SeekFrom::Start(whole)).map_err(Error::io(&self.journal_path, "writing"))?;
        if whole == 0 { self.append(head) } else { Ok(()) }
    }

    fn append(&mut self, line: &[u8]) -> Result<()> {
        let written = self.journal.write_all(line).and_then(|()| self.journal.sync_data());
        written.map_err(Error::io(&self.journal_path, "writing"))
    }

    /// Adds a batch that was just done.
    ///
    /// # Errors
    /// Rows of another shape, and what writing reports.
    fn add(&mut self, files: &[PathBuf], batch: Batch) -> Result<()> {
        let (rows, start) = (&batch.rows, batch.range.start);
        let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
        if rows.rows() > 0 {
            if !self.done.shape.is_empty() {
                same_shape(&self.done.shape, rows.shape(), &files[start])?;
            }
            self.done.shape = rows.shape().to_vec();
            let written = self.data.write_all(&bytes).and_then(|()| self.data.sync_data());
            written.map_err(Error::io(&self.data_path, "writing"))?;
        }
        let stored = Stored {
            at: self.end,
            shape: rows.shape().to_vec(),
            files: batch.range.map(|i| key(&files[i])).zip(batch.stamps.iter().copied()).collect(),
            skipped: batch.broken.iter().map(|(i, e)| (i - start, e.to_string())).collect(),
        };
        let line = stored.sum(&bytes).and_then(|sum| serde_json::to_vec(&Line { batch: stored, sum }));
        let mut line = line.map_err(|e| Error::content(&self.journal_path, e.to_string()))?;
        line.push(b'\n');
        self.append(&line)?;
        let skipped = batch.broken.iter().map(|(i, e)| (*i, e.to_string())).collect();
        self.done.pieces.insert(start, Piece { at: self.end, stamps: batch.stamps, skipped });
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// What of an earlier run counts.
    pub fn resumed(&self) -> Resumed {
        self.done.resumed
    }

    /// The files of `count` that are not done, in runs.
    pub fn missing(&self, count: usize) -> Vec<Range<usize>> {
        let mut missing = Vec::new();
        let mut at = 0;
        for (start, piece) in &self.done.pieces {
            missing.push(at..*start);
            at = start + piece.files();
        }
        missing.push(at..count);
        missing.retain(|run| !run.is_empty());
        missing
    }

    /// Rows of this run's files so far.
    pub fn rows(&self) -> usize {
        self.done.pieces.values().map(Piece::rows).sum()
    }

    /// Shape of a row.
    pub fn shape(&self) -> &[usize] {
        &self.done.shape
    }

    /// Whether there are no rows to go on with, of this run or an earlier one.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Size and time of each file before it was read, in order, those left out among them.
    pub fn stamps(&self) -> impl Iterator<Item = Option<Stamp>> {
        self.done.pieces.values().flat_map(|piece| piece.stamps.iter().copied())
    }

    /// The files left out, in order, and why.
    pub fn left_out(&self, files: &[PathBuf]) -> Vec<Skipped> {
        let skipped = self.done.pieces.values().flat_map(|piece| &piece.skipped);
        skipped.map(|(i, why)| Skipped { path: files[*i].clone(), error: why.clone() }).collect()
    }

    /// The rows of all files, in their order, as bytes.
    ///
    /// # Errors
    /// What reading, and where they are stored in another order copying, reports.
    pub fn ordered(&self, out: &Path) -> Result<Mmap> {
        let row = self.done.row_bytes();
        let mut length = 0;
        let mut in_order = true;
        for piece in self.done.pieces.values().filter(|piece| piece.rows() > 0) {
            in_order &= piece.at == length;
            length += row * piece.rows() as u64;
        }
        let copy;
        // A mapping must not be cut under our hands.
        let file = if in_order && self.locked {
            &self.data
        } else {
            copy = self.copied(out, row)?;
            &copy
        };
        // SAFETY: the mapping is read-only; whoever writes the one file takes our lock first, the other has no name.
        let map = unsafe { memmap2::MmapOptions::new().len(length as usize).map(file) };
        map.map_err(Error::io(&self.data_path, "reading"))
    }

    /// The rows in their order in a file without a name.
    fn copied(&self, out: &Path, row: u64) -> Result<File> {
        let (_, _, dir) = places(out)?;
        let mut copy = tempfile::tempfile_in(&dir).map_err(Error::io(&dir, "writing"))?;
        for piece in self.done.pieces.values() {
            let mut data = &self.data;
            data.seek(SeekFrom::Start(piece.at)).map_err(Error::io(&self.data_path, "reading"))?;
            let bytes = row * piece.rows() as u64;
            let copied = std::io::copy(&mut data.take(bytes), &mut copy).map_err(Error::io(&dir, "writing"))?;
            if copied != bytes {
                return Err(Error::content(&self.data_path, "another program has cut it; run this again"));
            }
        }
        Ok(copy)
    }

    /// Removes the two files.
    pub fn remove(self) {
        let Self { data, data_path, journal, journal_path, .. } = self;
        // Should one stay, the next run cuts it or says that it is in the way. The lock goes last: no other run may have
        // begun to write what is removed.
        let _ = std::fs::remove_file(&data_path);
        let _ = std::fs::remove_file(&journal_path);
        drop((data, journal));
    }
}
