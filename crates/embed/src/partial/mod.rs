//! Unfinished files of rows, from which a run that was stopped can be resumed.
//!
//! While the file `F` is being made, two files lie in its folder:
//!
//! * `F.partial` holds the rows (f32, little endian), batch after batch in the order in which they were computed.
//! * `F.partial.jsonl`, the journal, begins with a line of all that the rows depend on. Then it has one line per batch:
//!   the offset of its rows, its files with their sizes and times, what part of a video each row shows, and a checksum of this
//!   line and of the rows. A video that becomes windows has batches of its own, and work goes on after its last one.
//!
//! Rows are on the disk before their line is written. A later run reuses a batch if its files are unchanged and form
//! one batch again, because the size of a batch affects the bits of its rows. All other files are embedded again, and
//! their rows are appended; nothing is removed before the output file is complete.

mod earlier;
mod places;

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use earlier::Resumed;
pub use places::{check_unbegun, is_begun, unfinished};

use earlier::{
    BatchRecord, Bounds, Done, DoneBatch, Earlier, Head, JournalLine, PartRecord, VERSION, file_key, moments_of,
};
use places::partial_paths;

use crate::error::{Error, Result};
use crate::files::{Locked, Stamp, open_own, same_file};
use crate::hash::hash_of;
use crate::visuals::{
    Batch, Broken, Files, Noted, Progress, Reading, RowOf, Skipped, VisualEncoder, Work, encode, nothing_left, rows_of,
    same_shape,
};

/// Largest journal in bytes, whatever the number of files, and what each file adds to it.
const MAX_JOURNAL: u64 = 256 << 20;
const JOURNAL_FILE: u64 = 1 << 10;

/// Progress of a run that writes a file of rows.
#[derive(Clone, Copy, Debug)]
pub enum RowEvent {
    /// What is reused of an earlier run. The first event, if there was an earlier run.
    Resumed(Resumed),
    /// What is done, with what is reused.
    Done(Progress),
}

/// Options for making a file of rows. By default the first unreadable file is an error, rows depend on nothing but model and
/// files, and no progress is reported.
#[derive(Default)]
pub struct RowOptions<'a> {
    broken: Broken,
    reading: Reading,
    identity: Value,
    on_event: Option<&'a mut dyn FnMut(RowEvent)>,
}

impl std::fmt::Debug for RowOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { broken, reading, identity, .. } = self;
        let mut shown = f.debug_struct("RowOptions");
        shown.field("broken", broken).field("reading", reading).field("identity", identity).finish_non_exhaustive()
    }
}

impl<'a> RowOptions<'a> {
    /// What happens to files that cannot be read.
    #[must_use]
    pub fn broken(mut self, broken: Broken) -> Self {
        self.broken = broken;
        self
    }

    /// How files become clips.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
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
    pub fn into_parts(self) -> (Broken, Reading, Value, Box<dyn FnMut(RowEvent) + 'a>) {
        let identity = if self.identity.is_null() { Value::Object(Default::default()) } else { self.identity };
        match self.on_event {
            Some(on_event) => (self.broken, self.reading, identity, Box::new(on_event)),
            None => (self.broken, self.reading, identity, Box::new(|_| ())),
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
    /// How files become clips.
    pub reading: Reading,
    /// Whether there may be no rows, because all files were left out.
    pub may_be_empty: bool,
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
        // Settings that are as usual are not in it.
        if let Ok(Value::Object(reading)) = serde_json::to_value(self.reading) {
            identity.extend(reading);
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
    /// Length in bytes of the rows to keep; new rows are written from here.
    rows_end: u64,
    done: Done,
}

/// What an unfinished file of rows may hold at most.
fn bounds(encoder: &dyn VisualEncoder, files: &[PathBuf]) -> Bounds {
    let row = [1, encoder.frames()].map(|frames| encoder.shape(frames).iter().map(|&d| d as u64).product::<u64>());
    Bounds { journal: MAX_JOURNAL + JOURNAL_FILE * files.len() as u64, row: 4 * row[0].max(row[1]) }
}

impl Partial {
    /// Embeds the files of a task that no earlier run has embedded. Afterwards the unfinished file has the rows of all
    /// files, at least one unless the task [says otherwise](Task::may_be_empty).
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file), except for writing the output file.
    pub fn complete(encoder: &dyn VisualEncoder, task: &Task<'_>, on_event: &mut dyn FnMut(RowEvent)) -> Result<Self> {
        let Task { files, broken, reading, .. } = *task;
        let visuals = Files::new(encoder, files, &reading)?;
        let mut partial = Self::open(encoder, task)?;
        let resumed = partial.resumed();
        if resumed != Resumed::default() {
            on_event(RowEvent::Resumed(resumed));
        }
        let taken = partial.progress();
        on_event(RowEvent::Done(taken));
        let work = partial.missing(files.len());
        let mut files_done = resumed.taken;
        let embedded = encode(encoder, &visuals, &work, broken, &mut |batch| {
            let (count, passed) = (batch.range.len(), batch.passed);
            let whole = batch.part.is_none_or(|part| part.last);
            partial.add(files, batch)?;
            files_done += if whole { count } else { 0 };
            let within = if whole { 0.0 } else { passed };
            on_event(RowEvent::Done(Progress { files: files_done, rows: partial.rows(), within }));
            Ok(())
        });
        partial.drop_left_out();
        let embedded = embedded.and_then(|()| match partial.rows() {
            0 if !task.may_be_empty => Err(nothing_left(&partial.left_out(files))),
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

    /// The error of writing the file that these rows are for, with where they are kept.
    pub fn kept(&self, error: Error) -> Error {
        match error {
            Error::Content { path, reason } => {
                let (data, journal) = (self.data_path.display(), self.journal_path.display());
                let reason = format!(
                    "{reason}; the rows are kept: with {data} and {journal} renamed to NAME.npy.partial and \
                     NAME.npy.partial.jsonl, a run for NAME.npy takes them over"
                );
                Error::Content { path, reason }
            }
            other => other,
        }
    }

    /// Begins the unfinished file, or resumes it after an earlier run with the same identity.
    ///
    /// # Errors
    /// As [`embed_to_file`](crate::row_file::embed_to_file); existing files then stay as they are.
    fn open(encoder: &dyn VisualEncoder, task: &Task<'_>) -> Result<Self> {
        let (Task { out, files, broken, reading, .. }, identity) = (*task, &task.identity());
        let (data_path, journal_path, _) = partial_paths(out)?;
        if data_path.exists() && !journal_path.exists() {
            let reason = "is in the way: the rows of an unfinished run would go there; move it away";
            return Err(Error::content(data_path, reason));
        }
        let journal = loop {
            let journal = open_own(&journal_path)?;
            match Locked::from(journal.try_lock()) {
                Locked::Theirs => {
                    let reason = "another run is writing this file; wait for it, or stop it";
                    return Err(Error::content(journal_path, reason));
                }
                // Some network file systems have no locks.
                Locked::Unsupported => break journal,
                // The run that held the lock may have removed the file; then this lock is on a deleted file.
                Locked::Ours if same_file(&journal, &journal_path) => break journal,
                Locked::Ours => {}
            }
        };
        let fresh = journal.metadata().is_ok_and(|meta| meta.len() == 0);
        let mut head = serde_json::to_vec(&Head { vljepa_rows: VERSION, of: identity.clone() })
            .map_err(|e| Error::content(&journal_path, e.to_string()))?;
        head.push(b'\n');
        let resumed = Earlier::read(&data_path, (&journal, &journal_path), &head, identity, &bounds(encoder, files))
            .and_then(|earlier| Ok((earlier.plan(encoder, files, broken, &reading)?, earlier, open_own(&data_path)?)));
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
        let mut partial = Self { data, data_path, journal, journal_path, rows_end: earlier.rows_end, done };
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
        let left_out: Vec<usize> = batch.broken.iter().map(|(i, _)| *i).collect();
        let of = rows_of(batch.range.clone(), &left_out, batch.part.is_some(), &batch.moments);
        let record = BatchRecord {
            at: self.rows_end,
            shape: rows.shape().to_vec(),
            files: batch.range.map(|i| file_key(&files[i])).zip(batch.stamps.iter().copied()).collect(),
            skipped: batch.broken.iter().map(|(i, e)| (i - start, e.to_string())).collect(),
            notes: batch.notes.iter().map(|(i, note)| (i - start, note.clone())).collect(),
            part: batch.part.map(|part| PartRecord { first: part.first, last: part.last, rows: of.len() }),
            moments: moments_of(&of),
        };
        let line = record.sum(&bytes).and_then(|sum| serde_json::to_vec(&JournalLine { batch: record, sum }));
        let mut line = line.map_err(|e| Error::content(&self.journal_path, e.to_string()))?;
        line.push(b'\n');
        self.append(&line)?;
        let skipped = batch.broken.iter().map(|(i, e)| (*i, e.to_string())).collect();
        let key = (start, batch.part.map_or(0, |part| part.first));
        let done =
            DoneBatch { at: self.rows_end, stamps: batch.stamps, skipped, notes: batch.notes, part: batch.part, of };
        self.done.batches.insert(key, done);
        self.rows_end += bytes.len() as u64;
        Ok(())
    }

    /// What is reused of an earlier run.
    pub fn resumed(&self) -> Resumed {
        self.done.resumed
    }

    /// The work that is left on `count` files.
    pub(crate) fn missing(&self, count: usize) -> Vec<Work> {
        let mut missing = Vec::new();
        // The first file that is not whole, and the windows of it that are done.
        let mut at = (0, 0);
        for (key, batch) in &self.done.batches {
            if at.0 < key.0 {
                missing.push(Work { range: at.0..key.0, first: at.1 });
            }
            at = match batch.part {
                Some(part) if !part.last => (key.0, part.first + batch.of.len()),
                _ => (key.0 + batch.files(), 0),
            };
        }
        missing.push(Work { range: at.0..count, first: at.1 });
        missing.retain(|work| !work.range.is_empty());
        missing
    }

    /// Leaves out the windows that come before a break in a file that was left out.
    fn drop_left_out(&mut self) {
        let batches = self.done.batches.values();
        let broken: HashSet<usize> =
            batches.filter(|batch| batch.part.is_some()).flat_map(|b| b.skipped.iter().map(|(i, _)| *i)).collect();
        for (key, batch) in &mut self.done.batches {
            if broken.contains(&key.0) {
                batch.of.clear();
            }
        }
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.done.batches.values().map(|batch| batch.of.len()).sum()
    }

    /// What each row stands for, in the order of the files.
    pub fn of(&self) -> impl Iterator<Item = RowOf> {
        self.done.batches.values().flat_map(|batch| batch.of.iter().copied())
    }

    fn progress(&self) -> Progress {
        Progress { files: self.done.resumed.taken, rows: self.rows(), within: 0.0 }
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
        // A video has as many batches as its windows need, and one stamp.
        let whole = self.done.batches.values().filter(|batch| batch.part.is_none_or(|part| part.last));
        whole.flat_map(|batch| batch.stamps.iter().copied())
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

    /// The rows in the order of the files, as bytes. The file is read and not mapped: a program that reads a mapping is killed
    /// when another one shortens the file.
    pub fn ordered(&self) -> OrderedRows<'_> {
        let row = self.done.row_bytes();
        let with_rows = self.done.batches.values().filter(|batch| !batch.of.is_empty());
        let parts = with_rows.map(|batch| (batch.at, row * batch.of.len() as u64)).collect();
        OrderedRows { data: &self.data, path: &self.data_path, parts }
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

/// Reads rows in the order of their files.
#[derive(Debug)]
pub struct OrderedRows<'a> {
    data: &'a File,
    path: &'a Path,
    /// Offset and length in bytes of what is left of each batch.
    parts: VecDeque<(u64, u64)>,
}

impl Read for OrderedRows<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let Some((at, length)) = self.parts.front_mut() else { return Ok(0) };
        let some = out.len().min(usize::try_from(*length).unwrap_or(usize::MAX));
        self.data.seek(SeekFrom::Start(*at))?;
        let read = self.data.read(&mut out[..some])?;
        if read == 0 && some > 0 {
            let reason = format!("{}: another program has shortened it; run this again", self.path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, reason));
        }
        *at += read as u64;
        *length -= read as u64;
        if *length == 0 {
            self.parts.pop_front();
        }
        Ok(read)
    }
}
