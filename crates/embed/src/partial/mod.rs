//! Unfinished files of rows, from which a run that was stopped can be resumed.
//!
//! While the file `F` is being made, two files lie in its folder:
//!
//! * `F.partial` holds the rows (f32, little endian), batch after batch in the order in which they were computed.
//! * `F.partial.jsonl`, the journal, begins with a line of all that the rows depend on. Then it has one line per batch:
//!   the offset of its rows, its files with their sizes and times, and a checksum of this line and of the rows.
//!
//! Rows are on the disk before their line is written. A later run reuses a batch if its files are unchanged and form
//! one batch again, because the size of a batch affects the bits of its rows. All other files are embedded again, and
//! their rows are appended; nothing is removed before the output file is complete.

mod earlier;
mod places;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Value;
use vljepa_data::video::Damaged;

pub use earlier::Resumed;
pub use places::{check_unbegun, is_begun};

use earlier::{BatchRecord, Done, DoneBatch, Earlier, Head, JournalLine, VERSION, file_key};
use places::partial_paths;

use crate::error::{Error, Result};
use crate::files::{Locked, Stamp, same_file};
use crate::hash::hash_of;
use crate::visuals::{Batch, Broken, Files, Noted, Skipped, VisualEncoder, encode, nothing_left, same_shape};

/// Progress of a run that writes a file of rows.
#[derive(Clone, Copy, Debug)]
pub enum RowEvent {
    /// What is reused of an earlier run. The first event, if there was an earlier run.
    Resumed(Resumed),
    /// The number of files that are done.
    Done(usize),
}

/// Options for making a file of rows. By default the first unreadable file is an error, rows depend on nothing but model and
/// files, and no progress is reported.
#[derive(Default)]
pub struct RowOptions<'a> {
    broken: Broken,
    damaged: Damaged,
    identity: Value,
    on_event: Option<&'a mut dyn FnMut(RowEvent)>,
}

impl std::fmt::Debug for RowOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { broken, damaged, identity, .. } = self;
        let mut shown = f.debug_struct("RowOptions");
        shown.field("broken", broken).field("damaged", damaged).field("identity", identity).finish_non_exhaustive()
    }
}

impl<'a> RowOptions<'a> {
    /// What happens to files that cannot be read.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// What happens to videos with damaged frames.
    #[must_use]
    pub fn damaged(mut self, damaged: Damaged) -> Self {
        self.damaged = damaged;
        self
    }

    /// Everything that the rows depend on beside the files, a JSON object: a run resumes only one with the same.
    #[must_use]
    pub fn identity(mut self, identity: Value) -> Self {
        self.identity = identity;
        self
    }

    /// Calls `on_event` with what was reused of an earlier run, and after each batch.
    #[must_use]
    pub fn on_event(mut self, on_event: &'a mut dyn FnMut(RowEvent)) -> Self {
        self.on_event = Some(on_event);
        self
    }

    /// The options, with a callback in any case.
    pub fn into_parts(self) -> (Broken, Damaged, Value, Box<dyn FnMut(RowEvent) + 'a>) {
        let identity = if self.identity.is_null() { Value::Object(Default::default()) } else { self.identity };
        match self.on_event {
            Some(on_event) => (self.broken, self.damaged, identity, Box::new(on_event)),
            None => (self.broken, self.damaged, identity, Box::new(|_| ())),
        }
    }
}

/// A file of rows to be made, and all that the rows depend on.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// What is made: "rows" or "index". It is stored in the journal and appears in messages.
    pub task: &'static str,
    /// The inputs that the caller named: files, or folders that were searched.
    pub inputs: &'a [PathBuf],
    /// The files to embed.
    pub files: &'a [PathBuf],
    /// The output file.
    pub out: &'a Path,
    /// A JSON object with everything else that the rows depend on.
    pub depends: &'a Value,
    /// What happens to files that cannot be read.
    pub broken: Broken,
    /// What happens to videos with damaged frames.
    pub damaged: Damaged,
}

impl Task<'_> {
    fn identity(&self) -> Value {
        let mut identity = match self.depends {
            Value::Object(depends) => depends.clone(),
            other => [("depends".to_owned(), other.clone())].into_iter().collect(),
        };
        // `components` makes `dir/` equal to `dir`; the hash keeps the line short for any number of inputs.
        let inputs: Vec<PathBuf> = self.inputs.iter().map(|path| path.components().collect()).collect();
        let input = hash_of(inputs.iter().map(|path| path.as_os_str().as_encoded_bytes()));
        let program = env!("CARGO_PKG_VERSION");
        let own = [("task", self.task), ("input", &input), ("program", program)];
        identity.extend(own.map(|(key, value)| (key.to_owned(), value.into())));
        if self.damaged == Damaged::Conceal {
            identity.insert("damaged".into(), "conceal".into());
        }
        Value::Object(identity)
    }
}

/// An unfinished file of rows with its journal.
pub struct Partial {
    data: File,
    data_path: PathBuf,
    /// This open file holds the lock on both files.
    journal: File,
    journal_path: PathBuf,
    /// Whether the lock is held; some network file systems do not support locks.
    locked: bool,
    /// Length in bytes of the rows to keep; new rows are written from here.
    rows_end: u64,
    done: Done,
}

impl Partial {
    /// Embeds the files of a task that no earlier run has embedded. Afterwards the unfinished file has the rows of all
    /// files, at least one.
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file), except for writing the output file.
    pub fn complete(encoder: &dyn VisualEncoder, task: &Task<'_>, on_event: &mut dyn FnMut(RowEvent)) -> Result<Self> {
        let Task { files, broken, damaged, .. } = *task;
        let mut partial = Self::open(encoder, task)?;
        let resumed = partial.resumed();
        if resumed != Resumed::default() {
            on_event(RowEvent::Resumed(resumed));
        }
        let mut done = resumed.taken;
        on_event(RowEvent::Done(done));
        let embedded = partial.missing(files.len()).into_iter().try_for_each(|range| {
            encode(encoder, &Files::new(files, damaged), range, broken, &mut |batch| {
                done += batch.range.len();
                partial.add(files, batch)?;
                on_event(RowEvent::Done(done));
                Ok(())
            })
        });
        let embedded = embedded.and_then(|()| match partial.rows() {
            0 => Err(nothing_left(&partial.left_out(files))),
            _ => Ok(()),
        });
        if let Err(error) = embedded {
            // Without rows there is nothing to resume.
            if partial.is_empty() {
                partial.remove();
            }
            return Err(error);
        }
        Ok(partial)
    }

    /// Begins the unfinished file, or resumes it after an earlier run with the same identity.
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file); existing files then stay as they are.
    fn open(encoder: &dyn VisualEncoder, task: &Task<'_>) -> Result<Self> {
        let (Task { out, files, broken, damaged, .. }, identity) = (*task, &task.identity());
        let (data_path, journal_path, _) = partial_paths(out)?;
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
                Locked::Unsupported => break (journal, false),
                // The run that held the lock may have removed the file; then this lock is on a deleted file.
                Locked::Ours if same_file(&journal, &journal_path) => break (journal, true),
                Locked::Ours => {}
            }
        };
        let fresh = journal.metadata().is_ok_and(|meta| meta.len() == 0);
        let mut head = serde_json::to_vec(&Head { vljepa_rows: VERSION, of: identity.clone() })
            .map_err(|e| Error::content(&journal_path, e.to_string()))?;
        head.push(b'\n');
        let resumed = Earlier::read(&data_path, (&journal, &journal_path), &head, identity)
            .and_then(|earlier| Ok((earlier.plan(encoder, files, broken, damaged)?, earlier, open(&data_path)?)));
        let (done, earlier, data) = match resumed {
            Ok(resumed) => resumed,
            Err(error) => {
                // Remove the journal that this call created.
                if fresh {
                    let _ = std::fs::remove_file(&journal_path);
                }
                return Err(error);
            }
        };
        let mut partial = Self { data, data_path, journal, journal_path, locked, rows_end: earlier.rows_end, done };
        partial.truncate(earlier.journal_end, &head)?;
        Ok(partial)
    }

    /// Cuts the journal after its last complete line, and the rows after the last batch that matches its checksum.
    fn truncate(&mut self, journal_end: u64, head: &[u8]) -> Result<()> {
        self.data.set_len(self.rows_end).map_err(Error::io(&self.data_path, "writing"))?;
        self.data.seek(SeekFrom::Start(self.rows_end)).map_err(Error::io(&self.data_path, "writing"))?;
        self.journal.set_len(journal_end).map_err(Error::io(&self.journal_path, "writing"))?;
        self.journal.seek(SeekFrom::Start(journal_end)).map_err(Error::io(&self.journal_path, "writing"))?;
        if journal_end == 0 { self.append(head) } else { Ok(()) }
    }

    fn append(&mut self, line: &[u8]) -> Result<()> {
        let written = self.journal.write_all(line).and_then(|()| self.journal.sync_data());
        written.map_err(Error::io(&self.journal_path, "writing"))
    }

    /// Appends a batch: first its rows, then its line in the journal.
    ///
    /// # Errors
    /// Rows of another shape, and errors of writing.
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
        let record = BatchRecord {
            at: self.rows_end,
            shape: rows.shape().to_vec(),
            files: batch.range.map(|i| file_key(&files[i])).zip(batch.stamps.iter().copied()).collect(),
            skipped: batch.broken.iter().map(|(i, e)| (i - start, e.to_string())).collect(),
            notes: batch.notes.iter().map(|(i, note)| (i - start, note.clone())).collect(),
        };
        let line = record.sum(&bytes).and_then(|sum| serde_json::to_vec(&JournalLine { batch: record, sum }));
        let mut line = line.map_err(|e| Error::content(&self.journal_path, e.to_string()))?;
        line.push(b'\n');
        self.append(&line)?;
        let skipped = batch.broken.iter().map(|(i, e)| (*i, e.to_string())).collect();
        self.done
            .batches
            .insert(start, DoneBatch { at: self.rows_end, stamps: batch.stamps, skipped, notes: batch.notes });
        self.rows_end += bytes.len() as u64;
        Ok(())
    }

    /// What is reused of an earlier run.
    pub fn resumed(&self) -> Resumed {
        self.done.resumed
    }

    /// The indices below `count` of the files that are not done, as ranges.
    pub fn missing(&self, count: usize) -> Vec<Range<usize>> {
        let mut missing = Vec::new();
        let mut at = 0;
        for (start, batch) in &self.done.batches {
            missing.push(at..*start);
            at = start + batch.files();
        }
        missing.push(at..count);
        missing.retain(|range| !range.is_empty());
        missing
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.done.batches.values().map(DoneBatch::rows).sum()
    }

    /// Shape of one row.
    pub fn shape(&self) -> &[usize] {
        &self.done.shape
    }

    /// Whether the unfinished file holds no rows, neither of this run nor of an earlier one.
    pub fn is_empty(&self) -> bool {
        self.rows_end == 0
    }

    /// Size and time of each file before it was read, in the order of the files, including those left out.
    pub fn stamps(&self) -> impl Iterator<Item = Option<Stamp>> {
        self.done.batches.values().flat_map(|batch| batch.stamps.iter().copied())
    }

    /// The files that were left out, in order, with the reasons.
    pub fn left_out(&self, files: &[PathBuf]) -> Vec<Skipped> {
        let skipped = self.done.batches.values().flat_map(|batch| &batch.skipped);
        skipped.map(|(i, why)| Skipped { path: files[*i].clone(), error: why.clone() }).collect()
    }

    /// What is to be known of files that were embedded, in order.
    pub fn notes(&self, files: &[PathBuf]) -> Vec<Noted> {
        let notes = self.done.batches.values().flat_map(|batch| &batch.notes);
        notes.map(|(i, note)| Noted { path: files[*i].clone(), note: note.clone() }).collect()
    }

    /// The rows in the order of the files, as bytes.
    ///
    /// # Errors
    /// Errors of reading, and of copying where the rows are stored in another order.
    pub fn ordered(&self, out: &Path) -> Result<Mmap> {
        let row = self.done.row_bytes();
        let mut length = 0;
        let mut in_order = true;
        for batch in self.done.batches.values().filter(|batch| batch.rows() > 0) {
            in_order &= batch.at == length;
            length += row * batch.rows() as u64;
        }
        // A mapping that reaches past the end of its file kills the program that reads it.
        let held = self.data.metadata().map_err(Error::io(&self.data_path, "reading"))?.len();
        if held < length {
            let reason = format!("it holds {held} bytes of {length}; delete it and run this again");
            return Err(Error::content(&self.data_path, reason));
        }
        let copy;
        // Without the lock another program may shorten the file while it is mapped, so map a copy.
        let file = if in_order && self.locked {
            &self.data
        } else {
            copy = self.copied(out, row)?;
            &copy
        };
        // SAFETY: the mapping is read-only. Other runs take the lock before they write the file; the copy has no name.
        let map = unsafe { memmap2::MmapOptions::new().len(length as usize).map(file) };
        map.map_err(Error::io(&self.data_path, "reading"))
    }

    /// Copies the rows, in the order of the files, into a temporary file without a name.
    fn copied(&self, out: &Path, row: u64) -> Result<File> {
        let (_, _, dir) = partial_paths(out)?;
        let mut copy = tempfile::tempfile_in(&dir).map_err(Error::io(&dir, "writing"))?;
        for batch in self.done.batches.values() {
            let mut data = &self.data;
            data.seek(SeekFrom::Start(batch.at)).map_err(Error::io(&self.data_path, "reading"))?;
            let bytes = row * batch.rows() as u64;
            let copied = std::io::copy(&mut data.take(bytes), &mut copy).map_err(Error::io(&dir, "writing"))?;
            if copied != bytes {
                return Err(Error::content(&self.data_path, "another program has shortened it; run this again"));
            }
        }
        Ok(copy)
    }

    /// Removes the two files.
    pub fn remove(self) {
        let Self { data, data_path, journal, journal_path, .. } = self;
        // If one cannot be removed, the next run truncates it or reports that it is in the way. The lock is released
        // last, so that no other run has begun to write the files that are removed here.
        let _ = std::fs::remove_file(&data_path);
        let _ = std::fs::remove_file(&journal_path);
        drop((data, journal));
    }
}
