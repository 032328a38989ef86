//! Rows of any number of files in one file. What is done lies beside it, so that a run that was stopped goes on.
//!
//! While `F` is being made there are `F.partial`, the rows so far (f32, little endian), and `F.partial.jsonl`: a line with what
//! the rows depend on, then a line for each batch with its files, their sizes and times. Rows reach the disk before the line
//! that counts them. Work goes on behind the last batch whose files are as they were; `F` appears whole, and the two are gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vljepa_model::weights::{Dtype, Remapped, TensorView, write_safetensors};

use crate::embeddings::{Embeddings, npy_header};
use crate::error::{Error, Result};
use crate::files::{Stamp, destination, stamp, stream_atomically};
use crate::media::{Batch, Broken, PictureEncoder, Skipped, encode_files, nothing_left, same_shape};

const VERSION: u64 = 1;
/// A batch has at most 64 files, whose names are short.
const MAX_LINE: u64 = 4 << 20;

/// Formats of files with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// NumPy's.
    Npy,
    /// A safetensors file with the tensor `embeddings`, and the names of the rows in its header.
    SafeTensors,
}

impl RowFormat {
    /// The format that a file's name asks for.
    ///
    /// # Errors
    /// Another extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::SafeTensors),
            _ => Err(Error::content(path, "--out takes a name that ends in .npy or .safetensors")),
        }
    }

    /// Writes a file with the rows that `bytes` holds. `key` is what the header calls their `names`.
    fn write(self, path: &Path, shape: &[usize], bytes: &[u8], key: &str, names: &[String]) -> Result<()> {
        let (rows, row) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        stream_atomically(path, |out| match self {
            Self::Npy => {
                let whole = out.write_all(&npy_header(rows, row)).and_then(|()| out.write_all(bytes));
                whole.map_err(Error::io(path, "writing"))
            }
            Self::SafeTensors => {
                let mut tensors = Remapped::new();
                let view = TensorView { dtype: Dtype::F32, shape, bytes };
                tensors.add("embeddings", view).map_err(Error::model(path.display()))?;
                let metadata = [(key.to_owned(), json!(names).to_string())].into();
                write_safetensors(&tensors, &metadata, out, |_, _| ()).map_err(Error::model(path.display()))
            }
        })
    }
}

/// Writes rows that are in memory. `key` is what the header of a safetensors file calls their `names`.
///
/// # Errors
/// An extension of no format, and when the file cannot be written.
pub fn write_rows(path: &Path, rows: &Embeddings, key: &str, names: &[String]) -> Result<()> {
    let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [&[rows.rows()], rows.shape()].concat();
    RowFormat::of(path)?.write(path, &shape, &bytes, key, names)
}

/// A file with rows that was written.
#[derive(Debug)]
pub struct RowFile {
    /// Number of rows, and shape of one.
    pub shape: Vec<usize>,
    /// The names of the rows.
    pub names: Vec<String>,
    /// Files left out.
    pub skipped: Vec<Skipped>,
    /// Files that an earlier run had done.
    pub resumed: usize,
}

/// Embeds `files` into `out`, going on where an earlier run with the same `identity` (all that the rows depend on) was
/// stopped. Only one batch is in memory at a time. `done` hears how many files are done.
///
/// # Errors
/// As [`embed_files`](crate::embed_files); an unfinished file of another identity, or of a run that is under way; what
/// writing reports. What is done by then stays, for the next run.
pub fn embed_to_file(
    encoder: &dyn PictureEncoder,
    files: &[PathBuf],
    out: &Path,
    identity: &Value,
    broken: Broken,
    mut done: impl FnMut(usize),
) -> Result<RowFile> {
    let format = RowFormat::of(out)?;
    let mut partial = Partial::open(out, identity, files, broken)?;
    let resumed = partial.at;
    done(resumed);
    let worked = encode_files(encoder, files, resumed, broken, &mut |batch| {
        let end = batch.files.end;
        partial.add(files, batch)?;
        done(end);
        Ok(())
    });
    let worked = worked.and_then(|()| match partial.rows {
        0 => Err(nothing_left(&partial.left_out(files))),
        _ => Ok(()),
    });
    if let Err(error) = worked {
        // Without rows there is nothing to go on with.
        if partial.rows == 0 {
            partial.remove();
        }
        return Err(error);
    }
    let skipped = partial.left_out(files);
    let mut left_out = partial.skipped.iter().map(|(i, _)| *i).peekable();
    let kept = (0..files.len()).filter(|i| left_out.next_if_eq(i).is_none());
    let names: Vec<String> = kept.map(|i| files[i].display().to_string()).collect();
    let shape = [&[partial.rows], &partial.shape[..]].concat();
    {
        // SAFETY: the mapping is read-only, and the file is locked by us.
        let map = unsafe { memmap2::Mmap::map(&partial.data) };
        let map = map.map_err(Error::io(&partial.data_path, "reading"))?;
        format.write(out, &shape, &map, "input", &names)?;
    }
    partial.remove();
    Ok(RowFile { shape, names, skipped, resumed })
}

#[derive(Serialize, Deserialize)]
struct Head {
    vljepa_rows: u64,
    of: Value,
}

/// Name, size and time of a file; no size and time where they could not be asked for.
type DoneFile = (String, Option<Stamp>);

/// One batch.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Shape of a row.
    shape: Vec<usize>,
    files: Vec<DoneFile>,
    /// Number among `files` of each that was left out, and why.
    skipped: Vec<(usize, String)>,
}

/// An unfinished file.
struct Partial {
    data: File,
    data_path: PathBuf,
    /// Holds the lock.
    journal: File,
    journal_path: PathBuf,
    /// Files done.
    at: usize,
    rows: usize,
    /// Of one row, once there is one.
    shape: Vec<usize>,
    /// Numbers of files left out, and why.
    skipped: Vec<(usize, String)>,
}

/// A file's name as one text for each name: those that are not UTF-8 are escaped.
fn key(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains('\\') => text.to_owned(),
        _ => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

impl Partial {
    fn open(out: &Path, identity: &Value, files: &[PathBuf], broken: Broken) -> Result<Self> {
        let (real, dir) = destination(out)?;
        let name = real.file_name().unwrap_or_default();
        let beside = |suffix: &str| {
            let mut name = name.to_os_string();
            name.push(suffix);
            dir.join(name)
        };
        let (data_path, journal_path) = (beside(".partial"), beside(".partial.jsonl"));
        if data_path.exists() && !journal_path.exists() {
            let reason = "is in the way: the rows of an unfinished run would go there; move it away";
            return Err(Error::content(data_path, reason));
        }
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).map_err(Error::io(path, "writing"))
        };
        let journal = open(&journal_path)?;
        match journal.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::content(journal_path, "another run is writing this file; wait for it, or stop it"));
            }
            // A file system without locks is no reason to do without the rest.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let data = open(&data_path)?;
        let (rows, shape, skipped) = (0, Vec::new(), Vec::new());
        let mut partial = Self { data, data_path, journal, journal_path, at: 0, rows, shape, skipped };
        partial.resume(identity, files, broken)?;
        Ok(partial)
    }

    /// Takes over what an earlier run has done, and cuts off the rest.
    fn resume(&mut self, identity: &Value, files: &[PathBuf], broken: Broken) -> Result<()> {
        let path = self.journal_path.clone();
        let have = self.data.metadata().map_err(Error::io(&self.data_path, "reading"))?.len();
        let mut reader = BufReader::new(self.journal.try_clone().map_err(Error::io(&path, "reading"))?);
        let mut whole = 0;
        let mut line = || -> Result<Option<Vec<u8>>> {
            let mut line = Vec::new();
            reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(Error::io(&path, "reading"))?;
            // The last line of a run that was killed may be part of one.
            Ok((line.last() == Some(&b'\n')).then_some(line))
        };
        if let Some(first) = line()? {
            match serde_json::from_slice::<Head>(&first) {
                Ok(head) if head.vljepa_rows == VERSION && head.of == *identity => whole = first.len() as u64,
                Ok(head) if head.vljepa_rows == VERSION => {
                    return Err(Error::content(&path, other(&head.of, identity)));
                }
                _ => {
                    let reason = "is no list of the files that a run of this program has done; move it away";
                    return Err(Error::content(&path, reason));
                }
            }
            while let Some(next) = line()? {
                let Ok(batch) = serde_json::from_slice::<Line>(&next) else { break };
                if !self.take_over(&batch, files, broken, have) {
                    break;
                }
                whole += next.len() as u64;
            }
        }
        let length = self.bytes();
        self.data.set_len(length).map_err(Error::io(&self.data_path, "writing"))?;
        self.data.seek(SeekFrom::Start(length)).map_err(Error::io(&self.data_path, "writing"))?;
        self.journal.set_len(whole).map_err(Error::io(&self.journal_path, "writing"))?;
        self.journal.seek(SeekFrom::Start(whole)).map_err(Error::io(&self.journal_path, "writing"))?;
        if whole == 0 {
            self.append(&Head { vljepa_rows: VERSION, of: identity.clone() })?;
        }
        Ok(())
    }

    /// Counts a batch of an earlier run, if its files are the next ones and as they were, and its rows are there.
    fn take_over(&mut self, batch: &Line, files: &[PathBuf], broken: Broken, have: u64) -> bool {
        let count = batch.files.len();
        let Some(now) = files.get(self.at..).and_then(|rest| rest.get(..count)) else { return false };
        let same = |((name, then), path): (&DoneFile, &PathBuf)| *name == key(path) && *then == stamp(path).ok();
        let left_out = batch.skipped.iter().all(|(i, _)| *i < count) && batch.skipped.len() <= count;
        let shape_fits = self.rows == 0 || self.shape == batch.shape || batch.skipped.len() == count;
        if count == 0 || !left_out || !shape_fits || !batch.files.iter().zip(now).all(same) {
            return false;
        }
        // Whoever leaves none out wants to hear of them.
        if !batch.skipped.is_empty() && broken != Broken::Skip {
            return false;
        }
        let rows = self.rows + count - batch.skipped.len();
        let row = batch.shape.iter().try_fold(4u64, |n, &d| n.checked_mul(d as u64));
        if row.and_then(|row| row.checked_mul(rows as u64)).is_none_or(|bytes| bytes > have) {
            return false;
        }
        if rows > self.rows {
            self.shape.clone_from(&batch.shape);
        }
        self.skipped.extend(batch.skipped.iter().map(|(i, why)| (self.at + i, why.clone())));
        self.rows = rows;
        self.at += count;
        true
    }

    fn bytes(&self) -> u64 {
        if self.rows == 0 { 0 } else { 4 * self.rows as u64 * self.shape.iter().product::<usize>() as u64 }
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|e| Error::content(&self.journal_path, e.to_string()))?;
        text.push(b'\n');
        let written = self.journal.write_all(&text).and_then(|()| self.journal.sync_data());
        written.map_err(Error::io(&self.journal_path, "writing"))
    }

    fn add(&mut self, files: &[PathBuf], batch: Batch) -> Result<()> {
        let rows = &batch.rows;
        if rows.rows() > 0 {
            if self.rows > 0 {
                same_shape(&self.shape, rows.shape(), &files[batch.files.start])?;
            }
            self.shape = rows.shape().to_vec();
            let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
            let written = self.data.write_all(&bytes).and_then(|()| self.data.sync_data());
            written.map_err(Error::io(&self.data_path, "writing"))?;
        }
        let skipped: Vec<(usize, String)> = batch.broken.iter().map(|(i, e)| (*i, e.to_string())).collect();
        let first = batch.files.start;
        self.append(&Line {
            shape: rows.shape().to_vec(),
            files: batch.files.clone().map(|i| key(&files[i])).zip(batch.stamps).collect(),
            skipped: skipped.iter().map(|(i, why)| (i - first, why.clone())).collect(),
        })?;
        self.skipped.extend(skipped);
        self.rows += rows.rows();
        self.at = batch.files.end;
        Ok(())
    }

    fn left_out(&self, files: &[PathBuf]) -> Vec<Skipped> {
        self.skipped.iter().map(|(i, why)| Skipped { path: files[*i].clone(), error: why.clone() }).collect()
    }

    fn remove(self) {
        let Self { data, data_path, journal, journal_path, .. } = self;
        drop((data, journal));
        // Should one stay, the next run cuts it or says that it is in the way.
        let _ = std::fs::remove_file(&data_path);
        let _ = std::fs::remove_file(&journal_path);
    }
}

/// What differs between two identities.
fn other(then: &Value, now: &Value) -> String {
    let differs = |key: &&String| then.get(key.as_str()) != now.get(key.as_str());
    let keys: Vec<&String> = now.as_object().into_iter().flat_map(|o| o.keys()).filter(differs).collect();
    let named = keys.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ");
    format!(
        "an unfinished run of another {named} has begun this file; run that one again to go on, or remove this file and the \
         one without .jsonl to begin anew"
    )
}
