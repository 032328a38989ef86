//! Rows of any number of files in one file. What is done lies beside it, so that a run that was stopped goes on.
//!
//! While `F` is being made there are `F.partial`, the rows so far (f32, little endian), and `F.partial.jsonl`: a line with what
//! the rows depend on, then a line for each batch with its files, their sizes and times. Rows reach the disk before the line
//! that counts them. Work goes on behind the last batch whose files are as they were; `F` appears whole, and the two are gone.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vljepa_model::weights::{Dtype, Remapped, TensorView, write_safetensors};

use crate::embeddings::{Embeddings, npy_header};
use crate::encoders::hash_of;
use crate::error::{Error, Result};
use crate::files::{Locked, Stamp, destination, same_file, stream_atomically};
use crate::media::{Batch, Broken, PictureEncoder, Skipped, encode_files, nothing_left, same_shape, span};

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

/// Embeds `files`, which were found at `inputs`, into `out`, going on where an earlier run with the same inputs and the same
/// `identity` (an object: all else that the rows depend on) was stopped. Only one batch is in memory at a time. `done` hears how many files are done.
///
/// # Errors
/// As [`embed_files`](crate::embed_files), also for a file that an earlier run left out; an unfinished file of another
/// identity, or of a run that is under way; what writing reports. What is done by then stays, for the next run.
pub fn embed_to_file(
    encoder: &dyn PictureEncoder,
    inputs: &[PathBuf],
    files: &[PathBuf],
    out: &Path,
    identity: &Value,
    broken: Broken,
    mut done: impl FnMut(usize),
) -> Result<RowFile> {
    let format = RowFormat::of(out)?;
    // A list of any length takes the room of one hash.
    let input = hash_of(inputs.iter().map(|path| path.as_os_str().as_encoded_bytes()));
    let mut identity =
        identity.as_object().cloned().unwrap_or_else(|| [("identity".into(), identity.clone())].into_iter().collect());
    identity.insert("input".into(), input.into());
    let identity = Value::Object(identity);
    let mut partial = Partial::open(out, &identity, encoder, files, broken)?;
    let resumed = partial.done.at;
    done(resumed);
    let worked = encode_files(encoder, files, resumed, broken, &mut |batch| {
        let end = batch.files.end;
        partial.add(files, batch)?;
        done(end);
        Ok(())
    });
    let worked = worked.and_then(|()| match partial.done.rows {
        0 => Err(nothing_left(&partial.left_out(files))),
        _ => Ok(()),
    });
    if let Err(error) = worked {
        // Without rows there is nothing to go on with.
        if partial.done.rows == 0 {
            partial.remove();
        }
        return Err(error);
    }
    let skipped = partial.left_out(files);
    let mut left_out = partial.done.skipped.iter().map(|(i, _)| *i).peekable();
    let kept = (0..files.len()).filter(|i| left_out.next_if_eq(i).is_none());
    let names: Vec<String> = kept.map(|i| files[i].display().to_string()).collect();
    let shape = [&[partial.done.rows], &partial.done.shape[..]].concat();
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
    done: Done,
}

/// What is done of an unfinished file.
#[derive(Default)]
struct Done {
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

impl Done {
    fn bytes(&self) -> u64 {
        if self.rows == 0 { 0 } else { 4 * self.rows as u64 * self.shape.iter().product::<usize>() as u64 }
    }
}

/// What an earlier run has left. Reading changes nothing.
struct Earlier<'a> {
    data: &'a Path,
    journal: &'a Path,
    /// Bytes of rows.
    have: u64,
    done: Done,
}

impl Earlier<'_> {
    /// Finds what can be taken over, and returns how many bytes of the journal tell of it. `head` is its first line as this
    /// run writes it.
    fn read(
        &mut self,
        journal: &File,
        head: &[u8],
        identity: &Value,
        encoder: &dyn PictureEncoder,
        files: &[PathBuf],
        broken: Broken,
    ) -> Result<u64> {
        self.have = match std::fs::metadata(self.data) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Error::io(self.data, "reading")(e)),
        };
        let path = self.journal;
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
                return Ok(0);
            }
            return Err(Error::content(
                path,
                match serde_json::from_slice::<Head>(&first) {
                    Ok(then) if then.vljepa_rows == VERSION => other(&then.of, identity),
                    _ => "is no list of the files that a run of this program has done; move it away".into(),
                },
            ));
        }
        let mut whole = first.len() as u64;
        loop {
            let next = line()?;
            // The last line of a run that was killed may be part of one.
            let Some(batch) = next.strip_suffix(b"\n").and_then(|text| serde_json::from_slice(text).ok()) else {
                break;
            };
            if !self.take_over(&batch, encoder, files, broken)? {
                break;
            }
            whole += next.len() as u64;
        }
        Ok(whole)
    }

    /// Counts a batch, if its files are the next one of this run and as they were, and its rows are there.
    fn take_over(
        &mut self,
        batch: &Line,
        encoder: &dyn PictureEncoder,
        files: &[PathBuf],
        broken: Broken,
    ) -> Result<bool> {
        let done = &mut self.done;
        let count = batch.files.len();
        let Some(now) = files.get(done.at..).and_then(|rest| rest.get(..count)) else { return Ok(false) };
        let left_out = batch.skipped.iter().all(|(i, _)| *i < count) && batch.skipped.len() <= count;
        let shape_fits = done.rows == 0 || done.shape == batch.shape || batch.skipped.len() == count;
        let named = batch.files.iter().zip(now).all(|((name, _), path)| *name == key(path));
        if count == 0 || !left_out || !shape_fits || !named {
            return Ok(false);
        }
        // A batch that would hold other files today has other bits.
        let span = span(encoder, files, done.at);
        if span.end != done.at + count || !batch.files.iter().map(|(_, then)| then).eq(&span.stamps) {
            return Ok(false);
        }
        // Whoever leaves none out hears of them, and keeps the rows for a run that does.
        if let Some((_, why)) = batch.skipped.first().filter(|_| broken != Broken::Skip) {
            return Err(broken.error(Error::Invalid(why.clone())));
        }
        let rows = done.rows + count - batch.skipped.len();
        if rows > done.rows {
            let row = batch.shape.iter().try_fold(4u64, |n, &d| n.checked_mul(d as u64));
            if row.and_then(|row| row.checked_mul(rows as u64)).is_none_or(|bytes| bytes > self.have) {
                return Ok(false);
            }
            done.shape.clone_from(&batch.shape);
        }
        done.skipped.extend(batch.skipped.iter().map(|(i, why)| (done.at + i, why.clone())));
        done.rows = rows;
        done.at += count;
        Ok(true)
    }
}

impl Partial {
    fn open(
        out: &Path,
        identity: &Value,
        encoder: &dyn PictureEncoder,
        files: &[PathBuf],
        broken: Broken,
    ) -> Result<Self> {
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
        let journal = loop {
            let journal = open(&journal_path)?;
            match Locked::from(journal.try_lock()) {
                Locked::Theirs => {
                    let reason = "another run is writing this file; wait for it, or stop it";
                    return Err(Error::content(journal_path, reason));
                }
                Locked::Nobodys => break journal,
                // Whoever held it may have removed it; then the lock is on nothing.
                Locked::Ours if same_file(&journal, &journal_path) => break journal,
                Locked::Ours => {}
            }
        };
        let fresh = journal.metadata().is_ok_and(|meta| meta.len() == 0);
        let mut head = serde_json::to_vec(&Head { vljepa_rows: VERSION, of: identity.clone() })
            .map_err(|e| Error::content(&journal_path, e.to_string()))?;
        head.push(b'\n');
        let mut earlier = Earlier { data: &data_path, journal: &journal_path, have: 0, done: Done::default() };
        let opened = earlier
            .read(&journal, &head, identity, encoder, files, broken)
            .and_then(|whole| Ok((whole, earlier.done, open(&data_path)?)));
        let (whole, done, data) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // What was made for this run alone goes.
                if fresh {
                    let _ = std::fs::remove_file(&journal_path);
                }
                return Err(error);
            }
        };
        let mut partial = Self { data, data_path, journal, journal_path, done };
        partial.cut(whole, &head)?;
        Ok(partial)
    }

    /// Cuts off what is not taken over.
    fn cut(&mut self, whole: u64, head: &[u8]) -> Result<()> {
        let length = self.done.bytes();
        self.data.set_len(length).map_err(Error::io(&self.data_path, "writing"))?;
        self.data.seek(SeekFrom::Start(length)).map_err(Error::io(&self.data_path, "writing"))?;
        self.journal.set_len(whole).map_err(Error::io(&self.journal_path, "writing"))?;
        self.journal.seek(SeekFrom::Start(whole)).map_err(Error::io(&self.journal_path, "writing"))?;
        if whole == 0 { self.append(head) } else { Ok(()) }
    }

    fn append(&mut self, line: &[u8]) -> Result<()> {
        let written = self.journal.write_all(line).and_then(|()| self.journal.sync_data());
        written.map_err(Error::io(&self.journal_path, "writing"))
    }

    fn add(&mut self, files: &[PathBuf], batch: Batch) -> Result<()> {
        let rows = &batch.rows;
        if rows.rows() > 0 {
            if self.done.rows > 0 {
                same_shape(&self.done.shape, rows.shape(), &files[batch.files.start])?;
            }
            self.done.shape = rows.shape().to_vec();
            let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
            let written = self.data.write_all(&bytes).and_then(|()| self.data.sync_data());
            written.map_err(Error::io(&self.data_path, "writing"))?;
        }
        let skipped: Vec<(usize, String)> = batch.broken.iter().map(|(i, e)| (*i, e.to_string())).collect();
        let first = batch.files.start;
        let line = Line {
            shape: rows.shape().to_vec(),
            files: batch.files.clone().map(|i| key(&files[i])).zip(batch.stamps).collect(),
            skipped: skipped.iter().map(|(i, why)| (i - first, why.clone())).collect(),
        };
        let mut text = serde_json::to_vec(&line).map_err(|e| Error::content(&self.journal_path, e.to_string()))?;
        text.push(b'\n');
        self.append(&text)?;
        self.done.skipped.extend(skipped);
        self.done.rows += rows.rows();
        self.done.at = batch.files.end;
        Ok(())
    }

    fn left_out(&self, files: &[PathBuf]) -> Vec<Skipped> {
        self.done.skipped.iter().map(|(i, why)| Skipped { path: files[*i].clone(), error: why.clone() }).collect()
    }

    fn remove(self) {
        let Self { data, data_path, journal, journal_path, .. } = self;
        // Should one stay, the next run cuts it or says that it is in the way. The lock goes last: no other run may have
        // begun to write what is removed.
        let _ = std::fs::remove_file(&data_path);
        let _ = std::fs::remove_file(&journal_path);
        drop((data, journal));
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

#[cfg(test)]
mod tests {
    use super::*;
    use vljepa_data::{Preprocess, Rgba8Image, encode_png};

    /// Rows that tell with how many others they were made; those of clips are shorter.
    struct Counting(Preprocess, usize);

    impl PictureEncoder for Counting {
        fn preprocess(&self) -> &Preprocess {
            &self.0
        }

        fn frames(&self) -> usize {
            2
        }

        fn tokens(&self, frames: usize) -> usize {
            frames
        }

        fn shape(&self, frames: usize) -> Vec<usize> {
            vec![if frames == 1 { 1000 } else { 2 }]
        }

        fn unit(&self) -> bool {
            false
        }

        fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
            let width = self.shape(frames)[0];
            let each = pixels.len() / count;
            Ok(pixels.chunks(each).flat_map(|p| vec![p[0] + count as f32; width]).collect())
        }

        fn batch(&self, _: usize) -> usize {
            self.1
        }
    }

    fn encoder(batch: usize) -> Counting {
        let config = vljepa_model::config::VlJepaConfig::from_json(include_str!("../assets/compact/config.json"));
        Counting(vljepa_train::preprocess(&config.unwrap()), batch)
    }

    fn run(encoder: &Counting, files: &[PathBuf], out: &Path, done: impl FnMut(usize)) -> Result<RowFile> {
        embed_to_file(encoder, &[], files, out, &json!({}), Broken::Skip, done)
    }

    /// Stops behind the last batch: a folder takes the place of the file.
    fn stop(encoder: &Counting, files: &[PathBuf], out: &Path) {
        let end = |n| {
            if n == files.len() {
                std::fs::create_dir(out).unwrap();
            }
        };
        assert!(run(encoder, files, out, end).unwrap_err().to_string().contains("is a folder"));
        std::fs::remove_dir(out).unwrap();
    }

    #[test]
    fn files_that_come_later_join_the_last_batch() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..9u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}.png"));
                let picture = Rgba8Image::new(4, 4, [i * 20, 3, 9, 255].repeat(16)).unwrap();
                std::fs::write(&path, encode_png(&picture).unwrap()).unwrap();
                path
            })
            .collect();
        let encoder = encoder(4);
        let (whole, resumed) = (dir.path().join("whole.npy"), dir.path().join("resumed.npy"));
        run(&encoder, &files, &whole, |_| ()).unwrap();
        // Six files are a batch and a half; of eight, both are whole.
        for (first, taken) in [(6, 4), (8, 8)] {
            stop(&encoder, &files[..first], &resumed);
            assert_eq!(run(&encoder, &files, &resumed, |_| ()).unwrap().resumed, taken);
            assert!(std::fs::read(&whole).unwrap() == std::fs::read(&resumed).unwrap(), "{first}");
            std::fs::remove_file(&resumed).unwrap();
        }
    }

    #[test]
    fn a_batch_without_rows_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video/clear.gif");
        let bad = dir.path().join("bad.png");
        std::fs::write(&bad, "no picture").unwrap();
        let (encoder, out) = (encoder(1), dir.path().join("r.npy"));
        let files = [clip, bad];
        stop(&encoder, &files, &out);
        let done = run(&encoder, &files, &out, |_| ()).unwrap();
        assert_eq!((done.resumed, done.skipped.len(), done.shape), (2, 1, vec![1, 2]));
    }
}
